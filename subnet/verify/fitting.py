"""From honest pairs to a tolerance profile.

Counted, over fresh seeds: how often a competitor at a given distance over the spread, in a context of a given entropy,
is what the honest miner draws. The bound of a cell is the class's headroom times the larger of two numbers: the upper
limit of its rate when completions are resampled (tokens of one completion are not independent), and its rate in the
worst workload alone, so that nobody gains by picking the contexts. Where few completions flipped the headroom is
larger. Beyond the last distance at which enough of them did, the bound goes on falling at SLOWER times the measured
pace, down to a floor that the number of positions supports.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from subnet.errors import ConfigError
from subnet.sampling import Sampling
from subnet.verify.measure import Measured
from subnet.verify.pairs import Pairs, fresh_records
from subnet.verify.profile import ARBITRARY, NOISE, Alternative, ToleranceProfile
from subnet.verify.records import COMPETITORS, FAR, MATCH, NONE, ORDINARY, UNIT, UNJUDGED, TokenRecords
from subnet.verify.spread import SpreadModel, fit_spread, measured_noise
from subnet.verify.workloads import family

CONFIDENCE = 0.975
RESAMPLES = 400
ENTROPY_EDGES: tuple[float, ...] = (0.5, 2.0)
DISTANCE_EDGES = (
    0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.175, 0.2, 0.225, 0.25, 0.275, 0.3,
    0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.85, 1.0, 1.5,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HonestSet:
    """Honest pairs of one workload, with the sampling they were decoded at, and the verifier's states there (float16
    [n, width + 1], as `spread.described` gives them). starts: int32
    [n, BEGINNING], how their prompts begin.
    """

    workload: str
    sampling: Sampling
    pairs: Pairs
    states: NDArray[np.float16]
    starts: NDArray[np.int32]


def honest_set(workload: str, measured: Sequence[Measured]) -> HonestSet:
    """The pairs of several measurements of one workload. Raises StateError where one was made without pairs."""
    return HonestSet(
        workload,
        measured[0].sampling,
        Pairs.join([m.spread_pairs(None) for m in measured]),
        np.concatenate([m.states for m in measured]),
        np.concatenate([np.repeat(m.starts, m.lengths, axis=0) for m in measured]),
    )


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
    if honest.sampling.temperature_milli == 0:
        seeds = 1  # a greedy token is the same for every seed
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
    return Counts(honest.workload, seen, flipped, far_seen, far_flipped, tokens, len(honest.pairs), misses, largest)


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
    relative = rows["distance"].astype(np.float64) / UNIT / records.spreads[:, None]
    bins = np.searchsorted(DISTANCE_EDGES, relative, side="right")
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


def fit_bounds(counts: Sequence[Counts], floor: float, random: np.random.Generator, headroom: float = 1.5) -> Bounds:
    """Upper bounds of every cell; `floor` is the smallest bound that the number of positions supports."""
    listed = [(c.seen, c.flipped) for c in counts]
    far = [(c.far_seen, c.far_flipped) for c in counts]
    seen, flipped = (np.sum([table[side].sum(axis=0) for table in listed], axis=0) for side in (0, 1))
    rate = np.divide(flipped, seen, out=np.zeros_like(flipped), where=seen > 0)
    clusters, far_clusters = (np.sum([_clusters(t[1]) for t in tables], axis=0) for tables in (listed, far))
    bound = _continued(_headroom(clusters, headroom) * _upper(listed, random), clusters, floor)
    far_bound = _falling(_headroom(far_clusters, headroom) * _upper(far, random), floor)
    far_bound = np.maximum(far_bound, bound * (seen > 0).any())
    return Bounds(bound, far_bound, rate)


def _headroom(clusters: NDArray[np.float64], headroom: float) -> NDArray[np.float64]:
    """More where a rate rests on few completions."""
    return np.where(clusters >= WELL, headroom, max(headroom, RARE_HEADROOM))


WELL, RARE_HEADROOM = 60, 2.5
"""A cell that flipped in fewer than WELL different completions gets RARE_HEADROOM."""


def _clusters(flipped: NDArray[np.float64]) -> NDArray[np.float64]:
    """In how many different completions each cell flipped."""
    return (flipped > 0).sum(axis=0).astype(np.float64)


def _upper(
    tables: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], random: np.random.Generator
) -> NDArray[np.float64]:
    """The worse of the bootstrap limit over completions and the worst workload's own rate."""
    seen = np.concatenate([table[0] for table in tables])
    flipped = np.concatenate([table[1] for table in tables])
    resampled = []
    for _ in range(RESAMPLES):
        weight = random.multinomial(len(seen), np.full(len(seen), 1 / len(seen))).astype(np.float64)
        exposure, hits = np.tensordot(weight, seen, 1), np.tensordot(weight, flipped, 1)
        resampled.append(np.divide(hits, exposure, out=np.zeros_like(hits), where=exposure > 0))
    limit = np.quantile(resampled, CONFIDENCE, axis=0)
    for a, b in tables:
        exposure, hits = a.sum(axis=0), b.sum(axis=0)
        rate = np.divide(hits, exposure, out=np.zeros_like(hits), where=exposure > 0)
        known = (exposure >= ENOUGH) & (_clusters(b) >= SEVERAL)
        limit = np.where(known, np.maximum(limit, rate), limit)
    return limit


ENOUGH = 1_000
SEVERAL = 5
"""A single workload's own rate counts in a cell with ENOUGH exposures, flipped in SEVERAL completions."""

TRUSTED = 8
"""Different completions that must have flipped in a cell before its rate is taken as measured."""

SLOWER = 0.7
"""Pace of the fall beyond what was measured, relative to the fall from a tenth to the last measured cell."""


def _continued(bound: NDArray[np.float64], clusters: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    """Each entropy's bounds, continued beyond the last trusted cell by an exponential that falls more slowly.

    The slowest pace that any entropy shows is used for all. Where none shows one the noise ends within the first cells
    (an exact class) and the floor holds beyond.
    """
    edges = np.array((0.0, *DISTANCE_EDGES))
    out = _falling(bound, floor)
    trusted = [np.flatnonzero(trust) for trust in clusters >= TRUSTED]
    paces = []
    for row, known in zip(out, trusted, strict=True):
        last = int(known[-1]) if len(known) else 0
        above = np.flatnonzero(row[:last] >= 0.1)
        if len(above) and row[above[-1]] > 3 * row[last]:
            paces.append(np.log(row[above[-1]] / row[last]) / (edges[last] - edges[above[-1]]))
    if not paces:
        return out
    pace = SLOWER * min(paces)
    for row, known in zip(out, trusted, strict=True):
        if len(known):
            last = int(known[-1])
            beyond = row[last] * np.exp(-pace * (edges[last + 1 :] - edges[last]))
            row[last + 1 :] = np.maximum(row[last + 1 :], beyond)
    return _falling(out, floor)


def _falling(bound: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    """Never rising with distance, never below the floor, never above 1."""
    falling = np.maximum.accumulate(bound[:, ::-1], axis=1)[:, ::-1]
    return np.clip(falling, floor, 1.0)


def with_spreads(
    sets: Sequence[HonestSet], rules: ClassRules, random: np.random.Generator
) -> tuple[list[HonestSet], SpreadModel | None]:
    """The spread model of the sets, and the sets with the spreads that would be predicted had their own prompts never
    been seen, so that bounds counted on them hold for contexts that the model was not fitted to.

    Positions that the profile would not judge are left out. Where the class predicts nothing: the sets as they are. A
    single workload is predicted from itself. Raises ConfigError where there is no set.
    """
    if not sets:
        raise ConfigError("there are no honest pairs to fit a profile to; run the measurement first")
    if not rules.spread:
        return list(sets), None
    noise = [measured_noise(s.pairs, s.sampling, random) for s in sets]
    unit = float(np.log(np.concatenate([n[n > 0] for n in noise])).mean())

    def fitted(indices: Sequence[int]) -> SpreadModel:
        own = [sets[i] for i in indices]
        return fit_spread(
            np.concatenate([s.states for s in own]),
            np.concatenate([s.pairs.entropy for s in own]),
            np.concatenate([np.full(len(s.pairs), s.sampling.temperature) for s in own]),
            np.concatenate([s.starts for s in own]),
            np.concatenate([noise[i] for i in indices]),
            unit,
        )

    every, out = range(len(sets)), []
    whole = fitted(every)
    families = [family(s.workload) for s in sets]
    for own in sets:
        others = [i for i in every if families[i] != family(own.workload)] or every
        model = replace(fitted(others), starts=whole.starts, lengths=whole.lengths)
        spreads = model(own.states, own.pairs.entropy, own.sampling.temperature, own.starts)
        kept = np.flatnonzero(spreads < UNJUDGED / ORDINARY)
        pairs = own.pairs.with_spreads(spreads).at(kept)
        out.append(replace(own, pairs=pairs, states=own.states[kept], starts=own.starts[kept]))
    return out, whole


def noise_left(sets: Sequence[HonestSet], random: np.random.Generator) -> dict[str, tuple[float, float]]:
    """By workload, the mean logarithm of noise over that of all workloads: as measured, and over the spreads."""
    noise = {s.workload: measured_noise(s.pairs, s.sampling, random) for s in sets}
    logs = {w: np.log(n[n > 0]) for w, n in noise.items()}
    left = {s.workload: logs[s.workload] - np.log(s.pairs.spread[noise[s.workload] > 0]) for s in sets}
    means = [float(np.concatenate(list(table.values())).mean()) for table in (logs, left)]
    return {w: (round(float(logs[w].mean()) - means[0], 3), round(float(left[w].mean()) - means[1], 3)) for w in noise}


def pairwise_scale(sets: Sequence[HonestSet]) -> float:
    """Root mean square of the difference of noise between the two largest logits, in logits, over all positions."""
    gaps = np.concatenate([s.pairs.head_difference[:, 1] - s.pairs.head_difference[:, 0] for s in sets])
    return float(np.sqrt(np.mean(np.square(gaps, dtype=np.float64))))


Noise = tuple[tuple[float, float], ...]
"""Scales of wrong numerics that are bet on, in units of the profile's scale, and the weight of each."""

EVEN: Noise = tuple((strength, 1.0) for strength in (1.5, 2.2, 3.2, 4.5, 6.5, 10.0, 16.0, 30.0))
SUBTLE: Noise = ((2.5, 8.0), (4.5, 4.0), (9.0, 1.0), (20.0, 1.0))
"""Most of the stake where evidence is slowest to come. Bets on less than 2.5 times the honest noise break the promise
in some workloads: their factor has an honest expectation of over 1.
"""

REFERENCE_STRENGTH = 4.5


def alternatives(bets: Noise = EVEN) -> tuple[Alternative, ...]:
    """The mixture that a profile bets on: wrong numerics of every size, arbitrary tokens, and wrong samplers."""
    noise = tuple(Alternative(NOISE, strength, weight) for strength, weight in bets)
    rare = (Alternative(ARBITRARY, 0.003), Alternative(ARBITRARY, 0.05))
    cut = (Alternative("top_k_50", 0.9), Alternative("top_p_90", 0.9), Alternative("greedy", 0.9))
    return (*noise, *rare, *cut, Alternative("temperature_low", 0.7), Alternative("temperature_high", 0.7))


@dataclass(frozen=True, slots=True)
class ClassRules:
    """What a tolerance class asks of its profile. tolerance and scale in logits; floor: the smallest bound; headroom: a
    bound over the limit of what was measured; noise: the bets against wrong numerics; threshold: A; spread: whether the
    noise of a context is predicted (where there is none, nothing is).
    """

    name: str
    tolerance: float
    scale: float
    floor: float
    headroom: float = 1.5
    noise: Noise = EVEN
    threshold: float = 1e9
    spread: bool = False


CLASSES = {
    "fp32": ClassRules("fp32", tolerance=0.005, scale=0.065, floor=1e-6),
    "bf16": ClassRules("bf16", tolerance=0.01, scale=0.065, floor=3e-6, headroom=1.2, noise=SUBTLE, spread=True),
}
"""scale is the pairwise noise of bf16 layers, measured; it only sets the unit of the bets' strengths."""


def make_profile(
    name: str,
    rules: ClassRules,
    numerics: str,
    counts: Sequence[Counts],
    spread: SpreadModel | None,
    measured: dict[str, Any],
    random: np.random.Generator,
) -> ToleranceProfile:
    """The profile that honest counts support, made with the spreads of such a model. `measured` says how they were
    measured and is published with it.
    """
    bounds = fit_bounds(counts, rules.floor, random, rules.headroom)
    bets = alternatives(rules.noise)
    reference = next(i for i, bet in enumerate(bets) if bet.kind == NOISE and bet.strength == REFERENCE_STRENGTH)
    return ToleranceProfile(
        name=name,
        tolerance_class=rules.name,
        numerics=numerics,
        threshold=rules.threshold,
        tolerance=rules.tolerance,
        entropy_edges=ENTROPY_EDGES,
        distance_edges=DISTANCE_EDGES,
        bound=_rounded(bounds.bound),
        far_bound=_rounded(bounds.far_bound),
        scale=(rules.scale,) * (len(ENTROPY_EDGES) + 1),
        spread=spread,
        alternatives=bets,
        reference=reference,
        min_information=math.log(rules.threshold),
        measured=measured,
    )


def _rounded(table: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    """Four significant digits, upwards, so that the file reads well and no bound falls."""
    return tuple(tuple(min(1.0, float(f"{value * 1.0005:.3e}")) for value in row) for row in table)
