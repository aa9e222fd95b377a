"""Generation for a miner: an asyncio front, one worker thread that owns the model and its cache.

New requests join the running batch at the next step, tokens stream out as they are made, a request can be cancelled at
any time, and the queue in front of the slots is bounded: what does not fit is refused at once, before any work.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import torch
from loguru import logger

from subnet.engine.causal import CausalModel
from subnet.engine.decode import Choose, Completion, DecodeJob, DecodeSession, Emission, check_job, seeded_choice
from subnet.engine.llama import LlamaModel, arranged_for_decoding
from subnet.errors import EngineError


class QueueFull(EngineError):
    """Every slot and every place in the queue is taken. Try again later (HTTP 503)."""


class EngineClosed(EngineError):
    """The engine is shutting down, or has not been started."""


class GenerationFailed(EngineError):
    """The forward pass failed. Not the requester's fault."""


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """What the engine is doing: sequences in slots and in the queue, and totals since it started."""

    slots: int
    queue: int
    running: int
    waiting: int
    tokens: int
    completed: int
    cancelled: int
    failed: int


class Generation:
    """One request in the engine. Iterate it for tokens as they come; await `result()` for the whole completion."""

    def __init__(self, job: DecodeJob, cancel: Callable[[], None]) -> None:
        self.job = job
        self._cancel = cancel
        self._tokens: list[int] = []
        self._changed = asyncio.Event()
        self._done: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._done.add_done_callback(_consume_exception)

    @property
    def tokens(self) -> tuple[int, ...]:
        """The tokens so far."""
        return tuple(self._tokens)

    async def __aiter__(self) -> AsyncIterator[int]:
        """Token ids from the first one on, ending with the completion; raises what `result()` raises."""
        sent = 0
        while True:
            while sent < len(self._tokens):
                yield self._tokens[sent]
                sent += 1
            if self._done.done():
                self._done.result()
                return
            self._changed.clear()
            await self._changed.wait()

    async def result(self) -> Completion:
        """The completion. Raises CancelledError after `cancel()`, EngineClosed or GenerationFailed."""
        return await asyncio.shield(self._done)

    def cancel(self) -> None:
        """Stop generating and free the slot at the next step. Does nothing once the completion is there."""
        if not self._done.done():
            self._done.cancel()
            self._changed.set()
            self._cancel()

    def _receive(self, token: int) -> None:
        self._tokens.append(token)
        self._changed.set()

    def _finish(self, outcome: Completion | EngineError) -> None:
        if self._done.done():
            return
        if isinstance(outcome, Completion):
            self._done.set_result(outcome)
        else:
            self._done.set_exception(outcome)
        self._changed.set()


class GenerationEngine:
    """Continuous batching over a model. Use as `async with GenerationEngine(...) as engine`, from one event loop.

    slots: sequences decoded together. queue: requests that may wait for a slot. capacity: tokens a slot holds, prompt
    and completion. threads: torch's intra-op threads, None leaves them as they are. arrange: copy the weights of a
    float32 model on a CPU into the layout in which decoding is faster.
    """

    def __init__(
        self,
        model: CausalModel,
        *,
        slots: int = 32,
        queue: int = 64,
        capacity: int | None = None,
        choose: Choose = seeded_choice,
        prompt_tokens_per_step: int = 512,
        threads: int | None = None,
        arrange: bool = True,
    ) -> None:
        if arrange and isinstance(model, LlamaModel):
            model = arranged_for_decoding(model)
        if queue < 0:
            raise EngineError(f"the queue holds {queue} requests; it needs 0 or more")
        self._model = model
        self._queue = queue
        self._threads = threads
        self._slots = slots
        self._new_session = lambda: DecodeSession(model, slots, capacity, choose, prompt_tokens_per_step)
        self._session = self._new_session()
        self._capacity = self._session.capacity
        self._wake = threading.Condition()
        self._waiting: deque[int] = deque()
        self._cancelling: set[int] = set()
        self._closing = False
        self._worker: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._generations: dict[int, Generation] = {}
        self._keys = 0
        self._totals = {"tokens": 0, "completed": 0, "cancelled": 0, "failed": 0}

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._worker = threading.Thread(target=self._work, name="generation", daemon=True)
        self._worker.start()
        return self

    async def __aexit__(self, _kind: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        await self.close()

    @property
    def capacity(self) -> int:
        """Tokens that one request may take, prompt and completion together."""
        return self._capacity

    def load(self) -> EngineLoad:
        """The engine's load now, for capabilities, metrics and the gate."""
        waiting = len(self._waiting)
        running = len(self._generations) - waiting
        return EngineLoad(self._slots, self._queue, running, waiting, **self._totals)

    def submit(self, job: DecodeJob) -> Generation:
        """Queue a job. Raises QueueFull or EngineClosed at once, and EngineError for a job that can never run."""
        if self._loop is None or self._closing:
            raise EngineClosed("the generation engine is not running")
        check_job(self._model, job, self._capacity)
        if len(self._generations) >= self._slots + self._queue:
            raise QueueFull(f"all {self._slots} slots and {self._queue} places in the queue are taken; try again later")
        self._keys += 1
        key = self._keys
        generation = Generation(job, lambda: self._cancel(key))
        self._generations[key] = generation
        with self._wake:
            self._waiting.append(key)
            self._wake.notify()
        return generation

    async def close(self) -> None:
        """Refuse new requests, end the running ones with EngineClosed, and wait for the worker to leave its step."""
        worker = self._worker
        with self._wake:
            self._closing = True
            self._wake.notify()
        if worker is not None:
            await asyncio.to_thread(worker.join)
        for key in list(self._generations):
            self._end(key, EngineClosed("the generation engine is shutting down"))

    def _cancel(self, key: int) -> None:
        if self._generations.pop(key, None) is None:
            return
        self._totals["cancelled"] += 1
        with self._wake:
            if key in self._waiting:
                self._waiting.remove(key)
            else:
                self._cancelling.add(key)
            self._wake.notify()

    def _work(self) -> None:
        """The worker thread: take what is new, step, hand the tokens to the event loop."""
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        while self._take():
            keys = self._session.keys
            try:
                emissions = self._session.step()
            except Exception as error:  # a task boundary: the batch is lost, the engine is not
                logger.opt(exception=error).error("a decoding step failed; {} requests are lost", len(keys))
                self._session = self._new_session()
                self._hand_over(self._fail, keys, error)
                continue
            if emissions:
                self._hand_over(self._deliver, emissions)

    def _take(self) -> bool:
        """Wait for work, drop what was cancelled, fill free slots. False when the engine is closing."""
        with self._wake:
            while not (self._closing or self._waiting or self._cancelling or len(self._session)):
                self._wake.wait()
            for key in self._cancelling:
                self._session.remove(key)
            self._cancelling.clear()
            while self._waiting and self._session.free:
                key = self._waiting.popleft()
                generation = self._generations.get(key)
                if generation is not None:
                    self._session.add(key, generation.job)
            return not self._closing

    def _hand_over(self, deliver: Callable[..., None], *values: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(deliver, *values)
        except RuntimeError:
            self._closing = True  # the event loop is gone, and nobody waits for tokens any more

    def _deliver(self, emissions: list[Emission]) -> None:
        for emission in emissions:
            generation = self._generations.get(emission.key)
            if generation is None:
                continue
            self._totals["tokens"] += 1
            generation._receive(emission.token)
            if emission.finish:
                self._totals["completed"] += 1
                self._end(emission.key, Completion(generation.tokens, emission.finish))

    def _fail(self, keys: list[int], error: Exception) -> None:
        for key in keys:
            if key in self._generations:
                self._totals["failed"] += 1
                self._end(key, GenerationFailed(f"the forward pass failed: {error}"))

    def _end(self, key: int, outcome: Completion | EngineError) -> None:
        generation = self._generations.pop(key, None)
        if generation is not None:
            generation._finish(outcome)


def _consume_exception(future: asyncio.Future[Completion]) -> None:
    """Mark a failure as seen: a request that nobody awaits any more must not warn at shutdown."""
    if not future.cancelled():
        future.exception()
