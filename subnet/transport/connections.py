"""Connections before there is a request: how many, from whom, and how long a request may take to arrive.

uvicorn bounds neither the number of connections from one address nor the time and size of a request's head. This
protocol adds those, and nothing else, in front of uvicorn's own.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from subnet.protocol.faults import Fault
from subnet.protocol.records import encode
from subnet.transport.rates import address_key

PROVEN = "assay.proven"
"""Name in the ASGI scope's extensions of a callable: the application calls it once it has admitted a caller."""

_LINGER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits on connections of one axon process.

    `head_seconds` runs from the connection, or from a request's first byte on a kept-alive one, to the end of its
    headers; `body_seconds` from there to the end of its body; `idle_seconds` between requests.
    """

    total: int = 4_096
    per_address: int = 256
    head_seconds: float = 5.0
    body_seconds: float = 15.0
    idle_seconds: float = 60.0
    head_bytes: int = 16_384
    headers: int = 64


class Evictable(Protocol):
    """A connection that can be closed to make room."""

    def evict(self) -> None: ...


class Gatekeeper:
    """Counts the open connections of one axon process, and what it turned away, by reason.

    When all places are taken, the connection that has waited longest without an admitted request makes room: whoever
    holds connections open cannot keep a validator out, and a validator's own connections are never closed for others.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.turned_away: Counter[str] = Counter()
        self._open: Counter[str] = Counter()
        self._total = 0
        self._unproven: dict[Evictable, None] = {}

    @property
    def total(self) -> int:
        return self._total

    def enter(self, connection: Evictable, address: str) -> bool:
        """Whether one more connection from this address may stay; counted only if it may."""
        if self._open.get(address, 0) >= self.limits.per_address:
            self.turned_away["connections"] += 1
            return False
        if self._total >= self.limits.total:
            oldest = next(iter(self._unproven), None)
            self.turned_away["connections" if oldest is None else "evicted"] += 1
            if oldest is None:
                return False
            oldest.evict()
        self._open[address] += 1
        self._total += 1
        self._unproven[connection] = None
        return True

    def prove(self, connection: Evictable) -> None:
        """A caller was authenticated and admitted on this connection."""
        self._unproven.pop(connection, None)

    def leave(self, connection: Evictable, address: str) -> None:
        self._unproven.pop(connection, None)
        self._total -= 1
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


def _closing_answer(fault: Fault) -> bytes:
    body = encode(fault)
    head = (
        f"HTTP/1.1 {fault.status} {fault.code}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        + (f"retry-after: {-(-fault.retry_after_ms // 1000)}\r\n" if fault.retry_after_ms else "")
        + "connection: close\r\n\r\n"
    )
    return head.encode() + body


_TOO_MANY = _closing_answer(Fault("overloaded", "too many connections", 5_000))
_TOO_SLOW = _closing_answer(Fault("timeout", "the request did not arrive in time"))
_HEAD_TOO_LARGE = _closing_answer(Fault("too_large", "the request's headers are too large or too many"))
_NOT_HTTP = _closing_answer(Fault("malformed", "this is not a valid HTTP/1.1 request"))


class _Joined:
    """A transport that joins two writes within one turn of the event loop: head and body leave in one packet.

    The second write sends both at once. Waiting for the turn's end would hold every answer of a batch of requests until
    the last one is computed, and the two sides would work by turns instead of together.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pending: list[bytes] = []
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        self._pending.append(data)
        if len(self._pending) == 1:
            self._loop.call_soon(self._flush)
        else:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
            self._pending.clear()
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol behind a Gatekeeper. One timer a connection; deadlines only move it."""

    def __init__(self, gatekeeper: Gatekeeper, **uvicorn_arguments: Any) -> None:
        super().__init__(**uvicorn_arguments)
        self._gatekeeper = gatekeeper
        self._address = ""
        self._admitted = False
        self._evicted = False
        self._in_request = False
        self._in_head = False
        self._head_bytes = 0
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        peer = transport.get_extra_info("peername")
        self._address = address_key(peer[0]) if isinstance(peer, tuple) else "local"
        if not self._gatekeeper.enter(self, self._address):
            self.transport = transport
            transport.write(_TOO_MANY)
            transport.close()
            return
        self._admitted = True
        super().connection_made(_Joined(transport, self.loop))  # type: ignore[arg-type]
        self._expect_within(self._gatekeeper.limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._admitted:
            self._leave()
            super().connection_lost(exc)
        elif self._evicted:
            super().connection_lost(exc)

    def _leave(self) -> None:
        self._admitted = False
        self._gatekeeper.leave(self, self._address)

    def evict(self) -> None:
        """Close at once; its place is free when this returns."""
        self._leave()
        self._evicted = True
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._admitted or self.transport.is_closing():
            return
        if not self._in_request:
            self._in_request = self._in_head = True
            self._head_bytes = 0
            self._expect_within(self._gatekeeper.limits.head_seconds)
        if self._in_head:
            # Counts body bytes that share the packet too; the parser says below whether the head has ended.
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self._gatekeeper.limits.head_bytes:
            self._turn_away("head_too_large", _HEAD_TOO_LARGE)

    def send_400_response(self, msg: str) -> None:
        self._turn_away("not_http", _NOT_HTTP)

    def on_message_begin(self) -> None:
        self._in_request = self._in_head = True
        super().on_message_begin()
        self.scope["extensions"] = {PROVEN: self._prove}  # type: ignore[dict-item]

    def _prove(self) -> None:
        self._gatekeeper.prove(self)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self.transport.is_closing():
            return
        limits = self._gatekeeper.limits
        # What arrived in the head's packets bounds its size; only where body bytes share them is it worth adding up.
        if len(self.headers) > limits.headers or (
            self._head_bytes > limits.head_bytes
            and sum(len(name) + len(value) for name, value in self.headers) > limits.head_bytes
        ):
            self._turn_away("head_too_large", _HEAD_TOO_LARGE)
            return
        self._expect_within(self._gatekeeper.limits.body_seconds)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self.transport.is_closing() and self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_request = False
        self._deadline = None
        if not self.transport.is_closing() and self.cycle is not None:
            super().on_message_complete()

    def _turn_away(self, reason: str, answer: bytes) -> None:
        if self.transport.is_closing():
            return
        self._gatekeeper.turned_away[reason] += 1
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            self.transport.write(answer)
        self._close_soon()

    def timeout_keep_alive_handler(self) -> None:
        if not self.transport.is_closing():
            self._close_soon()

    def _close_soon(self) -> None:
        self.transport.close()
        # A peer that does not read its answers would otherwise hold the connection until TCP gives up.
        self.loop.call_later(_LINGER_SECONDS, self.transport.abort)

    def _expect_within(self, seconds: float) -> None:
        self._deadline = self.loop.time() + seconds
        if self._timer is None:
            self._timer = self.loop.call_later(seconds, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        left = self._deadline - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(left, self._check_deadline)
        else:
            self._turn_away("too_slow", _TOO_SLOW)
