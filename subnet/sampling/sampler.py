"""Gumbel-max sampling with min-p: a token is a function of the logits, the seed and the position, and of nothing else.

`token = argmax_v (l_v + T*g_v)` over the allowed set `l_v >= max l + T*ln(min_p)`; ties go to the lowest id; T = 0 is
the plain argmax. Only tokens that can still win are given noise, which changes the time and never the result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from subnet.errors import EngineError, ProtocolError
from subnet.sampling.noise import GRID, WORST_NOISE, gumbel, noise_at, word_for
from subnet.sampling.philox import block_words

if TYPE_CHECKING:
    import torch

MAX_TEMPERATURE_MILLI = 10_000
_MILLI_GRID = 1000.0 * GRID
_LIKELY_NOISE = 6.0
_LIKELY_WORD = word_for(_LIKELY_NOISE)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a request wants its tokens drawn: temperature in thousandths (0 is greedy), min-p in millionths (0: off)."""

    temperature_milli: int
    min_p_ppm: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature_milli <= MAX_TEMPERATURE_MILLI:
            raise ProtocolError(
                f"temperature_milli is between 0 and {MAX_TEMPERATURE_MILLI}, not {self.temperature_milli}"
            )
        if not 0 <= self.min_p_ppm <= 1_000_000:
            raise ProtocolError(f"min_p_ppm is between 0 and 1000000, not {self.min_p_ppm}")

    @property
    def temperature(self) -> float:
        """The temperature, in logits per unit of Gumbel noise."""
        return self.temperature_milli / 1000.0

    def cut(self, largest: float) -> float:
        """The lowest logit that min-p allows, given the largest one; minus infinity without min-p and when greedy."""
        if self.min_p_ppm == 0 or self.temperature_milli == 0:
            return -math.inf
        return largest + self.temperature * math.log(self.min_p_ppm / 1e6)


def scores(logits: NDArray[np.float32], noise_grid: NDArray[np.int32], sampling: Sampling) -> NDArray[np.float64]:
    """`l + T*g` in float64 for logits and their noise (same shape): the arithmetic that the protocol fixes."""
    return logits.astype(np.float64) + sampling.temperature_milli * noise_grid.astype(np.float64) / _MILLI_GRID


@dataclass(frozen=True, slots=True)
class Ranking:
    """The tokens with the highest scores at one position, best first (ties: lowest id first)."""

    tokens: NDArray[np.int64]
    scores: NDArray[np.float64]


def rank(logits: NDArray[np.float32], seed: bytes, position: int, sampling: Sampling, margin: float = 0.0) -> Ranking:
    """Every allowed token whose score is within `margin` logits of the best, best first (0: the winner and its ties).

    logits: float32 [vocabulary], finite. Raises EngineError where one is not, ProtocolError for a bad seed or position.
    """
    largest = float(logits.max()) if logits.size else math.nan
    if not math.isfinite(largest) or not math.isfinite(float(logits.min())):
        raise EngineError(f"logits at position {position} are not finite; the forward pass is broken, not the sampler")
    cut = sampling.cut(largest)
    if sampling.temperature_milli == 0:
        kept = np.flatnonzero(logits >= np.float32(largest - margin))
        return _sorted(kept, logits[kept].astype(np.float64))
    tokens, drawn = contenders(logits, seed, position, sampling, margin)
    values = logits[tokens]
    allowed = values.astype(np.float64) >= cut
    tokens, found = tokens[allowed], scores(values[allowed], drawn[allowed], sampling)
    near = found >= found.max() - margin
    return _sorted(tokens[near], found[near])


def _sorted(tokens: NDArray[np.int64], found: NDArray[np.float64]) -> Ranking:
    order = np.argsort(-found, kind="stable")
    return Ranking(tokens[order], found[order])


def contenders(
    logits: NDArray[np.float32], seed: bytes, position: int, sampling: Sampling, margin: float
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Ascending ids, and their noise, that include every token whose score is within `margin` of the best allowed one.

    Tokens up to `margin` below min-p's cut are among them. The temperature is above 0.
    """
    largest = float(logits.max())
    temperature, cut = sampling.temperature, sampling.cut(largest)
    slack = margin + 1e-4 * (1.0 + abs(largest))  # float32 comparisons below may not lose a token to rounding
    head = np.flatnonzero(logits >= max(largest - temperature, cut) - slack)
    reached = scores(logits[head], noise_at(seed, position, head), sampling)
    best = float(reached[logits[head].astype(np.float64) >= cut].max()) - slack
    far = max(best - temperature * WORST_NOISE, cut - slack)
    near = max(best - temperature * _LIKELY_NOISE, cut - slack)
    close = np.flatnonzero(logits >= near)
    blocks = _blocks_with(logits >= far)
    lanes = block_words(seed, position, blocks)
    lucky = np.concatenate([4 * blocks[lane >= _LIKELY_WORD] + number for number, lane in enumerate(lanes)])
    lucky = lucky[lucky < logits.size]
    tokens = np.union1d(close, lucky[logits[lucky] >= far])
    found = np.searchsorted(blocks, tokens >> 2)
    return tokens, gumbel(np.choose(tokens & 3, [lane[found] for lane in lanes]).astype(np.uint32))


def _blocks_with(wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The numbers of the blocks of four tokens in which one is wanted, rising."""
    padded = wanted if wanted.size % 4 == 0 else np.append(wanted, np.zeros(-wanted.size % 4, np.bool_))
    return np.flatnonzero(padded.view(np.uint32))


def sample(
    logits: torch.Tensor | NDArray[np.float32],
    seeds: Sequence[bytes],
    positions: Sequence[int],
    samplings: Sequence[Sampling],
) -> NDArray[np.int64]:
    """The next token of every row (int64 [rows]).

    logits: [rows, vocabulary], any float type and device; the arithmetic is done on the CPU, the same everywhere.
    positions: index of the token within its completion, from 0. Raises EngineError for logits that are not finite.
    """
    rows = host_logits(logits)
    if not len(rows) == len(seeds) == len(positions) == len(samplings):
        raise ProtocolError(
            f"{len(rows)} rows of logits need as many seeds ({len(seeds)}), positions ({len(positions)}) "
            f"and samplings ({len(samplings)})"
        )
    picked = [
        int(rank(row, seed, position, sampling).tokens[0])
        for row, seed, position, sampling in zip(rows, seeds, positions, samplings, strict=True)
    ]
    return np.array(picked, np.int64)


def host_logits(logits: torch.Tensor | NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits as a float32 array [rows, vocabulary] in host memory, without a copy where they are that already."""
    if not isinstance(logits, np.ndarray):
        logits = logits.detach().float().cpu().numpy()
    if logits.ndim != 2:
        raise EngineError(f"logits have two dimensions (rows, vocabulary), these have shape {logits.shape}")
    return np.ascontiguousarray(logits, dtype=np.float32)
