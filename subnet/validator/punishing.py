"""What tests and other validators decide against a miner, carried out: ledger, bundle, score and gate as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from loguru import logger

from reward import ScoreBook
from subnet.config.gates import Mode
from subnet.evidence.ledger import Entry
from subnet.evidence.slashing import Event, Passed
from subnet.validator import scorebook
from subnet.validator.accuse import Accuser, used_evidence
from subnet.validator.judge import Bench, apply_event, is_out
from subnet.validator.state import Store
from subnet.validator.values import Bundle, GateEvent, Miner

MAX_DEFERRALS = 3
"""Rounds that an accusation may wait for a complete chain before it is made without portable evidence."""


class Punisher:
    """Holds the score book, since a punishment changes a score at once. One for the life of the validator."""

    def __init__(self, store: Store, accuser: Accuser, bench: Callable[[], Bench]) -> None:
        self._store, self._accuser, self._bench = store, accuser, bench
        self._deferred: dict[str, int] = {}
        self.book: ScoreBook = scorebook.load_book(store.miners(), store.meta(scorebook.META_KEY))

    def accuse(self, hotkeys: Sequence[str], block: int) -> tuple[str, ...]:
        """Accuses the miners whose tests have reached the threshold; those it did accuse.

        One that could have portable evidence once an open round is settled waits, a few rounds at most.
        """
        bench = self._bench()
        done = []
        mode = bench.gates.mode("verdict")
        for hotkey in hotkeys:
            miner = self._store.miners()[hotkey]
            event = GateEvent(block, "verdict", hotkey, mode)
            if mode is not Mode.ENFORCE:  # nothing of it may touch weights: the test starts anew
                seen = [event] if mode is Mode.SHADOW else []
                self._store.update_miners([replace(miner, test=None)], gates=seen)
                logger.log("WARNING" if seen else "DEBUG", "Gate verdict ({}): {} would be accused", mode.value, hotkey)
                continue
            bundle, pending = self._accuser.evidence(hotkey, bench)
            waited = self._deferred.get(hotkey, 0)
            if bundle is None and pending and waited < MAX_DEFERRALS:
                self._deferred[hotkey] = waited + 1
                continue
            self._deferred.pop(hotkey, None)
            miner, entries, bundles, _ = self._accuser.accuse(miner, bundle, bench, block)
            used = used_evidence(hotkey, [self._store.newest_piece(hotkey)])
            self._zero(miner, entries, bundles, used, new_piece=hotkey, gates=[event])
            done.append(hotkey)
            kind = f"bundle {bundle.bundle.digest.hex()[:16]}" if bundle is not None else "local evidence only"
            logger.warning("ACCUSED {} at block {}: {}", hotkey, block, kind)
        return tuple(done)

    def _zero(
        self, miner: Miner, entries: Sequence[Entry] = (), bundles: Sequence[Bundle] = (),
        meta: Mapping[str, str] | None = None, new_piece: str | None = None, gates: Sequence[GateEvent] = (),
    ) -> Miner:  # fmt: skip
        """Stores a slashed miner with its score at zero, in the store and in the book at once; the miner as stored."""
        old = self.book.standing(miner.hotkey, self._bench().rules)
        zeroed = replace(old, score=0.0, slashed=is_out(miner), borrowed=0.0)
        book = ScoreBook({**self.book.standings, miner.hotkey: zeroed}, self.book.reference, self.book.rounds)
        miner = replace(miner, score=scorebook.standing_to_json(zeroed))
        self._store.update_miners([miner], entries, bundles, meta, new_piece, gates)
        self.book = book
        return miner

    def hear(
        self, miner: Miner, event: Event, extra: Sequence[Entry] = (), bundles: Sequence[Bundle] = (),
        gates: Sequence[GateEvent] = (),
    ) -> Miner:  # fmt: skip
        """An event of the slash ledger from outside a round: another validator's evidence or opinion.

        Gives the miner as stored: who goes on with an older one would write its old score back.
        """
        bench = self._bench()
        was_out = is_out(miner)
        miner, entries, change = apply_event(miner, event, bench, event.block)
        if is_out(miner) and not was_out:
            return self._zero(miner, (*extra, *entries), bundles, gates=gates)
        if change.restored is not None:
            standings = {**self.book.standings, miner.hotkey: change.restored}
            self.book = ScoreBook(standings, self.book.reference, self.book.rounds)
            miner = replace(miner, score=scorebook.standing_to_json(change.restored))
        self._store.update_miners([miner], (*extra, *entries), bundles, gates=gates)
        return miner

    def pass_time(self, block: int) -> None:
        """Ends what ends at this block: suspensions, punishments, probations."""
        bench = self._bench()
        for miner in self._store.miners().values():
            if miner.standing is None:
                continue
            after, entries, _ = apply_event(miner, Passed(block), bench, block)
            if entries:
                for entry in entries:
                    logger.info("{}: {}", miner.hotkey[:8], after.reason.name.lower() if after.reason else entry.reason)
                self._store.update_miners([after], entries)
