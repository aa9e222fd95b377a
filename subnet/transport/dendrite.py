"""The dendrite: a validator's client. Signs calls, checks answers, and turns every failure into a typed outcome."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from subnet.errors import AssayError
from subnet.protocol import keys, limits, paths, records
from subnet.protocol.faults import Fault
from subnet.protocol.handshake import Hello, SecretsCommitment, SignedCapabilities
from subnet.protocol.records import MalformedMessage
from subnet.protocol.request import SignedRequest
from subnet.protocol.response import ResponseMismatch, SignedResponse, check_response
from subnet.protocol.standing import SignedStanding
from subnet.protocol.stream import Chunk, decode_event
from subnet.transport import btauth
from subnet.transport.addresses import socket_factory
from subnet.transport.errors import AddressRefused
from subnet.transport.outcomes import Outcome, Result, Timing
from subnet.transport.pinning import PinnedKeyMismatch, pinned_context

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

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_key else 'http'}://{host}:{self.port}"


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


class _TooLarge(Exception):
    pass


class _Timed(aiohttp.BytesPayload):
    """A body that notes when it was handed to its socket."""

    written_at: float | None = None

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await super().write_with_length(writer, content_length)
        self.written_at = time.monotonic()


class _Clock:
    """Times one call."""

    def __init__(self, payload: _Timed) -> None:
        self.started = time.monotonic()
        self.first_byte: float | None = None
        self.status: int | None = None
        self._payload = payload

    def timing(self) -> Timing:
        sent = self._payload.written_at
        if sent is None:
            return Timing()
        first = None if self.first_byte is None else self.first_byte - sent
        return Timing(waited=sent - self.started, first_byte=first, total=time.monotonic() - sent)

    def outcome(self, result: Result, **rest: Any) -> Outcome[Any]:
        return Outcome(
            result=result, status=self.status, sent_at=self._payload.written_at, timing=self.timing(), **rest
        )


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
        self._session: aiohttp.ClientSession | None = None
        self._pinned: dict[bytes, Any] = {}

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=self._limits.connections,
            limit_per_host=self._limits.connections_per_peer,
            keepalive_timeout=self._limits.idle_seconds,
            socket_factory=socket_factory(self._allow_private),
            # Names are resolved anew for each connection, and addresses checked as they are dialled.
            use_dns_cache=False,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=self._limits.connect_seconds),
            headers={"accept-encoding": "identity", "user-agent": "assay/1"},
            skip_auto_headers=("accept", "content-type"),
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

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
        self, peer: Peer, request: SignedRequest, commitment: SecretsCommitment, *, seconds: float
    ) -> Outcome[Answer]:
        """Ask for a completion. Retry with the identical `request`."""

        def accept(body: bytes) -> Answer:
            response = records.decode(SignedResponse, body, self._limits.response_bytes)
            return Answer(response=response, seed=check_response(request, response, commitment))

        return await self._call(peer, paths.COMPLETION, records.encode(request), accept, seconds)

    async def stream(
        self,
        peer: Peer,
        request: SignedRequest,
        commitment: SecretsCommitment,
        *,
        seconds: float,
        on_chunk: Callable[[Chunk], None] | None = None,
    ) -> Outcome[Answer]:
        """Ask for a streamed completion; `on_chunk` sees each chunk as it arrives, unsigned. The outcome is OK only if
        the signed trailer arrived and repeats exactly what was streamed; otherwise `prefix` has the streamed tokens."""
        prefix: list[int] = []
        text: list[str] = []
        payload = self._payload(records.encode(request))
        clock = _Clock(payload)

        async def run() -> Outcome[Answer]:
            async with self._post(peer, paths.STREAM, payload, clock) as response:
                early = await self._refusal(response, clock, paths.STREAM_TYPE)
                if early is not None:
                    return early
                async for line in self._lines(response, clock):
                    event = decode_event(line)
                    if isinstance(event, Fault):
                        return clock.outcome(Result.FAULT, fault=event, detail=event.detail, prefix=tuple(prefix))
                    if isinstance(event, SignedResponse):
                        seed = check_response(request, event, commitment)
                        if prefix and (tuple(prefix), "".join(text)) != (event.body.tokens, event.body.text):
                            raise ResponseMismatch("the signed trailer does not repeat what was streamed")
                        return clock.outcome(Result.OK, value=Answer(response=event, seed=seed))
                    prefix.extend(event.tokens)
                    text.append(event.text)
                    if len(prefix) > request.request.max_tokens:
                        raise ResponseMismatch("more tokens were streamed than asked for")
                    if on_chunk is not None:
                        on_chunk(event)
            return clock.outcome(Result.DROPPED, detail="the stream ended without its trailer", prefix=tuple(prefix))

        return await self._guard(run, clock, seconds, prefix)

    async def send_standing(self, peer: Peer, standing: SignedStanding, *, seconds: float) -> Outcome[bool]:
        """Tell a miner how we see it."""

        def accept(body: bytes) -> bool:
            if body != b"{}":
                raise MalformedMessage("a standing is acknowledged with an empty object")
            return True

        return await self._call(peer, paths.STANDING, records.encode(standing), accept, seconds)

    async def ping(self, peer: Peer, *, seconds: float) -> Outcome[str]:
        """Whether an axon answers there, and with which hotkey (ss58). Unsigned; for diagnosis."""
        payload = self._payload(b"")
        clock = _Clock(payload)

        async def run() -> Outcome[str]:
            payload.written_at = time.monotonic()
            async with self._open(peer).get(
                peer.origin + paths.PING, allow_redirects=False, ssl=self._ssl(peer)
            ) as response:
                early = await self._refusal(response, clock, paths.JSON_TYPE)
                if early is not None:
                    return early
                value = records.loads(await self._body(response, clock), 4_096)
                if type(value) is not dict or type(value.get("hotkey")) is not str:
                    raise MalformedMessage("this is no answer of an axon")
                return clock.outcome(Result.OK, value=value["hotkey"])

        return await self._guard(run, clock, seconds, [])

    async def complete_many(
        self, asks: Sequence[tuple[Peer, SignedRequest, SecretsCommitment]], *, seconds: float
    ) -> list[Outcome[Answer]]:
        """Ask many miners at once under one deadline; outcomes in the order of `asks`. Each is timed on its own."""
        deadline = asyncio.get_running_loop().time() + seconds

        async def one(peer: Peer, request: SignedRequest, commitment: SecretsCommitment) -> Outcome[Answer]:
            left = deadline - asyncio.get_running_loop().time()
            return await self.complete(peer, request, commitment, seconds=left)

        return await asyncio.gather(*(one(*ask) for ask in asks))

    async def _call(
        self, peer: Peer, path: str, body: bytes, accept: Callable[[bytes], T], seconds: float
    ) -> Outcome[T]:
        payload = self._payload(body)
        clock = _Clock(payload)

        async def run() -> Outcome[T]:
            async with self._post(peer, path, payload, clock) as response:
                early = await self._refusal(response, clock, paths.JSON_TYPE)
                if early is not None:
                    return early
                received = await self._body(response, clock)
            # The peer's time ends here: checking the answer is ours.
            timed = clock.outcome(Result.OK)
            value = accept(received)
            return Outcome(Result.OK, value=value, status=timed.status, sent_at=timed.sent_at, timing=timed.timing)

        return await self._guard(run, clock, seconds, [])

    def _payload(self, body: bytes) -> _Timed:
        return _Timed(body, content_type="application/json")

    def _open(self, peer: Peer) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the dendrite is closed: use it inside `async with`")
        return self._session

    def _ssl(self, peer: Peer) -> Any:
        if peer.tls_key is None:
            return True
        context = self._pinned.get(peer.tls_key)
        if context is None:
            context = self._pinned[peer.tls_key] = pinned_context(peer.tls_key)
        return context

    @contextlib.asynccontextmanager
    async def _post(
        self, peer: Peer, path: str, payload: _Timed, clock: _Clock
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = btauth.sign(
            self._signer, method="POST", path=path, body=payload._value, receiver=keys.ss58_address(peer.hotkey)
        )
        headers["content-type"] = "application/json"
        async with self._open(peer).post(
            peer.origin + path, data=payload, headers=headers, allow_redirects=False, ssl=self._ssl(peer)
        ) as response:
            yield response

    async def _refusal(self, response: aiohttp.ClientResponse, clock: _Clock, content_type: str) -> Outcome[Any] | None:
        """The outcome of an answer that is not a result, or None for one that may be."""
        clock.first_byte = time.monotonic()
        clock.status = response.status
        if 300 <= response.status < 400:
            return clock.outcome(Result.REDIRECTED, detail=f"status {response.status}: redirects are never followed")
        if response.headers.get("content-encoding", "identity") != "identity":
            return clock.outcome(Result.MALFORMED, detail="the answer is compressed, which was not asked for")
        given = response.headers.get("content-type", "")
        if response.status != 200:
            if given != "application/json":
                return clock.outcome(Result.MALFORMED, detail=f"status {response.status} without a fault")
            fault = records.decode(Fault, await self._body(response, clock), 8_192)
            return clock.outcome(Result.FAULT, fault=fault, detail=fault.detail)
        if given != content_type:
            return clock.outcome(Result.MALFORMED, detail=f"content-type is {given[:80]!r}, expected {content_type}")
        return None

    async def _body(self, response: aiohttp.ClientResponse, clock: _Clock) -> bytes:
        cap = self._limits.response_bytes
        if response.content_length is not None and response.content_length > cap:
            raise _TooLarge
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > cap:
                raise _TooLarge
            parts.append(part)
        return b"".join(parts)

    async def _lines(self, response: aiohttp.ClientResponse, clock: _Clock) -> AsyncIterator[bytes]:
        """Complete lines as they arrive, within the response's and the line's size limits."""
        pending = bytearray()
        size = 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > self._limits.response_bytes:
                raise _TooLarge
            searched = len(pending)
            pending += part
            while (end := pending.find(b"\n", searched)) >= 0:
                yield bytes(pending[:end])
                del pending[: end + 1]
                searched = 0
            if len(pending) > limits.MAX_STREAM_LINE_BYTES:
                raise _TooLarge

    async def _guard(
        self,
        run: Callable[[], Any],
        clock: _Clock,
        seconds: float,
        prefix: list[int],
    ) -> Outcome[Any]:
        """Run a call under its deadline; every failure becomes an outcome. The task boundary of one call."""

        def failed(result: Result, detail: str) -> Outcome[Any]:
            return clock.outcome(result, detail=detail[:512], prefix=tuple(prefix))

        try:
            async with asyncio.timeout(seconds):
                return await run()
        except TimeoutError:
            return failed(Result.TIMEOUT, f"no complete answer within {seconds:.3f} s")
        except AddressRefused as error:
            return failed(Result.ADDRESS_REFUSED, str(error))
        except _TooLarge:
            return failed(Result.TOO_LARGE, f"the answer exceeds {self._limits.response_bytes} bytes")
        except MalformedMessage as error:
            return failed(Result.MALFORMED, str(error))
        except keys.SignatureMismatch as error:
            return failed(Result.BAD_SIGNATURE, str(error))
        except ResponseMismatch as error:
            return failed(Result.MISMATCH, str(error))
        except (PinnedKeyMismatch, aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            return failed(Result.UNREACHABLE, str(error))
        except aiohttp.ClientPayloadError as error:
            return failed(Result.DROPPED, str(error))
        except aiohttp.ClientResponseError as error:
            return failed(Result.MALFORMED, f"not HTTP: {error.message}")
        except (aiohttp.ClientError, OSError) as error:
            return failed(Result.DROPPED, f"{type(error).__name__}: {error}")
        except AssayError as error:
            return failed(Result.OUR_FAILURE, str(error))
