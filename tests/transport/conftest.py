"""An axon and a dendrite in one loop, for tests that look inside."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from subnet.protocol import Hello
from subnet.protocol.handshake import SecretsCommitment
from subnet.transport.axon import Axon, AxonLimits, Identity
from subnet.transport.dendrite import Dendrite, Peer
from subnet.transport.nonces import SharedNonceStore
from subnet.transport.server import AxonServer, listen
from tests.transport.axon_process import CALLERS, MINER, MINER_KEY, POLICY, VALIDATOR
from tests.transport.miner_double import GENESIS, NETUID, MinerDouble


@dataclass
class World:
    """A miner behind an axon, and a validator that has shaken hands with it."""

    miner: MinerDouble
    axon: Axon
    peer: Peer
    dendrite: Dendrite
    commitment: SecretsCommitment


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    miner = MinerDouble(MINER)
    with SharedNonceStore(tmp_path / "nonces", slots=4_096) as nonces:
        axon = Axon(
            Identity(MINER_KEY, GENESIS, NETUID),
            miner,
            lambda hotkey: POLICY.refusal(hotkey, CALLERS),
            nonces,
            AxonLimits(seconds=20.0),
        )
        async with (
            AxonServer(axon, listen("127.0.0.1", 0), grace_seconds=1) as server,
            Dendrite(VALIDATOR, allow_private=True) as dendrite,
        ):
            peer = Peer(MINER_KEY, "127.0.0.1", server.port)
            greeted = await dendrite.hello(peer, Hello((1,), GENESIS, NETUID), seconds=10)
            assert greeted.value is not None, greeted
            commitment = greeted.value.capabilities.handshake.commitment
            yield World(miner, axon, peer, dendrite, commitment)
