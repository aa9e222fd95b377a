"""The validator's side of the replaying child: calls with a deadline, and a fresh child after any failure."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from loguru import logger

from reward.text import whole_sentences
from subnet.errors import EngineError
from subnet.validator.replayer import Examined, Examinee, Ready, SecondOpinion, Setup, serve

START_DEADLINE_S = 300.0
"""The very first start converts the model; later ones take a second or two."""


class ReplayFailed(EngineError):
    """The child failed, died or took too long: abstain."""


class ReplayClient:
    """One child process, one call at a time. Calls wait for each other and never block the event loop."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._turn = asyncio.Lock()
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="replay-pipe")
        self._process: Any = None
        self._pipe: Connection | None = None
        self.trouble = ""
        """Why the child judges nobody: its replay of known answers failed. Tested anew at every start of a child."""
        self.restarts = 0
        self.busy_s = 0.0

    async def start(self) -> Ready:
        """Starts the child and waits until it has loaded the model."""
        async with self._turn:
            return await self._start()

    async def examine(self, items: Sequence[Examinee], *, batch: int, deadline_s: float) -> list[Examined]:
        """Examines answers in batches, then scores the sound ones together, prompt by prompt.

        A batch that fails is an abstention for its answers; the others stand.
        """
        out: list[Examined] = []
        for first in range(0, len(items), batch):
            part = list(items[first : first + batch])
            try:
                out.extend(await self._call("examine", part, deadline_s))
            except ReplayFailed as error:
                logger.warning("Abstaining on {} answers: {}", len(part), error)
                out.extend([Examined(failure=str(error))] * len(part))
        return await self._score(items, out, deadline_s)

    async def _score(self, items: Sequence[Examinee], found: list[Examined], deadline_s: float) -> list[Examined]:
        """The same with rewards, where they could be had."""
        sound = [n for n, examined in enumerate(found) if examined.fault is None and items[n].score]
        sound.sort(key=lambda number: items[number].prompt)
        try:
            pairs = [(items[number].conversation, _finished(items[number])) for number in sound]
            scores = await self._call("score", pairs, deadline_s) if pairs else []
        except ReplayFailed as error:
            logger.warning("No rewards for {} answers: {}", len(sound), error)
            return found
        for number, (quality, terms) in zip(sound, scores, strict=True):
            found[number] = replace(found[number], quality=quality, terms=terms)
        return found

    async def second_opinion(self, bundle: bytes, blocks: dict[int, bytes], *, deadline_s: float) -> SecondOpinion:
        """Our own replay of a bundle. Raises ReplayFailed: no opinion."""
        return await self._call("bundle", (bundle, blocks), deadline_s)

    async def close(self) -> None:
        self._kill()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _call(self, operation: str, argument: Any, deadline_s: float) -> Any:
        async with self._turn:
            if self._pipe is None:
                await self._start()
            began = asyncio.get_running_loop().time()
            try:
                return await self._exchange((operation, argument), deadline_s)
            finally:
                self.busy_s += asyncio.get_running_loop().time() - began

    async def _start(self) -> Ready:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self._setup), name="assay-replay", daemon=True)
        self._process.start()
        theirs.close()
        self.restarts += 1
        ready: Ready = await self._exchange(None, START_DEADLINE_S)
        self.trouble = ready.trouble
        if ready.trouble:
            logger.error("This validator judges nobody, its own replay is broken: {}", ready.trouble)
        return ready

    async def _exchange(self, message: Any, deadline_s: float) -> Any:
        pipe = self._pipe
        assert pipe is not None

        def talk() -> Any:
            if message is not None:
                pipe.send(message)
            return pipe.recv() if pipe.poll(deadline_s) else None

        try:
            reply = await asyncio.get_running_loop().run_in_executor(self._threads, talk)
        except (EOFError, OSError) as error:
            self._kill()
            raise ReplayFailed(f"the replaying process died ({error or 'its pipe closed'})") from error
        except asyncio.CancelledError:
            self._kill()
            raise
        if reply is None:
            self._kill()
            raise ReplayFailed(f"the replay took more than {deadline_s:g} s")
        kind, value = reply
        if kind != "ok":
            raise ReplayFailed(str(value))
        return value

    def _kill(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            self._process.kill()
            self._process.join(timeout=2.0)
            self._process = None


def _finished(item: Examinee) -> str:
    """What is scored: whole sentences, where the request's own limit cut the answer; the cut is not the miner's."""
    return whole_sentences(item.text) if item.finish == "length" else item.text
