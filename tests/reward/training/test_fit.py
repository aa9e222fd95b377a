"""The fit: it learns a separable preference, is reproducible, and its integers follow its floats."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reward.training.fit import FitOptions, Table, auc, auc_by_kind, fit, standardise

OPTIONS = FitOptions(blocks=("scalars",), hidden=4, members=2, steps=120, decay=0.01)


def toy(seed: int = 0, pairs: int = 40) -> Table:
    """Good answers have a larger first feature; kind `b` also a larger second one."""
    stream = np.random.default_rng(seed)
    rows, numbers, kinds = [], [], []
    for pair in range(pairs):
        for kind, shift in (("good", (2.0, 0.0)), ("a", (0.0, 0.0)), ("b", (0.5, 2.0))):
            rows.append(stream.normal(size=6) * 0.3 + np.array([*shift, 0, 0, 0, 0]))
            numbers.append(pair)
            kinds.append(kind)
    return Table(np.array(rows), np.array(numbers), tuple(kinds))


def test_learns_a_preference_and_keeps_it_on_new_data():
    head = fit(toy(), OPTIONS, {})
    other = toy(seed=9)
    found = auc_by_kind(head.scores(head.quantise(other.features)), other.kinds, other.pairs)
    assert found["a"] > 0.97
    assert found["b"] > 0.97


def test_same_seed_gives_the_same_head():
    torch.set_num_threads(1)
    assert fit(toy(), OPTIONS, {}).digest == fit(toy(), OPTIONS, {}).digest


def test_leaving_a_kind_out_leaves_its_examples_out():
    assert set(toy().without(["b"]).kinds) == {"good", "a"}


def test_standardised_features_have_unit_spread():
    features = toy().features
    shift, scale = standardise(features, 3, 0.5)
    scaled = (features - shift) * scale
    assert np.abs(scaled.mean(axis=0)).max() < 1e-3
    assert np.allclose(scaled.std(axis=0), [1, 1, 1, 0.5, 0.5, 0.5], atol=1e-3)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_auc_is_the_share_of_won_comparisons(good, bad):
    won = sum((g > b) + 0.5 * (g == b) for g in good for b in bad) / (len(good) * len(bad))
    assert auc(np.array(good), np.array(bad)) == pytest.approx(won)


def test_auc_compares_a_kind_with_the_good_answers_to_its_own_prompts():
    scores = np.array([1.0, 0.0, 0.0])
    assert auc_by_kind(scores, ["good", "good", "a"], np.array([0, 1, 0])) == {"a": 1.0}


def test_every_good_answer_of_a_prompt_is_preferred_to_every_bad_one():
    """Short and long good answers to one prompt: both must win, and neither against the other."""
    stream = np.random.default_rng(3)
    rows, numbers, kinds = [], [], []
    for pair in range(40):
        for kind, first, length in (("good", 2.0, -1.0), ("good", 2.0, 1.0), ("a", 0.0, -1.0), ("a", 0.0, 1.0)):
            rows.append(stream.normal(size=6) * 0.3 + np.array([first, length, 0, 0, 0, 0]))
            numbers.append(pair)
            kinds.append(kind)
    table = Table(np.array(rows), np.array(numbers), tuple(kinds))
    head = fit(table, OPTIONS, {})
    scores = head.scores(head.quantise(table.features)).reshape(40, 4)
    assert (scores[:, :2].min(axis=1) > scores[:, 2:].max(axis=1)).all()
    assert abs(scores[:, 0].mean() - scores[:, 1].mean()) < 0.1 * 65536
