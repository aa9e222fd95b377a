"""Outsiders who attack an axon: real clients over real sockets, each from its own loopback address.

Every attacker takes the port and a number of seconds, attacks for that long, and returns what it saw, counted. They are
used by the tests (does the axon hold?) and by the benchmark (does honest traffic keep its latency?).
"""

import asyncio
import contextlib
import gzip
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from subnet.protocol import encode, paths
from subnet.protocol.handshake import Hello
from subnet.transport import btauth
from tests.transport.axon_process import MINER, MINER_KEY, RIVAL, STRANGER, VALIDATOR
from tests.transport.miner_double import GENESIS, NETUID, make_request

Seen = Counter[str]
Attacker = Callable[[int, float], Awaitable[Seen]]

_SOURCES = itertools.count()
HELLO = encode(Hello((1,), GENESIS, NETUID))


def source() -> str:
    """The next loopback address to attack from; 127.0.0.1 belongs to honest traffic."""
    number = next(_SOURCES)
    return f"127.{1 + number // 62_500 % 100}.{number // 250 % 250}.{2 + number % 250}"


def signed_head(
    body: bytes,
    path: str = paths.HELLO,
    signer: Any = VALIDATOR,
    receiver: str = MINER.ss58_address,
    extra: dict[str, str] | None = None,
    nonce_ns: int | None = None,
) -> bytes:
    """The head of a request signed over this body, with a content-length unless `extra` says how to frame it."""
    if nonce_ns is None:
        signed = btauth.sign(signer, method="POST", path=path, body=body, receiver=receiver)
    else:
        signed = btauth.http_auth.sign(
            signer, method="POST", path=path, body=body, receiver_ss58=receiver, nonce_ns=nonce_ns
        )
    headers = {"host": "axon", "content-type": "application/json", "content-length": str(len(body)), **signed}
    headers.update(extra or {})
    lines = [f"{name}: {value}" for name, value in headers.items() if value]
    return f"POST {path} HTTP/1.1\r\n".encode() + "\r\n".join(lines).encode() + b"\r\n\r\n"


@contextlib.asynccontextmanager
async def connection(port: int, address: str | None = None) -> AsyncIterator[Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address or source(), 0))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def exchange(port: int, data: bytes, address: str | None = None) -> tuple[int, dict[str, Any]]:
    """Send raw bytes, read one answer: status and JSON body. Status 0: closed without an answer."""
    try:
        async with connection(port, address) as (reader, writer):
            writer.write(data)
            return await read_answer(reader)
    except OSError:
        return 0, {}


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    status = int(head.split(b" ", 2)[1])
    length = next(
        (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0
    )
    body = await reader.readexactly(length)
    return status, json.loads(body) if body.startswith(b"{") else {}


async def _until(seconds: float, attempt: Callable[[Seen], Awaitable[None]], parallel: int = 8) -> Seen:
    seen: Seen = Counter()
    deadline = time.monotonic() + seconds

    async def worker() -> None:
        while time.monotonic() < deadline:
            try:
                await attempt(seen)
            except (OSError, asyncio.IncompleteReadError, ValueError, IndexError):
                seen["closed"] += 1
                await asyncio.sleep(0.001)

    await asyncio.gather(*(worker() for _ in range(parallel)))
    return seen


async def replayer(port: int, seconds: float) -> Seen:
    """Sends one captured request again and again."""
    captured = signed_head(HELLO) + HELLO

    async def attempt(seen: Seen) -> None:
        status, _ = await exchange(port, captured)
        seen[str(status)] += 1

    return await _until(seconds, attempt)


async def unauthorised(port: int, seconds: float) -> Seen:
    """Signs correctly, but is not registered."""

    async def attempt(seen: Seen) -> None:
        status, _ = await exchange(port, signed_head(HELLO, signer=STRANGER) + HELLO)
        seen[str(status)] += 1

    return await _until(seconds, attempt)


async def huge_bodies(port: int, seconds: float) -> Seen:
    """Announces 1 GB, or does not say how much and never ends, and sends as fast as it can."""
    announced = {"content-length": str(10**9)}
    chunked = {"content-length": "", "transfer-encoding": "chunked"}
    block = b"x" * 65_536
    frames = {True: block, False: b"10000\r\n" + block + b"\r\n"}
    kinds = itertools.cycle((True, False))

    async def attempt(seen: Seen) -> None:
        plain = next(kinds)
        async with connection(port) as (reader, writer):
            writer.write(signed_head(b"", extra=announced if plain else chunked))
            sent = 0
            with contextlib.suppress(OSError):
                while sent < 10**9 and not reader.at_eof():
                    writer.write(frames[plain])
                    await writer.drain()
                    sent += len(block)
            seen["bytes"] += sent
            seen["largest"] = max(seen["largest"], sent)
            seen["refused"] += 1

    return await _until(seconds, attempt, parallel=4)


async def slow_headers(port: int, seconds: float) -> Seen:
    """Holds 200 connections open with one header byte at a time."""

    async def attempt(seen: Seen) -> None:
        async with connection(port) as (reader, writer):
            opened = time.monotonic()
            writer.write(b"GET /assay/v1/ping HTTP/1.1\r\n")
            for byte in itertools.cycle(b"x-slow: aaaaaaaaaaaa\r\n"):
                writer.write(bytes([byte]))
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.1)
                    break
                if time.monotonic() - opened > seconds:
                    break
            held = int((time.monotonic() - opened) * 1000)
            seen["longest_ms"] = max(seen["longest_ms"], held)
            seen["closed_by_axon"] += 1

    return await _until(seconds, attempt, parallel=200)


async def slow_bodies(port: int, seconds: float) -> Seen:
    """Signs correctly, then sends the body one byte at a time."""

    async def attempt(seen: Seen) -> None:
        async with connection(port) as (reader, writer):
            writer.write(signed_head(HELLO))
            opened = time.monotonic()
            for byte in HELLO:
                writer.write(bytes([byte]))
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.2)
                    break
            seen["longest_ms"] = max(seen["longest_ms"], int((time.monotonic() - opened) * 1000))

    return await _until(seconds, attempt, parallel=50)


async def many_connections(port: int, seconds: float, wanted: int = 5_000) -> Seen:
    """Opens 5,000 connections from 25 addresses and holds them, sending nothing."""
    seen: Seen = Counter()
    addresses = itertools.cycle([source() for _ in range(25)])
    writers: list[asyncio.StreamWriter] = []

    async def one(address: str) -> None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        except OSError:
            seen["refused"] += 1
            return
        writers.append(writer)
        seen["opened"] += 1

    deadline = time.monotonic() + seconds
    try:
        for _ in range(wanted // 100):
            await asyncio.gather(*(one(next(addresses)) for _ in range(100)))
        await asyncio.sleep(max(0.0, deadline - time.monotonic()))
    finally:
        for writer in writers:
            writer.close()
    return seen


async def one_address(port: int, seconds: float) -> Seen:
    """Opens 1,000 connections from one address."""
    seen: Seen = Counter()
    address = source()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(1_000):
            with contextlib.suppress(OSError):
                await stack.enter_async_context(connection(port, address))
                seen["opened"] += 1
        await asyncio.sleep(seconds / 4)
    return seen


def _parsed(name: str, bodies: list[bytes], extra: dict[str, str] | None = None) -> Attacker:
    """Sends these bodies as another validator than the honest one, so that only its own share is spent."""

    async def attack(port: int, seconds: float) -> Seen:
        turn = itertools.cycle(bodies)

        async def attempt(seen: Seen) -> None:
            body = next(turn)
            status, _ = await exchange(port, signed_head(body, signer=RIVAL, extra=extra) + body)
            seen[str(status)] += 1

        return await _until(seconds, attempt, parallel=4)

    attack.__name__ = name
    return attack


_REQUEST = encode(make_request(VALIDATOR, MINER_KEY, 4_000))

compressed_bombs = _parsed("compressed_bombs", [gzip.compress(b"[" * 10_000_000)], {"content-encoding": "gzip"})
deep_json = _parsed("deep_json", [b"[" * 500_000, b'{"a":' * 150_000, b'["' + b'\\"' * 400_000])
non_finite = _parsed(
    "non_finite",
    [_REQUEST.replace(b'"counter":4000', b'"counter":' + value) for value in (b"NaN", b"1e999", b"-0.5", b"9" * 4_000)],
)
wrong_types = _parsed("wrong_types", [HELLO], {"content-type": "application/x-www-form-urlencoded"})


async def huge_base58(port: int, seconds: float) -> Seen:
    """A hotkey header of 15 KB, which base58 would take long to decode."""
    data = signed_head(HELLO, extra={btauth.http_auth.HEADER_HOTKEY: "5" * 15_000}) + HELLO

    async def attempt(seen: Seen) -> None:
        status, _ = await exchange(port, data)
        seen[str(status)] += 1

    return await _until(seconds, attempt)


ALL: tuple[Attacker, ...] = (
    replayer,
    unauthorised,
    huge_bodies,
    slow_headers,
    slow_bodies,
    many_connections,
    one_address,
    compressed_bombs,
    deep_json,
    non_finite,
    wrong_types,
    huge_base58,
)
