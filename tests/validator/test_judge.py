from dataclasses import replace

import numpy as np
import pytest

from reward import ScoreBook, ScoringRules, Standing, WeightRules
from subnet.chain.values import MetagraphSnapshot, Neuron
from subnet.evidence.slashing import Accused, Passed, Policy, Reason, Replayed, may_earn
from subnet.protocol import public_key
from subnet.validator.judge import Bench, Case, apply_event, is_out, judge, rescore, standing_of, test_accuses
from subnet.validator.replayer import Examined
from subnet.validator.scorebook import load_book, meta_of, standing_from_json, standing_to_json
from subnet.validator.values import Miner, Status
from subnet.validator.weighing import barred, vector_of
from subnet.verify.profile import load_profile
from subnet.verify.records import COMPETITORS, NONE, RECORD, UNIT, TokenRecords
from subnet.verify.verdict import Verdict
from tests.validator.answers import VALIDATOR, FakeMiner

test_accuses.__test__ = False
PROFILE = load_profile("smollm2-135m-instruct-fp32")
BENCH = Bench(bytes(VALIDATOR.public_key), 10**9, PROFILE, Policy(10, 10, 10, 5), ScoringRules())


def records(count, misses=0):
    """Honest tokens with two near competitors each, or `misses` of them drawn as the competitor half a logit away."""
    rows = np.zeros(count, RECORD)
    rows["entropy"] = 2500
    rows["distance"] = NONE
    rows["distance"][:, 0], rows["distance"][:, 1] = UNIT // 2, UNIT
    rows["distance"][:, COMPETITORS] = 2 * UNIT
    rows["outcome"][:misses], rows["margin"][:misses] = 1, UNIT // 2
    return TokenRecords(rows).encode()


def case(miner, number=0, examined=None, selected=True, **rest):
    return Case(miner.exchange(number), selected, examined, **rest)


def accused_miner(hotkey):
    event = Accused(100, 90, b"b" * 32, BENCH.validator, BENCH.stake_rao)
    return apply_event(Miner(hotkey, test="{}", score=standing_to_json(Standing(0.7, 3, 3))), event, BENCH, 100)


def test_honest_answers_accumulate_and_never_accuse():
    miner = FakeMiner("Honest")
    cases = [case(miner, n, Examined(records=records(24), quality=0.6)) for n in range(10)]
    judgement = judge(cases, 1, {}, BENCH, 50)
    state = judgement.miners[miner.hotkey]
    assert judgement.accused == () and state.checks == 10 and state.answered == 10
    assert judgement.judged[-1].verdict is Verdict.CONSISTENT
    assert state.history[-1][0] == 240 and len(judgement.samples) == 10


def test_a_cheats_misses_accuse_it():
    miner = FakeMiner("Cheat")
    judgement = judge([case(miner, 0, Examined(records=records(24, misses=12), quality=0.6))], 1, {}, BENCH, 50)
    assert judgement.accused == (miner.hotkey,)
    assert judgement.judged[0].misses == 12 and judgement.judged[0].margin == 0.5


@pytest.mark.parametrize("examined", [None, Examined(failure="the replay took too long", quality=0.5)])
def test_our_own_failure_is_an_abstention_and_costs_nothing(examined):
    miner = FakeMiner("Ours")
    judgement = judge([case(miner, 0, examined)], 1, {}, BENCH, 50)
    assert judgement.judged[0].verdict is Verdict.ABSTAIN and judgement.judged[0].reason is Reason.ABSTAINED
    assert judgement.accused == () and judgement.miners[miner.hotkey].checks == 0
    assert judgement.samples[0].answered and judgement.samples[0].quality == (examined.quality if examined else None)


def test_a_request_that_failed_on_our_side_is_no_sample_at_all():
    miner = FakeMiner("Side")
    failed = replace(miner.exchange(0), response=None, status=Status.OURS, times=None)
    resumed = replace(miner.exchange(1), timed=False)
    cases = [Case(failed, False, None), Case(resumed, False, Examined(quality=0.5))]
    assert judge(cases, 1, {}, BENCH, 50).samples == ()


@pytest.mark.parametrize(("fault", "reason"), [("length", Reason.BAD_LENGTH), ("text", Reason.BAD_TEXT)])
def test_malformed_answers_cost_score_and_are_no_evidence(fault, reason):
    miner = FakeMiner("Malformed")
    judgement = judge([case(miner, 0, Examined(fault=(fault, "why")))], 1, {}, BENCH, 50)
    row = judgement.judged[0]
    assert (row.reason, row.status, row.detail) == (reason, Status.FAULTY, "why")
    assert judgement.miners[miner.hotkey].test is None and not judgement.samples[0].answered


def test_a_broken_chain_costs_score_alone():
    miner = FakeMiner("Broken")
    found = Examined(records=records(24, misses=24), quality=1.0)
    judgement = judge([case(miner, 0, found, broken_chain=True)], 1, {}, BENCH, 50)
    assert judgement.judged[0].reason is Reason.BAD_CHAIN and judgement.accused == ()
    assert not judgement.samples[0].answered


def test_answers_of_other_rounds_are_judged_and_not_scored_twice():
    miner = FakeMiner("Late")
    late = Case(miner.exchange(0, round_number=1), True, Examined(records=records(24), quality=0.5))
    judgement = judge([late], 2, {}, BENCH, 50)
    assert judgement.samples == () and judgement.miners[miner.hotkey].requests == 0
    assert judgement.miners[miner.hotkey].checks == 1


def test_an_accused_miner_is_out_and_its_answers_under_way_accuse_no_second_time():
    miner = FakeMiner("Out")
    state, entries, _ = accused_miner(miner.hotkey)
    assert is_out(state) and state.test is None and [e.reason for e in entries] == [Reason.ACCUSED]
    cases = [case(miner, 0, Examined(records=records(24, misses=24), quality=0.9))]
    judgement = judge(cases, 1, {miner.hotkey: state}, BENCH, 105)
    assert judgement.accused == () and judgement.judged[0].verdict is Verdict.ABSTAIN
    assert judgement.miners[miner.hotkey].test is None


def test_others_accusations_that_open_no_case_leave_our_own_test_alone():
    """A friend of a cheat shows us an old bundle each round: our own evidence must go on growing."""
    stale = Accused(1000, 90, b"o" * 32, b"f" * 32, BENCH.stake_rao)
    state, entries, _ = apply_event(Miner(FakeMiner("Friend").hotkey, test="{}"), stale, BENCH, 1000)
    assert entries == () and state.test == "{}"
    fresh = Accused(1000, 999, b"n" * 32, b"f" * 32, BENCH.stake_rao)
    state, entries, _ = apply_event(state, fresh, BENCH, 1000)
    assert [e.reason for e in entries] == [Reason.ACCUSED] and state.test is None
    own = Accused(1001, 999, b"w" * 32, BENCH.validator, BENCH.stake_rao)
    state, entries, _ = apply_event(replace(state, test="{}"), own, BENCH, 1001)
    assert entries == () and state.test is None


def test_the_slashed_have_no_score_and_return_from_zero():
    hotkey = FakeMiner("Return").hotkey
    state, _, _ = accused_miner(hotkey)
    book = ScoreBook({hotkey: Standing(0.7, 3, 3)})
    book, changed = rescore(book, (), {hotkey: state}, BENCH.rules, {})
    assert book.standings[hotkey].payable == 0.0 and changed[hotkey].score is not None
    state, _, _ = apply_event(state, Passed(110), BENCH, 110)
    assert not is_out(state)
    book, _ = rescore(book, (), {hotkey: state}, BENCH.rules, {})
    assert book.standings[hotkey].score == 0.0 and not book.standings[hotkey].slashed


def test_an_overturned_accusation_gives_the_score_back():
    hotkey = FakeMiner("Overturned").hotkey
    state, _, _ = accused_miner(hotkey)
    against = Replayed(101, b"b" * 32, b"v" * 32, False, 10 * 10**9, 11 * 10**9)
    state, entries, change = apply_event(state, against, BENCH, 101)
    assert Reason.OVERTURNED in [e.reason for e in entries] and may_earn(standing_of(state))
    assert change.restored is not None and change.restored.score == 0.7


def test_a_new_hotkey_starts_without_guilt_or_score():
    fresh = Miner(FakeMiner("Fresh").hotkey)
    assert not is_out(fresh) and standing_of(fresh).miner == public_key(fresh.hotkey)
    assert standing_of(fresh).cases == ()


def test_the_book_survives_the_store():
    book = ScoreBook({"a": Standing(0.5, 2, 1)}, 0.3, 7)
    kept = {"a": Miner("a", score=standing_to_json(book.standings["a"]))}
    assert load_book(kept, meta_of(book)["scores"]) == book
    assert standing_from_json(kept["a"].score) == book.standings["a"]


def neuron(uid, hotkey):
    return Neuron(uid, hotkey, "cold", 1.0, False, True, 0, 0, 0, 0, 0, 0, 0, 0, None)


def test_no_weight_for_the_slashed_the_suspected_and_the_gone():
    good, out, suspected = (FakeMiner(name).hotkey for name in ("Good", "Out", "Suspected"))
    cheat = FakeMiner("Suspected")
    test = judge([case(cheat, 0, Examined(records=records(24, misses=20)))], 1, {}, BENCH, 1).miners[suspected].test
    miners = {good: Miner(good), out: accused_miner(out)[0], suspected: Miner(suspected, test=test)}
    book = ScoreBook({hotkey: Standing(0.5, 1, 1) for hotkey in (good, out, suspected, "gone")})
    snapshot = MetagraphSnapshot(2, 1, 10, "owner", 256, tuple(neuron(i, h) for i, h in enumerate(miners)))
    assert barred(miners) == {out, suspected}
    vector = vector_of(book, miners, snapshot, WeightRules())
    assert dict(zip(vector.uids, vector.shares, strict=True)) == {0: 1.0, 1: 0.0, 2: 0.0}
