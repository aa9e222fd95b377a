"""The heart of the promise: a factor's expectation is at most 1 for every honest machine within the bounds."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.verify.bets import LARGEST_BET, expectation, factors
from subnet.verify.fitting import alternatives
from subnet.verify.profile import NOISE, load_profile, null, shipped_profiles
from subnet.verify.records import COMPETITORS, FAR, MATCH, NONE, ORDINARY, RECORD, SUSPECTS, TokenRecords

PROFILES = [load_profile(name) for name in shipped_profiles()]


def contexts(number: int, tokens: int = 40) -> np.ndarray:
    """Records with random predictions and no outcome yet."""
    random = np.random.default_rng(number)
    rows = np.zeros(tokens, RECORD)
    rows["spread"] = ORDINARY
    distances = np.sort(random.exponential(random.choice([0.02, 0.2, 1.0]), (tokens, COMPETITORS)), axis=1)
    absent = np.arange(COMPETITORS) >= random.integers(0, COMPETITORS + 1, tokens)[:, None]
    rows["distance"][:, :COMPETITORS] = np.where(absent, NONE, (distances * 65536).astype(np.int64))
    rows["distance"][:, COMPETITORS] = (np.maximum(distances[:, -1], 1.0) * 65536).astype(np.int64)
    rows["entropy"] = random.integers(0, 8000, tokens)
    rows["predicted"] = random.integers(0, FAR + 1, (tokens, len(SUSPECTS)))
    return rows


def with_outcome(rows: np.ndarray, outcome: int) -> TokenRecords:
    changed = rows.copy()
    changed["outcome"] = outcome
    return TokenRecords(changed)


@settings(deadline=None, max_examples=40)
@given(number=st.integers(0, 10**6), share=st.floats(0.0, 1.0), which=st.integers(0, len(PROFILES) - 1))
def test_no_honest_machine_within_the_bounds_gains_evidence_on_average(number, share, which):
    profile, rows = PROFILES[which], contexts(number)
    bound = null(TokenRecords(rows.copy()), profile).probability
    random = np.random.default_rng(number)
    some = bound * (random.random(bound.shape) < share)
    for honest in (bound, bound * share, bound * random.random(bound.shape), some):
        expected = (1.0 - honest.sum(axis=1))[:, None] * factors(with_outcome(rows, MATCH), profile)
        for outcome in range(1, FAR + 1):
            expected = expected + honest[:, outcome - 1, None] * factors(with_outcome(rows, outcome), profile)
        assert expected.max() <= 1.0 + 1e-9


@settings(deadline=None, max_examples=30)
@given(number=st.integers(0, 10**6), outcome=st.integers(0, FAR), which=st.integers(0, len(PROFILES) - 1))
def test_factors_are_positive_and_finite(number, outcome, which):
    found = factors(with_outcome(contexts(number), outcome), PROFILES[which])
    assert np.isfinite(found).all()
    assert (found > 0).all()


@settings(deadline=None, max_examples=30)
@given(number=st.integers(0, 10**6), which=st.integers(0, len(PROFILES) - 1))
def test_alternatives_are_probabilities_above_the_bound(number, which):
    profile, records = PROFILES[which], TokenRecords(contexts(number))
    for alternative in profile.alternatives:
        honest, expected = expectation(records, profile, alternative)
        assert (expected >= honest).all()
        assert expected.sum(axis=1).max() <= LARGEST_BET + 1e-9


def test_a_miss_across_a_wide_gap_says_more_than_one_across_a_narrow_gap():
    profile = load_profile("smollm2-135m-instruct-bf16")
    rows = np.zeros(2, RECORD)
    rows["spread"] = ORDINARY
    rows["distance"] = NONE
    rows["distance"][:, 0] = (int(0.05 * 65536), int(0.8 * 65536))
    rows["distance"][:, COMPETITORS] = 2 * 65536
    rows["entropy"], rows["outcome"] = 2000, 1
    strongest = factors(TokenRecords(rows), profile).max(axis=1)
    assert strongest[0] < 10 < 1000 < strongest[1]


def test_drawing_a_token_closer_than_the_tolerance_is_no_miss():
    profile = load_profile("smollm2-135m-instruct-fp32")
    rows = np.zeros(1, RECORD)
    rows["spread"] = ORDINARY
    rows["distance"] = NONE
    rows["distance"][:, 0] = int(profile.tolerance * 65536) - 1
    rows["distance"][:, COMPETITORS] = 2 * 65536
    missed = rows.copy()
    missed["outcome"] = 1
    assert (factors(TokenRecords(missed), profile) <= 1.0).all()


@pytest.mark.parametrize("name", SUSPECTS)
def test_a_predicted_wrong_sampler_is_strong_evidence(name):
    profile = load_profile("smollm2-135m-instruct-bf16")
    rows = np.zeros(1, RECORD)
    rows["spread"] = ORDINARY
    rows["distance"] = NONE
    rows["distance"][:, :2] = int(1.2 * 65536), int(1.5 * 65536)
    rows["distance"][:, COMPETITORS] = 2 * 65536
    rows["predicted"][:, SUSPECTS.index(name)] = 2
    rows["outcome"] = 2
    column = [bet.kind for bet in profile.alternatives].index(name)
    assert factors(TokenRecords(rows), profile)[0, column] > 1e4


def test_the_mixture_covers_noise_of_every_size():
    strengths = sorted(bet.strength for bet in alternatives() if bet.kind == NOISE)
    assert strengths[0] <= 1.5 and strengths[-1] >= 30
    assert max(b / a for a, b in itertools.pairwise(strengths)) < 2.0
