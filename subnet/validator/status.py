"""The validator's snapshot for the status page, the terminal table and the metrics. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reward import ScoreBook, ScoringRules
from subnet.chain import EpochInfo, MetagraphSnapshot
from subnet.evidence.ledger import NOBODY, EntryKind
from subnet.evidence.slashing import Reason
from subnet.protocol import ss58_address
from subnet.status.snapshot import EpochStatus, LedgerStatus, MinerStatus, StatusSnapshot
from subnet.validator.judge import describe_test
from subnet.validator.state import LedgerRow
from subnet.validator.telling import state_of
from subnet.validator.values import Miner
from subnet.verify.profile import ToleranceProfile

STATES = {"active": "good", "accused": "out", "probation": "probation", "unverified": "unchecked"}


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the snapshot is made from."""

    validator: str
    subnet: MetagraphSnapshot
    epoch: EpochInfo | None
    block: int
    weights_block: int | None
    round: int
    round_s: float | None
    miners: Mapping[str, Miner]
    book: ScoreBook
    rules: ScoringRules
    shares: Mapping[int, float]
    profile: ToleranceProfile
    incentives: Sequence[tuple[int, dict[int, float]]]
    ledger: Sequence[LedgerRow]
    bundles: frozenset[bytes]


def snapshot_of(view: View) -> StatusSnapshot:
    me = view.subnet.by_hotkey(view.validator)
    uids = view.subnet.uids
    rows = [_miner(view, hotkey, uids[hotkey]) for hotkey in view.miners if hotkey in uids]
    return StatusSnapshot(
        netuid=view.subnet.netuid, validator=view.validator, uid=me.uid if me else None, block=view.block,
        tempo=view.subnet.tempo, next_epoch_block=view.epoch.next_block if view.epoch else None,
        last_weights_block=view.weights_block, round=view.round, round_s=view.round_s,
        miners=tuple(sorted(rows, key=lambda row: row.uid)),
        epochs=tuple(EpochStatus(block, shares) for block, shares in view.incentives),
        ledger=tuple(_ledger(view, row) for row in view.ledger),
    )  # fmt: skip


def _miner(view: View, hotkey: str, uid: int) -> MinerStatus:
    miner, neuron = view.miners[hotkey], view.subnet.by_uid(uid)
    standing = view.book.standing(hotkey, view.rules)
    test, last = describe_test(miner, view.profile), standing.last
    assert neuron is not None
    return MinerStatus(
        uid=uid, hotkey=hotkey, requests=miner.requests, answered=miner.answered,
        tokens_per_second=last.tokens_per_second if last else None,
        first_token_s=last.first_token_seconds if last else None, quality=last.quality if last else None,
        score=standing.payable, checked_tokens=miner.history[-1][0] if miner.history else 0,
        evidence=miner.history[-1][1] if miner.history else 0.0, threshold=round(math.log10(view.profile.threshold), 4),
        verdict=_verdict(miner, test), standing=STATES[state_of(miner)],
        reason=miner.reason.text if miner.reason is not None else "", weight=view.shares.get(uid, 0.0),
        incentive=neuron.incentive, stake=neuron.stake, history=miner.history,
    )  # fmt: skip


def _verdict(miner: Miner, test: Mapping[str, object]) -> str:
    if state_of(miner) == "accused" or test["accused_at"] is not None:
        return "inconsistent"
    return str(test["verdict"]) if miner.checks else "unchecked"


def _ledger(view: View, row: LedgerRow) -> LedgerStatus:
    entry = row.entry
    try:
        reason = Reason(entry.reason).name.lower() if entry.reason else ""
    except ValueError:
        reason = str(entry.reason)
    bundle = entry.digest.hex() if entry.digest in view.bundles else None
    subject = "" if entry.subject == NOBODY else ss58_address(entry.subject)
    return LedgerStatus(row.index, entry.block, EntryKind(entry.kind).name.lower(), subject, reason, bundle)
