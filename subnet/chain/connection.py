"""One connection to the chain with a deadline on every call; a connection that stalls or drops is replaced.

The SDK's client reconnects by itself after most failures, yet three cases need help: an endpoint that accepts and never
answers, a session that gave up, and `close()`, which may wait for ever while requests are in flight.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import bittensor as bt
from bittensor.settings import default_archive_endpoints, default_fallback_endpoints, resolve_endpoint
from loguru import logger

from subnet.chain.errors import ChainAway, ChainRejected

T = TypeVar("T")
CLOSE_DEADLINE_S = 2.0
_AWAY = (bt.RpcConnectionError, bt.ConnectionNotReady, ConnectionError, TimeoutError, OSError)


class Connection:
    """Runs calls against a `bt.Client`, made at the first call and again whenever it has failed."""

    def __init__(self, target: str, *, timeout_s: float = 20.0) -> None:
        """`target` is a network's name or an endpoint; `timeout_s` the deadline of a call, connecting included."""
        try:
            self.network, self.endpoint = resolve_endpoint(target)
        except ValueError as error:
            raise ChainRejected(str(error)) from error
        self.timeout_s = timeout_s
        self.failures = 0
        self._client: bt.Client | None = None
        self._substrate: bt.RpcSubstrate | None = None
        self._connecting = asyncio.Lock()
        self._last_answer = 0.0
        self._closing: set[asyncio.Task] = set()

    async def call(
        self, what: str, operation: Callable[[bt.Client], Awaitable[T]], *, timeout_s: float | None = None
    ) -> T:
        """The result of `operation`. Raises ChainAway past the deadline or when unconnected, ChainRejected on a no."""
        deadline = self.timeout_s if timeout_s is None else timeout_s
        started = time.monotonic()
        used: bt.Client | None = None

        async def run() -> T:
            nonlocal used
            used = await self._connected()
            return await operation(used)

        task = asyncio.ensure_future(run())
        try:
            await asyncio.wait({task}, timeout=deadline)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not task.done():
            task.cancel()
            if self._last_answer < started:
                self._drop(used)
            self.failures += 1
            raise ChainAway(f"{what}: no answer from {self.endpoint} within {deadline:g} s")
        return self._result(what, task, used)

    def _result(self, what: str, task: asyncio.Future[T], used: bt.Client | None) -> T:
        try:
            result = task.result()
        except bt.ChainError as error:
            self._last_answer = time.monotonic()
            raise ChainRejected(f"{what}: {error.message}", error.name) from error
        except _AWAY as error:
            self._drop(used)
            self.failures += 1
            raise ChainAway(f"{what}: {self.endpoint} is away: {error or type(error).__name__}") from error
        except bt.BittensorError as error:
            raise ChainRejected(f"{what}: {error}") from error
        self._last_answer = time.monotonic()
        self.failures = 0
        return result

    async def _connected(self) -> bt.Client:
        async with self._connecting:
            if self._client is None:
                substrate = bt.RpcSubstrate(
                    self.endpoint,
                    fallback_endpoints=[
                        url for url in default_fallback_endpoints(self.network) if url != self.endpoint
                    ],
                    archive_endpoints=default_archive_endpoints(self.network),
                )
                client = bt.Client(self.network, substrate=substrate)
                await client.connect()
                self._client, self._substrate = client, substrate
                logger.debug("Connected to the chain at {}", self.endpoint)
            return self._client

    @property
    def substrate(self) -> bt.RpcSubstrate:
        """The backend of the open client; call it inside an operation."""
        if self._substrate is None:
            raise ConnectionError("not connected")
        return self._substrate

    def _drop(self, client: bt.Client | None) -> None:
        """Forgets a failed client, so that the next call opens another, and closes it in the background."""
        if client is None or client is not self._client:
            return
        self._client = self._substrate = None
        logger.debug("Dropping the connection to the chain at {}", self.endpoint)
        task = asyncio.ensure_future(_close(client))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Closes the connection within a bounded time."""
        self._drop(self._client)
        if self._closing:
            await asyncio.wait(set(self._closing), timeout=CLOSE_DEADLINE_S)


async def _close(client: bt.Client) -> None:
    closing = asyncio.ensure_future(client.close())
    await asyncio.wait({closing}, timeout=CLOSE_DEADLINE_S)
    if not closing.done():
        closing.cancel()
        return
    error = None if closing.cancelled() else closing.exception()
    if error is not None:
        logger.debug("Closing a failed connection to the chain: {}", error)
