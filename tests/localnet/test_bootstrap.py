from pathlib import Path

from subnet.chain import Chain
from subnet.chain.owner import connected, development_key
from subnet.localchain.process import running_chain
from subnet.localnet.bootstrap import fill_subnet, found_subnet
from subnet.localnet.plan import Plan, participants


async def test_a_subnet_is_opened_on_a_real_chain(tmp_path: Path) -> None:
    with running_chain(block_time=0.25, options=["--tempo", "20"]) as running:
        plan = Plan(participants(2, 2, ("int4",)), 1, 12, 0.25, 1, "default", tmp_path, running.endpoint, False, 0)
        said: list[str] = []
        async with connected(running.endpoint, development_key("Alice")) as owner:
            opened = await found_subnet(owner, plan, said.append)
            await fill_subnet(owner, opened, plan, said.append)
        chain = Chain(running.endpoint)
        try:
            graph = await chain.snapshot(opened.netuid)
            rules = await chain.weight_rules(opened.netuid, opened.hotkeys["validator-1"])
        finally:
            await chain.close()
    registered = {neuron.hotkey: neuron for neuron in graph.neurons}
    assert set(opened.hotkeys.values()) <= set(registered)
    stakes = [registered[opened.hotkeys[f"validator-{i}"]].stake for i in (1, 2)]
    assert min(stakes) > 0.9 * max(stakes), "one validator must not decide alone because it staked first"
    assert registered[opened.hotkeys["miner-1"]].stake == 0
    assert (graph.tempo, rules.commit_reveal) == (12, False)
    assert any("registered 2 validators and 2 miners" in line for line in said)
