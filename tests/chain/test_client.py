"""The chain access layer against the embedded chain as a process of its own."""

import asyncio
import dataclasses
import signal
import time

import bittensor as bt
import pytest

from subnet.chain import Chain, ChainAway, ChainRejected, Endpoint, WeightsReason, load_hotkey
from subnet.chain.membership import Membership, Publisher, external_endpoint
from subnet.chain.owner import connected, development_key
from subnet.config.tree import Wallet
from subnet.errors import ConfigError
from tests.neurons.world import World


async def sudo(world, **settings):
    """Sets hyperparameters as the chain's owner."""
    async with connected(world.endpoint, development_key("Alice")) as owner:
        for name, value in settings.items():
            setter = getattr(bt.calls.AdminUtils, f"sudo_set_{name}")
            key = {"commit_reveal_weights_enabled": "enabled"}.get(name, name)
            call = await owner._client.compose(setter(netuid=world.netuid, **{key: value}))
            await owner._submit(bt.calls.Sudo.sudo(call=call), owner._signer, name)


async def until_permit(chain, world):
    async for _ in chain.heads:
        row = (await chain.snapshot(world.netuid)).by_hotkey(world.hotkeys["validator"])
        if row.validator_permit:
            return row


@pytest.fixture
async def world(tmp_path):
    made = World(tmp_path, block_time=0.25, tempo=10)
    try:
        await made.open(["validator"], ["miner", "other"], rate_limit=0)
        yield made
    finally:
        made.close()


async def test_reads_weights_endpoints_and_commitments_against_a_real_node(world):
    chain = Chain(world.endpoint, timeout_s=10)
    hotkey = load_hotkey(Wallet("validator", "default", str(world.folder / "wallets")))
    miner_key = load_hotkey(Wallet("miner", "default", str(world.folder / "wallets")))
    try:
        async with asyncio.timeout(90):
            head = await chain.head()
            assert await chain.block_hash(head.number) == head.hash and len(await chain.genesis()) == 32
            assert await chain.block_time() == 0.25 and abs(await chain.clock() - time.time()) < 30
            with pytest.raises(ChainRejected, match="no subnet 999"):
                await chain.snapshot(999)

            me = await until_permit(chain, world)
            snapshot = await chain.snapshot(world.netuid)
            uids = snapshot.uids
            assert me.stake > 0 and snapshot.total_validator_stake >= me.stake
            miner, other = uids[world.hotkeys["miner"]], uids[world.hotkeys["other"]]
            epoch = await chain.epoch(world.netuid)
            assert epoch.tempo == 10 and epoch.next_block is not None and epoch.next_block >= epoch.block

            outcome = await chain.set_weights(world.netuid, {miner: 0.75, other: 0.25}, hotkey)
            assert outcome.reason is WeightsReason.SET, outcome
            row = dict(await chain.weight_row(world.netuid, me.uid))
            assert row[miner] == 65535 and abs(row[other] / row[miner] - 1 / 3) < 1e-4
            zeroed = await chain.set_weights(world.netuid, {miner: 1.0, other: 0.0}, hotkey)
            assert zeroed.reason is WeightsReason.SET and other not in dict(
                await chain.weight_row(world.netuid, me.uid)
            )

            nothing = await chain.set_weights(world.netuid, {miner: 0.0}, hotkey)
            assert nothing.reason is WeightsReason.NOTHING_TO_SET
            stranger = await chain.set_weights(world.netuid, {miner: 1.0}, development_key("Ferdie"))
            assert stranger.reason is WeightsReason.NOT_REGISTERED
            without = await chain.set_weights(world.netuid, {other: 1.0}, miner_key)
            assert without.reason in (WeightsReason.NO_PERMIT, WeightsReason.TOO_LITTLE_STAKE)
            await sudo(world, weights_set_rate_limit=1000)
            fast = await chain.set_weights(world.netuid, {miner: 1.0}, hotkey)
            assert fast.reason is WeightsReason.RATE_LIMITED
            await sudo(world, weights_set_rate_limit=0, weights_version_key=7)
            old = await chain.set_weights(world.netuid, {miner: 1.0}, hotkey, version_key=6)
            assert old.reason is WeightsReason.VERSION_KEY
            assert (await chain.set_weights(world.netuid, {miner: 1.0}, hotkey)).reason is WeightsReason.SET

            publisher = Publisher(chain, world.netuid, miner_key, Endpoint("127.0.0.2", 4321))
            await publisher.on_snapshot(snapshot.by_hotkey(world.hotkeys["miner"]), snapshot.block)
            assert publisher.published
            assert (await chain.snapshot(world.netuid)).by_uid(miner).axon == Endpoint("127.0.0.2", 4321)

            await chain.publish(world.netuid, "assay1 5 " + "ab" * 32, hotkey)
            found = (await chain.published(world.netuid))[world.hotkeys["validator"]]
            assert found.text == "assay1 5 " + "ab" * 32
            with pytest.raises(ChainRejected, match="128 bytes"):
                await chain.publish(world.netuid, "x" * 129, hotkey)
    finally:
        await chain.close()


async def test_every_call_ends_when_the_chain_is_silent_and_goes_on_when_it_is_back(world):
    chain = Chain(world.endpoint, timeout_s=1.0)
    hotkey = load_hotkey(Wallet("validator", "default", str(world.folder / "wallets")))
    try:
        async with asyncio.timeout(60):
            before = await chain.head()
            heads = chain.heads
            await heads.after(0)
            world.chain.signal(signal.SIGSTOP)
            began = time.monotonic()
            with pytest.raises(ChainAway, match="within 1 s"):
                await chain.snapshot(world.netuid)
            assert time.monotonic() - began < 3 and chain.failures >= 1
            outcome = await chain.set_weights(world.netuid, {0: 1.0}, hotkey)
            assert outcome.reason is WeightsReason.CHAIN_AWAY
            world.chain.signal(signal.SIGCONT)
            head = await heads.after(before.number + 4)
            assert head.number > before.number

            port = int(world.endpoint.rsplit(":", 1)[1])
            world.chain.kill()
            with pytest.raises(ChainAway):
                await chain.snapshot(world.netuid)
            await world.start_chain(port)
            again = await heads.after(head.number)
            assert again.number > head.number
            assert (await chain.snapshot(world.netuid)).by_hotkey(world.hotkeys["miner"]) is not None
    finally:
        await chain.close()


async def test_a_snapshot_is_refreshed_and_a_missing_registration_is_told_and_waited_for(world):
    chain = Chain(world.endpoint, timeout_s=10)
    try:
        member = Membership(chain, world.netuid, world.hotkeys["miner"], "btcli …")
        stranger = Membership(chain, world.netuid, development_key("Ferdie").ss58_address, "btcli …")
        head = await chain.head()
        assert await member.on_head(head) and member.me is not None
        assert not await member.on_head(dataclasses.replace(head, number=member.snapshot.block))
        assert await stranger.on_head(head) and stranger.me is None
        assert (await member.registered()).hotkey == world.hotkeys["miner"]
    finally:
        await chain.close()


def test_an_address_that_others_cannot_reach_must_be_given():
    with pytest.raises(ConfigError, match=r"--axon\.external_ip"):
        external_endpoint("", 0, 8091, "ws://127.0.0.1:9944")
    assert external_endpoint("127.0.0.2", 0, 8091, "ws://127.0.0.1:9944") == Endpoint("127.0.0.2", 8091)
    assert external_endpoint("1.2.3.4", 99, 8091, "ws://x") == Endpoint("1.2.3.4", 99)
