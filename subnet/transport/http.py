"""HTTP/1.1 as the dendrite needs it: POST and GET over kept-alive connections, every answer bounded.

Not a general client: no redirects, cookies, proxies, compression or HTTP/2 exist here, so none can be abused. An answer
must say its length or be chunked. The peer's address is checked as it is dialled, after names were resolved.
"""

import asyncio
import ipaddress
import socket
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httptools

from subnet.errors import TransportError
from subnet.transport.addresses import require_public
from subnet.transport.errors import AddressRefused

MAX_HEAD_BYTES = 16_384
MAX_HEADERS = 64
MAX_INTERIM = 2


class AnswerMalformed(TransportError):
    """The peer's bytes are no HTTP answer that we accept."""


class AnswerTooLarge(TransportError):
    """The answer exceeds its size limit."""


class ConnectionDropped(TransportError):
    """The connection ended before the answer did. `reused`: it was kept alive, and not a byte of an answer came."""

    def __init__(self, message: str, reused: bool = False) -> None:
        super().__init__(message)
        self.reused = reused


class Unreachable(TransportError):
    """No connection to the peer."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect. `tls` is a client context, or None for plain TCP; `key` tells contexts apart in the pool."""

    host: str
    port: int
    key: bytes | None = None
    tls: ssl.SSLContext | None = field(default=None, compare=False)

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Exchange(asyncio.Protocol):
    """One connection. It carries one request at a time: `begin`, then `head`, then `body` or `parts`."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.idle_since = 0.0
        self.used = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.sent_at: float | None = None
        self.first_byte_at: float | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._wake: asyncio.Future[None] | None = None
        self._error: TransportError | None = None
        self._parts: deque[bytes] = deque()
        self._cap = self._size = self._head_bytes = self._interim = self._header_count = 0
        self._head_done = self._done = self._received = self._keep_alive = False

    @property
    def reusable(self) -> bool:
        """Whether another request may follow on this connection."""
        return (
            self._done
            and self._error is None
            and self.transport is not None
            and not self.transport.is_closing()
            and self._keep_alive
        )

    def begin(self, request: bytes, cap: int) -> None:
        """Write a request; its answer's body may have `cap` bytes."""
        if self.transport is None or self.transport.is_closing():
            raise ConnectionDropped("the connection was closed while it was idle", reused=self.used)
        self._parser = httptools.HttpResponseParser(self)
        self._error = None
        self._parts.clear()
        self._cap, self._size, self._head_bytes, self._interim = cap, 0, 0, 0
        self._head_done = self._done = self._received = self._keep_alive = False
        self.status, self.headers, self.first_byte_at, self._header_count = 0, {}, None, 0
        self.transport.write(request)
        self.sent_at = time.monotonic()

    async def head(self) -> None:
        """Wait for status and headers. Raises a TransportError."""
        while not self._head_done:
            await self._changed()

    async def body(self) -> bytes:
        """Wait for the whole body."""
        while not self._done:
            await self._changed()
        return b"".join(self._parts)

    async def parts(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        while True:
            while self._parts:
                yield self._parts.popleft()
            if self._done:
                return
            await self._changed()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    async def _changed(self) -> None:
        if self._error is not None:
            raise self._error
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        finally:
            self._wake = None
        if self._error is not None:
            raise self._error

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _fail(self, error: TransportError) -> None:
        if self._error is None and not self._done:
            self._error = error
        self.close()
        self._notify()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._done:
            # Nobody asked: such a connection cannot be trusted with another request.
            self.close()
            return
        self._received = True
        if not self._head_done:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(AnswerMalformed(f"not an HTTP/1.1 answer: {error!s:.200}"))
            return
        if not self._head_done and self._head_bytes > MAX_HEAD_BYTES:
            self._fail(AnswerMalformed(f"the answer's head exceeds {MAX_HEAD_BYTES} bytes"))

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done:
            reason = f": {exc}" if exc is not None else ""
            reused = self.used and not self._received
            self._fail(ConnectionDropped(f"the connection ended before the answer did{reason}", reused=reused))

    # httptools callbacks

    def on_message_begin(self) -> None:
        if self._done:
            # A second answer to one request: the first stands, and the connection is not used again.
            self._keep_alive = False
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._done:
            return
        self._header_count += 1
        key = name.decode("latin-1").lower()
        if self._header_count > MAX_HEADERS or (key in self.headers and key in _SINGLE):
            self._fail(AnswerMalformed("the answer has too many headers, or one of them twice"))
        self.headers[key] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._done:
            return
        assert self._parser is not None
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                self._fail(AnswerMalformed("the answer has too many interim parts"))
            return
        self.status = status
        self.first_byte_at = time.monotonic()
        self._head_done = True
        length = self.headers.get("content-length")
        if length is not None and int(length) > self._cap:
            self._fail(AnswerTooLarge(f"the answer has {length} bytes: at most {self._cap} are accepted"))
        elif length is None and self.headers.get("transfer-encoding") != "chunked" and status not in (204, 304):
            self._fail(AnswerMalformed("the answer says neither its length nor that it is chunked"))
        self._notify()

    def on_body(self, body: bytes) -> None:
        if self._done:
            return
        self._size += len(body)
        if self._size > self._cap:
            self._fail(AnswerTooLarge(f"the answer exceeds {self._cap} bytes"))
            return
        self._parts.append(body)
        self._notify()

    def on_message_complete(self) -> None:
        if self._done:
            return
        if not self._head_done:
            self.headers = {}
            return
        if self._error is None:
            assert self._parser is not None
            # Only here: the parser forgets it with the next byte that it expects.
            self._keep_alive = self._parser.should_keep_alive()
            self._done = True
        self._notify()


_SINGLE = frozenset({"content-length", "content-type", "content-encoding", "transfer-encoding"})


@dataclass(slots=True)
class _Host:
    """Connections to one target: those at rest, and how many requests use or wait for one."""

    slots: asyncio.Semaphore
    idle: list[Exchange] = field(default_factory=list)
    users: int = 0


class Pool:
    """Kept-alive connections, bounded in all and per target."""

    def __init__(
        self, *, allow_private: bool, total: int, per_target: int, connect_seconds: float, idle_seconds: float
    ) -> None:
        self._allow_private = allow_private
        self._per_target = per_target
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._total = asyncio.Semaphore(total)
        self._hosts: dict[Target, _Host] = {}

    async def acquire(self, target: Target) -> Exchange:
        """A connection to the target, at rest or new. Give it back with `release`, whatever happens."""
        host = self._hosts.get(target)
        if host is None:
            host = self._hosts[target] = _Host(asyncio.Semaphore(self._per_target))
        host.users += 1
        try:
            await host.slots.acquire()
            try:
                await self._total.acquire()
                try:
                    return self._rested(host) or await self._connect(target)
                except BaseException:
                    self._total.release()
                    raise
            except BaseException:
                host.slots.release()
                raise
        except BaseException:
            self._leave(target, host)
            raise

    def release(self, target: Target, exchange: Exchange) -> None:
        """Keep the connection for the next request if its answer was read to the end; close it otherwise."""
        host = self._hosts[target]
        if exchange.reusable:
            exchange.used = True
            exchange.idle_since = time.monotonic()
            host.idle.append(exchange)
        else:
            exchange.close()
        self._total.release()
        host.slots.release()
        self._leave(target, host)

    def close(self) -> None:
        for host in self._hosts.values():
            for exchange in host.idle:
                exchange.close()
            host.idle.clear()

    def _leave(self, target: Target, host: _Host) -> None:
        host.users -= 1
        if not host.users and not host.idle:
            self._hosts.pop(target, None)

    def _rested(self, host: _Host) -> Exchange | None:
        oldest = time.monotonic() - self._idle_seconds
        while host.idle:
            exchange = host.idle.pop()
            if exchange.reusable and exchange.idle_since > oldest:
                return exchange
            exchange.close()
        return None

    async def _connect(self, target: Target) -> Exchange:
        try:
            async with asyncio.timeout(self._connect_seconds):
                return await self._dial(target)
        except TimeoutError:
            raise Unreachable(f"no connection to {target.authority} within {self._connect_seconds:g} s") from None

    async def _dial(self, target: Target) -> Exchange:
        loop = asyncio.get_running_loop()
        failure: Exception | None = None
        for address in await self._addresses(target):
            if not self._allow_private:
                try:
                    require_public(address)
                except AddressRefused as error:
                    failure = error
                    continue
            try:
                _, exchange = await loop.create_connection(
                    Exchange, host=address, port=target.port, ssl=target.tls, family=socket.AF_UNSPEC
                )
                return exchange
            except (OSError, ssl.SSLError) as error:
                failure = Unreachable(f"no connection to {target.authority}: {error.strerror or error}")
        raise failure or Unreachable(f"{target.host} has no address")

    async def _addresses(self, target: Target) -> list[str]:
        try:
            return [str(ipaddress.ip_address(target.host))]
        except ValueError:
            pass
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"{target.host!r} cannot be resolved: {error}") from None
        return list(dict.fromkeys(str(address[4][0]) for address in found))
