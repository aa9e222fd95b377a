"""The axon: a miner's server, as one ASGI application without a framework.

A request passes, in this order: per-address limit, route, header shapes, body cap while streaming, authentication,
caller policy, nonce, per-hotkey limit, slots, parse, handler, answer. (The header deadline lies before all of them, in
`connections`.) Each stage that refuses raises `Refused`, which is answered as a reason-coded fault and counted.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from loguru import logger

from subnet.protocol import keys, limits, paths, records
from subnet.protocol.faults import Fault
from subnet.protocol.handshake import Hello, SignedCapabilities
from subnet.protocol.records import MalformedMessage
from subnet.protocol.request import CompletionRequest, SignedRequest
from subnet.protocol.response import SignedResponse
from subnet.protocol.standing import SignedStanding
from subnet.protocol.stream import Progress, encode_event
from subnet.transport import btauth
from subnet.transport.connections import PROVEN
from subnet.transport.errors import Refused, StoreFull
from subnet.transport.rates import Buckets, Rate, address_key

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Call:
    """An authenticated and admitted call. `address` is for logs and limits, never an identity."""

    hotkey: str
    public_key: bytes
    address: str
    claim: btauth.Claim
    path: str
    streamed: bool
    """Whether the caller accepts a stream of lines."""


class Handlers(Protocol):
    """What the miner does with calls. Raise `Refused(code, detail)` to answer with a fault.

    A handler is cancelled when the caller goes away or the deadline passes: shield what must go on.
    """

    async def hello(self, call: Call, hello: Hello) -> SignedCapabilities:
        """Handshake: capabilities with the commitment to this caller's secrets."""
        ...

    def complete(self, call: Call, request: SignedRequest) -> AsyncGenerator[Progress, None]:
        """An async generator: any number of chunks, then exactly one signed response.

        The request is already checked: signed by the caller, for this miner, on this chain and subnet, in a version
        that we speak. Not checked: model, beacon, epoch, counter. Where the caller did not ask for a stream, chunks
        are dropped.
        """
        ...

    async def standing(self, call: Call, standing: SignedStanding) -> None:
        """A validator's opinion of this miner, already checked to be signed by the caller and about this miner."""
        ...


class NonceStore(Protocol):
    def check_and_store(self, hotkey_ss58: str, nonce_ns: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this axon is, and on which network."""

    hotkey: bytes
    genesis: bytes
    netuid: int


ADDRESS_RATE = Rate(per_second=200.0, burst=800)
HOTKEY_RATE = Rate(per_second=50.0, burst=400)


@dataclass(frozen=True, slots=True)
class AxonLimits:
    """Limits of one axon process: only nonces are shared, so N processes on one socket allow N times as much.

    `seconds` bound the work on a request and the sending of its answer; how long the request may take to arrive is a
    limit of its connection.
    """

    address_rate: Rate = ADDRESS_RATE
    hotkey_rate: Rate = HOTKEY_RATE
    body_bytes: int = limits.MAX_BODY_BYTES
    in_flight: int = 256
    in_flight_per_hotkey: int = 64
    seconds: float = 300.0
    overloaded_retry_ms: int = 1_000


@dataclass(slots=True)
class _Slots:
    """Handlers at work, in all and by caller."""

    total: int = 0
    by_hotkey: dict[str, int] = field(default_factory=dict)

    def take(self, hotkey: str, limits: AxonLimits) -> bool:
        """Whether there was a slot for this caller; `give_back` it if so."""
        mine = self.by_hotkey.get(hotkey, 0)
        if self.total >= limits.in_flight or mine >= limits.in_flight_per_hotkey:
            return False
        self.total += 1
        self.by_hotkey[hotkey] = mine + 1
        return True

    def give_back(self, hotkey: str) -> None:
        self.total -= 1
        self.by_hotkey[hotkey] -= 1
        if not self.by_hotkey[hotkey]:
            del self.by_hotkey[hotkey]


class Axon:
    """ASGI application. `admit(hotkey)` returns why a caller may not call, or None: see `subnet.transport.policy`."""

    def __init__(
        self,
        identity: Identity,
        handlers: Handlers,
        admit: Callable[[str], str | None],
        nonces: NonceStore,
        bounds: AxonLimits | None = None,
    ) -> None:
        self.identity = identity
        self.limits = bounds or AxonLimits()
        self.outcomes: Counter[str] = Counter()
        """Requests by result: `ok` or a fault's code. Read it for metrics."""
        self._hotkey = keys.ss58_address(identity.hotkey)
        self._handlers = handlers
        self._admit = admit
        self._nonces = nonces
        self._addresses = Buckets(self.limits.address_rate)
        self._hotkeys = Buckets(self.limits.hotkey_rate)
        self._slots = _Slots()
        self._routes: dict[str, Callable[[Call, bytes, _Answer], Coroutine[Any, Any, None]]] = {
            paths.HELLO: self._hello,
            paths.STANDING: self._standing,
        }

    @property
    def in_flight(self) -> int:
        """Handlers at work."""
        return self._slots.total

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request. Everything that can go wrong ends here, counted and answered with a fault."""
        answer = _Answer(send)
        try:
            await self._serve(scope, receive, answer)
            self.outcomes["ok"] += 1
        except Refused as refused:
            await self._fault(answer, refused.fault)
        except MalformedMessage as error:
            await self._fault(answer, Fault("malformed", _shortened(error)))
        except keys.SignatureMismatch as error:
            await self._fault(answer, Fault("unauthenticated", _shortened(error)))
        except TimeoutError:
            await self._fault(answer, Fault("timeout", f"no answer within {self.limits.seconds:g} s"))
        except _Disconnected:
            self.outcomes["disconnected"] += 1
        except Exception:
            # The task boundary of one request: our own failure, which says nothing about the caller.
            logger.exception("axon: a handler failed")
            await self._fault(answer, Fault("internal", "the miner failed to answer"))

    async def _fault(self, answer: "_Answer", fault: Fault) -> None:
        self.outcomes[fault.code] += 1
        await answer.fault(fault)

    async def _serve(self, scope: Mapping[str, Any], receive: Receive, answer: "_Answer") -> None:
        client = scope.get("client")
        address = address_key(client[0]) if client else "local"
        now = asyncio.get_running_loop().time()
        self._check_rate(self._addresses.wait_ms(address, now), "address")
        path = scope["path"]
        if path == paths.PING:
            await self._ping(scope["method"], answer)
            return
        route = self._complete if path.startswith(paths.COMPLETION_PREFIX) else self._routes.get(path)
        if route is None or scope["raw_path"] != path.encode() or scope["query_string"]:
            raise Refused("not_found", "there is no such path here")
        if scope["method"] != "POST":
            raise Refused("method_not_allowed", "this path takes POST only")
        claim, streamed = self._check_head(scope["headers"])
        # Only a look at the claimed caller, which spends nothing of it: who has nothing left need not send a body.
        self._check_rate(self._hotkeys.wait_ms(claim.hotkey, now, take=False), "hotkey")
        body = await _read_body(receive, self.limits.body_bytes)
        answer.body_read = True
        btauth.verify(claim, body, method="POST", path=path, self_hotkey=self._hotkey)
        refusal = self._admit(claim.hotkey)
        if refusal is not None:
            raise Refused("forbidden", refusal)
        prove = scope.get("extensions", {}).get(PROVEN)
        if prove is not None:
            prove()
        self._spend_nonce(claim)
        self._check_rate(self._hotkeys.wait_ms(claim.hotkey, now), "hotkey")
        call = Call(claim.hotkey, keys.public_key(claim.hotkey), address, claim, path, streamed)
        slots = self._slots
        if not slots.take(call.hotkey, self.limits):
            raise Refused("overloaded", "all slots are taken", self.limits.overloaded_retry_ms)
        try:
            await _watched(route(call, body, answer), receive, self.limits.seconds)
        finally:
            slots.give_back(call.hotkey)

    def _check_head(self, headers: list[tuple[bytes, bytes]]) -> tuple[btauth.Claim, bool]:
        """Shapes of the headers that decide how the body is read, each given at most once; then the gate. Also whether
        the caller accepts a stream."""
        given = [pair for pair in headers if pair[0] in _SINGLE]
        seen = dict(given)
        if len(seen) != len(given):
            raise Refused("malformed", f"one of these headers is given twice: {_SINGLE_NAMES}")
        if seen.get(b"content-type") != b"application/json":
            raise Refused("unsupported_media_type", "content-type must be exactly application/json")
        if b"content-encoding" in seen:
            raise Refused("unsupported_media_type", "compressed bodies are not accepted: send content as it is")
        length = seen.get(b"content-length")
        if length is not None and (not length.isdigit() or len(length) > 12 or int(length) > self.limits.body_bytes):
            raise Refused("too_large", f"a body may have {self.limits.body_bytes} bytes")
        return btauth.gate(headers), seen.get(b"accept") == _STREAM_TYPE

    def _check_rate(self, wait_ms: int, whose: str) -> None:
        if wait_ms:
            raise Refused("rate_limited", f"too many requests of this {whose}", min(wait_ms, limits.MAX_RETRY_AFTER_MS))

    def _spend_nonce(self, claim: btauth.Claim) -> None:
        try:
            fresh = self._nonces.check_and_store(claim.hotkey, claim.nonce_ns)
        except StoreFull as error:
            logger.error("axon: {}", error)
            raise Refused("overloaded", "cannot check for replays now", self.limits.overloaded_retry_ms) from None
        if not fresh:
            raise Refused("replayed", "this nonce was already used: sign each attempt anew")

    async def _ping(self, method: str, answer: "_Answer") -> None:
        if method != "GET":
            raise Refused("method_not_allowed", "this path takes GET only")
        await answer.json(b'{"protocol":"assay","versions":[1],"hotkey":"' + self._hotkey.encode() + b'"}')

    async def _hello(self, call: Call, body: bytes, answer: "_Answer") -> None:
        hello = records.decode(Hello, body)
        self._check_network(hello.genesis, hello.netuid)
        await answer.json(records.encode(await self._handlers.hello(call, hello)))

    async def _standing(self, call: Call, body: bytes, answer: "_Answer") -> None:
        signed = records.decode(SignedStanding, body)
        standing = signed.standing
        self._check_network(standing.genesis, standing.netuid)
        if standing.validator != call.public_key or standing.miner != self.identity.hotkey:
            raise Refused("malformed", "a standing must be by its sender and about this miner")
        signed.require_valid()
        await self._handlers.standing(call, signed)
        await answer.json(b"{}")

    def _request(self, call: Call, body: bytes) -> SignedRequest:
        request = records.decode(CompletionRequest, body)
        if request.version not in limits.SUPPORTED_VERSIONS:
            raise Refused("unsupported_version", f"version {request.version}: we speak {limits.SUPPORTED_VERSIONS}")
        self._check_network(request.genesis, request.netuid)
        if request.validator != call.public_key:
            raise Refused("malformed", "a request must be sent by the validator that it names")
        if request.miner != self.identity.hotkey:
            raise Refused("wrong_receiver", "the request names another miner")
        if paths.completion_path(request.digest) != call.path:
            # The signature covers the path: this is what makes it a signature over the request.
            raise Refused("malformed", "the digest in the path is not that of the request")
        claim = call.claim
        return SignedRequest(
            request=request,
            scheme=claim.scheme,
            nonce=str(claim.nonce_ns),
            body_digest=hashlib.sha256(body).digest(),
            signature=claim.signature,
        )

    def _check_network(self, genesis: bytes, netuid: int) -> None:
        if genesis != self.identity.genesis or netuid != self.identity.netuid:
            raise Refused(
                "wrong_network", f"this miner serves subnet {self.identity.netuid} of another chain or netuid"
            )

    async def _complete(self, call: Call, body: bytes, answer: "_Answer") -> None:
        events = self._handlers.complete(call, self._request(call, body))
        try:
            async for event in events:
                if call.streamed:
                    await answer.line(encode_event(event))
                if isinstance(event, SignedResponse):
                    await (answer.end() if call.streamed else answer.json(records.encode(event)))
                    return
        finally:
            await events.aclose()
        raise RuntimeError("the completion handler ended without a signed response")


_STREAM_TYPE = paths.STREAM_TYPE.encode()
_SINGLE = frozenset({b"accept", b"content-type", b"content-length", b"content-encoding", b"transfer-encoding", b"host"})
_SINGLE_NAMES = ", ".join(sorted(name.decode() for name in _SINGLE))


class _Disconnected(Exception):
    """The caller went away; there is nobody to answer."""


def _shortened(error: Exception) -> str:
    return str(error).encode("utf-8", "replace")[: limits.MAX_DETAIL_BYTES - 3].decode("utf-8", "ignore")


async def _read_body(receive: Receive, cap: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Disconnected
        part = message.get("body", b"")
        size += len(part)
        if size > cap:
            raise Refused("too_large", f"a body may have {cap} bytes")
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


_WATCH_AFTER_SECONDS = 0.02


async def _watched(work: Coroutine[Any, Any, None], receive: Receive, seconds: float) -> None:
    """Await the work, but cancel it once the caller is gone or the deadline has passed.

    The watch starts only for work that takes longer than a moment: most answers never pay for it.
    """
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    watcher: asyncio.Task[None] | None = None
    ended: Exception | None = None

    async def watch() -> None:
        nonlocal ended
        try:
            async with asyncio.timeout(seconds - _WATCH_AFTER_SECONDS):
                while (await receive())["type"] != "http.disconnect":
                    continue
            ended = _Disconnected()
        except TimeoutError as error:
            ended = error
        task.cancel()

    def start() -> None:
        nonlocal watcher
        watcher = loop.create_task(watch())

    timer = loop.call_later(_WATCH_AFTER_SECONDS, start)
    try:
        await work
    except asyncio.CancelledError:
        if ended is not None and task.uncancel() == 0:
            raise ended from None
        raise
    finally:
        timer.cancel()
        if watcher is not None:
            watcher.cancel()


class _Answer:
    """Sends one answer: plain JSON, a stream of lines, or a fault in whichever form is still possible."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = False
        self._finished = False
        self.body_read = False

    async def json(self, body: bytes, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self._started = self._finished = True
        base = [(b"content-type", paths.JSON_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": [*base, *headers]})
        await self._send({"type": "http.response.body", "body": body})

    async def line(self, line: bytes) -> None:
        if not self._started:
            self._started = True
            headers = [(b"content-type", paths.STREAM_TYPE.encode())]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": line, "more_body": True})

    async def end(self) -> None:
        self._finished = True
        await self._send({"type": "http.response.body", "body": b""})

    async def fault(self, fault: Fault) -> None:
        if self._finished:
            return
        if self._started:
            await self.line(encode_event(fault))
            await self.end()
            return
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if fault.retry_after_ms:
            headers = ((b"retry-after", str(-(-fault.retry_after_ms // 1000)).encode()),)
        if not self.body_read or fault.code in _CLOSING:
            # The body may still be arriving: closing spares us from reading it to its end.
            headers = (*headers, (b"connection", b"close"))
        await self.json(records.encode(fault), fault.status, headers)


_CLOSING = frozenset({"timeout", "unauthenticated", "internal"})
