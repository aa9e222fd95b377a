"""What others do, on the same tokens: rules that accuse without a bound that holds under peeking.

Each rule gets a stream of records and says at which token it accuses. Their thresholds are set on honest tokens of the
class as their authors do, so they show what such rules cost; none of them comes with a bound over a whole life.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from subnet.verify.records import TokenRecords

WINDOW = 300
"""Tokens that a batch rule looks at, as Token-DiFR does; the delay of an accusation is a multiple of it."""

CHECK = 128
"""Tokens of one check of the z > 1 rule."""

Rule = Callable[[NDArray[np.float64]], int | None]


def scores(answers: Sequence[TokenRecords], order: NDArray[np.intp], kind: str) -> NDArray[np.float64]:
    """Per-token numbers of a stream of completions: `mismatch` (0 or 1) or `margin` (logits, capped at 5)."""
    if kind == "mismatch":
        return np.concatenate([~answers[i].matches for i in order]).astype(np.float64)
    return np.concatenate([np.minimum(answers[i].margins, 5.0) for i in order])


def window_rule(threshold: float) -> Rule:
    """Accuse when the mean over a full window of WINDOW tokens exceeds the threshold."""

    def accuse(values: NDArray[np.float64]) -> int | None:
        windows = values[: len(values) // WINDOW * WINDOW].reshape(-1, WINDOW).mean(axis=1)
        hits = np.flatnonzero(windows > threshold)
        return int(hits[0] + 1) * WINDOW if len(hits) else None

    return accuse


def z_rule(mean: float, deviation: float) -> Rule:
    """Accuse when the mean of all tokens so far is more than one standard error above the honest mean, after each
    check.
    """

    def accuse(values: NDArray[np.float64]) -> int | None:
        for stop in range(CHECK, len(values) + 1, CHECK):
            if (values[:stop].mean() - mean) * np.sqrt(stop) > max(deviation, 1e-9):
                return stop
        return None

    return accuse


def honest_threshold(values: NDArray[np.float64]) -> float:
    """The largest mean that any honest window has: a fixed threshold with no false accusation on the data it was
    set on.
    """
    windows = values[: len(values) // WINDOW * WINDOW].reshape(-1, WINDOW).mean(axis=1)
    return float(windows.max())
