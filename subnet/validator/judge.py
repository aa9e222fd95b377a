"""From examined answers to tests, standings and scores. Pure: values in, values out.

A miner is accused by its running test over everything that was ever checked, never by one answer. What it did wrong as
a service (late, malformed, broken chain) costs score alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from reward import Sample, ScoreBook, ScoringRules, Standing, update
from subnet.config.gates import GateModes
from subnet.evidence import slashing
from subnet.evidence.ledger import Entry, EntryKind
from subnet.evidence.slashing import Reason
from subnet.protocol import public_key
from subnet.validator.replayer import Examined
from subnet.validator.scorebook import standing_from_json, standing_to_json
from subnet.validator.suspicion import after_prefix, contradicts, suspect
from subnet.validator.values import Exchange, GateEvent, Judged, Miner, Status
from subnet.verify import detector
from subnet.verify.profile import ToleranceProfile
from subnet.verify.records import TokenRecords
from subnet.verify.verdict import Verdict, verdict

HISTORY = 300
FAULTS = {"length": Reason.BAD_LENGTH, "text": Reason.BAD_TEXT}


@dataclass(frozen=True, slots=True)
class Case:
    """One answer or failure before the judge: whether it was selected, and what its examination found."""

    exchange: Exchange
    selected: bool
    examined: Examined | None
    broken_chain: bool = False


@dataclass(frozen=True, slots=True)
class Bench:
    """What a judgement is made with."""

    validator: bytes
    stake_rao: int
    profile: ToleranceProfile
    policy: slashing.Policy
    rules: ScoringRules
    gates: GateModes = field(default_factory=GateModes)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The outcome of a round's cases: rows to store, and the miners whose tests have reached the threshold."""

    judged: tuple[Judged, ...]
    miners: dict[str, Miner]
    samples: tuple[Sample, ...]
    accused: tuple[str, ...] = field(default=())
    gates: tuple[GateEvent, ...] = field(default=())


def judge(cases: Sequence[Case], round_number: int, miners: Mapping[str, Miner], bench: Bench, block: int) -> Judgement:
    """Updates every miner's test with its cases, in the order given (the order of its chain)."""
    changed: dict[str, Miner] = {}
    judged: list[Judged] = []
    samples: list[Sample] = []
    fired: list[GateEvent] = []
    for case in cases:
        hotkey = case.exchange.miner
        miner = changed.get(hotkey) or miners.get(hotkey) or Miner(hotkey, first_block=block)
        row, miner = _judge_one(case, miner, bench)
        if bench.gates.watches("suspicion"):
            miner, suspected = suspicion(case, miner, bench.profile)
            if suspected:
                fired.append(GateEvent(block, "suspicion", hotkey, bench.gates.mode("suspicion")))
            if suspected and bench.gates.enforces("suspicion"):
                miner = suspect(miner, block, bench.policy.probation_blocks)
                row = replace(row, reason=row.reason if case.exchange.response else Reason.SUSPECT_PREFIX)
        judged.append(row)
        if case.exchange.asked.round == round_number:
            miner = replace(
                miner, requests=miner.requests + 1, answered=miner.answered + (case.exchange.response is not None)
            )
            sample = _sample(case, row)
            if sample is not None:
                samples.append(sample)
        changed[hotkey] = replace(miner, reason=row.reason) if row.reason is not None else miner
    accused = tuple(hotkey for hotkey, miner in {**miners, **changed}.items() if test_accuses(miner))
    return Judgement(tuple(judged), changed, tuple(samples), accused, tuple(fired))


def test_accuses(miner: Miner) -> bool:
    """Whether the running test has reached its threshold and the accusation is still to be made."""
    return miner.test is not None and detector.TestState.from_json(miner.test).accused_at is not None


def _judge_one(case: Case, miner: Miner, bench: Bench) -> tuple[Judged, Miner]:
    exchange, examined = case.exchange, case.examined
    if exchange.response is None:
        return _prefix(case, bench), miner
    if case.broken_chain:
        return Judged(exchange.id, case.selected, reason=Reason.BAD_CHAIN, status=Status.FAULTY), miner
    if examined is None:
        return Judged(exchange.id, case.selected, Verdict.ABSTAIN, reason=Reason.ABSTAINED), miner
    if examined.fault is not None:
        kind, detail = examined.fault
        return Judged(exchange.id, case.selected, reason=FAULTS[kind], detail=detail, status=Status.FAULTY), miner
    if not case.selected:
        return Judged(exchange.id, False, quality=examined.quality), miner
    if examined.records is None:
        row = Judged(
            exchange.id, True, Verdict.ABSTAIN, quality=examined.quality, reason=Reason.ABSTAINED,
            detail=examined.failure,
        )  # fmt: skip
        return row, miner
    return _test(case, miner, bench, TokenRecords.decode(examined.records))


def _prefix(case: Case, bench: Bench) -> Judged:
    """An answer that never came, with what the replay of its beginning showed. No verdict: it is no evidence."""
    row, examined = Judged(case.exchange.id, None, reason=case.exchange.reason), case.examined
    if examined is not None and examined.fault is not None:
        return replace(row, detail=examined.fault[1])
    if examined is None or examined.records is None:
        return row
    records = TokenRecords.decode(examined.records)
    missed = int(np.count_nonzero(records.margins > bench.profile.tolerance))
    return replace(row, checked=len(records), misses=missed, margin=float(records.margins.max(initial=0.0)))


def suspicion(case: Case, miner: Miner, profile: ToleranceProfile) -> tuple[Miner, bool]:
    """The miner with its test of prefixes brought up to date, and whether this exchange makes it suspect."""
    exchange, examined = case.exchange, case.examined
    if not exchange.prefix:
        return miner, False
    if exchange.response is not None:
        return miner, contradicts(exchange.prefix, exchange.tokens)
    if examined is None:
        return miner, False
    if examined.fault is not None:
        return miner, True
    if examined.records is None:
        return miner, False
    return after_prefix(miner, TokenRecords.decode(examined.records), profile)


def _test(case: Case, miner: Miner, bench: Bench, records: TokenRecords) -> tuple[Judged, Miner]:
    profile = bench.profile
    if is_out(miner):
        return _untested(case, records), miner
    state = _state(miner.test, profile)
    before = state.misses
    state = detector.update(state, records, profile)
    point = (state.tokens, _evidence_log10(state, profile))
    assert case.examined is not None
    row = Judged(
        case.exchange.id, True, verdict(state, profile), len(records), state.misses - before,
        float(records.margins.max(initial=0.0)), records.encode(), case.examined.quality,
    )  # fmt: skip
    miner = replace(miner, test=state.to_json(), checks=miner.checks + 1, history=(*miner.history, point)[-HISTORY:])
    return row, miner


def _untested(case: Case, records: TokenRecords) -> Judged:
    """An answer given before its miner was put out: kept as it is, and the offence is not counted twice."""
    assert case.examined is not None
    return Judged(
        case.exchange.id, True, Verdict.ABSTAIN, len(records), 0, float(records.margins.max(initial=0.0)),
        records.encode(), case.examined.quality,
    )  # fmt: skip


def is_out(miner: Miner) -> bool:
    """Whether a case keeps the miner out now."""
    return miner.standing is not None and not slashing.may_earn(standing_of(miner))


def _state(text: str | None, profile: ToleranceProfile) -> detector.TestState:
    """The stored state, or a fresh one where there is none or the profile is another now."""
    if text is None:
        return detector.start(profile)
    state = detector.TestState.from_json(text)
    return state if state.profile == profile.digest() else detector.start(profile)


def _evidence_log10(state: detector.TestState, profile: ToleranceProfile) -> float:
    """The test's statistic for people; nothing below 1 tells anything."""
    return round(math.log10(max(state.evidence(profile), 1.0)), 4)


def _sample(case: Case, row: Judged) -> Sample | None:
    """What the reward sees of this request; None where the failure, or the lack of a fair time, was ours."""
    exchange = case.exchange
    request = exchange.asked.request
    work = len(request.prompt) + request.max_tokens
    if exchange.status is Status.OURS or exchange.status is Status.ASKED:
        return None
    if exchange.status is Status.FAULTY or row.status is Status.FAULTY:
        return Sample(exchange.miner, exchange.asked.label, work, False)
    if not exchange.timed or exchange.times is None:
        return None
    times = exchange.times
    return Sample(
        exchange.miner, exchange.asked.label, work, True, row.quality, len(exchange.tokens), times.sent, times.first,
        max(times.finished, times.sent), times.arrivals,
    )  # fmt: skip


def standing_of(miner: Miner) -> slashing.Standing:
    """The miner's cases; none where it has no history."""
    return slashing.from_json(miner.standing) if miner.standing else slashing.Standing(public_key(miner.hotkey))


def apply_event(
    miner: Miner, event: slashing.Event, bench: Bench, block: int
) -> tuple[Miner, tuple[Entry, ...], ScoreChange]:
    """The miner after an event of the slash ledger, the entries to write, and what becomes of its score."""
    before = standing_of(miner)
    outcome = slashing.step(before, event, bench.policy)
    subject = public_key(miner.hotkey)
    entries = tuple(
        Entry(EntryKind.DECISION, decision.block, subject, bench.validator, decision.bundle, decision.reason)
        for decision in outcome.decisions
    )
    reasons = [decision.reason for decision in outcome.decisions]
    miner = replace(miner, standing=slashing.to_json(outcome.standing))
    if isinstance(event, slashing.Accused) and (Reason.ACCUSED in reasons or event.accuser == bench.validator):
        # Others' accusations that open no case leave our test alone, or a friend's old bundle would wipe it each round.
        miner = replace(miner, test=None)
    if reasons:
        miner = replace(miner, reason=reasons[-1])
    change = ScoreChange()
    if Reason.ACCUSED in reasons:
        # The score from before the first case that is still open; a probation earns a score of its own.
        miner = replace(miner, aside=miner.aside if _is_punished(before) and miner.aside else miner.score)
    if Reason.OVERTURNED in reasons and miner.aside and slashing.may_earn(outcome.standing):
        change = ScoreChange(restored=standing_from_json(miner.aside))
        miner = replace(miner, aside=None)
    if Reason.CLEARED in reasons and not _is_punished(outcome.standing):
        # A case that was opened on the probation that ends may still fall, and give back what was earned on it.
        miner = replace(miner, aside=None)
    return miner, entries, change


def _is_punished(standing: slashing.Standing) -> bool:
    """Whether some case is before its probation: the score is zero, or began at zero under a suspension."""
    return any(case.state in (slashing.CaseState.OUT, slashing.CaseState.SUSPENDED) for case in standing.cases)


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """What a decision does to a score beyond zeroing it: `restored` is the score from before a case that fell."""

    restored: Standing | None = None


def rescore(
    book: ScoreBook, samples: Sequence[Sample], miners: Mapping[str, Miner], rules: ScoringRules
) -> tuple[ScoreBook, dict[str, Miner]]:
    """The book after a round, and the miners whose stored score changed. Slashed miners have none."""
    slashed = frozenset(hotkey for hotkey, miner in miners.items() if is_out(miner))
    after = update(book, samples, rules, slashed)
    changed = {
        hotkey: replace(miners.get(hotkey) or Miner(hotkey), score=standing_to_json(standing))
        for hotkey, standing in after.standings.items()
        if book.standings.get(hotkey) != standing
    }
    return after, changed


def describe_test(miner: Miner, profile: ToleranceProfile) -> dict[str, float | int | str | None]:
    """The running test in numbers for people: tokens, misses, log10 of evidence and threshold, verdict."""
    state = _state(miner.test, profile)
    return {
        "tokens": state.tokens, "misses": state.misses, "information_nats": round(state.information, 1),
        "evidence_log10": _evidence_log10(state, profile),
        "threshold_log10": round(math.log10(profile.threshold), 4), "verdict": verdict(state, profile).value,
        "accused_at": state.accused_at,
    }  # fmt: skip


def dump_history(miner: Miner) -> str:
    return json.dumps(miner.history)
