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
