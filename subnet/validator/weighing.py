"""Sets weights when the chain allows it: from settled rounds alone, zero for the slashed, read back and recorded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from loguru import logger

from reward import ScoreBook, WeightRules, WeightVector, weights
from subnet.chain import (
    REMEDY,
    Chain,
    ChainAway,
    ChainRejected,
    Head,
    Hotkey,
    MetagraphSnapshot,
    WeightsOutcome,
    WeightsReason,
)  # fmt: skip
from subnet.chain.weights import same_row
from subnet.errors import StateError
from subnet.validator.judge import is_out, test_accuses
from subnet.validator.state import Store
from subnet.validator.values import Miner

RETRY_BLOCKS = 3
UNSURE = (WeightsReason.CHAIN_AWAY, WeightsReason.NOT_READ_BACK, WeightsReason.REJECTED)
"""After these the chain may hold the vector all the same: a connection that is lost in the middle looks like a refusal.
"""
META_BLOCK = "weights_block"
META_HELD = "weights_held"


def barred(miners: Mapping[str, Miner]) -> frozenset[str]:
    """Hotkeys that may have no weight: slashed ones, and those whose test accuses while the evidence is being made."""
    return frozenset(hotkey for hotkey, miner in miners.items() if is_out(miner) or test_accuses(miner))


def vector_of(
    book: ScoreBook, miners: Mapping[str, Miner], snapshot: MetagraphSnapshot, rules: WeightRules
) -> WeightVector:
    """The weights to set now: of hotkeys that are registered, and nothing for the barred."""
    excluded = barred(miners)
    standings = {hotkey: standing for hotkey, standing in book.standings.items() if hotkey not in excluded}
    return weights(ScoreBook(standings, book.reference, book.rounds), snapshot.uids, rules)


@dataclass(frozen=True, slots=True)
class Held:
    """What the newest vector gives a hotkey, at the uid that it had then."""

    uid: int
    share: float


class WeightSetter:
    """Submits at most one vector at a time, every `every_blocks`, and at once when somebody was slashed or replaced.

    An attempt whose fate is unknown (the chain went away, the process was killed) is looked up on the chain before
    another is made, so that no vector is set twice. Commits are followed until the chain shows them opened.

    Where nobody earned anything it sets nothing, or everything to the owner's uid with `to_owner`; and in any case so
    while the chain still holds a weight of ours for somebody slashed or replaced, who would go on earning otherwise.
    """

    def __init__(
        self, chain: Chain, store: Store, netuid: int, hotkey: Hotkey, *, every_blocks: int, version_key: int,
        rules: WeightRules, to_owner: bool = False,
    ) -> None:  # fmt: skip
        self._chain, self._store, self._netuid, self._hotkey = chain, store, netuid, hotkey
        self._every, self._version_key, self._rules, self._to_owner = every_blocks, version_key, rules, to_owner
        block = store.meta(META_BLOCK)
        self.last_block: int | None = int(block) if block else None
        self._next = self.last_block + every_blocks if self.last_block is not None else 0
        self._look = 0
        self._task: asyncio.Task[None] | None = None
        self._said: WeightsReason | None = None
        self._unsure = True  # an earlier process may have set weights and died before it could write so
        self._sealed: list[WeightsOutcome] = []
        self._held = held(store)

    @property
    def shares(self) -> dict[int, float]:
        """Shares of the newest vector by uid, of uids that still belong to the hotkey that they were meant for."""
        return {given.uid: given.share for given in self._held.values()}

    def on_head(self, head: Head, snapshot: MetagraphSnapshot, book: ScoreBook) -> None:
        """Starts a submission where one is due. Raises what made the last one fail, if that was our own fault."""
        if self._task is not None:
            if not self._task.done():
                return
            done, self._task = self._task, None
            if not done.cancelled():
                done.result()
        miners = self._store.miners()
        replaced = self._drop_replaced(snapshot)
        out = barred(miners)
        slashed = any(given.share > 0 for hotkey, given in self._held.items() if hotkey in out)
        if replaced or (slashed and (self._said is None or self._said.done)):
            self._next = head.number
        if head.number < self._next:
            if self._sealed and head.number >= self._look:
                self._look = head.number + RETRY_BLOCKS
                self._begin(self._follow_commits(head, snapshot))
            return
        owner = snapshot.uids.get(snapshot.owner_hotkey) if slashed or replaced or self._to_owner else None
        vector = vector_of(book, miners, snapshot, replace(self._rules, owner_uid=owner))
        self._next = head.number + RETRY_BLOCKS
        if self._unsure or not self._unchanged(vector, head.number, snapshot.tempo):
            self._begin(self._submit(vector, head.number, snapshot))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.create_task(self._guarded(work), name="set-weights")

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (ChainAway, ChainRejected, StateError):
            self._unsure = True  # what came of it is looked up before the next
            raise

    def _drop_replaced(self, snapshot: MetagraphSnapshot) -> bool:
        """Forgets shares of hotkeys that lost their uid: who has it now earned none of them. True where there were."""
        uids = snapshot.uids
        gone = [hotkey for hotkey, given in self._held.items() if uids.get(hotkey) != given.uid]
        for hotkey in gone:
            del self._held[hotkey]
        return bool(gone)

    def _unchanged(self, vector: WeightVector, block: int, tempo: int) -> bool:
        """Whether the chain holds just these weights, set within a tempo: setting them again says nothing."""
        if self.last_block is None or block - self.last_block >= max(tempo, self._every):
            return False
        shares = {uid: share for uid, share in zip(vector.uids, vector.shares, strict=True) if share > 0}
        before = self.shares
        return shares.keys() == before.keys() and all(abs(share - before[uid]) < 1e-4 for uid, share in shares.items())

    async def settle(self, deadline_s: float) -> None:
        """Waits for a submission under way."""
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=deadline_s)

    async def _submit(self, vector: WeightVector, block: int, snapshot: MetagraphSnapshot) -> None:
        if self._unsure and (await self._found(snapshot) or self._unchanged(vector, block, snapshot.tempo)):
            return
        shares = dict(zip(vector.uids, vector.shares, strict=True))
        outcome = await self._chain.set_weights(self._netuid, shares, self._hotkey, self._version_key)
        self._unsure = outcome.reason in UNSURE
        if outcome.reason.done:
            self._next = block + self._every
        self._record(outcome, snapshot)

    async def _found(self, snapshot: MetagraphSnapshot) -> bool:
        """Whether the chain took a vector that we do not know of; it is then taken for ours, as it is."""
        me = snapshot.by_hotkey(self._hotkey.ss58_address)
        rules = await self._chain.weight_rules(self._netuid, self._hotkey.ss58_address)
        self._unsure = False
        if me is None or rules.last_update <= max(self.last_block or 0, me.registered_at):
            return False
        row = await self._chain.weight_row(self._netuid, me.uid)
        if not row and not rules.commit_reveal:
            return False
        logger.info("The chain took weights at block {} without our knowing", rules.last_update)
        reason = WeightsReason.COMMITTED if rules.commit_reveal else WeightsReason.SET
        self._next = rules.last_update + self._every
        self._record(WeightsOutcome(reason, row, rules.last_update, "found on the chain"), snapshot)
        return True

    async def _follow_commits(self, head: Head, snapshot: MetagraphSnapshot) -> None:
        """Looks whether committed weights were opened, and whether they are the ones that the chain holds then."""
        me = snapshot.by_hotkey(self._hotkey.ss58_address)
        if me is None:
            return
        sealed = await self._chain.sealed_weights(self._netuid, self._hotkey.ss58_address)
        row = await self._chain.weight_row(self._netuid, me.uid)
        gone = [commit for commit in self._sealed if commit.block not in sealed]
        if not gone:
            return
        self._sealed = [commit for commit in self._sealed if commit.block in sealed]
        newest = gone[-1]
        if same_row(newest.planned, row):
            outcome = replace(newest, reason=WeightsReason.REVEALED)
            logger.info("The weights committed at block {} are open and read back", newest.block)
        else:
            outcome = replace(newest, reason=WeightsReason.NOT_REVEALED, message=f"the chain holds {row}")
            logger.warning("The weights committed at block {} were not opened: the chain holds {} ({})", newest.block,
                           row, REMEDY[outcome.reason])  # fmt: skip
            self._held, self._next = _holdings(row, snapshot), head.number
        self._store.record_weights(outcome.block, outcome.reason.value, outcome.planned, outcome.message)

    def _record(self, outcome: WeightsOutcome, snapshot: MetagraphSnapshot) -> None:
        reason, meta = outcome.reason, None
        if reason.done:
            meta = self._keep(outcome, snapshot)
            shown = ", ".join(f"{uid}: {share:.3f}" for uid, share in self.shares.items())
            logger.info("Weights {} at block {}: {}", reason.value, outcome.block, shown)
        elif reason is not self._said:
            level = {WeightsReason.RATE_LIMITED: "DEBUG", WeightsReason.NOTHING_TO_SET: "INFO"}.get(reason, "WARNING")
            logger.log(level, "Weights not set: {} ({}) {}", reason.value, REMEDY[reason], outcome.message)
        if reason.done or reason is not self._said:
            self._store.record_weights(outcome.block, reason.value, outcome.planned, outcome.message, meta)
        self._said = reason

    def _keep(self, outcome: WeightsOutcome, snapshot: MetagraphSnapshot) -> dict[str, str]:
        """Takes in a vector that the chain has, by hotkey: a uid may get another owner. What to store of it."""
        self.last_block = outcome.block
        self._held = _holdings(outcome.planned, snapshot)
        if outcome.reason is WeightsReason.COMMITTED and outcome.planned:
            self._sealed.append(outcome)
        kept = json.dumps({hotkey: [given.uid, given.share] for hotkey, given in self._held.items()})
        return {META_BLOCK: str(outcome.block), META_HELD: kept}


def _holdings(row: Sequence[tuple[int, int]], snapshot: MetagraphSnapshot) -> dict[str, Held]:
    """A row of (uid, u16) by the hotkeys that have these uids."""
    total = sum(value for _, value in row)
    owners = {neuron.uid: neuron.hotkey for neuron in snapshot.neurons}
    return {owners[uid]: Held(uid, value / total) for uid, value in row if uid in owners}


def held(store: Store) -> dict[str, Held]:
    """What the newest vector gave each hotkey."""
    text = store.meta(META_HELD)
    return {hotkey: Held(int(uid), float(share)) for hotkey, (uid, share) in json.loads(text or "{}").items()}
