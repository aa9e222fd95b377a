"""The unmodified SDK against a running node: every flow a subnet uses."""

from __future__ import annotations

from typing import Any

import bittensor as bt
import pytest
from bittensor import intents

from subnet.localchain.defaults import RAO
from subnet.localchain.pallets.subtensor.weights import commit_hash
from subnet.localchain.process import RunningChain
from tests.localchain.conftest import TEMPO, Wallet, keypair, sdk, wallet


async def execute(client: bt.Client, intent: Any, who: Wallet) -> Any:
    """Execute an intent that must succeed.

    After a shielded call the SDK's nonce cache is one behind, here as on any chain: it asks for one more try.
    """
    result = await client.execute(intent, who)
    if not result.success and "nonce is below" in result.message:
        result = await client.execute(intent, who)
    assert result.success, f"{intent.op}: {result.message}"
    return result


async def new_subnet(client: bt.Client, owner: Wallet) -> int:
    made = await execute(client, intents.RegisterSubnet(hotkey_ss58=owner.hot), owner)
    netuid = int(made.data["netuid"])
    await execute(client, intents.StartCall(netuid=netuid), owner)
    return netuid


async def blocks_pass(client: bt.Client, count: int) -> None:
    async for _ in client.blocks():
        count -= 1
        if count <= 0:
            return


async def test_connect_read_and_follow_heads(chain: RunningChain) -> None:
    async with sdk(chain.endpoint) as client:
        assert (await client.balances.balance(keypair("//Bob").ss58_address)).rao > 900_000 * RAO
        numbers = []
        async for update in client.blocks():
            numbers.append(update.number)
            if len(numbers) == 3:
                break
        assert numbers == list(range(numbers[0], numbers[0] + 3))
        past = await client.at(numbers[0])
        assert past.block == numbers[0]
        assert await client.query(bt.storage.SubtensorModule.Tempo, [1]) == TEMPO
        assert set(await client.read("token_symbols")) >= {0, 1}
        assert {s.netuid for s in await client.read("subnets")} >= {0, 1}


async def test_transfer_and_its_failure(chain: RunningChain) -> None:
    sender, target = wallet("//Eve"), wallet("//sdk//target")
    async with sdk(chain.endpoint) as client:
        await execute(client, intents.Transfer(dest_ss58=target.cold, amount_tao=5), sender)
        assert (await client.balances.balance(target.cold)).rao == 5 * RAO
        call = bt.calls.Balances.transfer_keep_alive(dest=target.cold, value=10**18)
        failed = await client.submit_call(call, sender)
        assert not failed.success and "spendable balance" in failed.message


async def test_a_whole_subnet(chain: RunningChain) -> None:
    """Register, start, join shielded and plain, serve, stake, set weights, earn, read it all back."""
    owner, validator, miner = (
        wallet("//Alice", "//sdk//owner"),
        wallet("//Bob", "//sdk//val"),
        wallet("//Dave", "//sdk//m"),
    )
    async with sdk(chain.endpoint) as client:
        netuid = await new_subnet(client, owner)
        shielded = await execute(client, intents.BurnedRegister(netuid=netuid), validator)
        assert shielded.data["shielded"]
        plain = bt.calls.SubtensorModule.burned_register(netuid=netuid, hotkey=miner.hot)
        assert (await client.submit_call(plain, miner)).success
        await execute(client, intents.ServeAxon(netuid=netuid, ip="127.0.0.1", port=8091), miner)
        stake = intents.AddStake(netuid=netuid, hotkey_ss58=validator.hot, amount_tao=10)
        await execute(client, stake, validator)
        info = {"fields": [{"Raw5": "0x" + b"hello".hex()}]}
        commitment = bt.calls.Commitments.set_commitment(netuid=netuid, info=info)
        assert (await client.submit_call(commitment, miner, signer="hotkey")).success
        await blocks_pass(client, 12)
        await execute(client, intents.SetWeights(netuid=netuid, weights={2: 1.0}), validator)
        await blocks_pass(client, 22)
        graph = await client.subnets.metagraph(netuid)
        assert [n.uid for n in graph] == [0, 1, 2] and graph.hotkeys == [owner.hot, validator.hot, miner.hot]
        assert graph.neuron(1).validator_permit and graph.neuron(1).dividends > 0
        assert graph.neuron(2).incentive == 1.0 and graph.neuron(2).emission.rao > 0
        assert graph.neuron(2).axon == "127.0.0.1:8091"
        assert graph.neuron(2).commitment.value == "hello"
        full = await client.neurons.all(netuid, lite=False)
        assert full[1].raw["weights"] == [(2, 65535)] or full[1].raw["weights"] == [[2, 65535]]
        assert await client.read("weights", netuid=netuid) == {1: {2: 1.0}}
        held = await client.read("stake", coldkey_ss58=validator.cold, hotkey_ss58=validator.hot, netuid=netuid)
        await execute(client, intents.RemoveStake(netuid=netuid, hotkey_ss58=validator.hot, amount_alpha=15), validator)
        left = await client.read("stake", coldkey_ss58=validator.cold, hotkey_ss58=validator.hot, netuid=netuid)
        assert 9 * RAO < left.rao + 5 * RAO < held.rao + RAO
        positions = await client.read("stake_for_coldkey", coldkey_ss58=validator.cold)
        assert any(p.netuid == netuid and p.hotkey == validator.hot for p in positions)


async def test_epoch_reads_and_waits(chain: RunningChain) -> None:
    async with sdk(chain.endpoint) as client:
        netuid = await new_subnet(client, wallet("//Alice", "//sdk//epochs"))
        status = await client.read("epoch_status", netuid=netuid)
        assert status["tempo"] == TEMPO and 0 <= status["blocks_remaining"] <= TEMPO
        await client.wait_for_epoch(netuid)
        after = await client.read("epoch_status", netuid=netuid)
        assert after["epoch_index"] == status["epoch_index"] + 1
        assert after["last_epoch_block"] == status["next_epoch_start_block"]


async def test_collateral(chain: RunningChain) -> None:
    owner, miner = wallet("//Alice", "//sdk//coll-owner"), wallet("//Charlie", "//sdk//coll")
    async with sdk(chain.endpoint) as client:
        netuid = await new_subnet(client, owner)
        share = intents.SetHyperparameter(netuid=netuid, name="collateral_lock_share", value=0.5)
        await execute(client, share, owner)
        assert (await client.read("collateral_policy", netuid=netuid))["lock_share"] == pytest.approx(0.5, abs=1e-4)
        await execute(client, intents.BurnedRegister(netuid=netuid), miner)
        entry = await client.read("miner_collateral", netuid=netuid, hotkey_ss58=miner.hot)
        assert entry["locked_alpha"].rao == pytest.approx(0.05 * RAO, rel=0.01)
        await execute(client, intents.AddCollateral(netuid=netuid, amount_alpha=1), miner)
        await execute(client, intents.SetMinCollateral(netuid=netuid, min_alpha=2), miner)
        entry = await client.read("miner_collateral", netuid=netuid, hotkey_ss58=miner.hot)
        assert entry["locked_alpha"].rao == pytest.approx(1.05 * RAO, rel=0.01)
        assert entry["min_locked_alpha"].rao == 2 * RAO
        listed = await client.read("subnet_collateral", netuid=netuid)
        assert [row["uid"] for row in listed] == [1]


async def test_hyperparameters_and_sudo(chain: RunningChain) -> None:
    owner = wallet("//Alice", "//sdk//hyper")
    async with sdk(chain.endpoint) as client:
        netuid = await new_subnet(client, owner)
        await execute(client, intents.SetHyperparameter(netuid=netuid, name="immunity_period", value=77), owner)
        assert (await client.subnets.subnet_hyperparameters(netuid))["immunity_period"] == 77
        tempo = bt.calls.AdminUtils.sudo_set_tempo(netuid=netuid, tempo=11)
        inner = await client._substrate.compose(tempo)
        assert (await client.submit_call(bt.calls.Sudo.sudo(call=inner), owner)).success
        assert await client.query(bt.storage.SubtensorModule.Tempo, [netuid]) == 11
        refused = await client.submit_call(bt.calls.Sudo.sudo(call=inner), wallet("//Bob"))
        assert not refused.success and "must be the Sudo account" in refused.message


async def test_commit_reveal(chain: RunningChain) -> None:
    """With commit-reveal on, the SDK commits under a timelock; a hash commit is opened by its reveal."""
    owner = wallet("//Alice", "//sdk//cr")
    async with sdk(chain.endpoint) as client:
        netuid = await new_subnet(client, owner)
        await execute(
            client, intents.SetHyperparameter(netuid=netuid, name="commit_reveal_weights_enabled", value=True), owner
        )
        await blocks_pass(client, 6)
        sealed = await execute(client, intents.SetWeights(netuid=netuid, weights={0: 1.0}), owner)
        pending = await client.read("timelocked_weight_commits", netuid=netuid)
        ((commit,),) = pending.values()
        assert commit["hotkey"] == owner.hot and commit["reveal_round"] == sealed.data["reveal_round"]
        await blocks_pass(client, 7)
        digest = commit_hash(bytes(owner.hotkey.public_key), netuid, [0], [65535], [1, 2], 0)
        call = bt.calls.SubtensorModule.commit_weights(netuid=netuid, commit_hash="0x" + digest.hex())
        assert (await client.submit_call(call, owner, signer="hotkey")).success
        await client.wait_for_epoch(netuid)
        reveal = intents.RevealWeights(netuid=netuid, uids=[0], weights=[1.0], salt=[1, 2])
        await execute(client, reveal, owner)
        assert await client.read("weights", netuid=netuid) == {0: {0: 1.0}}
