"""The dendrite: a validator's client. Signs calls, checks answers, and turns every failure into a typed outcome."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from subnet.errors import AssayError, TransportError
from subnet.protocol import keys, limits, paths, records
from subnet.protocol.faults import Fault
from subnet.protocol.handshake import Hello, SecretsCommitment, SignedCapabilities
from subnet.protocol.records import MalformedMessage
from subnet.protocol.request import CompletionRequest
from subnet.protocol.response import ResponseMismatch, SignedResponse, check_response
from subnet.protocol.standing import SignedStanding
from subnet.protocol.stream import Chunk, Opening, decode_event
from subnet.transport import btauth
from subnet.transport.errors import AddressRefused
from subnet.transport.http import (
    AnswerMalformed,
    AnswerTooLarge,
    ConnectionDropped,
    Exchange,
    Pool,
    Target,
    Unreachable,
)
from subnet.transport.outcomes import Outcome, Result, Timing
from subnet.transport.pinning import PinnedKeyMismatch, pinned_context
from subnet.transport.streaming import Streamed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a miner is reached, as the chain says. `tls_key` is the published neuron certificate, if there is one.

    With a `tls_key` the connection is TLS and the peer must hold exactly that key; without, it is plain HTTP, where
    signatures still protect every message but nothing is confidential.
    """

    hotkey: bytes
    host: str
    port: int
    tls_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class DendriteLimits:
    """Limits of one client. Connections are kept alive and shared by all calls."""

    connections: int = 1_024
    connections_per_peer: int = 64
    connect_seconds: float = 5.0
    idle_seconds: float = 30.0
    response_bytes: int = limits.MAX_RESPONSE_BYTES


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion that passed every check that needs no model, and the seed of its sampling (32 bytes)."""

    response: SignedResponse
    seed: bytes


class _Clock:
    """Times one call, from its own socket write."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.sent_at: float | None = None
        self.first_byte_at: float | None = None
        self.ended_at: float | None = None
        self.status: int | None = None

    def timing(self) -> Timing:
        if self.sent_at is None:
            return Timing()
        first = None if self.first_byte_at is None else self.first_byte_at - self.sent_at
        ended = time.monotonic() if self.ended_at is None else self.ended_at
        return Timing(waited=self.sent_at - self.started, first_byte=first, total=ended - self.sent_at)

    def outcome(self, result: Result, **rest: Any) -> Outcome[Any]:
        return Outcome(result=result, status=self.status, sent_at=self.sent_at, timing=self.timing(), **rest)


class Dendrite:
    """One client a process: `async with Dendrite(signer, allow_private=False) as dendrite`.

    `allow_private` is the localnet flag: without it only public addresses are called.
    """

    def __init__(
        self, signer: keys.Signer, *, allow_private: bool = False, bounds: DendriteLimits | None = None
    ) -> None:
        self._signer = signer
        self._allow_private = allow_private
        self._limits = bounds or DendriteLimits()
        self._pool: Pool | None = None
        self._pinned: dict[bytes, ssl.SSLContext] = {}

    async def __aenter__(self) -> Self:
        self._pool = Pool(
            allow_private=self._allow_private,
            total=self._limits.connections,
            per_target=self._limits.connections_per_peer,
            connect_seconds=self._limits.connect_seconds,
            idle_seconds=self._limits.idle_seconds,
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    async def hello(self, peer: Peer, hello: Hello, *, seconds: float) -> Outcome[SignedCapabilities]:
        """Shake hands. The capabilities returned are signed by the peer, and so is the commitment inside them, which
        is to us and on this chain and subnet."""

        def accept(body: bytes) -> SignedCapabilities:
            signed = records.decode(SignedCapabilities, body, self._limits.response_bytes)
            signed.require_valid(peer.hotkey)
            commitment = signed.capabilities.handshake.commitment
            expected = (bytes(self._signer.public_key), hello.genesis, hello.netuid)
            if (commitment.validator, commitment.genesis, commitment.netuid) != expected:
                raise ResponseMismatch("the secrets commitment is to another validator, chain or subnet")
            return signed

        return await self._call(peer, paths.HELLO, records.encode(hello), accept, seconds)

    async def complete(
        self, peer: Peer, request: CompletionRequest, commitment: SecretsCommitment, *, seconds: float
    ) -> Outcome[Answer]:
        """Ask for a completion; the call's signature is the signature over the request. Retry with the identical
        `request`."""

        def accept(body: bytes) -> Answer:
            response = records.decode(SignedResponse, body, self._limits.response_bytes)
            return Answer(response=response, seed=check_response(request, response, commitment))

        return await self._call(peer, paths.completion_path(request.digest), records.encode(request), accept, seconds)

    async def stream(
        self,
        peer: Peer,
        request: CompletionRequest,
        commitment: SecretsCommitment,
        *,
        seconds: float,
        on_chunk: Callable[[Chunk], None] | None = None,
    ) -> Outcome[Answer]:
        """Ask for a streamed completion; `on_chunk` sees each chunk as it arrives, unsigned. The outcome is OK only if
        the signed trailer arrived and repeats exactly what was streamed; otherwise `prefix` has the streamed tokens and
        `opened` their secret."""
        clock = _Clock()
        streamed = Streamed(request, commitment)

        async def read(exchange: Exchange) -> Outcome[Answer]:
            early = await self._refusal(exchange, clock, paths.STREAM_TYPE)
            if early is not None:
                return early
            async for line in _lines(exchange):
                event = decode_event(line)
                if isinstance(event, Opening):
                    streamed.open(event)
                elif isinstance(event, Chunk):
                    streamed.take(event, time.monotonic())
                    if on_chunk is not None:
                        on_chunk(event)
                elif isinstance(event, Fault):
                    return clock.outcome(Result.FAULT, fault=event, detail=event.detail, **streamed.unconfirmed())
                else:
                    clock.ended_at = time.monotonic()
                    answer = Answer(response=event, seed=streamed.end(event))
                    await exchange.body()
                    return clock.outcome(Result.OK, value=answer, arrivals=streamed.arrivals())
            detail = "the stream ended without its trailer"
            return clock.outcome(Result.DROPPED, detail=detail, **streamed.unconfirmed())

        path, body = paths.completion_path(request.digest), records.encode(request)

        def run() -> Awaitable[Outcome[Answer]]:
            return self._exchange(peer, path, body, clock, read, accept=paths.STREAM_TYPE)

        return await self._guard(run, clock, seconds, streamed)

    async def send_standing(self, peer: Peer, standing: SignedStanding, *, seconds: float) -> Outcome[bool]:
        """Tell a miner how we see it."""

        def accept(body: bytes) -> bool:
            if body != b"{}":
                raise MalformedMessage("a standing is acknowledged with an empty object")
            return True

        return await self._call(peer, paths.STANDING, records.encode(standing), accept, seconds)

    async def ping(self, peer: Peer, *, seconds: float) -> Outcome[str]:
        """Whether an axon answers there, and with which hotkey (ss58). Unsigned; for diagnosis."""
        clock = _Clock()

        async def read(exchange: Exchange) -> Outcome[str]:
            early = await self._refusal(exchange, clock, paths.JSON_TYPE)
            if early is not None:
                return early
            value = records.loads(await exchange.body(), 4_096)
            if type(value) is not dict or type(value.get("hotkey")) is not str:
                raise MalformedMessage("this is no answer of an axon")
            return clock.outcome(Result.OK, value=value["hotkey"])

        return await self._guard(lambda: self._exchange(peer, paths.PING, None, clock, read), clock, seconds)

    async def complete_many(
        self, asks: Sequence[tuple[Peer, CompletionRequest, SecretsCommitment]], *, seconds: float
    ) -> list[Outcome[Answer]]:
        """Ask many miners at once under one deadline; outcomes in the order of `asks`. Each is timed on its own."""
        deadline = asyncio.get_running_loop().time() + seconds

        async def one(peer: Peer, request: CompletionRequest, commitment: SecretsCommitment) -> Outcome[Answer]:
            left = deadline - asyncio.get_running_loop().time()
            return await self.complete(peer, request, commitment, seconds=left)

        return await asyncio.gather(*(one(*ask) for ask in asks))

    async def _call(
        self, peer: Peer, path: str, body: bytes, accept: Callable[[bytes], T], seconds: float
    ) -> Outcome[T]:
        clock = _Clock()

        async def read(exchange: Exchange) -> Outcome[T]:
            early = await self._refusal(exchange, clock, paths.JSON_TYPE)
            if early is not None:
                return early
            received = await exchange.body()
            # The peer's time ends here: checking the answer is ours.
            clock.ended_at = time.monotonic()
            return clock.outcome(Result.OK, value=accept(received))

        return await self._guard(lambda: self._exchange(peer, path, body, clock, read), clock, seconds)

    def _target(self, peer: Peer) -> Target:
        if peer.tls_key is None:
            return Target(peer.host, peer.port)
        context = self._pinned.get(peer.tls_key)
        if context is None:
            context = self._pinned[peer.tls_key] = pinned_context(peer.tls_key)
        return Target(peer.host, peer.port, key=peer.tls_key, tls=context)

    async def _exchange(
        self,
        peer: Peer,
        path: str,
        body: bytes | None,
        clock: _Clock,
        read: Callable[[Exchange], Awaitable[Outcome[T]]],
        accept: str = paths.JSON_TYPE,
    ) -> Outcome[T]:
        """Send one request (GET without a body) and read its answer; again, once, if a kept-alive connection turns out
        to be closed: every call of the protocol may be repeated, and it is signed anew."""
        if self._pool is None:
            raise TransportError("the dendrite is closed: use it inside `async with`")
        target = self._target(peer)
        while True:
            exchange = await self._pool.acquire(target)
            try:
                exchange.begin(self._request(peer, target, path, body, accept), self._limits.response_bytes)
                clock.sent_at = exchange.sent_at
                return await read(exchange)
            except ConnectionDropped as error:
                if not error.reused:
                    raise
            finally:
                self._pool.release(target, exchange)

    def _request(self, peer: Peer, target: Target, path: str, body: bytes | None, accept: str) -> bytes:
        common = f"host: {target.authority}\r\naccept: {accept}\r\naccept-encoding: identity\r\n"
        if body is None:
            return f"GET {path} HTTP/1.1\r\n{common}\r\n".encode()
        signed = btauth.sign(self._signer, method="POST", path=path, body=body, receiver=keys.ss58_address(peer.hotkey))
        auth = "".join([f"{name}: {value}\r\n" for name, value in signed.items()])
        shape = f"content-type: {paths.JSON_TYPE}\r\ncontent-length: {len(body)}\r\n"
        return f"POST {path} HTTP/1.1\r\n{common}{shape}{auth}\r\n".encode() + body

    async def _refusal(self, exchange: Exchange, clock: _Clock, content_type: str) -> Outcome[Any] | None:
        """The outcome of an answer that is not a result, or None for one that may be."""
        await exchange.head()
        clock.first_byte_at = exchange.first_byte_at
        clock.status = status = exchange.status
        if 300 <= status < 400:
            return clock.outcome(Result.REDIRECTED, detail=f"status {status}: redirects are never followed")
        if exchange.headers.get("content-encoding", "identity") != "identity":
            return clock.outcome(Result.MALFORMED, detail="the answer is compressed, which was not asked for")
        given = exchange.headers.get("content-type", "")
        if status != 200:
            if given != paths.JSON_TYPE:
                return clock.outcome(Result.MALFORMED, detail=f"status {status} without a fault")
            fault = records.decode(Fault, await exchange.body(), 8_192)
            return clock.outcome(Result.FAULT, fault=fault, detail=fault.detail)
        if given != content_type:
            return clock.outcome(Result.MALFORMED, detail=f"content-type is {given[:80]!r}, expected {content_type}")
        return None

    async def _guard(
        self,
        run: Callable[[], Any],
        clock: _Clock,
        seconds: float,
        streamed: Streamed | None = None,
    ) -> Outcome[Any]:
        """Run a call under its deadline; every failure becomes an outcome. The task boundary of one call."""

        def failed(result: Result, detail: str) -> Outcome[Any]:
            unconfirmed = streamed.unconfirmed() if streamed is not None else {}
            return clock.outcome(result, detail=detail[:512], **unconfirmed)

        try:
            async with asyncio.timeout(seconds):
                return await run()
        except TimeoutError:
            return failed(Result.TIMEOUT, f"no complete answer within {seconds:.3f} s")
        except AddressRefused as error:
            return failed(Result.ADDRESS_REFUSED, str(error))
        except AnswerTooLarge as error:
            return failed(Result.TOO_LARGE, str(error))
        except (MalformedMessage, AnswerMalformed) as error:
            return failed(Result.MALFORMED, str(error))
        except keys.SignatureMismatch as error:
            return failed(Result.BAD_SIGNATURE, str(error))
        except ResponseMismatch as error:
            return failed(Result.MISMATCH, str(error))
        except (Unreachable, PinnedKeyMismatch) as error:
            return failed(Result.UNREACHABLE, str(error))
        except ConnectionDropped as error:
            return failed(Result.DROPPED, str(error))
        except AssayError as error:
            return failed(Result.OUR_FAILURE, str(error))


async def _lines(exchange: Exchange) -> AsyncIterator[bytes]:
    """Complete lines as they arrive; the exchange bounds the whole, this bounds each."""
    pending = bytearray()
    async for part in exchange.parts():
        searched = len(pending)
        pending += part
        while (end := pending.find(b"\n", searched)) >= 0:
            yield bytes(pending[:end])
            del pending[: end + 1]
            searched = 0
        if len(pending) > limits.MAX_STREAM_LINE_BYTES:
            raise AnswerTooLarge(f"a line of the stream exceeds {limits.MAX_STREAM_LINE_BYTES} bytes")
