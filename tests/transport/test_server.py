import asyncio
import random
import time

import pytest

from subnet.errors import TransportError
from subnet.transport.outcomes import Result
from subnet.transport.server import AxonServer, listen
from tests.transport.attackers import HELLO, exchange, signed_head
from tests.transport.axon_process import MINER_KEY, VALIDATOR
from tests.transport.conftest import World
from tests.transport.miner_double import make_request


async def test_a_port_in_use_is_a_clear_error(world: World) -> None:
    with pytest.raises(TransportError, match="choose another port"):
        listen("127.0.0.1", world.peer.port)


async def test_a_stopped_server_finishes_what_it_began_and_takes_no_more(world: World) -> None:
    world.miner.delay = 0.3
    async with AxonServer(world.axon, listen("127.0.0.1", 0), grace_seconds=5) as server:
        peer = type(world.peer)(MINER_KEY, "127.0.0.1", server.port)
        request = make_request(VALIDATOR, MINER_KEY, 0)
        running = asyncio.create_task(world.dendrite.complete(peer, request, world.commitment, seconds=10))
        deadline = time.monotonic() + 5
        while not world.axon.in_flight and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
    assert (await running).ok
    later = await world.dendrite.complete(peer, make_request(VALIDATOR, MINER_KEY, 1), world.commitment, seconds=5)
    assert later.result is Result.UNREACHABLE


async def test_fuzz_random_bytes_never_break_the_axon(world: World) -> None:
    chance = random.Random(7)
    good = signed_head(HELLO) + HELLO
    for _ in range(60):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(4))
        with_end = bytes(data[: chance.randrange(1, len(data) + 1)])
        try:
            async with asyncio.timeout(0.2):
                status, _ = await exchange(world.peer.port, with_end)
                assert status < 500
        except (TimeoutError, asyncio.IncompleteReadError, IndexError):
            continue
    assert (await world.dendrite.ping(world.peer, seconds=5)).ok
    assert world.axon.outcomes["internal"] == 0
