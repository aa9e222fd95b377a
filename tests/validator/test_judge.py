from dataclasses import replace

import numpy as np
import pytest

from reward import Sample, ScoreBook, ScoringRules, Standing, WeightRules
from subnet.chain.values import MetagraphSnapshot, Neuron
from subnet.evidence.slashing import Accused, Passed, Policy, Reason, Replayed, may_earn
from subnet.protocol import public_key
from subnet.validator.judge import (
    Bench,
    Case,
    apply_event,
    describe_test,
    is_out,
    judge,
    rescore,
    standing_of,
    test_accuses,
)  # fmt: skip
from subnet.validator.replayer import Examined
from subnet.validator.scorebook import load_book, meta_of, standing_from_json, standing_to_json
from subnet.validator.values import Miner, Status, Times
from subnet.validator.weighing import barred, vector_of
from subnet.verify.profile import load_profile
from subnet.verify.records import COMPETITORS, NONE, ORDINARY, RECORD, UNIT, TokenRecords
from subnet.verify.verdict import Verdict
from tests.validator.answers import VALIDATOR, FakeMiner

test_accuses.__test__ = False
PROFILE = load_profile("smollm2-135m-instruct-fp32")
BENCH = Bench(bytes(VALIDATOR.public_key), 10**9, PROFILE, Policy(10, 10, 10, 5), ScoringRules())


def records(count, misses=0):
    """Honest tokens with two near competitors each, or `misses` of them drawn as the competitor half a logit away."""
    rows = np.zeros(count, RECORD)
    rows["spread"] = ORDINARY
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
    assert judgement.accused == () and (state.requests, state.answered, state.checks) == (10, 10, 10)
    assert state.suspected_until == 0 and judgement.gates == () and not is_out(state)
    assert judgement.judged[-1].verdict is Verdict.CONSISTENT
    assert state.history[-1][0] == 240 and len(judgement.samples) == 10


def test_a_cheats_misses_accuse_it():
    miner = FakeMiner("Cheat")
    judgement = judge([case(miner, 0, Examined(records=records(24, misses=12), quality=0.6))], 1, {}, BENCH, 50)
    assert judgement.accused == (miner.hotkey,)
    assert judgement.judged[0].misses == 12 and judgement.judged[0].margin == 0.5


def test_every_answer_has_the_misses_of_its_own_and_the_test_has_those_of_all():
    miner = FakeMiner("Own")
    found = [Examined(records=records(24, misses=n)) for n in (1, 0, 3)]
    judgement = judge([case(miner, n, examined) for n, examined in enumerate(found)], 1, {}, BENCH, 50)
    assert [(row.selected, row.checked, row.misses) for row in judgement.judged] == [
        (True, 24, 1), (True, 24, 0), (True, 24, 3),
    ]  # fmt: skip
    assert describe_test(judgement.miners[miner.hotkey], PROFILE)["misses"] == 4


def test_the_history_shows_the_evidence_after_every_answer_and_nothing_below_one():
    miner = FakeMiner("Drawn")
    found = [Examined(records=records(1)), Examined(records=records(23)), Examined(records=records(24, misses=1))]
    judgement = judge([case(miner, n, examined) for n, examined in enumerate(found)], 1, {}, BENCH, 50)
    assert judgement.miners[miner.hotkey].history == ((1, 0.0), (24, 1.2149), (48, 4.5386))


def test_an_answer_that_was_not_selected_is_scored_and_not_tested():
    miner = FakeMiner("Unselected")
    judgement = judge([case(miner, 0, Examined(quality=0.5), selected=False)], 1, {}, BENCH, 50)
    row, state = judgement.judged[0], judgement.miners[miner.hotkey]
    assert row.selected is False and row.verdict is None and row.quality == 0.5
    assert state.checks == 0 and state.test is None and judgement.samples[0].quality == 0.5


@pytest.mark.parametrize("examined", [None, Examined(failure="the replay took too long", quality=0.5)])
def test_our_own_failure_is_an_abstention_and_costs_nothing(examined):
    miner = FakeMiner("Ours")
    judgement = judge([case(miner, 0, examined)], 1, {}, BENCH, 50)
    assert judgement.judged[0].verdict is Verdict.ABSTAIN and judgement.judged[0].reason is Reason.ABSTAINED
    assert judgement.judged[0].selected is True
    assert judgement.accused == () and judgement.miners[miner.hotkey].checks == 0
    assert judgement.samples[0].answered and judgement.samples[0].quality == (examined.quality if examined else None)


def test_a_request_that_failed_on_our_side_is_no_sample_at_all():
    miner = FakeMiner("Side")
    failed = replace(miner.exchange(0), response=None, status=Status.OURS, times=None)
    resumed = replace(miner.exchange(1), timed=False)
    cases = [Case(failed, False, None), Case(resumed, False, Examined(quality=0.5))]
    assert judge(cases, 1, {}, BENCH, 50).samples == ()


@pytest.mark.parametrize("status", [Status.OURS, Status.ASKED])
def test_what_failed_on_our_side_is_no_sample_even_where_it_was_timed(status):
    miner = FakeMiner("Timed")
    unfinished = replace(miner.exchange(0), status=status, response=None)
    judgement = judge([Case(unfinished, False, None)], 1, {}, BENCH, 50)
    assert judgement.samples == ()
    assert (judgement.miners[miner.hotkey].requests, judgement.miners[miner.hotkey].answered) == (1, 0)


@pytest.mark.parametrize(("finished", "seen"), [(2.0, 2.0), (0.5, 1.0)])
def test_a_sample_is_timed_from_the_question_to_the_last_byte_and_never_backwards(finished, seen):
    miner = FakeMiner("Clock")
    exchange = replace(miner.exchange(0), times=Times(1.0, 1.1, finished, ((1.1, 1), (1.5, 4))))
    judgement = judge([Case(exchange, False, Examined(quality=0.5))], 1, {}, BENCH, 50)
    assert judgement.samples == (
        Sample(miner.hotkey, "1:0", 3 + 4, True, 0.5, 4, 1.0, 1.1, seen, ((1.1, 1), (1.5, 4))),
    )  # fmt: skip


@pytest.mark.parametrize(("fault", "reason"), [("length", Reason.BAD_LENGTH), ("text", Reason.BAD_TEXT)])
def test_malformed_answers_cost_score_and_are_no_evidence(fault, reason):
    miner = FakeMiner("Malformed")
    judgement = judge([case(miner, 0, Examined(fault=(fault, "why")))], 1, {}, BENCH, 50)
    row = judgement.judged[0]
    assert (row.reason, row.status, row.detail) == (reason, Status.FAULTY, "why")
    assert judgement.miners[miner.hotkey].test is None and not judgement.samples[0].answered


def unanswered(miner, examined, prefix=(7, 8)):
    lost = replace(miner.exchange(0), response=None, status=Status.FAULTY, reason=Reason.DROPPED, prefix=prefix)
    return Case(lost, False, examined)


def test_a_token_as_far_off_as_the_tolerance_allows_is_no_miss_of_a_prefix():
    miner = FakeMiner("Edge")
    found = Examined(records=records(24, misses=5))
    wide = replace(BENCH, profile=replace(PROFILE, tolerance=0.5))
    assert judge([unanswered(miner, found)], 1, {}, BENCH, 50).judged[0].misses == 5
    assert judge([unanswered(miner, found)], 1, {}, wide, 50).judged[0].misses == 0


def test_what_is_wrong_with_a_prefix_is_told():
    row = judge([unanswered(FakeMiner("Told"), Examined(fault=("length", "too long")))], 1, {}, BENCH, 50).judged[0]
    assert (row.selected, row.verdict, row.reason) == (None, None, Reason.SUSPECT_PREFIX) and row.detail == "too long"


@pytest.mark.parametrize("prefix", [(), (7, 8)])
def test_a_missing_answer_whose_prefix_was_not_replayed_makes_nobody_suspect(prefix):
    miner = FakeMiner("Missing")
    judgement = judge([unanswered(miner, None, prefix)], 1, {}, BENCH, 50)
    state = judgement.miners[miner.hotkey]
    assert state.suspected_until == 0 and judgement.gates == () and state.reason is Reason.DROPPED
    assert (state.requests, state.answered) == (1, 0) and not judgement.samples[0].answered


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
    row = judgement.judged[0]
    assert (row.selected, row.checked, row.misses, row.margin, row.quality) == (True, 24, 0, 0.5, 0.9)
    assert row.records == cases[0].examined.records


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
    book, changed = rescore(book, (), {hotkey: state}, BENCH.rules)
    assert book.standings[hotkey].payable == 0.0 and changed[hotkey].score is not None
    state, _, _ = apply_event(state, Passed(110), BENCH, 110)
    assert not is_out(state)
    book, _ = rescore(book, (), {hotkey: state}, BENCH.rules)
    assert book.standings[hotkey].score == 0.0 and not book.standings[hotkey].slashed


def test_an_overturned_accusation_gives_the_score_back():
    hotkey = FakeMiner("Overturned").hotkey
    state, _, _ = accused_miner(hotkey)
    against = Replayed(101, b"b" * 32, b"v" * 32, False, 10 * 10**9, 11 * 10**9)
    state, entries, change = apply_event(state, against, BENCH, 101)
    assert Reason.OVERTURNED in [e.reason for e in entries] and may_earn(standing_of(state))
    assert change.restored is not None and change.restored.score == 0.7


def accused_again(state, block, bundle):
    event = Accused(block, block, bundle * 32, BENCH.validator, BENCH.stake_rao)
    return apply_event(state, event, BENCH, block)[0]


def overturned(state, block, bundle):
    event = Replayed(block, bundle * 32, b"v" * 32, False, 10 * 10**9, 11 * 10**9)
    state, _, change = apply_event(state, event, BENCH, block)
    return state, change.restored


SCORES = {score: standing_to_json(Standing(score, 3, 3)) for score in (0.0, 0.2, 0.7)}


def test_the_miner_is_told_the_last_thing_that_was_decided_about_it():
    state, _, _ = accused_miner(FakeMiner("Told").hotkey)
    assert state.reason is Reason.ACCUSED
    state, entries, _ = apply_event(state, Passed(105), BENCH, 105)
    assert state.reason is Reason.ACCUSED and entries == ()
    state, entries, _ = apply_event(state, Passed(110), BENCH, 110)
    assert [e.reason for e in entries] == [Reason.CONVICTED_BOND, Reason.PROBATION]
    assert state.reason is Reason.PROBATION


def test_the_score_from_before_the_accusation_is_kept_aside_until_the_case_ends():
    state, _, _ = accused_miner(FakeMiner("Aside").hotkey)
    assert state.aside == SCORES[0.7]
    state, _, _ = apply_event(replace(state, score=SCORES[0.0]), Passed(110), BENCH, 110)
    assert state.aside == SCORES[0.7]
    state, entries, change = apply_event(replace(state, score=SCORES[0.2]), Passed(120), BENCH, 120)
    assert [e.reason for e in entries] == [Reason.CLEARED] and state.reason is Reason.CLEARED
    assert state.aside is None and change.restored is None


def test_the_score_is_given_back_once():
    state, _, _ = accused_miner(FakeMiner("Once").hotkey)
    state, restored = overturned(replace(state, score=SCORES[0.0]), 101, b"b")
    assert restored == Standing(0.7, 3, 3) and state.aside is None


def test_two_cases_at_once_give_the_score_back_when_both_have_fallen():
    state, _, _ = accused_miner(FakeMiner("Both").hotkey)
    state = accused_again(replace(state, score=SCORES[0.0]), 105, b"c")
    assert state.aside == SCORES[0.7]
    state, restored = overturned(state, 106, b"b")
    assert restored is None and is_out(state) and state.aside == SCORES[0.7]
    state, restored = overturned(state, 107, b"c")
    assert restored == Standing(0.7, 3, 3) and not is_out(state) and state.aside is None


def test_a_case_on_probation_gives_back_what_the_probation_had_earned():
    state, _, _ = accused_miner(FakeMiner("Probation").hotkey)
    state, _, _ = apply_event(state, Passed(110), BENCH, 110)
    state = accused_again(replace(state, score=SCORES[0.2]), 112, b"c")
    assert state.aside == SCORES[0.2]
    state = accused_again(replace(state, score=SCORES[0.0]), 114, b"d")
    assert state.aside == SCORES[0.2]


def test_the_end_of_an_old_case_does_not_take_what_a_newer_one_may_have_to_give_back():
    state, _, _ = accused_miner(FakeMiner("Newer").hotkey)
    state, _, _ = apply_event(state, Passed(110), BENCH, 110)
    state = accused_again(replace(state, score=SCORES[0.2]), 115, b"c")
    state, entries, _ = apply_event(replace(state, score=SCORES[0.0]), Passed(120), BENCH, 120)
    assert [e.reason for e in entries] == [Reason.CLEARED] and is_out(state)
    state, restored = overturned(state, 121, b"c")
    assert restored == Standing(0.2, 3, 3) and state.aside is None


def test_an_accusation_at_the_end_of_a_probation_keeps_the_score_aside():
    state, _, _ = accused_miner(FakeMiner("End").hotkey)
    state, _, _ = apply_event(state, Passed(110), BENCH, 110)
    state = accused_again(replace(state, score=SCORES[0.2]), 120, b"c")
    assert state.reason is Reason.ACCUSED and state.aside == SCORES[0.2]


def test_a_round_changes_the_score_of_the_asked_and_nothing_else_of_anybody():
    asked, idle = FakeMiner("Asked").hotkey, FakeMiner("Idle").hotkey
    miners = {asked: Miner(asked, test="{}", checks=4, score=SCORES[0.7]), idle: Miner(idle, score=SCORES[0.2])}
    book = ScoreBook({asked: Standing(0.7, 3, 3), idle: Standing(0.2, 3, 3)}, 0.5, 3)
    after, changed = rescore(book, (Sample(asked, "1:0", 7, False),), miners, BENCH.rules)
    assert after.standings[asked].score < 0.7 and after.standings[idle] == Standing(0.2, 3, 3) and after.rounds == 4
    assert changed == {asked: replace(miners[asked], score=standing_to_json(after.standings[asked]))}


def test_a_round_gives_a_hotkey_that_is_new_a_score_of_its_own():
    new = FakeMiner("New").hotkey
    after, changed = rescore(ScoreBook({}, 0.5, 3), (Sample(new, "1:0", 7, False),), {}, BENCH.rules)
    assert changed == {new: Miner(new, score=standing_to_json(after.standings[new]))}


def test_the_running_test_is_described_in_numbers_for_people():
    miner = FakeMiner("Described")
    one = judge([case(miner, 0, Examined(records=records(24, misses=1)))], 1, {}, BENCH, 50).miners[miner.hotkey]
    assert describe_test(one, PROFILE) == {
        "tokens": 24, "misses": 1, "information_nats": 12.8, "evidence_log10": 3.3348, "threshold_log10": 9.0,
        "verdict": "abstain", "accused_at": None,
    }  # fmt: skip
    assert describe_test(Miner(miner.hotkey), replace(PROFILE, threshold=5e8)) == {
        "tokens": 0, "misses": 0, "information_nats": 0.0, "evidence_log10": 0.0, "threshold_log10": 8.699,
        "verdict": "abstain", "accused_at": None,
    }  # fmt: skip


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
