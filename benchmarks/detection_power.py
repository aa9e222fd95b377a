"""Delays until accusation on stored records: the sequential test, run over many orders at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from subnet.sampling import Sampling
from subnet.verify.bets import factors
from subnet.verify.measure import Measured
from subnet.verify.pairs import Pairs, fresh_records
from subnet.verify.profile import ToleranceProfile
from subnet.verify.records import TokenRecords


@dataclass(frozen=True, slots=True)
class Chunk:
    """One stored file and what its name says."""

    miner: str
    workload: str
    batch: str
    data: Measured


def load_chunks(folder: Path) -> list[Chunk]:
    """Every stored chunk."""
    found = []
    for path in sorted(folder.glob("*.npz")):
        if ".part" not in path.name and ".states" not in path.name:
            miner, workload, batch, _ = path.stem.split(".")
            found.append(Chunk(miner, workload, batch, Measured.load(path)))
    return found


def completions(chunks: Sequence[Chunk], profile: ToleranceProfile | None = None) -> list[TokenRecords]:
    """The records of every completion of the chunks, with the spreads that a profile predicts."""
    return [answer for chunk in chunks for answer in chunk.data.answers(profile.spread if profile else None)]


def delays(
    answers: Sequence[TokenRecords], profile: ToleranceProfile, orders: int, random: np.random.Generator
) -> list[int | None]:
    """Verified tokens until accusation, for `orders` random orders of the completions; None where the data ends
    first.
    """
    ratios = [factors(answer, profile) for answer in answers]
    streams = []
    for _ in range(orders):
        streams.append(np.concatenate([ratios[i] for i in random.permutation(len(ratios))]))
    return accusations(np.stack(streams), profile)


def accusations(streams: NDArray[np.float64], profile: ToleranceProfile) -> list[int | None]:
    """The accused token's number in every stream. streams: factors [streams, tokens, alternatives]."""
    weights = np.array([alternative.weight for alternative in profile.alternatives])
    weights /= weights.sum()
    current = np.zeros((len(streams), len(weights)))
    out: list[int | None] = [None] * len(streams)
    alive = np.arange(len(streams))
    for number in range(streams.shape[1]):
        current = (current + 1.0) * streams[alive, number]
        hit = current @ weights >= profile.threshold
        if hit.any():
            for stream in alive[hit]:
                out[stream] = number + 1
            alive, current = alive[~hit], current[~hit]
            if not len(alive):
                break
    return out


def fresh_delays(
    pairs: Pairs,
    sampling: Sampling,
    profile: ToleranceProfile,
    streams: int,
    longest: int,
    random: np.random.Generator,
) -> list[int | None]:
    """Delays with fresh seeds: each stream visits positions at random, up to `longest` tokens."""
    weights = np.array([alternative.weight for alternative in profile.alternatives])
    weights /= weights.sum()
    out: list[int | None] = [None] * streams
    alive, current, done = np.arange(streams), np.zeros((streams, len(weights))), 0
    while len(alive) and done < longest:
        length = int(min(longest - done, max(16, 20_000 // len(alive))))
        rows = random.integers(0, len(pairs), len(alive) * length)
        ratios = factors(fresh_records(pairs.at(rows), sampling, random), profile)
        ratios = ratios.reshape(len(alive), length, -1)
        keep = np.ones(len(alive), bool)
        for step in range(length):
            current = (current + 1.0) * ratios[:, step]
            for stream in np.flatnonzero((current @ weights >= profile.threshold) & keep):
                out[alive[stream]] = done + step + 1
                keep[stream] = False
            current[~keep] = 0.0
        alive, current = alive[keep], current[keep]
        done += length
    return out


def quantile(found: Sequence[int | None], share: float) -> float:
    """A quantile of delays, infinite where too many streams were never accused."""
    ordered = sorted(np.inf if value is None else float(value) for value in found)
    return ordered[min(len(ordered) - 1, int(np.ceil(share * len(ordered))) - 1)]
