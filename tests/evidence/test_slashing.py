"""The punishment path. Every test names what it stops; every period is tested at its last block and the next."""

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.errors import EvidenceError
from subnet.evidence.slashing import (
    MAX_WAITING,
    Accused,
    CaseState,
    Decision,
    Opinion,
    Outcome,
    Passed,
    Policy,
    Reason,
    Replayed,
    Standing,
    check_always,
    from_json,
    may_earn,
    returns_at,
    step,
    to_json,
)

POLICY = Policy(out_blocks=100, challenge_blocks=60, probation_blocks=200, suspension_blocks=30)
MINER, ACCUSER, FRIEND, OTHER, WHALE = (bytes([n]) * 32 for n in range(1, 6))
BUNDLE, SECOND = b"B" * 32, b"C" * 32
START = 1000


def accusation(block: int = START, bundle: bytes = BUNDLE, evidence: int | None = None, **more) -> Accused:
    evidence = block - 5 if evidence is None else evidence
    return Accused(
        block=block, evidence_block=evidence, bundle=bundle, accuser=ACCUSER, stake=more.pop("stake", 10), **more
    )


def opinion(
    block: int, agrees: bool, validator: bytes = FRIEND, stake: int = 1, total: int = 100, bundle: bytes = BUNDLE
):
    return Replayed(block=block, bundle=bundle, validator=validator, agrees=agrees, stake=stake, total_stake=total)


def played(*events, policy: Policy = POLICY) -> tuple[Standing, list[Decision]]:
    standing, decisions = Standing(MINER), []
    for event in events:
        outcome = step(standing, event, policy)
        standing = outcome.standing
        decisions += outcome.decisions
    return standing, decisions


def reasons(decisions: list[Decision]) -> list[tuple[Reason, int]]:
    return [(decision.reason, decision.block) for decision in decisions]


def test_a_miner_without_a_case_earns_and_is_not_always_checked() -> None:
    standing, decisions = played(Passed(5))
    assert standing == Standing(MINER, 5)
    assert decisions == []
    assert may_earn(standing)
    assert not check_always(standing)
    assert returns_at(standing) is None


def test_an_accusation_takes_the_weight_at_once() -> None:
    standing, decisions = played(accusation())
    (case,) = standing.cases
    assert not may_earn(standing)
    assert check_always(standing)
    assert returns_at(standing) == START + 100
    assert decisions == [Decision(Reason.ACCUSED, START, BUNDLE)]
    assert (case.bundle, case.accuser, case.portable, case.opened) == (BUNDLE, ACCUSER, True, START)
    assert (case.state, case.returns_at, case.forfeits_at) == (CaseState.OUT, START + 100, START + 60)
    assert case.opinions == (Opinion(ACCUSER, True, 10),)
    assert not (case.suspended_once or case.upheld or case.forfeited)
    assert case.suspended_from is case.suspended_until is None


def test_the_whole_course_without_an_appeal() -> None:
    standing, decisions = played(accusation(), Passed(START + 10_000))
    assert reasons(decisions) == [
        (Reason.ACCUSED, START),
        (Reason.CONVICTED_BOND, START + 60),
        (Reason.PROBATION, START + 100),
        (Reason.CLEARED, START + 300),
    ]
    assert {decision.bundle for decision in decisions} == {BUNDLE}
    assert standing.cases[0].state is CaseState.CLOSED
    assert standing.cases[0].forfeited


@pytest.mark.parametrize(
    ("block", "state", "forfeited", "earns", "checked"),
    [
        (START + 59, CaseState.OUT, False, False, True),
        (START + 60, CaseState.OUT, True, False, True),
        (START + 99, CaseState.OUT, True, False, True),
        (START + 100, CaseState.PROBATION, True, True, True),
        (START + 299, CaseState.PROBATION, True, True, True),
        (START + 300, CaseState.CLOSED, True, True, False),
    ],
)
def test_every_period_ends_at_its_block(
    block: int, state: CaseState, forfeited: bool, earns: bool, checked: bool
) -> None:
    standing, _ = played(accusation(), Passed(block))
    case = standing.cases[0]
    assert (case.state, case.forfeited) == (state, forfeited)
    assert may_earn(standing) is earns
    assert check_always(standing) is checked
    assert returns_at(standing) == (START + 100 if state is CaseState.OUT else None)


@given(st.lists(st.integers(1, 80), max_size=12))
def test_it_makes_no_difference_how_often_one_looks(pauses: list[int]) -> None:
    block, events = START, []
    for pause in pauses:
        block += pause
        events.append(Passed(block))
    often, said_often = played(accusation(), *events, Passed(START + 2000))
    once, said_once = played(accusation(), Passed(START + 2000))
    assert often == once
    assert sorted(reasons(said_often)) == sorted(reasons(said_once))


def test_no_bond_is_touched_without_a_portable_bundle() -> None:
    standing, decisions = played(accusation(portable=False), Passed(START + 10_000))
    assert Reason.CONVICTED_BOND not in {decision.reason for decision in decisions}
    assert not standing.cases[0].forfeited
    assert reasons(decisions)[1:] == [(Reason.PROBATION, START + 100), (Reason.CLEARED, START + 300)]


def test_a_case_is_not_closed_before_its_challenge_period_is() -> None:
    slow = replace(POLICY, challenge_blocks=500)
    standing, _ = played(accusation(), Passed(START + 499), policy=slow)
    assert standing.cases[0].state is CaseState.PROBATION
    standing, decisions = played(accusation(), Passed(START + 500), policy=slow)
    assert standing.cases[0].state is CaseState.CLOSED
    assert standing.cases[0].forfeited
    assert (Reason.CONVICTED_BOND, START + 500) in reasons(decisions)


def test_the_same_event_twice_counts_once() -> None:
    events = [accusation(), opinion(START + 1, False), opinion(START + 2, True, OTHER, stake=60), Passed(START + 3)]
    once = played(*events)
    twice = played(*[event for event in events for _ in range(2)])
    assert once == twice


def test_time_never_runs_backwards() -> None:
    standing, _ = played(Passed(START + 50), accusation(block=START))
    assert standing.block == START + 50
    assert standing.cases[0].opened == START + 50
    assert step(standing, Passed(1), POLICY) == Outcome(standing)


def test_an_opinion_on_an_unknown_bundle_changes_nothing() -> None:
    standing, decisions = played(accusation(), opinion(START + 1, False, bundle=SECOND))
    assert standing.cases[0].opinions == (Opinion(ACCUSER, True, 10),)
    assert len(decisions) == 1


# --- appeals: suspends_for_ever and what is like it ---


def test_a_disagreement_suspends() -> None:
    standing, decisions = played(accusation(), opinion(START + 10, False))
    case = standing.cases[0]
    assert (case.state, case.suspended_from, case.suspended_until) == (CaseState.SUSPENDED, START + 10, START + 40)
    assert case.suspended_once
    assert may_earn(standing)
    assert check_always(standing)
    assert returns_at(standing) is None
    assert decisions[-1] == Decision(Reason.SUSPENDED, START + 10, BUNDLE)
    assert case.opinions == (Opinion(ACCUSER, True, 10), Opinion(FRIEND, False, 1))


def test_suspends_for_ever_the_suspension_ends_and_only_delays() -> None:
    standing, _ = played(accusation(), opinion(START + 10, False), Passed(START + 39))
    assert standing.cases[0].state is CaseState.SUSPENDED
    standing, decisions = played(accusation(), opinion(START + 10, False), Passed(START + 40))
    case = standing.cases[0]
    assert case.state is CaseState.OUT
    assert not may_earn(standing)
    assert (case.returns_at, case.forfeits_at) == (START + 130, START + 90)
    assert case.suspended_from is case.suspended_until is None
    assert decisions[-1] == Decision(Reason.SUSPENSION_EXPIRED, START + 40, BUNDLE)
    standing, decisions = played(accusation(), opinion(START + 10, False), Passed(START + 9999))
    assert set(reasons(decisions)) == {
        (Reason.ACCUSED, START),
        (Reason.SUSPENDED, START + 10),
        (Reason.SUSPENSION_EXPIRED, START + 40),
        (Reason.CONVICTED_BOND, START + 90),
        (Reason.PROBATION, START + 130),
        (Reason.CLEARED, START + 330),
    }


def test_suspends_for_ever_one_friend_after_another_gets_one_suspension_in_all() -> None:
    friends = [opinion(START + 10 + 31 * n, False, bytes([50 + n]) * 32) for n in range(20)]
    standing, decisions = played(accusation(), *friends)
    assert [reason for reason, _ in reasons(decisions)].count(Reason.SUSPENDED) == 1
    assert standing.cases[0].forfeited


def suspended_without_limit(standing: Standing, block: int) -> bool:
    """The attack on a ledger without the defence: every disagreement pauses anew, and nothing ends a pause."""
    return any(not o.agrees for case in standing.cases for o in case.opinions)


def test_suspends_for_ever_works_where_nothing_limits_it() -> None:
    standing, _ = played(accusation(), opinion(START + 10, False), Passed(START + 10_000))
    assert suspended_without_limit(standing, START + 10_000)  # still unpunished without the defence
    assert standing.cases[0].forfeited  # and punished with it


def test_a_suspended_miner_that_is_caught_again_is_out_at_once() -> None:
    standing, decisions = played(accusation(), opinion(START + 10, False), accusation(START + 20, SECOND))
    assert not may_earn(standing)
    assert [case.state for case in standing.cases] == [CaseState.SUSPENDED, CaseState.OUT]
    assert decisions[-1] == Decision(Reason.ACCUSED, START + 20, SECOND)


def test_the_suspended_time_does_not_count_towards_the_punishment() -> None:
    standing, _ = played(accusation(), opinion(START + 99, False), Passed(START + 130))
    assert standing.cases[0].state is CaseState.PROBATION
    standing, _ = played(accusation(), opinion(START + 99, False), Passed(START + 129))
    assert standing.cases[0].state is CaseState.OUT


@pytest.mark.parametrize(("heard", "looked"), [(START + 50, START + 79), (START + 95, START + 124)])
def test_nothing_is_lost_and_nothing_ends_during_a_suspension(heard: int, looked: int) -> None:
    """The bond would fall at START+60 and the punishment end at START+100."""
    slow = replace(POLICY, challenge_blocks=60 if heard == START + 50 else 110)
    standing, decisions = played(accusation(), opinion(heard, False), Passed(looked), policy=slow)
    assert standing.cases[0].state is CaseState.SUSPENDED
    assert not standing.cases[0].forfeited
    assert [reason for reason, _ in reasons(decisions)] == [Reason.ACCUSED, Reason.SUSPENDED]


def test_the_states_are_stored_under_these_numbers() -> None:
    """A stored standing is read back by later versions."""
    assert [(state.name, state.value) for state in CaseState] == [
        ("OUT", 1),
        ("SUSPENDED", 2),
        ("PROBATION", 3),
        ("CLOSED", 4),
        ("OVERTURNED", 5),
    ]


def test_a_lost_bond_is_not_moved_by_a_later_suspension() -> None:
    standing, _ = played(accusation(), opinion(START + 70, False), Passed(START + 100))
    assert standing.cases[0].forfeited
    assert standing.cases[0].forfeits_at is None


def test_a_disagreement_during_probation_saves_the_bond_for_a_while() -> None:
    slow = replace(POLICY, challenge_blocks=150)
    standing, decisions = played(accusation(), opinion(START + 120, False), Passed(START + 149), policy=slow)
    assert standing.cases[0].state is CaseState.SUSPENDED
    standing, decisions = played(accusation(), opinion(START + 120, False), Passed(START + 150), policy=slow)
    case = standing.cases[0]
    assert case.state is CaseState.PROBATION  # it had served its time: it isn't put out again
    assert (case.returns_at, case.forfeits_at) == (START + 130, START + 180)
    assert [r for r, _ in reasons(decisions)].count(Reason.PROBATION) == 1


def test_a_disagreement_at_the_block_of_the_return_does_not_announce_the_return_again() -> None:
    slow = replace(POLICY, challenge_blocks=150)
    standing, decisions = played(accusation(), opinion(START + 100, False), Passed(START + 130), policy=slow)
    assert standing.cases[0].state is CaseState.PROBATION
    assert [reason for reason, _ in reasons(decisions)].count(Reason.PROBATION) == 1


def test_a_disagreement_changes_nothing_once_nothing_is_at_stake() -> None:
    for block in (START + 150, START + 400):
        standing, decisions = played(accusation(), opinion(block, False))
        assert Reason.SUSPENDED not in {decision.reason for decision in decisions}
        assert standing.cases[0].opinions[-1] == Opinion(FRIEND, False, 1)


def test_a_disagreement_at_the_last_block_before_the_bond_is_lost() -> None:
    standing, _ = played(accusation(), opinion(START + 59, False))
    assert not standing.cases[0].forfeited
    standing, _ = played(accusation(), opinion(START + 60, False))
    assert standing.cases[0].forfeited


# --- stake majorities ---


def test_more_than_half_of_the_stake_overturns() -> None:
    standing, decisions = played(accusation(), opinion(START + 10, False, WHALE, stake=51))
    case = standing.cases[0]
    assert case.state is CaseState.OVERTURNED
    assert case.forfeits_at is case.suspended_from is case.suspended_until is None
    assert may_earn(standing)
    assert not check_always(standing)
    assert decisions[-1] == Decision(Reason.OVERTURNED, START + 10, BUNDLE)
    standing, later = played(accusation(), opinion(START + 10, False, WHALE, stake=51), Passed(START + 9999))
    assert len(later) == 2
    assert not standing.cases[0].forfeited


def test_half_of_the_stake_is_no_majority() -> None:
    standing, decisions = played(accusation(), opinion(START + 10, False, WHALE, stake=50))
    assert standing.cases[0].state is CaseState.SUSPENDED
    standing, decisions = played(accusation(stake=0), opinion(START + 10, True, WHALE, stake=50))
    assert not standing.cases[0].upheld
    assert Reason.UPHELD not in {decision.reason for decision in decisions}


def test_stakes_add_up_over_validators() -> None:
    standing, _ = played(
        accusation(), opinion(START + 10, False, FRIEND, stake=30), opinion(START + 11, False, OTHER, stake=21)
    )
    assert standing.cases[0].state is CaseState.OVERTURNED
    standing, _ = played(
        accusation(), opinion(START + 10, False, FRIEND, stake=30), opinion(START + 11, True, OTHER, stake=21)
    )
    assert standing.cases[0].state is CaseState.SUSPENDED


def test_the_accusers_own_stake_counts_for_the_accusation() -> None:
    standing, decisions = played(accusation(stake=51), opinion(START + 10, False, FRIEND, stake=1))
    assert standing.cases[0].upheld
    assert decisions[-1] == Decision(Reason.UPHELD, START + 10, BUNDLE)
    assert not may_earn(standing)


def test_a_majority_that_agrees_ends_a_suspension_at_once() -> None:
    standing, decisions = played(accusation(), opinion(START + 10, False), opinion(START + 15, True, WHALE, stake=45))
    case = standing.cases[0]
    assert case.state is CaseState.OUT
    assert case.upheld
    assert (case.returns_at, case.forfeits_at) == (START + 105, START + 65)
    assert decisions[-1] == Decision(Reason.UPHELD, START + 15, BUNDLE)


def test_an_upheld_accusation_is_not_suspended() -> None:
    standing, decisions = played(
        accusation(), opinion(START + 5, True, WHALE, stake=45), opinion(START + 6, False, FRIEND)
    )
    assert standing.cases[0].state is CaseState.OUT
    assert [reason for reason, _ in reasons(decisions)] == [Reason.ACCUSED, Reason.UPHELD]


def test_it_is_upheld_once() -> None:
    _, decisions = played(
        accusation(), opinion(START + 5, True, WHALE, stake=45), opinion(START + 6, True, OTHER, stake=9)
    )
    assert [reason for reason, _ in reasons(decisions)] == [Reason.ACCUSED, Reason.UPHELD]


def test_agreement_without_a_majority_is_noted_and_no_more() -> None:
    standing, decisions = played(accusation(), opinion(START + 5, True))
    assert standing.cases[0].state is CaseState.OUT
    assert standing.cases[0].opinions[-1] == Opinion(FRIEND, True, 1)
    assert len(decisions) == 1


def test_a_validator_has_one_opinion() -> None:
    """Otherwise one validator votes until it has a majority, or suspends under the name of the accuser."""
    standing, _ = played(
        accusation(), opinion(START + 5, False, FRIEND, stake=30), opinion(START + 6, False, FRIEND, stake=30)
    )
    assert standing.cases[0].state is CaseState.SUSPENDED
    standing, decisions = played(accusation(), opinion(START + 5, False, ACCUSER, stake=99))
    assert standing.cases[0].state is CaseState.OUT
    assert len(decisions) == 1


def test_nothing_brings_an_overturned_case_back() -> None:
    events = [accusation(), opinion(START + 5, False, WHALE, stake=60)]
    before, _ = played(*events)
    after, decisions = played(*events, opinion(START + 6, True, OTHER, stake=60), accusation(START + 7))
    assert after.cases == before.cases
    assert len(decisions) == 2


def test_an_overturned_case_stays_so_after_the_bond_was_lost() -> None:
    standing, decisions = played(accusation(), opinion(START + 70, False, WHALE, stake=60))
    assert standing.cases[0].state is CaseState.OVERTURNED
    assert standing.cases[0].forfeited  # and the ledger says so: the bond has to be given back by whoever holds it
    assert reasons(decisions)[-1] == (Reason.OVERTURNED, START + 70)


# --- several accusations ---


def test_one_offence_is_punished_once() -> None:
    """A validator trims its bundle again and again: each copy has another digest and accuses anew, for ever."""
    trimmed = [accusation(START + 10 * n, bytes([100 + n]) * 32, evidence=START - 5) for n in range(1, 30)]
    standing, decisions = played(accusation(), *trimmed)
    assert len(standing.cases) == 1
    assert [reason for reason, _ in reasons(decisions)].count(Reason.ACCUSED) == 1
    assert returns_at(standing) is None  # it came back in time


def test_one_offence_would_be_punished_for_ever_if_evidence_had_no_age() -> None:
    """The same attack, with bundles that claim to reach the present: this is why the block comes out of the bundle."""
    fresh = [accusation(START + 90 * n, bytes([100 + n]) * 32) for n in range(1, 10)]
    standing, _ = played(accusation(), *fresh)
    assert len(standing.cases) == 10
    assert not may_earn(standing)


def test_new_misconduct_after_an_accusation_is_a_new_case() -> None:
    standing, _ = played(accusation(), accusation(START + 50, SECOND, evidence=START + 1))
    assert [case.bundle for case in standing.cases] == [BUNDLE, SECOND]
    assert returns_at(standing) == START + 150
    standing, _ = played(accusation(), accusation(START + 50, SECOND, evidence=START))
    assert [case.bundle for case in standing.cases] == [BUNDLE]
    assert standing.waiting == (accusation(START + 50, SECOND, evidence=START),)


def test_a_second_accusation_counts_when_the_first_is_overturned() -> None:
    """A friend accuses first, with evidence that fails, to keep the real evidence away."""
    standing, decisions = played(
        accusation(), accusation(START + 5, SECOND, evidence=START), opinion(START + 10, False, WHALE, stake=60)
    )
    assert [(case.bundle, case.state) for case in standing.cases] == [
        (BUNDLE, CaseState.OVERTURNED),
        (SECOND, CaseState.OUT),
    ]
    assert standing.waiting == ()
    assert not may_earn(standing)
    assert reasons(decisions)[-2:] == [(Reason.OVERTURNED, START + 10), (Reason.ACCUSED, START + 10)]
    assert standing.cases[1].opened == START + 10


def test_an_accusation_goes_on_waiting_while_the_first_stands() -> None:
    standing, _ = played(accusation(), accusation(START + 5, SECOND, evidence=START), opinion(START + 10, False))
    assert [waiting.bundle for waiting in standing.waiting] == [SECOND]


def test_waiting_accusations_are_bounded() -> None:
    """Otherwise one validator fills the store of all the others."""
    many = [accusation(START + 1, bytes([n]) * 32, evidence=START) for n in range(100, 130)]
    standing, _ = played(accusation(), *many)
    assert [waiting.bundle for waiting in standing.waiting] == [bytes([100 + n]) * 32 for n in range(8)]
    assert MAX_WAITING == 8


def test_a_waiting_accusation_is_known() -> None:
    standing, _ = played(accusation(), *[accusation(START + 5, SECOND, evidence=START)] * 2)
    assert len(standing.waiting) == 1


def test_evidence_that_an_overturned_case_covers_is_heard() -> None:
    standing, _ = played(
        accusation(), opinion(START + 10, False, WHALE, stake=60), accusation(START + 20, SECOND, evidence=START - 5)
    )
    assert [case.state for case in standing.cases] == [CaseState.OVERTURNED, CaseState.OUT]


def test_opinions_go_to_their_own_case() -> None:
    standing, _ = played(
        accusation(), accusation(START + 1, SECOND, evidence=START + 1), opinion(START + 2, False, bundle=SECOND)
    )
    assert [case.state for case in standing.cases] == [CaseState.OUT, CaseState.SUSPENDED]
    assert not may_earn(standing)
    assert returns_at(standing) == START + 100


def test_the_miner_is_out_until_the_last_case_lets_it_return() -> None:
    standing, _ = played(accusation(), accusation(START + 50, SECOND, evidence=START + 40), Passed(START + 120))
    assert [case.state for case in standing.cases] == [CaseState.PROBATION, CaseState.OUT]
    assert returns_at(standing) == START + 150


def test_hotkey_swap_neither_score_nor_guilt_is_inherited() -> None:
    accused, _ = played(accusation())
    assert may_earn(Standing(miner=OTHER))
    assert Standing(miner=OTHER).block == 0
    assert not may_earn(accused)


def test_an_offence_of_long_ago_is_not_punished() -> None:
    """A validator that joins late reads old ledgers: what they hold was punished, or is past."""
    served = POLICY.out_blocks + POLICY.probation_blocks
    standing, decisions = played(accusation(evidence=START - served - 1))
    assert (standing.cases, standing.waiting, decisions) == ((), (), [])
    standing, decisions = played(accusation(evidence=START - served))
    assert len(standing.cases) == 1


def test_guilt_does_not_depend_on_who_keeps_looking() -> None:
    """`step` keeps the miner's name whatever happens."""
    for event in (Passed(1), accusation(), opinion(1, True)):
        assert step(Standing(OTHER), event, POLICY).standing.miner == OTHER


# --- faults of service ---


def test_faults_of_service_can_never_touch_a_bond() -> None:
    """No event takes a reason: there is no way to make a case of one."""
    for event in (Accused, Replayed, Passed):
        assert "reason" not in {field.name for field in fields(event)}


def test_every_reason_has_a_text_and_one_number() -> None:
    assert len({reason.value for reason in Reason}) == len(Reason)
    for reason in Reason:
        assert reason.text.endswith(".") or reason.text.endswith("`.")
    faults = {reason.name for reason in Reason if reason.is_service_fault}
    assert {"LATE", "OFFLINE", "REFUSED", "MALFORMED", "DROPPED", "BAD_TEXT"} <= faults
    assert not faults & {"ACCUSED", "CONVICTED_BOND", "ABSTAINED", "NOT_ENOUGH", "OVERTURNED"}


# --- properties ---

blocks = st.integers(0, 600)
bundles = st.sampled_from([bytes([n]) * 32 for n in range(60, 64)])
validators = st.sampled_from([ACCUSER, FRIEND, OTHER, WHALE])
events = st.one_of(
    st.builds(Passed, blocks),
    st.builds(Accused, blocks, blocks, bundles, validators, st.integers(0, 60), st.booleans()),
    st.builds(Replayed, blocks, bundles, validators, st.booleans(), st.integers(0, 60), st.just(100)),
)


@given(st.lists(events, max_size=25))
@settings(max_examples=120, deadline=None)
def test_whatever_happens_every_case_ends(happened: list) -> None:
    standing, _ = played(*happened)
    before = standing.block
    longest = (
        before + POLICY.suspension_blocks + POLICY.out_blocks + POLICY.challenge_blocks + POLICY.probation_blocks + 1
    )
    standing, _ = played(*happened, Passed(longest))
    assert may_earn(standing)
    assert not check_always(standing)
    for case in standing.cases:
        assert case.state in (CaseState.CLOSED, CaseState.OVERTURNED)
        assert case.forfeits_at is None
        assert not (case.forfeited and not case.portable)


@given(st.lists(events, max_size=25))
@settings(max_examples=120, deadline=None)
def test_what_is_decided_is_decided_once(happened: list) -> None:
    _, decisions = played(*happened, Passed(5000))
    for reason in (
        Reason.ACCUSED,
        Reason.CONVICTED_BOND,
        Reason.SUSPENDED,
        Reason.UPHELD,
        Reason.OVERTURNED,
        Reason.CLEARED,
    ):
        of = [decision.bundle for decision in decisions if decision.reason is reason]
        assert len(of) == len(set(of))
    for number, decision in enumerate(decisions):
        if decision.reason is Reason.OVERTURNED:  # also after it was served; nothing follows it
            assert decision.bundle not in {later.bundle for later in decisions[number + 1 :]}


@given(st.lists(events, max_size=25))
@settings(max_examples=80, deadline=None)
def test_a_miner_is_out_only_with_an_accusation_behind_it(happened: list) -> None:
    standing, decisions = played(*happened)
    if not may_earn(standing):
        assert any(decision.reason is Reason.ACCUSED for decision in decisions)
        assert standing.block < max(case.returns_at for case in standing.cases)


@given(st.lists(events, max_size=25))
@settings(max_examples=80, deadline=None)
def test_a_standing_survives_storage(happened: list) -> None:
    standing, _ = played(*happened)
    assert from_json(to_json(standing)) == standing


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"miner":"zz","block":0,"cases":[],"waiting":[]}', "null"])
def test_what_is_no_standing_is_refused(text: str) -> None:
    with pytest.raises(EvidenceError, match="not a stored standing"):
        from_json(text)


@pytest.mark.parametrize("name", ["out_blocks", "challenge_blocks", "probation_blocks", "suspension_blocks"])
def test_a_period_is_at_least_a_block(name: str) -> None:
    with pytest.raises(EvidenceError, match=name):
        Policy(**{name: 0})
    assert getattr(Policy(**{name: 1}), name) == 1


def test_a_case_that_fell_while_suspended_does_not_come_back_when_the_suspension_would_have_ended() -> None:
    standing, decisions = played(
        accusation(), opinion(START + 5, False), opinion(START + 10, False, WHALE, stake=60), Passed(START + 500)
    )
    (case,) = standing.cases
    assert case.state is CaseState.OVERTURNED and may_earn(standing) and not check_always(standing)
    assert (case.suspended_from, case.suspended_until, case.forfeits_at) == (None, None, None)
    assert [reason for reason, _ in reasons(decisions)] == [Reason.ACCUSED, Reason.SUSPENDED, Reason.OVERTURNED]
