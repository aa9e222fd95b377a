"""Decoding: sequences that start and end at different times share every forward pass.

`DecodeSession` is the synchronous core: add a job, step, read the tokens. A step feeds one token of every running
sequence and a bounded piece of the prompts that are still being read, so a long prompt does not stall the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from subnet.engine.attention import CachedRun, cached_causal
from subnet.engine.cache import SlotCache
from subnet.engine.causal import CausalModel
from subnet.errors import EngineError
from subnet.sampling import Sampling, sample

Finish = Literal["eos", "length"]


@dataclass(frozen=True, slots=True)
class DecodeJob:
    """What to generate: prompt ids, the 32-byte seed, how to sample, and the most tokens to return (EOS included)."""

    prompt: tuple[int, ...]
    seed: bytes
    sampling: Sampling
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Completion:
    """Generated token ids (with the end-of-sequence token if there was one) and why it ended."""

    tokens: tuple[int, ...]
    finish: Finish


@dataclass(slots=True)
class DecodeSequence:
    """A running job: the tokens so far, and what of it the cache does not hold yet."""

    key: int
    job: DecodeJob
    tokens: list[int] = field(default_factory=list)
    cached: int = 0
    pending: list[int] = field(default_factory=list)

    @property
    def position(self) -> int:
        """Index within the completion of the token that is sampled next."""
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class Emission:
    """One new token of a sequence, and the reason if it was the last one."""

    key: int
    token: int
    finish: Finish | None


Choose = Callable[[Tensor, Sequence[DecodeSequence]], Sequence[int]]
"""(float32 logits [rows, vocab], the sequence of each row) -> one token id per row."""


def seeded_choice(logits: Tensor, sequences: Sequence[DecodeSequence]) -> Sequence[int]:
    """The protocol's sampler: seeded Gumbel-max with min-p, a function of logits, seed and position alone."""
    seeds, positions = [s.job.seed for s in sequences], [s.position for s in sequences]
    return sample(logits, seeds, positions, [s.job.sampling for s in sequences]).tolist()


class DecodeSession:
    """Up to `slots` sequences of at most `capacity` tokens each, decoded together. For one thread only."""

    def __init__(
        self,
        model: CausalModel,
        slots: int,
        capacity: int | None = None,
        choose: Choose = seeded_choice,
        prompt_tokens_per_step: int = 512,
    ) -> None:
        if prompt_tokens_per_step < 1:
            raise EngineError(f"a step must read at least one prompt token, not {prompt_tokens_per_step}")
        self.capacity = min(capacity or model.max_positions, model.max_positions)
        self._model = model
        self._cache = SlotCache(slots, self.capacity)
        self._choose = choose
        self._budget = prompt_tokens_per_step
        self._running: list[DecodeSequence] = []

    def __len__(self) -> int:
        return len(self._running)

    @property
    def keys(self) -> list[int]:
        """Keys of the running sequences."""
        return [sequence.key for sequence in self._running]

    @property
    def free(self) -> int:
        """Slots that are not in use."""
        return self._cache.slots - len(self._running)

    def add(self, key: int, job: DecodeJob) -> None:
        """Start a job in a free slot. Raises EngineError where it cannot run; see `check_job`."""
        check_job(self._model, job, self.capacity)
        if not self.free:
            raise EngineError(f"all {self._cache.slots} slots are in use")
        if any(sequence.key == key for sequence in self._running):
            raise EngineError(f"a sequence with key {key} is already running")
        self._running.append(DecodeSequence(key, job, pending=list(job.prompt)))

    def remove(self, key: int) -> bool:
        """Stop a sequence and free its slot; False where it is not running."""
        for slot, sequence in enumerate(self._running):
            if sequence.key == key:
                self._free(slot)
                return True
        return False

    def step(self) -> list[Emission]:
        """One forward pass; the tokens that it produced. Sequences that ended have left their slots."""
        runs, fed = self._plan()
        if not runs:
            return []
        device = self._model.device
        with torch.inference_mode():
            tokens = torch.tensor(fed, device=device)
            positions = torch.cat([torch.arange(r.start, r.start + r.count, device=device) for r in runs])
            attend = cached_causal(self._cache, runs, device, self._model.hooks.attend_window)
            hidden = self._model.hidden(tokens, positions, attend)
            rows, ready, end = [], [], 0
            for run in runs:
                sequence = self._running[run.slot]
                sequence.cached += run.count
                del sequence.pending[: run.count]
                end += run.count
                if not sequence.pending:
                    rows.append(end - 1)
                    ready.append(sequence)
            if not ready:
                return []
            last = hidden if len(rows) == len(fed) else hidden[torch.tensor(rows, device=device)]
            logits = self._model.project(last)
        return self._emit(ready, self._choose(logits, ready))

    def _plan(self) -> tuple[list[CachedRun], list[int]]:
        budget = self._budget
        runs, fed = [], []
        for slot, sequence in enumerate(self._running):
            count = len(sequence.pending)
            if not sequence.tokens:
                count = min(count, budget)
                budget -= count
            if count:
                runs.append(CachedRun(slot, sequence.cached, count))
                fed += sequence.pending[:count]
        return runs, fed

    def _emit(self, ready: Sequence[DecodeSequence], chosen: Sequence[int]) -> list[Emission]:
        emissions = []
        for sequence, token in zip(ready, chosen, strict=True):
            sequence.tokens.append(token)
            sequence.pending.append(token)
            finish: Finish | None = None
            if token in self._model.eos_ids:
                finish = "eos"
            elif len(sequence.tokens) >= sequence.job.max_tokens:
                finish = "length"
            emissions.append(Emission(sequence.key, token, finish))
        for emission in emissions:
            if emission.finish:
                self.remove(emission.key)
        return emissions

    def _free(self, slot: int) -> None:
        """The last running sequence moves into the freed slot, so that running slots stay side by side."""
        last = len(self._running) - 1
        if slot != last:
            self._cache.move(last, slot, self._running[last].cached)
            self._running[slot] = self._running[last]
        self._running.pop()


def check_job(model: CausalModel, job: DecodeJob, capacity: int) -> None:
    """Raise EngineError for a job from outside that cannot be run: empty, too long, or with ids that do not exist."""
    if not job.prompt:
        raise EngineError("the prompt is empty; generation needs at least one token to start from")
    if job.max_tokens < 1:
        raise EngineError(f"max_tokens is {job.max_tokens}; at least one token must be asked for")
    if len(job.prompt) + job.max_tokens > capacity:
        raise EngineError(
            f"prompt ({len(job.prompt)} tokens) and max_tokens ({job.max_tokens}) exceed a slot of {capacity} positions"
        )
    for token in job.prompt:
        if not 0 <= token < model.vocab_size:
            raise EngineError(f"token id {token} is outside the vocabulary of {model.vocab_size}")


def decode(
    model: CausalModel,
    jobs: Sequence[DecodeJob],
    batch: int = 32,
    choose: Choose = seeded_choice,
    on_tokens: Callable[[int], None] | None = None,
) -> list[Completion]:
    """Generate a completion for every job, `batch` of them at a time; results in the order of the jobs.

    on_tokens: called after each step with the number of new tokens, for progress bars.
    """
    if not jobs:
        return []
    capacity = max(len(job.prompt) + job.max_tokens for job in jobs)
    session = DecodeSession(model, min(batch, len(jobs)), capacity, choose)
    tokens: list[list[int]] = [[] for _ in jobs]
    finish: list[Finish] = ["length" for _ in jobs]
    for emissions in _steps(session, jobs):
        for emission in emissions:
            tokens[emission.key].append(emission.token)
            finish[emission.key] = emission.finish or finish[emission.key]
        if on_tokens:
            on_tokens(len(emissions))
    return [Completion(tuple(t), f) for t, f in zip(tokens, finish, strict=True)]


def _steps(session: DecodeSession, jobs: Sequence[DecodeJob]) -> Iterator[list[Emission]]:
    waiting = iter(enumerate(jobs))
    while True:
        while session.free and (following := next(waiting, None)) is not None:
            session.add(*following)
        if not len(session):
            return
        yield session.step()
