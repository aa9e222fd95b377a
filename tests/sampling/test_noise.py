import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.sampling.noise import GRID, WORST_NOISE, gumbel, noise, noise_at, word_for


@given(st.integers(0, 2**32 - 1))
def test_noise_is_the_rounded_gumbel_of_the_word(word):
    exact = -math.log(-math.log((word + 0.5) / 2**32)) * GRID
    assert abs(int(gumbel(np.array([word], np.uint32))[0]) - exact) <= 0.5 + 1e-6


def test_extreme_words_stay_finite_and_inside_the_bound():
    extremes = gumbel(np.array([0, 2**32 - 1], np.uint32)) / GRID
    assert np.all(np.abs(extremes) < WORST_NOISE)
    assert extremes[0] < -3.1 and extremes[1] > 22.8


@settings(deadline=None)
@given(st.floats(-2.0, 12.0))
def test_a_word_below_the_threshold_cannot_reach_the_noise(level):
    word = word_for(level)
    if word > 0:
        assert int(gumbel(np.array([word - 1], np.uint32))[0]) <= level * GRID + 1


def test_noise_at_agrees_with_noise():
    seed = bytes(range(32))
    ids = np.array([0, 7, 49_151, 3])
    assert (noise_at(seed, 9, ids) == noise(seed, 9, 49_152)[ids]).all()


def test_noise_has_the_gumbel_distribution():
    drawn = np.sort(np.concatenate([noise(bytes([i]) * 32, 1, 50_000) for i in range(8)]) / GRID)
    cdf = np.exp(-np.exp(-drawn))
    steps = (np.arange(len(drawn)) + 0.5) / len(drawn)
    assert np.max(np.abs(cdf - steps)) < 1.95 / math.sqrt(len(drawn))  # Kolmogorov's bound at 0.1 %


def test_positions_and_neighbouring_tokens_are_uncorrelated():
    seed = bytes(range(32))
    rows = np.stack([noise(seed, position, 20_000) for position in range(4)]) / GRID
    correlations = np.corrcoef(rows)[np.triu_indices(4, 1)]
    shifted = np.corrcoef(rows[0, 1:], rows[0, :-1])[0, 1]
    assert np.max(np.abs([*correlations, shifted])) < 4.0 / math.sqrt(20_000)
