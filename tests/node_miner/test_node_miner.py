"""A miner in another language, written from docs/protocol.md, against the vectors and against our client."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import bittensor_core
import numpy as np
import pytest

from subnet.protocol import CompletionRequest, Hello, SecretsCommitment, negotiate, sign_standing
from subnet.protocol.standing import Reason, Standing
from subnet.sampling import Sampling, sample
from subnet.transport.dendrite import Dendrite, Peer
from subnet.transport.outcomes import Result

HERE = Path(__file__).parent
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")

GENESIS = b"\x9f" * 32
NETUID = 12
VALIDATOR = bittensor_core.Keypair.create_from_uri("//NodeValidator", 0)
STRANGER = bittensor_core.Keypair.create_from_uri("//NodeStranger", 0)
MINER = bittensor_core.Keypair.create_from_seed(b"n" * 32, 0)
MODEL = hashlib.sha256(b"node miner: toy model").digest()
BEACON = b"\xbe" * 32


@contextlib.asynccontextmanager
async def node_miner() -> AsyncIterator[Peer]:
    assert NODE is not None
    options = {
        "secret_seed": (b"n" * 32).hex(),
        "genesis": GENESIS.hex(),
        "netuid": NETUID,
        "callers": [VALIDATOR.ss58_address],
        "blocks": {"100": BEACON.hex(), "60": BEACON.hex()},
    }
    process = subprocess.Popen(
        [NODE, str(HERE / "miner.mjs"), json.dumps(options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        port = int(process.stdout.readline())
        yield Peer(bytes(MINER.public_key), "127.0.0.1", port)
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


async def shake_hands(dendrite: Dendrite, peer: Peer) -> SecretsCommitment:
    greeted = await dendrite.hello(peer, Hello((1,), GENESIS, NETUID), seconds=10)
    assert greeted.value is not None, greeted
    assert negotiate((1,), greeted.value.capabilities.versions) == 1
    return greeted.value.capabilities.handshake.commitment


def request(commitment: SecretsCommitment, counter: int, **changes: object) -> CompletionRequest:
    base = CompletionRequest(
        version=1,
        genesis=GENESIS,
        netuid=NETUID,
        model_id=MODEL,
        prompt=(3, 5, 60, 17),
        temperature_milli=900,
        min_p_ppm=20_000,
        max_tokens=40,
        validator=bytes(VALIDATOR.public_key),
        miner=bytes(MINER.public_key),
        beacon_block=100,
        beacon_hash=BEACON,
        nonce=os.urandom(32),
        epoch=commitment.epoch,
        counter=counter,
        extensions={"client-nonce": b"\x01"},
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def replayed(asked: CompletionRequest, tokens: tuple[int, ...], seed: bytes) -> list[int]:
    """The tokens that honest computation gives, by our own sampling on the toy model's logits."""
    before = (asked.prompt[-1], *tokens[:-1])
    rows = [[((previous * 31 + token * 17) % 97) / 16 for token in range(64)] for previous in before]
    count = len(tokens)
    sampling = Sampling(asked.temperature_milli, asked.min_p_ppm)
    chosen = sample(np.array(rows, np.float32), [seed] * count, list(range(count)), [sampling] * count)
    return [int(token) for token in chosen]


def test_node_passes_the_golden_vectors() -> None:
    assert NODE is not None
    done = subprocess.run([NODE, "--test", str(HERE)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-4_000:]
    assert "pass 12" in done.stdout


async def test_answers_of_the_node_miner_are_accepted_and_replay() -> None:
    async with node_miner() as peer, Dendrite(VALIDATOR, allow_private=True) as dendrite:
        commitment = await shake_hands(dendrite, peer)
        previous = bytes(32)
        for counter, changes in enumerate(({}, {"temperature_milli": 0}, {"min_p_ppm": 0}, {"max_tokens": 1})):
            asked = request(commitment, counter, **changes)
            call = dendrite.stream if counter == 2 else dendrite.complete
            outcome = await call(peer, asked, commitment, seconds=10)
            assert outcome.value is not None, outcome
            answer = outcome.value.response
            assert answer.body.previous == previous
            assert list(answer.body.tokens) == replayed(asked, answer.body.tokens, outcome.value.seed)
            retried = await dendrite.complete(peer, asked, commitment, seconds=10)
            assert retried.value is not None and retried.value.response == answer
            previous = answer.link


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"genesis": bytes(32)}, "wrong_network"),
    ({"model_id": bytes(32)}, "unknown_model"),
    ({"beacon_block": 60}, "stale_beacon"),
    ({"beacon_hash": bytes(32)}, "stale_beacon"),
    ({"counter": 256}, "epoch_exhausted"),
    ({"epoch": 5}, "unknown_epoch"),
    ({"max_tokens": 5_000}, "too_many_tokens"),
    ({"version": 2}, "unsupported_version"),
    ({"miner": bytes(VALIDATOR.public_key)}, "wrong_receiver"),
]


async def test_the_node_miner_refuses_with_the_protocols_codes() -> None:
    async with node_miner() as peer, Dendrite(VALIDATOR, allow_private=True) as dendrite:
        commitment = await shake_hands(dendrite, peer)
        for changes, code in REFUSED:
            asked = dataclasses.replace(request(commitment, 0), **changes)  # type: ignore[arg-type]
            outcome = await dendrite.complete(peer, asked, commitment, seconds=10)
            assert outcome.result is Result.FAULT and outcome.fault is not None, (code, outcome)
            assert outcome.fault.code == code


async def test_the_node_miner_answers_a_counter_once_and_admits_only_its_callers() -> None:
    async with node_miner() as peer, Dendrite(VALIDATOR, allow_private=True) as dendrite:
        commitment = await shake_hands(dendrite, peer)
        for expected in (None, "counter_used"):
            asked = request(commitment, 0)
            outcome = await dendrite.complete(peer, asked, commitment, seconds=10)
            assert (outcome.fault.code if outcome.fault else None) == expected
        async with Dendrite(STRANGER, allow_private=True) as other:
            refused = await other.hello(peer, Hello((1,), GENESIS, NETUID), seconds=10)
            assert refused.fault is not None and refused.fault.code == "forbidden" and refused.status == 403


async def test_the_node_miner_takes_its_standing() -> None:
    standing = Standing(
        1, GENESIS, NETUID, bytes(VALIDATOR.public_key), bytes(MINER.public_key), 100, "active", 9, 9, 1, 1, 1, 0, 1,
        (Reason("late", 1),),
    )  # fmt: skip
    async with node_miner() as peer, Dendrite(VALIDATOR, allow_private=True) as dendrite:
        assert (await dendrite.send_standing(peer, sign_standing(standing, VALIDATOR), seconds=10)).ok
