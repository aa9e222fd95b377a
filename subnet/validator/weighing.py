"""Sets weights when the chain allows it: from settled rounds alone, zero for the slashed, read back and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from loguru import logger

from reward import ScoreBook, WeightRules, WeightVector, weights
from subnet.chain import REMEDY, Chain, Head, Hotkey, MetagraphSnapshot, WeightsOutcome, WeightsReason
from subnet.validator.judge import is_out, test_accuses
from subnet.validator.state import Store
from subnet.validator.values import Miner

RETRY_BLOCKS = 3
META_BLOCK = "weights_block"


def barred(miners: Mapping[str, Miner]) -> frozenset[str]:
    """Hotkeys that may have no weight: slashed ones, and those whose test accuses while the evidence is being made."""
    return frozenset(hotkey for hotkey, miner in miners.items() if is_out(miner) or test_accuses(miner))


def vector_of(
    book: ScoreBook, miners: Mapping[str, Miner], snapshot: MetagraphSnapshot, rules: WeightRules
) -> WeightVector:
    """The weights to set now: of hotkeys that are registered, and nothing for the barred."""
    excluded = barred(miners)
    standings = {
        hotkey: replace(standing, score=0.0, slashed=True) if hotkey in excluded else standing
        for hotkey, standing in book.standings.items()
    }
    return weights(ScoreBook(standings, book.reference, book.rounds), snapshot.uids, rules)


class WeightSetter:
    """Submits at most one vector at a time, every `every_blocks`, and at once when somebody was slashed.

    Where nobody earned anything it sets nothing, or everything to the owner's uid with `to_owner`; and in any case so
    while the chain still holds a weight of ours for somebody slashed, who would go on earning otherwise.
    """

    def __init__(
        self, chain: Chain, store: Store, netuid: int, hotkey: Hotkey, *, every_blocks: int, version_key: int,
        rules: WeightRules, to_owner: bool = False,
    ) -> None:  # fmt: skip
        self._chain, self._store, self._netuid, self._hotkey = chain, store, netuid, hotkey
        self._every, self._version_key, self._rules, self._to_owner = every_blocks, version_key, rules, to_owner
        self._next = 0
        self._task: asyncio.Task[None] | None = None
        self._said: WeightsReason | None = None
        block = store.meta(META_BLOCK)
        self.last_block: int | None = int(block) if block else None
        self.shares: dict[int, float] = _shares(store)

    def on_head(self, head: Head, snapshot: MetagraphSnapshot, book: ScoreBook) -> None:
        """Starts a submission where one is due. Raises what made the last one fail, if that was our own fault."""
        if self._task is not None:
            if not self._task.done():
                return
            done, self._task = self._task, None
            if not done.cancelled():
                done.result()
        miners = self._store.miners()
        excluded = {snapshot.uids[hotkey] for hotkey in barred(miners) if hotkey in snapshot.uids}
        urgent = any(self.shares.get(uid, 0.0) > 0 for uid in excluded)
        if head.number < self._next and not (urgent and self._said in (None, WeightsReason.SET)):
            return
        owner = snapshot.uids.get(snapshot.owner_hotkey) if urgent or self._to_owner else None
        vector = vector_of(book, miners, snapshot, replace(self._rules, owner_uid=owner))
        if self._unchanged(vector, head.number, snapshot.tempo):
            self._next = head.number + RETRY_BLOCKS
            return
        self._task = asyncio.create_task(self._submit(vector, head.number), name="set-weights")

    def _unchanged(self, vector: WeightVector, block: int, tempo: int) -> bool:
        """Whether the chain holds just these weights, set within a tempo: setting them again says nothing."""
        if self.last_block is None or block - self.last_block >= max(tempo, self._every):
            return False
        shares = {uid: share for uid, share in zip(vector.uids, vector.shares, strict=True) if share > 0}
        return shares.keys() == self.shares.keys() and all(
            abs(share - self.shares[uid]) < 1e-4 for uid, share in shares.items()
        )

    async def settle(self, deadline_s: float) -> None:
        """Waits for a submission under way."""
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=deadline_s)

    async def _submit(self, vector: WeightVector, block: int) -> None:
        shares = dict(zip(vector.uids, vector.shares, strict=True))
        outcome = await self._chain.set_weights(self._netuid, shares, self._hotkey, self._version_key)
        self._next = block + (self._every if outcome.reason.done else RETRY_BLOCKS)
        self._record(outcome)

    def _record(self, outcome: WeightsOutcome) -> None:
        reason = outcome.reason
        if reason.done:
            self.last_block = outcome.block
            total = sum(value for _, value in outcome.planned)
            self.shares = {uid: value / total for uid, value in outcome.planned}
            self._store.update_miners((), meta={META_BLOCK: str(outcome.block)})
            shown = ", ".join(f"{uid}: {share:.3f}" for uid, share in self.shares.items())
            logger.info("Weights {} at block {}: {}", reason.value, outcome.block, shown)
        elif reason is not self._said:
            level = {WeightsReason.RATE_LIMITED: "DEBUG", WeightsReason.NOTHING_TO_SET: "INFO"}.get(reason, "WARNING")
            logger.log(level, "Weights not set: {} ({}) {}", reason.value, REMEDY[reason], outcome.message)
        if reason.done or reason is not self._said:
            self._store.record_weights(outcome.block, reason.value, outcome.planned, outcome.message)
        self._said = reason


def _shares(store: Store) -> dict[int, float]:
    last = store.last_weights()
    if last is None or last[1] not in (WeightsReason.SET.value, WeightsReason.COMMITTED.value):
        return {}
    total = sum(value for _, value in last[2])
    return {uid: value / total for uid, value in last[2]} if total else {}
