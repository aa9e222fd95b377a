"""Prefixes that were streamed and dropped: they raise the checking rate, and never accuse."""

from dataclasses import replace

import pytest

from subnet.config.gates import GateModes, Mode
from subnet.evidence.slashing import Reason
from subnet.validator.judge import Case, is_out, judge, test_accuses
from subnet.validator.replayer import Examined
from subnet.validator.suspicion import SUSPECT, after_prefix, contradicts, profile_of_prefixes, suspect
from subnet.validator.values import Miner, Status
from subnet.verify.profile import load_profile
from subnet.verify.records import UNIT, TokenRecords
from tests.validator.answers import FakeMiner
from tests.validator.test_judge import BENCH, records

test_accuses.__test__ = False
PROFILE = load_profile("smollm2-135m-instruct-fp32")


def near(count, distance=UNIT // 300):
    """Honest tokens, one of them drawn as a competitor so near that float noise alone may do it now and then."""
    rows = TokenRecords.decode(records(count)).rows.copy()
    rows["distance"][0, 0], rows["outcome"][0], rows["margin"][0] = distance, 1, distance
    return TokenRecords(rows)


def dropped(miner, number=0, examined=None, tokens=(7, 8, 9)):
    exchange = replace(
        miner.exchange(number), response=None, status=Status.FAULTY, reason=Reason.DROPPED, prefix=tokens,
        opened=b"s" * 32,
    )  # fmt: skip
    return Case(exchange, False, examined)


def test_a_prefix_that_replays_well_costs_the_answer_and_no_more():
    miner = FakeMiner("Dropper")
    judgement = judge([dropped(miner, n, Examined(records=records(24))) for n in range(20)], 1, {}, BENCH, 50)
    state = judgement.miners[miner.hotkey]
    assert state.suspected_until == 0 and state.reason is Reason.DROPPED
    assert all(not sample.answered and sample.tokens == 0 for sample in judgement.samples)
    assert all(row.verdict is None and row.records is None and row.checked == 24 for row in judgement.judged)


def test_a_prefix_of_another_model_makes_suspect_and_never_accuses():
    """The attack: a cheat that streams, sees that it is not what the model says, and hangs up before it signs."""
    miner = FakeMiner("Suspect")
    cases = [dropped(miner, n, Examined(records=records(24, misses=12))) for n in range(20)]
    judgement = judge(cases, 1, {}, BENCH, 50)
    state = judgement.miners[miner.hotkey]
    assert state.suspected_until == 50 + BENCH.policy.probation_blocks and state.reason is Reason.SUSPECT_PREFIX
    assert judgement.accused == () and state.test is None and state.standing is None
    assert not is_out(state) and not test_accuses(state) and state.checks == 0
    assert Reason.SUSPECT_PREFIX.is_service_fault
    assert judgement.judged[0].misses == 12 and judgement.judged[0].margin == 0.5


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.SHADOW])
def test_the_gate_of_suspicion_can_be_watched_before_it_is_trusted(mode):
    miner = FakeMiner("Watched")
    bench = replace(BENCH, gates=GateModes({"suspicion": mode}))
    judgement = judge([dropped(miner, 0, Examined(records=records(24, misses=12)))], 1, {}, bench, 50)
    state = judgement.miners[miner.hotkey]
    assert state.suspected_until == 0 and state.reason is Reason.DROPPED
    seen = [(event.gate, event.miner, event.block, event.mode) for event in judgement.gates]
    assert seen == ([("suspicion", miner.hotkey, 50, mode)] if mode is Mode.SHADOW else [])


def test_an_impossible_prefix_is_suspicious_and_our_own_failure_is_not():
    miner = FakeMiner("Impossible")
    bad = judge([dropped(miner, 0, Examined(fault=("length", "token 70000")))], 1, {}, BENCH, 50)
    assert bad.miners[miner.hotkey].suspected_until > 50
    ours = judge([dropped(miner, 1, Examined(failure="the replay died"))], 1, {}, BENCH, 50)
    assert ours.miners[miner.hotkey].suspected_until == 0 and ours.judged[0].reason is Reason.DROPPED


def test_the_test_of_prefixes_goes_on_from_one_to_the_next_and_starts_anew_after_suspicion():
    few = near(24)
    touchy = replace(PROFILE, threshold=50.0)
    state, fired = Miner("x"), []
    for _ in range(4):
        state, now = after_prefix(state, few, touchy)
        fired.append(now)
        assert now or state.prefix_test is not None
    assert fired == [False, False, False, True] and state.prefix_test is None


def test_a_test_of_another_profile_is_not_continued():
    few = near(24)
    other, _ = after_prefix(Miner("x"), few, replace(PROFILE, tolerance=PROFILE.tolerance * 2))
    once, _ = after_prefix(Miner("x"), few, PROFILE)
    assert after_prefix(other, few, PROFILE)[0].prefix_test == once.prefix_test
    assert after_prefix(once, few, PROFILE)[0].prefix_test != once.prefix_test


def test_suspicion_is_never_shortened():
    assert suspect(replace(Miner("x"), suspected_until=99), 10, 5).suspected_until == 99
    assert profile_of_prefixes(PROFILE).threshold == SUSPECT
    assert profile_of_prefixes(replace(PROFILE, threshold=100.0)).threshold == 100.0


@pytest.mark.parametrize(("prefix", "tokens", "said"), [
    ((), (1, 2), False), ((1,), (1, 2), False), ((1, 2), (1, 2), False), ((2,), (1, 2), True),
    ((1, 2, 3), (1, 2), True),
])  # fmt: skip
def test_an_answer_contradicts_what_was_streamed_before(prefix, tokens, said):
    assert contradicts(prefix, tokens) is said


def test_a_retry_that_takes_back_what_was_streamed_is_suspicious_and_its_answer_still_counts():
    miner = FakeMiner("Rethinks")
    exchange = replace(miner.exchange(0), prefix=(1, 1), opened=b"s" * 32)
    judgement = judge([Case(exchange, True, Examined(records=records(24), quality=0.5))], 1, {}, BENCH, 50)
    assert judgement.miners[miner.hotkey].suspected_until > 50 and judgement.accused == ()
    assert judgement.samples[0].answered and judgement.miners[miner.hotkey].checks == 1
