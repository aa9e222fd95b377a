"""Peers that attack a validator's client: what they send becomes a typed outcome, in bounded time and memory."""

import asyncio
import contextlib
import gzip
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from subnet.protocol import Fault, Hello, encode
from subnet.protocol.handshake import SecretsCommitment
from subnet.protocol.seed import SecretTree
from subnet.protocol.stream import Chunk, Opening, encode_event
from subnet.transport.dendrite import Dendrite, DendriteLimits, Peer
from subnet.transport.outcomes import Outcome, Result
from tests.transport.axon_process import MINER, MINER_KEY, STRANGER, VALIDATOR
from tests.transport.conftest import World
from tests.transport.miner_double import GENESIS, NETUID, SIZE, MinerDouble, make_request

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TREE = SecretTree.derive(b"m" * 32, bytes(VALIDATOR.public_key), MinerDouble.epoch, SIZE)
COMMITMENT = SecretsCommitment(
    1, GENESIS, NETUID, MINER_KEY, bytes(VALIDATOR.public_key), MinerDouble.epoch, SIZE, TREE.root, 1
)
REQUEST = make_request(VALIDATOR, MINER_KEY, 0)


@contextlib.asynccontextmanager
async def evil(script: Script) -> AsyncIterator[Peer]:
    """A server that reads one request's head and then follows the script."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line), 0
            )
            await reader.readexactly(length)
            await script(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield Peer(MINER_KEY, "127.0.0.1", server.sockets[0].getsockname()[1])


def sends(data: bytes, hold: float = 0.0) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(hold)

    return script


def answer(body: bytes, status: str = "200 OK", kind: str = "application/json", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


async def ask(script: Script, stream: bool = False, seconds: float = 5.0) -> Outcome:
    bounds = DendriteLimits(response_bytes=100_000)
    async with evil(script) as peer, Dendrite(VALIDATOR, allow_private=True, bounds=bounds) as dendrite:
        call = dendrite.stream if stream else dendrite.complete
        started = time.monotonic()
        outcome = await call(peer, REQUEST, COMMITMENT, seconds=seconds)
        assert time.monotonic() - started < seconds + 3
        return outcome


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not reader.at_eof():
        writer.write(b"x: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def floods_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not reader.at_eof():
        writer.write(b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 1_000)
        await writer.drain()


async def floods_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n")
    while not reader.at_eof():
        writer.write(b"1000\r\n" + b"x" * 4_096 + b"\r\n")
        await writer.drain()


METADATA = "location: http://169.254.169.254/\r\n"
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CHUNK = encode_event(Chunk((1_000, 1_001), "a b"))
OPENING = encode_event(Opening(*TREE.open(0)))
OTHER_OPENING = encode_event(Opening(*TREE.open(1)))


def ndjson(*lines: bytes) -> bytes:
    return answer(b"".join(lines), kind="application/x-ndjson")


@pytest.mark.parametrize(
    ("name", "script", "stream", "result"),
    [
        ("redirect", sends(answer(b"", "302 Found", more=METADATA)), False, "redirected"),
        ("redirect 307", sends(answer(b"{}", "307 T", more="location: http://127.0.0.1:1/\r\n")), True, "redirected"),
        ("fault", sends(answer(encode(Fault("unknown_model", "no")), "404 Not Found")), False, "fault"),
        ("false fault", sends(answer(b'{"code":"me","detail":"","retry_after_ms":0}', "404 N")), False, "malformed"),
        ("html error", sends(answer(b"<html>", "502 Bad Gateway", "text/html")), False, "malformed"),
        ("announces 1 GB", sends(JSON_HEAD + b"content-length: 1000000000\r\n\r\n"), False, "too_large"),
        ("endless body", floods_body, True, "too_large"),
        ("endless headers", floods_headers, False, "malformed"),
        ("slow headers", drips, False, "timeout"),
        ("says nothing", sends(b"", hold=30), False, "timeout"),
        ("hangs up", sends(b""), False, "dropped"),
        ("hangs up midway", sends(JSON_HEAD + b"content-length: 50\r\n\r\n{"), False, "dropped"),
        ("no length", sends(JSON_HEAD + b"\r\n{}"), False, "malformed"),
        ("not http", sends(b"SSH-2.0-OpenSSH_9.9\r\n"), False, "malformed"),
        ("two lengths", sends(JSON_HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}"), False, "malformed"),
        ("many interim", sends(b"HTTP/1.1 100 Continue\r\n\r\n" * 10), False, "malformed"),
        ("upgrade", sends(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"), False, "malformed"),
        ("bomb", sends(answer(gzip.compress(b"[" * 10**6), more="content-encoding: gzip\r\n")), False, "malformed"),
        ("wrong type", sends(answer(b"{}", kind="text/json")), False, "malformed"),
        ("deep json", sends(answer(b"[" * 50_000)), False, "malformed"),
        ("empty object", sends(answer(b"{}")), False, "malformed"),
        ("stream without trailer", sends(ndjson(OPENING, CHUNK)), True, "dropped"),
        ("stream of rubbish", sends(ndjson(OPENING, CHUNK, b"rubbish\n")), True, "malformed"),
        ("stream of too many tokens", sends(ndjson(OPENING, *[CHUNK] * 13)), True, "mismatch"),
        ("stream that fails", sends(ndjson(OPENING, CHUNK, encode_event(Fault("internal", "oh")))), True, "fault"),
        ("stream that opens twice", sends(ndjson(OPENING, CHUNK, OPENING)), True, "malformed"),
        ("chunk that nothing opens", sends(ndjson(CHUNK)), True, "malformed"),
        ("another secret is opened", sends(ndjson(OTHER_OPENING, CHUNK)), True, "mismatch"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)  # fmt: skip
async def test_hostile_peers(name: str, script: Script, stream: bool, result: str) -> None:
    outcome = await ask(script, stream, seconds=1.0 if result == "timeout" else 5.0)
    assert outcome.result == result and outcome.value is None, outcome
    assert (outcome.fault is not None) == (result == "fault")
    if name.startswith("stream") and name != "stream of too many tokens":
        assert outcome.prefix == (1_000, 1_001) and outcome.opened == TREE.secrets[0]


async def test_tokens_count_from_their_own_arrival_and_not_from_the_head_of_the_answer() -> None:
    """The attack: the head is sent at once, so that the first token seems to have come."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (OPENING + CHUNK, CHUNK)
        length = sum(map(len, lines))
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ncontent-length: {length}\r\n\r\n"
        writer.write(head.encode())
        for line in lines:
            await writer.drain()
            await asyncio.sleep(0.2)
            writer.write(line)

    outcome = await ask(script, True)
    assert outcome.sent_at is not None and outcome.timing.first_byte is not None and outcome.timing.first_byte < 0.1
    (first, two), (second, four) = outcome.arrivals
    assert (two, four) == (2, 4) and first - outcome.sent_at > 0.15 and second - first > 0.1


async def test_a_peer_that_answers_for_another_key_is_not_believed(world: World) -> None:
    peer = Peer(bytes(STRANGER.public_key), "127.0.0.1", world.peer.port)
    outcome = await world.dendrite.hello(peer, Hello((1,), GENESIS, NETUID), seconds=5)
    assert outcome.fault is not None and outcome.fault.code == "wrong_receiver"


async def test_a_trailer_that_does_not_repeat_the_stream_is_a_mismatch(world: World) -> None:
    honest = await world.dendrite.complete(world.peer, REQUEST, world.commitment, seconds=5)
    assert honest.value is not None
    script = sends(ndjson(OPENING, CHUNK, encode_event(honest.value.response)))
    async with evil(script) as peer:
        outcome = await world.dendrite.stream(peer, REQUEST, world.commitment, seconds=5)
    assert outcome.result is Result.MISMATCH and outcome.prefix == (1_000, 1_001)


async def test_copies_an_answer_to_another_request_is_a_mismatch(world: World) -> None:
    honest = await world.dendrite.complete(world.peer, REQUEST, world.commitment, seconds=5)
    assert honest.value is not None
    async with evil(sends(answer(encode(honest.value.response)))) as peer:
        other = make_request(VALIDATOR, MINER_KEY, 1)
        outcome = await world.dendrite.complete(peer, other, world.commitment, seconds=5)
    assert outcome.result is Result.MISMATCH


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "::1", "::ffff:127.0.0.1", "127.1", "2130706433", "10.0.0.1"]
)
async def test_ssrf_peers_inside_the_network_are_not_called(host: str) -> None:
    touched = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        touched.append(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server, Dendrite(VALIDATOR) as dendrite:
        peer = Peer(MINER_KEY, host, server.sockets[0].getsockname()[1])
        outcome = await dendrite.complete(peer, REQUEST, COMMITMENT, seconds=3)
    assert outcome.result in (Result.ADDRESS_REFUSED, Result.UNREACHABLE) and not touched
    if host not in ("2130706433", "127.1"):
        assert outcome.result is Result.ADDRESS_REFUSED


async def test_nobody_there_is_unreachable() -> None:
    async with Dendrite(VALIDATOR, allow_private=True) as dendrite:
        for host in ("127.0.0.1", "name.invalid", "a" * 300):
            outcome = await dendrite.complete(Peer(MINER_KEY, host, 9), REQUEST, COMMITMENT, seconds=10)
            assert outcome.result is Result.UNREACHABLE, outcome
            assert outcome.timing.total is None


async def test_fan_out_times_each_miner_from_its_own_write_under_one_deadline(world: World) -> None:
    silent = sends(b"", hold=30)
    async with evil(silent) as slow:
        asks = [(world.peer, make_request(VALIDATOR, MINER_KEY, n), world.commitment) for n in range(20)]
        asks.insert(7, (slow, REQUEST, world.commitment))
        started = time.monotonic()
        outcomes = await world.dendrite.complete_many(asks, seconds=3.0)
        took = time.monotonic() - started
    assert 2.9 < took < 6
    assert [outcome.result for outcome in outcomes] == ["ok"] * 7 + ["timeout"] + ["ok"] * 13
    # The silent one does not make the others look slow.
    assert all((outcome.timing.total or 9) < 3.0 for outcome in outcomes if outcome.ok)


async def test_a_connection_closed_while_it_was_idle_is_replaced(world: World) -> None:
    assert world.dendrite._pool is not None
    (host,) = world.dendrite._pool._hosts.values()
    (idle,) = host.idle
    assert idle.transport is not None
    # As if the peer had closed it and we had not noticed yet.
    idle.transport.get_extra_info("socket").shutdown(2)
    outcome = await world.dendrite.complete(
        world.peer, make_request(VALIDATOR, MINER_KEY, 0), world.commitment, seconds=10
    )
    assert outcome.ok, outcome


async def test_a_closed_dendrite_fails_on_our_side() -> None:
    outcome = await Dendrite(VALIDATOR).complete(Peer(MINER_KEY, "1.1.1.1", 1), REQUEST, COMMITMENT, seconds=1)
    assert outcome.result is Result.OUR_FAILURE and MINER.ss58_address not in outcome.detail
