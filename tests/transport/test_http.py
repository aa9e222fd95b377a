import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subnet.errors import TransportError
from subnet.transport.http import Exchange

ANSWERS = (
    b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"a": 12}',
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{}{}\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
    b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
)


class Sink:
    """The part of a transport that an exchange uses."""

    def __init__(self) -> None:
        self.closed = False

    def write(self, data: bytes) -> None:
        assert data

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


async def feed(data: bytes, cuts: list[int], cap: int = 64) -> Exchange:
    """Feed an answer in pieces, then the end of the connection; returns when the exchange has made up its mind."""
    exchange = Exchange()
    sink: Any = Sink()
    exchange.connection_made(sink)
    exchange.begin(b"GET / HTTP/1.1\r\n\r\n", cap)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        if not sink.closed:
            exchange.data_received(data[start:end])
    exchange.connection_lost(None)
    return exchange


async def outcome(exchange: Exchange) -> bytes | TransportError:
    try:
        async with asyncio.timeout(5):
            await exchange.head()
            return await exchange.body()
    except TransportError as error:
        return error


@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (ANSWERS[0], 200, b'{"a": 12}'),
        (ANSWERS[1], 200, b"{}{}abc"),
        (ANSWERS[2], 404, b"{}"),
        (ANSWERS[3], 302, b""),
        (ANSWERS[4], 204, b""),
    ],
)
async def test_answers_are_the_same_however_they_are_cut(data: bytes, status: int, body: bytes) -> None:
    for cuts in ([], list(range(len(data))), [1, 9, 40], [len(data) - 1]):
        exchange = await feed(data, cuts)
        assert await outcome(exchange) == body and exchange.status == status


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(ANSWERS),
    st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=6)), max_size=4),
    st.lists(st.integers(0, 200), max_size=5),
)
async def test_fuzz_changed_answers_end_in_a_body_or_a_transport_error(
    data: bytes, edits: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    changed = bytearray(data)
    for position, piece in edits:
        at = position % len(changed)
        changed[at : at + len(piece)] = piece
    result = await outcome(await feed(bytes(changed), cuts))
    assert isinstance(result, TransportError) or len(result) <= 64


async def test_a_connection_that_speaks_unasked_is_not_used_again() -> None:
    # The attack: answer the next request before it is sent, and so choose what it gets.
    exchange = Exchange()
    sink: Any = Sink()
    exchange.connection_made(sink)
    exchange.begin(b"GET / HTTP/1.1\r\n\r\n", 64)
    exchange.data_received(ANSWERS[0])
    assert await exchange.body() == b'{"a": 12}' and exchange.reusable
    exchange.data_received(ANSWERS[0])
    assert sink.closed and not exchange.reusable


async def test_two_answers_in_one_packet_close_the_connection() -> None:
    exchange = Exchange()
    sink: Any = Sink()
    exchange.connection_made(sink)
    exchange.begin(b"GET / HTTP/1.1\r\n\r\n", 64)
    exchange.data_received(ANSWERS[0] + ANSWERS[0])
    assert await outcome(exchange) == b'{"a": 12}'
    assert sink.closed and not exchange.reusable
