import asyncio
import dataclasses
import time
from typing import Any

import pytest

from subnet.protocol import Hello, SignedRequest, decode, encode, paths, sign_standing
from subnet.protocol.standing import Reason, Standing
from subnet.protocol.stream import Chunk
from subnet.transport.dendrite import Dendrite
from subnet.transport.outcomes import Result
from tests.transport.attackers import HELLO, exchange, signed_head
from tests.transport.axon_process import MINER_KEY, STRANGER, VALIDATOR
from tests.transport.conftest import World
from tests.transport.miner_double import GENESIS, NETUID, make_request


async def test_a_completion_is_answered_signed_and_chained(world: World) -> None:
    previous = bytes(32)
    for counter in range(3):
        request = make_request(VALIDATOR, MINER_KEY, counter)
        outcome = await world.dendrite.complete(world.peer, request, world.commitment, seconds=10)
        assert outcome.value is not None, outcome
        assert outcome.value.response.body.previous == previous
        previous = outcome.value.response.link
        assert outcome.timing.total is not None and outcome.timing.first_byte is not None
        assert 0 < outcome.timing.first_byte <= outcome.timing.total < 10


async def test_a_retry_is_the_identical_request_and_gets_the_identical_answer(world: World) -> None:
    request = make_request(VALIDATOR, MINER_KEY, 0)
    first, second = [await world.dendrite.complete(world.peer, request, world.commitment, seconds=10) for _ in range(2)]
    assert first.value == second.value and first.ok
    other = await world.dendrite.complete(
        world.peer, make_request(VALIDATOR, MINER_KEY, 0), world.commitment, seconds=10
    )
    assert other.fault is not None and other.fault.code == "counter_used"


async def test_a_stream_shows_tokens_before_its_signed_trailer(world: World) -> None:
    seen: list[Chunk] = []
    request = make_request(VALIDATOR, MINER_KEY, 0, max_tokens=40)
    outcome = await world.dendrite.stream(world.peer, request, world.commitment, seconds=10, on_chunk=seen.append)
    assert outcome.value is not None and len(seen) == 3
    assert sum((chunk.tokens for chunk in seen), ()) == outcome.value.response.body.tokens
    assert "".join(chunk.text for chunk in seen) == outcome.value.response.body.text


async def test_the_handler_is_cancelled_when_the_caller_goes_away(world: World) -> None:
    world.miner.delay = 0.2
    for number, call in enumerate((world.dendrite.complete, world.dendrite.stream)):
        request = make_request(VALIDATOR, MINER_KEY, number, max_tokens=1_000)
        outcome: Any = await call(world.peer, request, world.commitment, seconds=0.4)
        assert outcome.result is Result.TIMEOUT
        deadline = time.monotonic() + 10
        while world.miner.cancelled <= number and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        assert world.miner.cancelled == number + 1
    assert world.axon.in_flight == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"genesis": bytes(32)}, "wrong_network"),
        ({"netuid": 8}, "wrong_network"),
        ({"miner": bytes(STRANGER.public_key)}, "wrong_receiver"),
        ({"version": 2}, "unsupported_version"),
    ],
)
async def test_requests_for_elsewhere_are_refused(world: World, changes: dict[str, Any], code: str) -> None:
    request = dataclasses.replace(make_request(VALIDATOR, MINER_KEY, 0), **changes)
    outcome = await world.dendrite.complete(world.peer, request, world.commitment, seconds=10)
    assert outcome.result is Result.FAULT and outcome.fault is not None and outcome.fault.code == code
    assert world.miner.calls == 0


async def test_a_request_sent_by_another_than_its_validator_is_refused(world: World) -> None:
    # The attack: an admitted caller spends another validator's counter.
    request = dataclasses.replace(make_request(VALIDATOR, MINER_KEY, 0), validator=bytes(STRANGER.public_key))
    outcome = await world.dendrite.complete(world.peer, request, world.commitment, seconds=10)
    assert outcome.fault is not None and outcome.fault.code == "malformed" and world.miner.calls == 0


async def test_a_request_at_another_requests_path_is_refused(world: World) -> None:
    # The attack: a validator has an answer computed, and denies afterwards that it ever signed for this request.
    signed_for, sent = make_request(VALIDATOR, MINER_KEY, 0), make_request(VALIDATOR, MINER_KEY, 1)
    for path in (paths.completion_path(signed_for.digest), paths.COMPLETION_PREFIX, paths.COMPLETION_PREFIX + "0" * 64):
        status, fault = await exchange(world.peer.port, signed_head(encode(sent), path=path) + encode(sent))
        assert (status, fault["code"]) == (400, "malformed") and world.miner.calls == 0


async def test_the_axon_hands_on_what_proves_to_anybody_that_it_was_asked(world: World) -> None:
    for counter, call in enumerate((world.dendrite.complete, world.dendrite.stream)):
        request = make_request(VALIDATOR, MINER_KEY, counter)
        assert (await call(world.peer, request, world.commitment, seconds=10)).ok
        proof = world.miner.asked[counter]
        assert proof.request == request
        decode(SignedRequest, encode(proof)).require_valid()


async def test_standings_are_taken_only_from_their_validator_and_about_this_miner(world: World) -> None:
    standing = Standing(
        1, GENESIS, NETUID, bytes(VALIDATOR.public_key), MINER_KEY, 10, "active", 5, 5, 3, 1, 9, 0, 20_723,
        (Reason("late", 2),),
    )  # fmt: skip
    assert (await world.dendrite.send_standing(world.peer, sign_standing(standing, VALIDATOR), seconds=10)).ok
    elsewhere = dataclasses.replace(standing, miner=bytes(32))
    outcome = await world.dendrite.send_standing(world.peer, sign_standing(elsewhere, VALIDATOR), seconds=10)
    assert outcome.fault is not None and outcome.fault.code == "malformed"
    assert [signed.standing for signed in world.miner.standings] == [standing]


async def test_our_own_failure_is_500_and_tells_nothing(world: World) -> None:
    async def broken(call: Any, hello: Any) -> Any:
        raise ZeroDivisionError("secret detail")

    world.miner.hello = broken  # type: ignore[method-assign]
    outcome = await world.dendrite.hello(world.peer, Hello((1,), GENESIS, NETUID), seconds=10)
    assert outcome.fault is not None and outcome.fault.code == "internal"
    assert "secret" not in outcome.fault.detail and world.axon.outcomes["internal"] == 1


async def test_a_hello_for_another_subnet_is_refused(world: World) -> None:
    outcome = await world.dendrite.hello(world.peer, Hello((1,), GENESIS, NETUID + 1), seconds=10)
    assert outcome.fault is not None and outcome.fault.code == "wrong_network"


async def test_ping_names_the_hotkey(world: World) -> None:
    outcome = await world.dendrite.ping(world.peer, seconds=10)
    assert outcome.value == world.miner.signer.ss58_address


async def test_one_dendrite_reuses_its_connection(world: World) -> None:
    async with Dendrite(VALIDATOR, allow_private=True) as dendrite:
        for counter in range(5):
            request = make_request(VALIDATOR, MINER_KEY, counter)
            outcome = await dendrite.complete(world.peer, request, world.commitment, seconds=10)
            assert outcome.ok
            assert outcome.timing.waited is not None
        assert dendrite._pool is not None
        (host,) = dendrite._pool._hosts.values()
        assert len(host.idle) == 1 and host.users == 0


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /assay/v1/hello HTTP/1.1\r\nhost: a\r\n\r\n", 405),
        (b"POST /assay/v1/ping HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", 405),
        (b"POST /assay/v2/hello HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", 404),
        (b"POST /assay/v1/hello?x=1 HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", 404),
        (b"POST /assay/v1/%68ello HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", 404),
        (b"POST /assay/v1/hello HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", 415),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET /" + b"a" * 20_000, 413),
        (b"GET /assay/v1/ping HTTP/1.1\r\n" + b"a: b\r\n" * 100 + b"\r\n", 413),
        (b"GET /assay/v1/ping HTTP/1.1\r\na: " + b"b" * 20_000, 413),
        (b"POST /assay/v1/hello HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!", 400),
        (
            b"POST /assay/v1/hello HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"
            b"0\r\n\r\n",
            400,
        ),
        (signed_head(HELLO, extra={"content-length": "9" * 30}), 400),
        (signed_head(HELLO, extra={"content-length": "1048577"}), 413),
        (signed_head(HELLO, extra={"content-type": "application/json; charset=utf-8"}) + HELLO, 415),
    ],
)
async def test_requests_that_are_not_ours_are_refused(world: World, data: bytes, status: int) -> None:
    got, fault = await exchange(world.peer.port, data)
    assert (got == status and fault["code"] in world.axon.outcomes) or status in (400, 413)


async def test_a_signature_covers_path_and_body(world: World) -> None:
    for data in (
        signed_head(HELLO, path=paths.STANDING).replace(b"/standing ", b"/hello ") + HELLO,
        signed_head(HELLO) + HELLO.replace(b'"netuid":7', b'"netuid":8'),
    ):
        status, fault = await exchange(world.peer.port, data)
        assert (status, fault["code"]) == (401, "unauthenticated")
