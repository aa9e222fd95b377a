"""From a cheat's tokens over HTTP to its zero incentive on the chain, and the honest miner beside it."""

import asyncio
import subprocess
import sys

from subnet.chain import Chain
from subnet.evidence.slashing import from_json as slashing_from_json
from subnet.evidence.slashing import may_earn
from subnet.validator.peers import Root
from tests.neurons.world import ROOT, World, tiny_model, until

ZOO = ("--miner.engine", "tests.zoo.miner:factory", "--miner.engine_option")


def run(*args, seconds=120):
    """A separate process from the repository's root."""
    return subprocess.run([sys.executable, *args], cwd=ROOT, capture_output=True, text=True, timeout=seconds)


async def accused(world, validator, miner):
    row = await world.miner_row(validator, miner)
    return row if row and row["standing"] == "out" else None


async def test_a_slash_from_the_cheats_tokens_to_its_zero_incentive(tmp_path):
    """The real model: int4 weights against an honest miner, one validator, everything a process of its own."""
    world = World(tmp_path, block_time=1.0, tempo=10, request_s=25)
    try:
        await world.open(["validator"], ["honest", "cheat"])
        world.add("miner", "honest", "--axon.tls").start()
        world.add("miner", "cheat", *ZOO, "adversary=int4").start()
        # a late start costs rounds that nobody answers: wait until both listen
        await until(lambda: all(world.url(name) for name in ("honest", "cheat")), 90, "the miners have started")
        world.add("validator", "validator", "--validator.max_tokens", "16").start()

        row = await until(lambda: accused(world, "validator", "cheat"), 240, "the cheat is accused", every=1)
        assert row["verdict"] == "inconsistent" and row["evidence"] >= row["threshold"] and row["weight"] == 0

        # the bundle, fetched from the validator, convinces a process that shares nothing with it
        ledger = (await world.snapshot("validator"))["ledger"]
        digest = next(e["bundle"] for e in ledger if e["kind"] == "accusation" and e["miner"] == world.hotkeys["cheat"])
        page = await world.get("validator", f"/bundle/{digest}")
        file = tmp_path / "evidence.assay"
        file.write_bytes(page.content)
        verified = run("-m", "subnet.evidence", "verify", str(file), "--endpoint", world.endpoint)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        spoiled = bytearray(page.content)
        spoiled[len(spoiled) // 2] ^= 1
        file.write_bytes(bytes(spoiled))
        assert run("-m", "subnet.evidence", "verify", str(file)).returncode != 0

        async def paid():
            incentives = await world.incentives()
            return incentives if incentives["honest"] > 0 else None

        incentives = await until(paid, 120, "the honest miner earns after an epoch", every=1)
        assert incentives["cheat"] == 0
        honest = await world.miner_row("validator", "honest")
        assert (await world.neuron("honest")).axon.certificate is not None  # it earned all that over TLS
        assert honest["standing"] == "good" and honest["verdict"] != "inconsistent" and honest["evidence"] < 9
        await until(lambda: "sees us as accused" in world.neurons["cheat"].text(), 60, "the cheat is told")

        same = ["--netuid", str(world.netuid), "--subtensor.chain_endpoint", world.endpoint]
        same += ["--wallet.path", str(tmp_path / "wallets"), "--wallet.name", "validator"]
        same += ["--state.dir", str(world.state("validator"))]
        told = await asyncio.to_thread(run, "neurons/validator.py", "explain", world.hotkeys["cheat"][:10], *same)
        assert told.returncode == 0 and "standing: accused" in told.stdout and digest in told.stdout
        listed = await asyncio.to_thread(run, "neurons/validator.py", "ledger", "list", *same)
        assert listed.returncode == 0 and "accusation" in listed.stdout
        healthy = await asyncio.to_thread(run, "neurons/validator.py", "doctor", *same)
        assert healthy.returncode == 0 and "substrate-interface agrees" in healthy.stdout, healthy.stdout
    finally:
        world.close()


async def test_a_cheat_caught_by_one_validator_loses_at_another_that_never_asked_it(tmp_path):
    world = World(tmp_path, block_time=0.5, model=tiny_model(tmp_path / "model"), request_s=5)
    try:
        await world.open(["first", "second"], ["cheat"])
        world.add("miner", "cheat", *ZOO, "adversary=wrong_seed").start()
        world.add("validator", "first").start()
        world.add("validator", "second", "--validator.open_rounds", "0").start()
        await until(lambda: accused(world, "first", "cheat"), 120, "the first validator accuses")

        async def root_on_chain():
            chain = Chain(world.endpoint, timeout_s=10)
            try:
                found = (await chain.published(world.netuid)).get(world.hotkeys["first"])
            finally:
                await chain.close()
            root = Root.parse(found.text) if found else None
            return root is not None and root.size >= 2

        await until(root_on_chain, 60, "the first validator's root covers the accusation on the chain", every=1)

        def opinion():
            return world.rows("second", "SELECT COUNT(*) FROM ledger WHERE kind = 3")[:1] not in ([], [(0,)])

        await until(opinion, 90, "the second validator has replayed the bundle")
        standing = world.rows("second", f"SELECT standing FROM miners WHERE hotkey = '{world.hotkeys['cheat']}'")
        assert standing and not may_earn(slashing_from_json(standing[0][0]))
    finally:
        world.close()
