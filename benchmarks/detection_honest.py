"""Honest miners under the test: as they were decoded, and with fresh seeds, on contexts that the bounds did not see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from detection_power import Chunk, accusations
from numpy.typing import NDArray

from subnet.verify import fitting
from subnet.verify.bets import factors
from subnet.verify.calibrate import NUMERICS
from subnet.verify.fitting import CLASSES
from subnet.verify.measure import Measured
from subnet.verify.pairs import Pairs, fresh_records
from subnet.verify.profile import ToleranceProfile

STREAMS = 32
BOTH = 2
"""The side that is no half."""


def half(chunk: Chunk, side: int) -> Measured:
    """A chunk's completions of one side (2: of both). No prompt stands on both: lists of prompts have even lengths."""
    return chunk.data if side == BOTH else chunk.data.of(np.arange(side, len(chunk.data.lengths), 2))


def profile_of_half(chunks: Sequence[Chunk], name: str, side: int, fresh: int, tight: bool = False) -> ToleranceProfile:
    """The profile that `subnet.verify.calibrate` would make of one side's completions alone (side 2: of both).

    tight: bounds at the measured rates, with no headroom.
    """
    random, found = np.random.default_rng(side), []
    for workload in sorted({c.workload for c in chunks}):
        own = [half(c, side) for c in chunks if c.workload == workload and c.data.pairs is not None]
        if own:
            found.append(fitting.honest_set(workload, own))
    rules = replace(CLASSES[name], headroom=1.0) if tight else CLASSES[name]
    sets, spread = fitting.with_spreads(found, rules, random)
    counts = [fitting.count(s, max(1, round(fresh / len(sets) / len(s.pairs))), rules.tolerance, random) for s in sets]
    return fitting.make_profile(f"{name}, side {side}", rules, NUMERICS[name], counts, spread, {}, random)


def real(chunks: Sequence[Chunk], profiles: Sequence[ToleranceProfile], orders: int = 20) -> dict[str, Any]:
    """Accusations in all honest tokens as they were decoded: `profiles[side]` judges that side's completions."""
    random, hits, tokens, misses = np.random.default_rng(5), 0, 0, 0
    for side, profile in enumerate(profiles):
        own = [half(chunk, side if len(profiles) == 2 else BOTH) for chunk in chunks]
        answers = [answer for measured in own for answer in measured.answers(profile.spread)]
        ratios = [factors(answer, profile) for answer in answers]
        tokens += sum(len(answer) for answer in answers)
        misses += sum(int(np.count_nonzero(answer.margins > profile.tolerance)) for answer in answers)
        streams = [np.concatenate([ratios[i] for i in random.permutation(len(ratios))]) for _ in range(orders)]
        hits += sum(hit is not None for hit in accusations(np.stack(streams), profile))
    return {"tokens": tokens, "misses": misses, "accusations": hits, "orders": orders}


def fresh(chunks: Sequence[Chunk], side: int, profile: ToleranceProfile, tokens: int) -> dict[str, Any]:
    """STREAMS long lives of fresh tokens on the contexts of one workload, `tokens` in all, of one side (2: of both)."""
    random = np.random.default_rng(11)
    pairs = Pairs.join([half(c, side).spread_pairs(profile.spread) for c in chunks])
    sampling, length = chunks[0].data.sampling, math.ceil(tokens / STREAMS)
    weights = np.array([a.weight for a in profile.alternatives])
    weights /= weights.sum()
    current, peak = np.zeros((STREAMS, len(weights))), np.zeros(STREAMS)
    found = {"positions": len(pairs), "fresh_tokens": 0, "misses": 0, "accusations": 0, "life": length}
    seen: list[NDArray[np.float64]] = []
    for done in range(0, length, 400):
        step = min(400, length - done)
        records = fresh_records(pairs.at(random.integers(0, len(pairs), STREAMS * step)), sampling, random)
        ratios = factors(records, profile)
        if len(seen) < 10:
            seen.append(ratios)
        found["misses"] += int(np.count_nonzero(records.margins > profile.tolerance))
        found["fresh_tokens"] += len(records)
        for ratio in ratios.reshape(STREAMS, step, -1).transpose(1, 0, 2):
            current = (current + 1.0) * ratio
            evidence = current @ weights
            accused = evidence >= profile.threshold
            found["accusations"] += int(accused.sum())
            current[accused] = 0.0
            np.maximum(peak, evidence, out=peak)
    logs = np.log(np.concatenate(seen))
    powers = [exponent(logs[:, k]) for k, a in enumerate(profile.alternatives) if a.kind == "noise"]
    return found | {"peaks": [float(f"{p:.4g}") for p in peak], "exponent": round(min(powers), 3)}


def exponent(logs: NDArray[np.float64]) -> float:
    """The largest power up to 3 of a factor whose honest expectation is at most 1.

    At 1 or more the promise holds for these contexts on their own; below it, evidence of A comes by chance about once
    in A to this power.
    """
    if np.log(np.mean(np.exp(3.0 * logs))) <= 0:
        return 3.0
    low, high = 0.0, 3.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if np.mean(np.exp(middle * logs)) <= 1 else (low, middle)
    return low
