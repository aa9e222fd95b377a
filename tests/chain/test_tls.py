"""TLS keys on the chain: a miner publishes its own, a validator accepts exactly that one, and it can be taken back."""

import asyncio
from dataclasses import replace

import pytest

from subnet.chain import Chain, Endpoint, load_hotkey
from subnet.chain.membership import Publisher
from subnet.config.tree import Wallet
from subnet.protocol import Hello, public_key
from subnet.transport.axon import Axon, Identity
from subnet.transport.dendrite import Dendrite
from subnet.transport.nonces import SharedNonceStore
from subnet.transport.outcomes import Result
from subnet.transport.pinning import server_context
from subnet.transport.server import AxonServer, listen
from subnet.validator.asking import peer_of
from tests.neurons.world import World
from tests.transport.miner_double import GENESIS, NETUID, MinerDouble, make_request


@pytest.fixture
async def world(tmp_path):
    made = World(tmp_path, block_time=0.25, tempo=10)
    try:
        await made.open(["validator"], ["miner"], rate_limit=0)
        yield made
    finally:
        made.close()


async def test_a_validator_pins_the_key_that_its_miner_published(world, tmp_path):
    chain = Chain(world.endpoint, timeout_s=10)
    validator, miner = (
        load_hotkey(Wallet(n, "default", str(world.folder / "wallets"))) for n in ("validator", "miner")
    )
    key = public_key(miner.ss58_address)
    context, certificate = server_context(tmp_path / "tls")
    _, another = server_context(tmp_path / "other")
    hello = Hello((1,), GENESIS, NETUID)

    async def published(endpoint: Endpoint) -> Endpoint:
        """The endpoint that the chain shows after the miner's publisher did its work."""
        publisher = Publisher(chain, world.netuid, miner, endpoint)
        async for head in chain.heads:
            me = (await chain.snapshot(world.netuid)).by_hotkey(miner.ss58_address)
            await publisher.on_snapshot(me, head.number)
            if me.axon == endpoint:
                return me.axon
        raise AssertionError("the heads never end")

    try:
        with SharedNonceStore(tmp_path / "nonces", slots=1024) as nonces:
            axon = Axon(Identity(key, GENESIS, NETUID), MinerDouble(miner), lambda hotkey: None, nonces)
            async with (
                asyncio.timeout(60),
                AxonServer(axon, listen("127.0.0.1", 0), tls=context, grace_seconds=1) as server,
                Dendrite(validator, allow_private=True) as dendrite,
            ):
                seen = await published(Endpoint("127.0.0.1", server.port, certificate))
                peer = peer_of(miner.ss58_address, seen)
                greeted = await dendrite.hello(peer, hello, seconds=5)
                assert greeted.value is not None, greeted
                commitment = greeted.value.capabilities.handshake.commitment
                assert (await dendrite.complete(peer, make_request(validator, key, 0), commitment, seconds=5)).ok
                # The attack: somebody in between answers in the miner's place, with a key of its own.
                refused = await dendrite.hello(replace(peer, tls_key=another), hello, seconds=5)
                assert refused.result is Result.UNREACHABLE and "TLS key" in refused.detail
                plain = await published(Endpoint("127.0.0.1", server.port))
                assert plain.certificate is None
    finally:
        await chain.close()
