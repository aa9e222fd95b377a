import numpy as np
import pytest
import torch

from subnet.errors import ConfigError
from subnet.sampling import Sampling
from subnet.verify.fitting import (
    CLASSES,
    DISTANCE_EDGES,
    RARE_HEADROOM,
    WELL,
    HonestSet,
    count,
    fit_bounds,
    make_profile,
    pairwise_scale,
    with_spreads,
)
from subnet.verify.pairs import Pairs, take_pairs


def honest(noise: float, positions: int = 600, completions: int = 30, number: int = 0) -> HonestSet:
    """A synthetic model whose honest logits differ by Gaussian noise."""
    random = np.random.default_rng(number)
    ours = (random.standard_normal((positions, 400)) * 2).astype(np.float32)
    theirs = ours + (random.standard_normal(ours.shape) * noise).astype(np.float32)
    parts = [
        take_pairs(torch.from_numpy(ours[i::completions]), torch.from_numpy(theirs[i::completions]), Sampling(800), i)
        for i in range(completions)
    ]
    states = random.standard_normal((positions, 9)).astype(np.float16)
    return HonestSet(f"noise {noise}", Sampling(800), Pairs.stacked(parts), states, np.ones((positions, 3), np.int32))


def test_every_cell_is_bounded_with_headroom():
    random = np.random.default_rng(0)
    counts = [count(honest(0.05), 40, 0.01, random)]
    bounds = fit_bounds(counts, 1e-6, random, headroom=1.3)
    seen, flipped = counts[0].seen.sum(axis=0), counts[0].flipped.sum(axis=0)
    rate = np.divide(flipped, seen, out=np.zeros_like(seen), where=seen > 2000)
    assert (bounds.bound >= np.minimum(1.3 * rate, 1.0) - 1e-12).all()
    rare = (counts[0].flipped > 0).sum(axis=0) < WELL
    assert (bounds.bound[rare] >= np.minimum(RARE_HEADROOM * rate[rare], 1.0) - 1e-12).all()
    assert (np.diff(bounds.bound, axis=1) <= 1e-12).all()
    assert (np.diff(bounds.far_bound, axis=1) <= 1e-12).all()


def test_the_worst_workload_sets_the_bound():
    random = np.random.default_rng(0)
    calm, wild = count(honest(0.02), 40, 0.01, random), count(honest(0.15, number=1), 40, 0.01, random)
    alone, both = fit_bounds([calm], 1e-6, random), fit_bounds([calm, wild], 1e-6, random)
    cell = DISTANCE_EDGES.index(0.15)
    assert both.bound[-1, cell] > 5 * alone.bound[-1, cell]


def test_a_workload_that_is_rare_in_the_data_sets_the_bound_too():
    random = np.random.default_rng(0)
    calm, wild = count(honest(0.02, 3000), 40, 0.01, random), count(honest(0.1, 1500, number=1), 40, 0.01, random)
    bounds = fit_bounds([calm, wild], 1e-6, random, headroom=1.0)
    cell = (-1, DISTANCE_EDGES.index(0.1))
    own = wild.flipped.sum(axis=0)[cell] / wild.seen.sum(axis=0)[cell]
    assert wild.seen.sum(axis=0)[cell] < 5_000
    assert bounds.bound[cell] >= 0.999 * own


def test_beyond_the_measured_the_bound_falls_slowly_to_the_floor():
    random = np.random.default_rng(0)
    bounds = fit_bounds([count(honest(0.1), 40, 0.01, random)], 1e-6, random)
    row = bounds.bound[-1]
    assert row[-1] == 1e-6
    beyond = row[DISTANCE_EDGES.index(0.45) + 1 : DISTANCE_EDGES.index(0.7) + 1]
    assert (beyond > 1e-6).all()


def test_exact_machines_get_the_floor_and_noisy_ones_do_not():
    random = np.random.default_rng(0)
    exact = make_profile("exact", CLASSES["fp32"], "", [count(honest(1e-5), 20, 0.005, random)], None, {}, random)
    noisy = make_profile("noisy", CLASSES["bf16"], "", [count(honest(0.05), 20, 0.01, random)], None, {}, random)
    past = DISTANCE_EDGES.index(0.005) + 1
    assert exact.bound[-1][past:] == pytest.approx([1e-6] * (len(DISTANCE_EDGES) + 1 - past), rel=0.01)
    assert noisy.bound[-1][past] > 0.1


def test_pairwise_noise_is_the_noise_of_a_difference():
    assert pairwise_scale([honest(0.05, positions=3000)]) == pytest.approx(0.05 * np.sqrt(2), rel=0.1)


def test_nothing_measured_is_refused():
    with pytest.raises(ConfigError, match="no honest pairs"):
        with_spreads([], CLASSES["bf16"], np.random.default_rng(0))
