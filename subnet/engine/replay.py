"""Replay: the logits of every completion token from one teacher-forced pass over many completions.

Completions are sorted by length and packed without padding; the vocabulary projection, a fifth of the work of the
embedded model, is done in pieces and only for the rows from which completion tokens were drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from subnet.engine.attention import packed_causal
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
    """Logits of a run of completion tokens: row i is what `completion[start + i]` of job `job` was drawn from."""

    job: int
    start: int
    logits: Tensor


def replay(
    model: CausalModel, jobs: Sequence[ReplayJob], tokens_per_batch: int = 2048, rows_per_chunk: int = 256
) -> Iterator[ReplayChunk]:
    """Logits of every completion token, streamed as float32 [rows, vocab].

    The chunks of one job come in order; jobs come in any order. Raises EngineError, before anything is computed, on an
    empty prompt or completion, a token id outside the vocabulary, or a sequence longer than the model's positions.
    """
    for number, job in enumerate(jobs):
        check_tokens(model, job.prompt, job.completion, f"job {number}")
    for batch in _batches(jobs, tokens_per_batch):
        yield from _replay_batch(model, jobs, batch, rows_per_chunk)


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


def _batches(jobs: Sequence[ReplayJob], tokens_per_batch: int) -> Iterator[list[int]]:
    batch: list[int] = []
    size = 0
    for number in sorted(range(len(jobs)), key=lambda i: jobs[i].length):
        length = jobs[number].length
        if batch and size + length > tokens_per_batch:
            yield batch
            batch, size = [], 0
        batch.append(number)
        size += length
    if batch:
        yield batch


def _replay_batch(
    model: CausalModel, jobs: Sequence[ReplayJob], batch: Sequence[int], rows_per_chunk: int
) -> Iterator[ReplayChunk]:
    packed = [(*jobs[i].prompt, *jobs[i].completion[:-1]) for i in batch]
    lengths = [len(tokens) for tokens in packed]
    with torch.inference_mode():
        tokens = torch.tensor([t for sequence in packed for t in sequence], device=model.device)
        positions = torch.cat([torch.arange(n, device=model.device) for n in lengths])
        hidden = model.hidden(tokens, positions, packed_causal(lengths))
    end = 0
    for number, length in zip(batch, lengths, strict=True):
        end += length
        first = end - len(jobs[number].completion)
        for row in range(first, end, rows_per_chunk):
            with torch.inference_mode():
                logits = model.project(hidden[row : min(row + rows_per_chunk, end)])
            yield ReplayChunk(job=number, start=row - first, logits=logits)
