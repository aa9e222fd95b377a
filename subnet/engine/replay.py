"""Replay: the logits of every completion token from one teacher-forced pass over many completions.

Completions are sorted by length and packed without padding, and a prompt that several of them share is computed once.
The vocabulary projection, a fifth of the work of the embedded model, is done in pieces, across completions, and only
for the rows from which completion tokens were drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from subnet.engine.branches import Tree, batches, branching, packed
from subnet.engine.causal import CausalModel
from subnet.errors import EngineError


@dataclass(frozen=True, slots=True)
class ReplayJob:
    """A completion to replay: the prompt's and the completion's token ids."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens to run: the last completion token is never an input."""
        return len(self.prompt) + len(self.completion) - 1


@dataclass(frozen=True, slots=True)
class ReplayChunk:
    """Logits of a run of completion tokens: row i is what `completion[start + i]` of job `job` was drawn from.

    logits: float32 [rows, vocab]. hidden: [rows, hidden], the states that they were projected from.
    """

    job: int
    start: int
    logits: Tensor
    hidden: Tensor


def replay(
    model: CausalModel, jobs: Sequence[ReplayJob], tokens_per_batch: int = 2048, rows_per_chunk: int = 128
) -> Iterator[ReplayChunk]:
    """Logits of every completion token, streamed in pieces of at most `rows_per_chunk` rows.

    The chunks of one job come in order; jobs come in any order. Raises EngineError, before anything is computed, on an
    empty prompt or completion, a token id outside the vocabulary, or a sequence longer than the model's positions.
    """
    for number, job in enumerate(jobs):
        check_tokens(model, job.prompt, job.completion, f"job {number}")
    inputs = [(job.prompt, job.completion[:-1]) for job in jobs]
    for trees in batches(inputs, tokens_per_batch):
        yield from _replay_batch(model, trees, rows_per_chunk)


def replay_logits(model: CausalModel, jobs: Sequence[ReplayJob]) -> list[Tensor]:
    """All logits at once: per job float32 [completion, vocab]. For small inputs: 1000 tokens take 200 MB."""
    parts: list[list[Tensor]] = [[] for _ in jobs]
    for chunk in replay(model, jobs):
        parts[chunk.job].append(chunk.logits)
    return [torch.cat(pieces) for pieces in parts]


def check_tokens(model: CausalModel, prompt: Sequence[int], completion: Sequence[int], what: str) -> None:
    """Raise EngineError where token ids from outside cannot be run."""
    if not prompt:
        raise EngineError(f"{what}: the prompt is empty; a completion needs at least one token before it")
    if not completion:
        raise EngineError(f"{what}: the completion is empty; there is nothing to replay")
    total = len(prompt) + len(completion)
    if total > model.max_positions:
        raise EngineError(f"{what}: {total} tokens are more than the model's {model.max_positions} positions")
    for token in (*prompt, *completion):
        if not 0 <= token < model.vocab_size:
            raise EngineError(f"{what}: token id {token} is outside the vocabulary of {model.vocab_size}")


def _replay_batch(model: CausalModel, trees: Sequence[Tree], rows_per_chunk: int) -> Iterator[ReplayChunk]:
    tokens, positions, places = packed(trees)
    branches = [branch for tree in trees for branch in tree.branches]
    drawn_from = [
        (job, number, row)
        for (job, branch), (last, first) in zip(branches, places, strict=True)
        for number, row in enumerate((last, *range(first, first + len(branch))))
    ]
    device = model.device
    with torch.inference_mode():
        ids, at = torch.tensor(tokens, device=device), torch.tensor(positions, device=device)
        hidden = model.hidden(ids, at, branching(trees, device))
    for start in range(0, len(drawn_from), rows_per_chunk):
        piece = drawn_from[start : start + rows_per_chunk]
        with torch.inference_mode():
            states = hidden[torch.tensor([row for _, _, row in piece], device=device)]
            logits = model.project(states)
        for own in _runs(piece):
            yield ReplayChunk(piece[own.start][0], piece[own.start][1], logits[own], states[own])


def _runs(piece: Sequence[tuple[int, int, int]]) -> Iterator[slice]:
    """The stretches of one job each."""
    first = 0
    for i in range(1, len(piece) + 1):
        if i == len(piece) or piece[i][0] != piece[first][0]:
            yield slice(first, i)
            first = i
