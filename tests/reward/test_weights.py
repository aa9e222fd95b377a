"""Weights: sums, bounds, order, and what happens when nobody earned anything."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward.scores import ScoreBook, Standing
from reward.weights import WeightRules, WeightVector, limit_shares, weights
from subnet.errors import RewardError

SCORES = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.floats(0, 1), max_size=12)


def book_of(scores: dict[str, float]) -> ScoreBook:
    return ScoreBook({hotkey: Standing(score, 3, 3) for hotkey, score in scores.items()})


@given(SCORES, st.floats(1, 4), st.floats(0.05, 1))
def test_shares_sum_to_one_and_stay_in_bounds(scores, power, limit):
    uids = {hotkey: 3 * i for i, hotkey in enumerate(scores)}
    vector = weights(book_of(scores), uids, WeightRules(power, limit))
    if not vector:
        assert all(score**power == 0.0 for score in scores.values())
        return
    assert vector.uids == tuple(sorted(uids.values()))
    assert math.fsum(vector.shares) == pytest.approx(1.0, abs=1e-9)
    earners = sum(share > 0 for share in vector.shares)
    assert all(0.0 <= share <= max(limit, 1.0 / earners) + 1e-9 for share in vector.shares)


@given(SCORES, st.floats(1, 4))
def test_a_higher_score_never_gets_a_smaller_share(scores, power):
    uids = {hotkey: i for i, hotkey in enumerate(scores)}
    vector = weights(book_of(scores), uids, WeightRules(power, 0.3))
    if vector:
        shares = {hotkey: vector.shares[uid] for hotkey, uid in uids.items()}
        ranked = sorted(scores, key=lambda hotkey: scores[hotkey])
        assert all(shares[a] <= shares[b] + 1e-12 for a, b in pairwise(ranked))


@given(SCORES, st.randoms(use_true_random=False))
def test_order_of_the_metagraph_does_not_matter(scores, stream):
    uids = {hotkey: i for i, hotkey in enumerate(scores)}
    mixed = list(uids.items())
    stream.shuffle(mixed)
    assert weights(book_of(scores), dict(mixed), WeightRules()) == weights(book_of(scores), uids, WeightRules())


@given(st.floats(0.01, 1), st.integers(2, 6), st.floats(1, 3), st.floats(0.1, 5))
def test_sybil_splitting_a_score_over_hotkeys_never_gains(score, parts, power, rest):
    whole = score**power
    split = parts * (score / parts) ** power
    assert split / (split + rest) <= whole / (whole + rest) + 1e-12


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.05, 1))
def test_limited_shares_keep_their_sum_and_order(raw, limit):
    total = math.fsum(raw)
    if total <= 0.0:
        return
    shares = [value / total for value in raw]
    limited = limit_shares(shares, limit)
    assert math.fsum(limited) == pytest.approx(1.0, abs=1e-9)
    ranked = sorted(range(len(shares)), key=shares.__getitem__)
    assert all(limited[a] <= limited[b] + 1e-12 for a, b in pairwise(ranked))


def test_nobody_earned_anything_means_no_vector_unless_burning_is_on():
    book, uids = book_of({"a": 0.0}), {"a": 4, "owner": 0}
    assert not weights(book, uids, WeightRules())
    assert weights(book, uids, WeightRules(owner_uid=0)) == WeightVector((0, 4), (1.0, 0.0))


def test_burning_to_an_unregistered_uid_is_refused():
    with pytest.raises(RewardError, match="owner"):
        weights(ScoreBook(), {"a": 1}, WeightRules(owner_uid=7))


def test_slashed_and_unregistered_hotkeys_get_nothing():
    book = ScoreBook({"a": Standing(0.5, 1, 1), "b": Standing(0.0, 1, 1, slashed=True), "gone": Standing(1.0, 1, 1)})
    assert weights(book, {"a": 0, "b": 1}, WeightRules()).shares == (1.0, 0.0)


def test_two_hotkeys_on_one_uid_are_refused():
    with pytest.raises(RewardError, match="one uid"):
        weights(ScoreBook(), {"a": 1, "b": 1}, WeightRules())


@pytest.mark.parametrize("broken", [{"power": 0.5}, {"power": 99.0}, {"max_share": 0.0}])
def test_impossible_rules_are_refused(broken):
    with pytest.raises(RewardError):
        WeightRules(**broken)


@pytest.mark.parametrize(
    ("shares", "limit", "limited"),
    [
        ([0.6, 0.3, 0.1], 0.7, [0.6, 0.3, 0.1]),
        ([0.6, 0.3, 0.1], 0.5, [0.5, 0.375, 0.125]),
        ([0.5, 0.3, 0.1, 0.1], 0.3, [0.3, 0.3, 0.2, 0.2]),  # the first one's excess lifts the second above the limit
        ([0.9, 0.1, 0.0, 0.0], 0.4, [0.5, 0.5, 0.0, 0.0]),  # too few for the limit
        ([0.7, 0.3], 0.5, [0.5, 0.5]),
        ([0.0, 0.0], 0.5, [0.0, 0.0]),
    ],
)
def test_what_is_over_the_limit_goes_to_the_others_in_proportion(shares, limit, limited):
    assert limit_shares(shares, limit) == pytest.approx(limited)


def test_shares_are_the_powers_of_what_was_earned_by_ascending_uid():
    book = book_of({"half": 0.5, "quarter": 0.25, "gone": 1.0})
    vector = weights(book, {"half": 7, "quarter": 2, "never asked": 5}, WeightRules(power=2.0))
    assert vector.uids == (2, 5, 7) and vector.shares == pytest.approx((0.2, 0.0, 0.8))
    limited = weights(book, {"half": 7, "quarter": 2, "never asked": 5}, WeightRules(power=2.0, max_share=0.6))
    assert limited.shares == pytest.approx((0.4, 0.0, 0.6))


def test_the_owner_gets_nothing_where_somebody_earned_something():
    assert weights(book_of({"a": 1e-6}), {"a": 4, "owner": 0}, WeightRules(owner_uid=0)).shares == (0.0, 1.0)


def test_rules_are_allowed_up_to_their_bounds_and_refused_beyond():
    for allowed in ({"power": 1.0}, {"power": 8.0}, {"max_share": 0.01}, {"max_share": 1.0}):
        WeightRules(**allowed)
    for refused in ({"power": 0.99}, {"power": 8.01}, {"max_share": 0.0}, {"max_share": 1.01}):
        with pytest.raises(RewardError):
            WeightRules(**refused)
