"""Tokens chosen otherwise than the request asks, through the engine's `choose` seam."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from subnet.sampling import Sampling, host_logits, rank, sample

Choose = Callable[[Tensor, Sequence[Any]], Sequence[int]]
OUT_OF_REACH = np.float32(-1e30)


def _honest(rows: np.ndarray, sequences: Sequence[Any], offset: int = 0) -> list[int]:
    samplings = [s.job.sampling for s in sequences]
    positions = [s.position + offset for s in sequences]
    return [int(token) for token in sample(rows, [s.job.seed for s in sequences], positions, samplings)]


def top_p(share: float) -> Choose:
    """Only the smallest set of tokens that holds `share` of the probability at the request's temperature."""

    def choose(logits: Tensor, sequences: Sequence[Any]) -> Sequence[int]:
        rows = host_logits(logits).copy()
        for row, sequence in zip(rows, sequences, strict=True):
            temperature = max(sequence.job.sampling.temperature, 1e-3)
            order = np.argsort(-row, kind="stable")
            weights = np.exp((row[order] - row[order[0]]) / temperature)
            before = np.cumsum(weights) - weights
            row[order[before >= share * weights.sum()]] = OUT_OF_REACH
        return _honest(rows, sequences)

    return choose


def top_k(kept: int) -> Choose:
    """Only the `kept` likeliest tokens."""

    def choose(logits: Tensor, sequences: Sequence[Any]) -> Sequence[int]:
        rows = host_logits(logits).copy()
        for row in rows:
            if kept < row.size:
                row[np.argpartition(-row, kept)[kept:]] = OUT_OF_REACH
        return _honest(rows, sequences)

    return choose


def _dice(seed: bytes, position: int) -> int:
    return int.from_bytes(hashlib.sha256(b"zoo" + seed + position.to_bytes(4, "big")).digest()[:8], "big")


def one_in(hundred: int) -> Choose:
    """An arbitrary token instead of the right one, once in `hundred` tokens."""

    def choose(logits: Tensor, sequences: Sequence[Any]) -> Sequence[int]:
        rows = host_logits(logits)
        picked = _honest(rows, sequences)
        for row, sequence in enumerate(sequences):
            dice = _dice(sequence.job.seed, sequence.position)
            if dice % hundred == 0:
                picked[row] = (picked[row] + 1 + dice // hundred % (rows.shape[1] - 1)) % rows.shape[1]
        return picked

    return choose


def answer_changed(logits: Tensor, sequences: Sequence[Any]) -> Sequence[int]:
    """The first token, which carries a short answer, is the likeliest other one; everything after is honest."""
    rows = host_logits(logits)
    picked = _honest(rows, sequences)
    for row, sequence in enumerate(sequences):
        if sequence.position == 0:
            others = rows[row].copy()
            others[picked[row]] = OUT_OF_REACH
            picked[row] = int(others.argmax())
    return picked


def continued(offset: dict[int, int]) -> Choose:
    """Honest choice for jobs whose completion goes on: `offset[id(job)]` tokens came before."""

    def choose(logits: Tensor, sequences: Sequence[Any]) -> Sequence[int]:
        rows = host_logits(logits)
        return [
            _honest(rows[row : row + 1], [sequence], offset[id(sequence.job)])[0]
            for row, sequence in enumerate(sequences)
        ]

    return choose


def nearly_right(
    row: np.ndarray, seed: bytes, position: int, sampling: Sampling, lenience: float
) -> tuple[set[int], int]:
    """The tokens within `lenience` logits of the best score, and the best."""
    ranking = rank(row, seed, position, sampling, margin=lenience)
    return {int(token) for token in ranking.tokens}, int(ranking.tokens[0])
