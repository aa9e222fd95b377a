import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.errors import StateError
from subnet.verify.detector import TestState, start, update
from subnet.verify.profile import ToleranceProfile, load_profile, null
from subnet.verify.records import COMPETITORS, FAR, MATCH, NONE, ORDINARY, RECORD, TokenRecords
from subnet.verify.verdict import Verdict, verdict

FP32 = load_profile("smollm2-135m-instruct-fp32")
BF16 = load_profile("smollm2-135m-instruct-bf16")


def stream(tokens: int, random: np.random.Generator, profile: ToleranceProfile, share: float = 1.0) -> TokenRecords:
    """Tokens of a machine that misses exactly as often as the profile's bound allows (times `share`)."""
    rows = np.zeros(tokens, RECORD)
    rows["spread"] = ORDINARY
    distances = np.sort(random.exponential(0.5, (tokens, COMPETITORS)), axis=1)
    rows["distance"][:, :COMPETITORS] = (distances * 65536).astype(np.int64)
    rows["distance"][:, COMPETITORS] = rows["distance"][:, COMPETITORS - 1]
    rows["entropy"] = random.integers(0, 6000, tokens)
    bound = null(TokenRecords(rows.copy()), profile).probability * share
    drawn = (random.random((tokens, 1)) > bound.cumsum(axis=1)).sum(axis=1)
    rows["outcome"] = np.where(drawn == COMPETITORS + 1, MATCH, drawn + 1)
    rows["margin"] = np.where(rows["outcome"] == MATCH, 0, 65536)
    return TokenRecords(rows)


def lenient(profile: ToleranceProfile, threshold: float) -> ToleranceProfile:
    """The same test with a low threshold, so that false accusations can be counted."""
    text = profile.to_json().replace(f'"threshold": {profile.threshold}', f'"threshold": {threshold}')
    assert text != profile.to_json()
    return ToleranceProfile.from_json(text)


@pytest.mark.parametrize("profile", [FP32, BF16], ids=["fp32", "bf16"])
def test_the_stated_bound_holds_for_the_worst_honest_machine(profile):
    """At A = 2000 and n = 100, at most n/A = 5 % of machines that sit exactly on the bound may be accused."""
    random, test = np.random.default_rng(5), lenient(profile, 2000.0)
    runs = 400
    accused = sum(update(start(test), stream(100, random, test), test).accused_at is not None for _ in range(runs))
    assert accused / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_a_machine_that_never_misses_is_never_accused():
    random = np.random.default_rng(1)
    state = update(start(FP32), stream(5000, random, FP32, share=0.0), FP32)
    assert state.accused_at is None
    assert state.misses == 0
    assert verdict(state, FP32) is Verdict.CONSISTENT


def misses_of(records: TokenRecords, every: int) -> TokenRecords:
    rows = records.rows.copy()
    rows["outcome"] = MATCH
    rows["margin"] = 0
    rows["outcome"][every - 1 :: every] = FAR
    rows["margin"][every - 1 :: every] = 200_000
    return TokenRecords(rows)


def test_honest_history_buys_no_credit():
    random = np.random.default_rng(2)
    cheating = misses_of(stream(400, random, FP32), 20)
    fresh = update(start(FP32), cheating, FP32)
    veteran = update(start(FP32), stream(20_000, random, FP32, share=0.0), FP32)
    veteran = update(veteran, cheating, FP32)
    assert fresh.accused_at is not None
    assert veteran.accused_at is not None
    assert veteran.accused_at - 20_000 <= fresh.accused_at + 20


@pytest.mark.parametrize("every", [100, 200])
def test_one_arbitrary_token_in_a_hundred_is_caught(every):
    state = update(start(BF16), misses_of(stream(4000, np.random.default_rng(3), BF16), every), BF16)
    assert state.accused_at is not None
    assert state.accused_at <= 6 * every
    assert verdict(state, BF16) is Verdict.INCONSISTENT


@settings(deadline=None, max_examples=25)
@given(number=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 60), max_size=5), every=st.sampled_from([7, 1000]))
def test_how_often_one_looks_changes_nothing(number, cuts, every):
    records = stream(60, np.random.default_rng(number), BF16, 0.5)
    if every == 7:
        records = misses_of(records, every)
    whole = update(start(BF16), records, BF16)
    state, places = start(BF16), [0, *sorted(cuts), 60]
    for first, stop in itertools.pairwise(places):
        state = update(state, TokenRecords(records.rows[first:stop].copy()), BF16)
    assert state.statistics == whole.statistics
    assert state.accused_at == whole.accused_at
    assert state.tokens == 60
    assert state.information == pytest.approx(whole.information)


def test_an_accusation_stays():
    accused = update(start(FP32), misses_of(stream(100, np.random.default_rng(0), FP32), 5), FP32)
    later = update(accused, stream(500, np.random.default_rng(1), FP32, 0.0), FP32)
    assert later.accused_at == accused.accused_at is not None
    assert later.tokens == 600
    assert verdict(later, FP32) is Verdict.INCONSISTENT


def test_questions_that_prove_nothing_end_in_abstention():
    rows = np.zeros(5000, RECORD)
    rows["spread"] = ORDINARY
    rows["distance"] = NONE
    rows["distance"][:, COMPETITORS] = 20 * 65536
    state = update(start(BF16), TokenRecords(rows), BF16)
    assert state.information < BF16.min_information
    assert verdict(state, BF16) is Verdict.ABSTAIN
    assert verdict(start(BF16), BF16) is Verdict.ABSTAIN


@settings(deadline=None, max_examples=20)
@given(number=st.integers(0, 10**6))
def test_state_survives_storage_exactly(number):
    state = update(start(BF16), stream(50, np.random.default_rng(number), BF16), BF16)
    assert TestState.from_json(state.to_json()) == state


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"profile": "zz"}', start(FP32).to_json().replace("0x0.0p+0", "nan", 1)]
)
def test_a_broken_state_is_refused(text):
    with pytest.raises(StateError, match="state"):
        TestState.from_json(text)


def test_states_of_different_profiles_do_not_mix():
    with pytest.raises(StateError, match="another tolerance profile"):
        update(start(FP32), stream(1, np.random.default_rng(0), BF16), BF16)
