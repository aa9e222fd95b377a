"""One neuron process: its tasks, its signals, its end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from loguru import logger

T = TypeVar("T")
EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2


SDK_TASKS = frozenset({"rpc-session"})
"""Tasks of the SDK's transport that end with an error nobody asks for: its calls report the same to us."""


def _unretrieved(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What no task of ours awaits. The SDK's own is a detail; anything else is worth an error."""
    task, error = context.get("future") or context.get("task"), context.get("exception")
    inside = isinstance(task, asyncio.Task) and task.get_name() in SDK_TASKS
    level = "DEBUG" if inside else "ERROR"
    logger.opt(exception=None if inside else error).log(level, "{}: {!r}", context.get("message"), error)


class Supervisor:
    """Runs tasks until a signal, `stop()`, or the unexpected end of one of them.

    A task that ends while the process is meant to run is a failure: the process says so and leaves with status 1, for
    its service manager to start it again. Nothing is swallowed and nothing half-works.
    """

    def __init__(self) -> None:
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failed = False

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_unretrieved)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, signal.Signals(number).name)

    def stop(self) -> None:
        self._stopping.set()

    async def stopped(self) -> None:
        await self._stopping.wait()

    async def unless_stopped(self, work: asyncio.Future[T]) -> T | None:
        """The result of `work`, or None where the process is stopped first."""
        stop = asyncio.ensure_future(self.stopped())
        both: set[asyncio.Future[Any]] = {work, stop}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if work.done():
            return work.result()
        work.cancel()
        return None

    async def cancel_all(self, deadline_s: float = 5.0) -> None:
        """Ends the tasks; those that do not end in time are named and left behind."""
        self._stopping.set()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=deadline_s)
            for task in late:
                logger.warning("Task {} did not end in time", task.get_name())

    def _signalled(self, name: str) -> None:
        if self._stopping.is_set():
            logger.warning("{} again: still shutting down", name)
            return
        logger.info("{}: shutting down", name)
        self._stopping.set()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or self._stopping.is_set():
            return
        error = task.exception()
        if error is not None:
            logger.opt(exception=error).critical("Task {} failed; stopping", task.get_name())
            self.failed = True
            self._stopping.set()
