"""Gumbel noise on a fixed grid.

`u = (x + 0.5) / 2**32` for a random word x, `g = rint(-log(-log(u)) * 2**16)` as an integer. Logarithms differ by a
last bit between machines; the grid is what makes the noise the same everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from subnet.sampling.philox import words, words_at

GRID = 65536
"""Noise units per logit at temperature 1. Changing it changes every sampled token: a new protocol version."""

WORST_NOISE = 23.0
"""Above any |g|: the largest word gives 22.87, the smallest -3.13."""


def gumbel(random_words: NDArray[np.uint32]) -> NDArray[np.int32]:
    """Gumbel noise in units of 2**-16 (int32, same shape as the words)."""
    u = random_words.astype(np.float64)
    u += 0.5
    u *= 2.0**-32
    np.log(u, out=u)
    np.negative(u, out=u)
    np.log(u, out=u)
    u *= -float(GRID)
    return np.rint(u, out=u).astype(np.int32)


def word_for(noise: float) -> int:
    """A word below every word whose noise reaches `noise`, for a level between -2 and 12, to one grid step."""
    return max(0, int(np.exp(-np.exp(-noise)) * 2.0**32) - 2**12)


def noise(seed: bytes, position: int, vocabulary: int) -> NDArray[np.int32]:
    """The noise of every token id below `vocabulary` at one position (int32 [vocabulary], units of 2**-16)."""
    return gumbel(words(seed, position, vocabulary))


def noise_at(seed: bytes, position: int, tokens: NDArray[np.integer]) -> NDArray[np.int32]:
    """The noise of the token ids given (int32 [n], units of 2**-16)."""
    return gumbel(words_at(seed, position, tokens))
