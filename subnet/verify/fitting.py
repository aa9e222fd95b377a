"""From honest pairs to a tolerance profile.
 Counted, over fresh seeds: how often a competitor at a given distance, in a context of a given entropy, is what the
honest miner draws. The bound of a cell is `HEADROOM` times the larger of two numbers: the upper limit of its rate
when completions are resampled (tokens of one completion are not independent), and its rate in the worst workload
alone, so that nobody can pick the contexts. Cells with no flip at all get the rule of three over distinct positions,
times the largest probability with which a position as noisy as the ones that were never seen would flip a token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from subnet.errors import ConfigError
from subnet.sampling import Sampling
from subnet.verify.pairs import Pairs, fresh_records
from subnet.verify.records import COMPETITORS, FAR, MATCH, NONE, UNIT, TokenRecords

HEADROOM = 1.5
CONFIDENCE = 0.975
RESAMPLES = 400
ENTROPY_EDGES = (0.1, 0.5, 1.5, 3.0)
DISTANCE_EDGES = (
    0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.175, 0.2, 0.225, 0.25, 0.275, 0.3,
    0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.85, 1.0, 1.5,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HonestSet:
    """Honest pairs of one workload, with the sampling they were decoded at."""

    workload: str
    sampling: Sampling
    pairs: Pairs


@dataclass(frozen=True, slots=True)
class Counts:
    """Exposures and flips by completion, entropy bin and distance bin (float64 [completions, b, k]), of one workload.

    The first pair is about listed competitors, the second about FAR. tokens: fresh tokens drawn.
    """

    workload: str
    seen: NDArray[np.float64]
    flipped: NDArray[np.float64]
    far_seen: NDArray[np.float64]
    far_flipped: NDArray[np.float64]
    tokens: int
    positions: int
    misses: int
    largest_margin: float


def count(
    honest: HonestSet,
    seeds: int,
    tolerance: float,
    random: np.random.Generator,
    on_seed: Callable[[], None] | None = None,
) -> Counts:
    """Count flips over `seeds` fresh seeds at every position of a set."""
    shape = (int(honest.pairs.completion.max()) + 1, len(ENTROPY_EDGES) + 1, len(DISTANCE_EDGES) + 1)
    seen, flipped, far_seen, far_flipped = (np.zeros(shape) for _ in range(4))
    misses, largest = 0, 0.0
    for _ in range(seeds):
        records = fresh_records(honest.pairs, honest.sampling, random)
        _add(records, honest.pairs.completion, seen, flipped, far_seen, far_flipped)
        misses += int(np.count_nonzero(records.margins > tolerance))
        largest = max(largest, float(records.margins.max()))
        if on_seed:
            on_seed()
    tokens = seeds * len(honest.pairs)
    return Counts(
        honest.workload, seen, flipped, far_seen, far_flipped, tokens, len(honest.pairs), misses, largest
    )


def _add(
    records: TokenRecords,
    completion: NDArray[np.int32],
    seen: NDArray[np.float64],
    flipped: NDArray[np.float64],
    far_seen: NDArray[np.float64],
    far_flipped: NDArray[np.float64],
) -> None:
    rows = records.rows
    entropy_bin = np.searchsorted(ENTROPY_EDGES, rows["entropy"] / 1000.0, side="right")
    bins = np.searchsorted(DISTANCE_EDGES, rows["distance"].astype(np.float64) / UNIT, side="right")
    listed = rows["distance"][:, :COMPETITORS] != NONE
    token, place = np.nonzero(listed)
    np.add.at(seen, (completion[token], entropy_bin[token], bins[token, place]), 1)
    hit = np.flatnonzero((rows["outcome"] != MATCH) & (rows["outcome"] != FAR))
    np.add.at(flipped, (completion[hit], entropy_bin[hit], bins[hit, rows["outcome"][hit].astype(np.intp) - 1]), 1)
    np.add.at(far_seen, (completion, entropy_bin, bins[:, COMPETITORS]), 1)
    far = np.flatnonzero(rows["outcome"] == FAR)
    np.add.at(far_flipped, (completion[far], entropy_bin[far], bins[far, COMPETITORS]), 1)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The fitted tables: bound and far_bound [b][k], and the raw rates of listed competitors for the picture
    [b][k].
    """

    bound: NDArray[np.float64]
    far_bound: NDArray[np.float64]
    rate: NDArray[np.float64]


def fit_bounds(counts: Sequence[Counts], floor: float, random: np.random.Generator) -> Bounds:
    """Upper bounds of every cell; `floor` is the smallest bound that the number of positions supports."""
    if not counts:
        raise ConfigError("there are no honest pairs to fit a profile to; run the measurement first")
    bound = _upper([(c.seen, c.flipped) for c in counts], random)
    far_bound = _upper([(c.far_seen, c.far_flipped) for c in counts], random)
    seen, flipped = sum(c.seen.sum(axis=0) for c in counts), sum(c.flipped.sum(axis=0) for c in counts)
    rate = np.divide(flipped, seen, out=np.zeros(np.shape(seen)), where=np.asarray(seen) > 0)
    return Bounds(_monotone(bound, floor), _monotone(far_bound, floor), rate)


def _upper(
    tables: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], random: np.random.Generator
) -> NDArray[np.float64]:
    """HEADROOM times the worse of the bootstrap limit over completions and the worst workload's own rate."""
    seen = np.concatenate([table[0] for table in tables])
    flipped = np.concatenate([table[1] for table in tables])
    resampled = []
    for _ in range(RESAMPLES):
        weight = random.multinomial(len(seen), np.full(len(seen), 1 / len(seen))).astype(np.float64)
        exposure, hits = np.tensordot(weight, seen, 1), np.tensordot(weight, flipped, 1)
        resampled.append(np.divide(hits, exposure, out=np.zeros_like(hits), where=exposure > 0))
    limit = np.quantile(resampled, CONFIDENCE, axis=0)
    for exposure, hits in ((a.sum(axis=0), b.sum(axis=0)) for a, b in tables):
        rate = np.divide(hits, exposure, out=np.zeros_like(hits), where=exposure > 0)
        limit = np.where(exposure >= ENOUGH, np.maximum(limit, rate), limit)
    return HEADROOM * limit


ENOUGH = 5_000
"""Exposures that a single workload needs in a cell before its own rate counts."""


def _monotone(bound: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    """Never rising with distance, never below the floor, never above 1."""
    falling = np.maximum.accumulate(bound[:, ::-1], axis=1)[:, ::-1]
    return np.clip(falling, floor, 1.0)


def pairwise_scale(sets: Sequence[HonestSet]) -> float:
    """Root mean square of the difference of noise between the two largest logits, in logits, over all positions."""
    gaps = np.concatenate([s.pairs.head_difference[:, 1] - s.pairs.head_difference[:, 0] for s in sets])
    return float(np.sqrt(np.mean(np.square(gaps, dtype=np.float64))))
