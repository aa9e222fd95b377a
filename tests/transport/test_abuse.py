"""Every outsider of the adversary list against a real axon process, with honest traffic beside it."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from subnet.protocol import encode, paths
from subnet.protocol.handshake import Hello, SecretsCommitment
from subnet.transport.dendrite import Dendrite, Peer
from tests.transport import attackers
from tests.transport.attackers import HELLO, exchange, signed_head
from tests.transport.axon_process import (
    DENIED,
    MINER_KEY,
    POOR,
    RIVAL,
    STRANGER,
    VALIDATOR,
    AxonProcess,
    axon_process,
)
from tests.transport.miner_double import GENESIS, NETUID, make_request

SECONDS = 1.0
COUNTERS = itertools.count()


@contextlib.asynccontextmanager
async def honest(port: int) -> AsyncIterator[tuple[Dendrite, Peer, SecretsCommitment]]:
    async with Dendrite(VALIDATOR, allow_private=True) as dendrite:
        peer = Peer(MINER_KEY, "127.0.0.1", port)
        greeted = await dendrite.hello(peer, Hello((1,), GENESIS, NETUID), seconds=10)
        assert greeted.ok and greeted.value is not None, greeted
        yield dendrite, peer, greeted.value.capabilities.handshake.commitment


async def attack_with_honest_traffic(process: AxonProcess, attacker: attackers.Attacker) -> attackers.Seen:
    """Run the attacker; meanwhile every honest request must be answered."""
    async with honest(process.port) as (dendrite, peer, commitment):
        attack = asyncio.create_task(attacker(process.port, SECONDS))
        answered = 0
        while not attack.done() or answered < 20:
            request = make_request(VALIDATOR, MINER_KEY, next(COUNTERS))
            outcome = await dendrite.complete(peer, request, commitment, seconds=20)
            assert outcome.ok, (attacker, outcome)
            answered += 1
        return await attack


@pytest.fixture(scope="module")
def axon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AxonProcess]:
    """One process for the attackers that need no limits of their own. What it survives, it survives in sequence."""
    with axon_process(tmp_path_factory.mktemp("axon") / "nonces", per_address=64) as process:
        yield process
    assert process.facts, "the axon process died"
    assert process.facts[0]["memory_mib"] < 300  # type: ignore[operator]


async def run(tmp_path: Path, attacker: attackers.Attacker, **options: object) -> tuple[attackers.Seen, AxonProcess]:
    with axon_process(tmp_path / "nonces", **options) as process:
        seen = await attack_with_honest_traffic(process, attacker)
    assert process.facts, "the axon process died"
    return seen, process


async def test_replayer_is_answered_once(axon: AxonProcess) -> None:
    seen = await attack_with_honest_traffic(axon, attackers.replayer)
    assert seen["200"] == 1 and seen["409"] > 10


async def test_replayer_over_two_workers_is_answered_once(tmp_path: Path) -> None:
    # Without a shared store each worker would answer once.
    with axon_process(tmp_path / "nonces", processes=2) as process:
        seen = await attackers.replayer(process.port, SECONDS)
    assert len(process.facts) == 2
    served = [sum(facts["outcomes"].values()) for facts in process.facts]  # type: ignore[attr-defined]
    assert min(served) > 0, f"one worker took everything: {served}"
    assert seen["200"] == 1 and seen["409"] > 10


async def test_replayer_to_another_miner_is_refused(axon: AxonProcess) -> None:
    captured = signed_head(HELLO, receiver=STRANGER.ss58_address) + HELLO
    status, fault = await exchange(axon.port, captured)
    assert (status, fault["code"]) == (403, "wrong_receiver")


async def test_stale_and_future_nonces_are_refused_by_every_worker(tmp_path: Path) -> None:
    with axon_process(tmp_path / "nonces", processes=2) as process:
        for seconds in (-3_600, -11, 4, 3_600):
            for _ in range(4):
                nonce = time.time_ns() + seconds * 10**9
                status, fault = await exchange(process.port, signed_head(HELLO, nonce_ns=nonce) + HELLO)
                assert (status, fault["code"]) == (401, "stale")


async def test_unauthorised_get_403_before_any_work(tmp_path: Path) -> None:
    request = make_request(VALIDATOR, MINER_KEY, 0)
    path, body = paths.completion_path(request.digest), encode(request)
    with axon_process(tmp_path / "nonces") as process:
        for signer in (STRANGER, POOR, DENIED):
            head = signed_head(body, path, signer=signer)
            status, fault = await exchange(process.port, head + body)
            assert (status, fault["code"]) == (403, "forbidden")
    assert process.facts[0]["calls"] == 0


async def test_unauthorised_flood(axon: AxonProcess) -> None:
    seen = await attack_with_honest_traffic(axon, attackers.unauthorised)
    assert set(seen) <= {"403", "closed"} and seen["403"] > 10


async def test_flooder_with_1_gb_bodies_is_cut_off_early(axon: AxonProcess) -> None:
    seen = await attack_with_honest_traffic(axon, attackers.huge_bodies)
    assert seen["refused"] > 2
    # What one connection got rid of is bounded by buffers, far below what it wanted to send.
    assert seen["largest"] < 50_000_000


async def test_flooder_with_slow_headers_is_closed_at_the_deadline(tmp_path: Path) -> None:
    seen, _ = await run(tmp_path, attackers.slow_headers, head_seconds=0.5)
    assert seen["closed_by_axon"] >= 200 and seen["longest_ms"] < 1_400


async def test_flooder_with_slow_bodies_is_closed_at_the_deadline(tmp_path: Path) -> None:
    seen, _ = await run(tmp_path, attackers.slow_bodies, body_seconds=0.5)
    assert 400 < seen["longest_ms"] < 5_000


async def test_flooder_with_5000_connections(tmp_path: Path) -> None:
    seen, process = await run(tmp_path, attackers.many_connections, connections=6_000, per_address=256)
    assert seen["opened"] == 5_000
    assert process.facts[0]["memory_mib"] < 500  # type: ignore[operator]


async def test_flooder_with_more_connections_than_allowed_is_told_503(tmp_path: Path) -> None:
    with axon_process(tmp_path / "nonces", per_address=4) as process:
        address = attackers.source()
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(4):
                await stack.enter_async_context(attackers.connection(process.port, address))
            status, fault = await exchange(process.port, b"", address)
            assert (status, fault["code"]) == (503, "overloaded") and fault["retry_after_ms"] > 0
            # Another address is not affected.
            status, _ = await exchange(process.port, signed_head(HELLO) + HELLO)
            assert status == 200


async def test_flooder_who_fills_every_place_does_not_keep_validators_out(tmp_path: Path) -> None:
    # Without eviction the honest caller would be told 503 until the flooder's connections time out.
    with axon_process(tmp_path / "nonces", connections=40, per_address=100, head_seconds=60) as process:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(45):
                await stack.enter_async_context(attackers.connection(process.port))
            async with honest(process.port) as (dendrite, peer, commitment):
                assert dendrite._pool is not None
                (host,) = dendrite._pool._hosts.values()
                before = host.idle[0]
                for _ in range(45):
                    await stack.enter_async_context(attackers.connection(process.port))
                for counter in range(3):
                    request = make_request(VALIDATOR, MINER_KEY, counter)
                    outcome = await dendrite.complete(peer, request, commitment, seconds=10)
                    assert outcome.ok
                # The validator's own connection was not closed to make room.
                assert host.idle == [before]


async def test_flooder_from_one_address(axon: AxonProcess) -> None:
    await attack_with_honest_traffic(axon, attackers.one_address)


@pytest.mark.parametrize(
    ("attacker", "status"),
    [
        (attackers.compressed_bombs, "415"),
        (attackers.deep_json, "400"),
        (attackers.non_finite, "400"),
        (attackers.wrong_types, "415"),
        (attackers.huge_base58, "401"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_hostile_bodies_and_headers(axon: AxonProcess, attacker: attackers.Attacker, status: str) -> None:
    seen = await attack_with_honest_traffic(axon, attacker)
    assert set(seen) <= {status, "closed", "0"} and seen[status] > 3


async def test_flooder_beyond_the_address_rate_is_told_when_to_return(tmp_path: Path) -> None:
    with axon_process(tmp_path / "nonces", address_rate=0.01, address_burst=3) as process:
        address = attackers.source()
        answers = [await exchange(process.port, signed_head(HELLO) + HELLO, address) for _ in range(4)]
        elsewhere, _ = await exchange(process.port, signed_head(HELLO) + HELLO)
    assert [status for status, _ in answers] == [200, 200, 200, 429] and elsewhere == 200
    fault = answers[-1][1]
    assert fault["code"] == "rate_limited" and 0 < fault["retry_after_ms"] <= 100_000


async def test_overload_is_503_with_a_retry_time_and_says_nothing_false(tmp_path: Path) -> None:
    with axon_process(tmp_path / "nonces", in_flight=2, delay=0.4) as process:
        async with honest(process.port) as (dendrite, peer, commitment):
            outcomes = await asyncio.gather(
                *(
                    dendrite.complete(peer, make_request(VALIDATOR, MINER_KEY, n), commitment, seconds=10)
                    for n in range(5)
                )
            )
            faults = [outcome for outcome in outcomes if not outcome.ok]
            assert len(faults) == 3
            for outcome in faults:
                assert outcome.status == 503 and outcome.fault is not None
                assert outcome.fault.code == "overloaded" and outcome.fault.retry_after_ms > 0
            later = await dendrite.complete(peer, make_request(VALIDATOR, MINER_KEY, 9), commitment, seconds=10)
            assert later.ok


async def test_flooder_who_has_spent_its_rate_is_refused_before_its_body_and_cannot_spend_anothers(
    tmp_path: Path,
) -> None:
    with axon_process(tmp_path / "nonces", hotkey_rate=2) as process:
        for expected in [200] * 4 + [429]:
            status, _ = await exchange(process.port, signed_head(HELLO, signer=RIVAL) + HELLO)
            assert status == expected
        # Not a byte of the announced body is sent, or waited for.
        status, fault = await exchange(process.port, signed_head(b"x" * 1_000_000, signer=RIVAL))
        assert (status, fault["code"]) == (429, "rate_limited")
        # The attack: who cannot sign for a validator names it all the same, so that it has nothing left.
        for _ in range(20):
            forged = signed_head(HELLO, signer=RIVAL, extra={"X-Bittensor-Hotkey": VALIDATOR.ss58_address})
            status, _ = await exchange(process.port, forged + HELLO)
            assert status == 401
        status, _ = await exchange(process.port, signed_head(HELLO) + HELLO)
        assert status == 200
