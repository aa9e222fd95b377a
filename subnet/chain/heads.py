"""Finalised blocks as an asynchronous iterator that survives a chain that stalls, drops or restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from loguru import logger

from subnet.chain.errors import ChainAway, ChainRejected
from subnet.chain.values import Head

RETRY_FIRST_S, RETRY_LAST_S = 0.5, 15.0


class Heads:
    """Keeps the newest head, waking whoever waits. Numbers only rise; a slow reader misses heads, never the newest."""

    def __init__(
        self, subscribe: Callable[[], AsyncIterator[int]], hash_of: Callable[[int], Awaitable[bytes]], stall_s: float
    ) -> None:
        """`subscribe` yields block numbers; no number for `stall_s` seconds counts as a failure."""
        self._subscribe, self._hash_of, self._stall_s = subscribe, hash_of, stall_s
        self._changed = asyncio.Condition()
        self._latest: Head | None = None
        self._task: asyncio.Task | None = None
        self.interruptions = 0

    @property
    def latest(self) -> Head | None:
        return self._latest

    async def after(self, number: int) -> Head:
        """The newest head as soon as it is above `number`."""
        self.start()
        async with self._changed:
            await self._changed.wait_for(lambda: self._latest is not None and self._latest.number > number)
            assert self._latest is not None
            return self._latest

    async def __aiter__(self) -> AsyncIterator[Head]:
        number = -1
        while True:
            head = await self.after(number)
            yield head
            number = head.number

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._pump(), name="chain-heads")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=2.0)
            self._task = None

    async def _pump(self) -> None:
        delay = RETRY_FIRST_S
        while True:
            stream = self._subscribe()
            try:
                while True:
                    # Not wait_for: on Python 3.11 it swallows a cancellation that comes together with the number.
                    async with asyncio.timeout(self._stall_s):
                        number = await anext(stream)
                    await self._publish(number)
                    delay = RETRY_FIRST_S
            except (ChainAway, ChainRejected, TimeoutError, StopAsyncIteration) as error:
                self.interruptions += 1
                logger.warning("No blocks from the chain ({}); asking again in {:g} s", error or "stalled", delay)
            finally:
                await _end(stream)
            await asyncio.sleep(delay)
            delay = min(2 * delay, RETRY_LAST_S)

    async def _publish(self, number: int) -> None:
        if self._latest is not None and number <= self._latest.number:
            return
        head = Head(number, await self._hash_of(number))
        async with self._changed:
            self._latest = head
            self._changed.notify_all()


async def _end(stream: AsyncIterator[int]) -> None:
    """Closes a subscription without waiting for a chain that no longer answers."""
    closing = asyncio.ensure_future(stream.aclose())  # type: ignore[attr-defined]
    done, _ = await asyncio.wait({closing}, timeout=1.0)
    if not done:
        closing.cancel()
    elif not closing.cancelled() and closing.exception() is not None:
        logger.debug("Ending a block subscription: {}", closing.exception())
