"""What must not stop, lose or repeat anything: real processes, killed, stopped, cut off and confused."""

import asyncio
import json
import signal
import time

import httpx
import pytest

from subnet.evidence.slashing import Reason
from subnet.validator.values import Phase
from tests.neurons.books import check_books, check_weights_taken
from tests.neurons.processes import children_of, is_running
from tests.neurons.proxy import Proxy
from tests.neurons.world import World, tiny_model, until


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def new_world(tmp_path, model, **rest):
    return World(tmp_path, block_time=0.5, model=model, request_s=4, **rest)


async def running(world, validators=("validator",), miners=("honest",)):
    """Opens the world with its neurons up and a round settled."""
    await world.open(list(validators), list(miners))
    for name in miners:
        world.add("miner", name).start()
    for name in validators:
        world.add("validator", name).start()
    await until(lambda: world.settled(validators[0]) >= 1, 120, "the first round is settled")


@pytest.mark.slow
async def test_a_validator_killed_in_every_phase_of_a_round_loses_and_repeats_nothing(tmp_path, model):
    world = new_world(tmp_path, model)
    try:
        await running(world)
        validator = world.neurons["validator"]
        for phase in (Phase.ASKING, Phase.CLOSED, Phase.SETTLED):
            seen = world.rows("validator", "SELECT MAX(id) FROM rounds")[0][0]

            def reached(phase=phase, seen=seen):
                return world.rows("validator", f"SELECT id FROM rounds WHERE id > {seen} AND phase = {int(phase)}")

            number = (await until(reached, 90, f"a round is {phase.name}", every=0.02))[0][0]
            validator.kill()
            row = world.rows("validator", "SELECT test FROM miners")
            assert row, "what was settled before the kill is there"
            validator.start()
            await until(
                lambda n=number: world.rows("validator", f"SELECT 1 FROM rounds WHERE id = {n} AND phase = 3"), 120,
                f"round {number}, killed while {phase.name}, is settled",
            )  # fmt: skip
        before = world.settled("validator")
        await until(lambda: world.settled("validator") >= before + 2, 60, "rounds go on")
        assert validator.terminate() == 0
        check_books(world)
    finally:
        world.close()


@pytest.mark.slow
async def test_a_chain_that_is_away_for_a_minute_lags_or_dies_is_waited_for(tmp_path, model):
    """Longer than every deadline of the client, one after another; the short form is in test_troubles.py."""
    world = new_world(tmp_path, model)
    try:
        await world.open(["validator"], ["honest", "far"])
        with Proxy(world.endpoint) as road:
            world.add("miner", "honest").start()
            world.road = road.endpoint
            world.add("miner", "far").start()
            world.add("validator", "validator").start()
            await until(lambda: world.settled("validator") >= 2, 120, "rounds are settled")

            async def goes_on(after):
                before = world.settled("validator")
                await until(lambda: world.settled("validator") >= before + 2, 90, f"rounds go on after {after}")
                assert all(neuron.alive for neuron in world.neurons.values())

            road.stall()
            await asyncio.sleep(65)
            page = await world.get("validator", "/healthz")
            assert page is not None and page.status_code == 200, "the process answers while the chain is silent"
            road.mend()
            await goes_on("a minute of silence")
            road.narrow(0.5)
            await asyncio.sleep(10)
            road.mend()
            await goes_on("a road on which blocks wait in line")
            assert world.chain is not None
            world.chain.kill()
            await asyncio.sleep(8)
            await world.start_chain(int(world.endpoint.rsplit(":", 1)[1]))
            await goes_on("a restart of the chain")
        faults = f"SELECT detail FROM exchanges WHERE miner = '{world.hotkeys['honest']}' AND status = 3"
        assert world.rows("validator", faults) == [], "the miner is blamed for nothing of it"
        check_books(world)
        check_weights_taken(world, "validator", await world.weight_updates("validator"))
    finally:
        world.close()


@pytest.mark.slow
async def test_miners_that_hang_die_restart_or_change_their_model_lose_score_and_nothing_else(tmp_path, model):
    world = new_world(tmp_path, model)
    try:
        await running(world, miners=("honest", "troubled"))
        troubled = world.neurons["troubled"]
        hotkey = world.hotkeys["troubled"]

        def reasons():
            found = world.rows("validator", f"SELECT DISTINCT reason FROM exchanges WHERE miner = '{hotkey}'")
            return {reason for (reason,) in found if reason is not None}

        troubled.signal(signal.SIGSTOP)
        await until(lambda: 200 in reasons(), 60, "a miner that hangs is late")
        troubled.signal(signal.SIGCONT)

        def answered_in(name, more_than):
            sql = f"SELECT COUNT(*) FROM exchanges WHERE miner = '{world.hotkeys[name]}' AND status = 2"
            return world.rows("validator", sql)[0][0] > more_than

        await until(lambda: answered_in("troubled", 0), 60, "it answers again")
        before = world.rows("validator", f"SELECT COUNT(*) FROM exchanges WHERE miner = '{hotkey}' AND status = 2")[0][
            0
        ]
        troubled.kill()
        await asyncio.sleep(3)
        troubled.start()
        await until(lambda: answered_in("troubled", before), 120, "it answers after a restart, in a new epoch")
        assert len(world.rows("validator", f"SELECT epoch FROM chains WHERE miner = '{hotkey}'")) >= 2

        troubled.kill()
        other = world.add("miner", "troubled", "--model.path", "")
        other.start()
        told = f"SELECT json_extract(score, '$.last.answered') FROM miners WHERE hotkey = '{hotkey}'"
        await until(lambda: world.rows("validator", told) == [(0,)], 120, "a miner of another model earns nothing")
        check_books(world)
        row = await world.miner_row("validator", "troubled")
        assert row["standing"] == "good" and row["verdict"] != "inconsistent"
    finally:
        world.close()


@pytest.mark.slow
async def test_a_miner_that_dies_in_mid_stream_and_then_changes_its_hotkey_is_accused_of_nothing(tmp_path, model):
    world = new_world(tmp_path, model)
    slow = ("--miner.engine", "tests.neurons.slow_engine:factory", "--miner.engine_option", "pause=0.1")
    try:
        await world.open(["validator"], ["honest", "old"])
        world.add("miner", "honest").start()
        world.add("miner", "old", *slow).start()
        world.add("validator", "validator").start()
        asked = f"SELECT id FROM exchanges WHERE miner = '{world.hotkeys['old']}' AND status = "
        await until(lambda: world.rows("validator", asked + "2"), 90, "the slow miner has answered")

        async def long_under_way():
            before = set(world.rows("validator", asked + "1"))
            await asyncio.sleep(0.8)
            return list(before & set(world.rows("validator", asked + "1")))

        under_way = await until(long_under_way, 60, "it is asked again, and is in the middle of its answer", every=0.02)
        world.neurons["old"].kill()
        ended = f"SELECT status, reason, prefix FROM exchanges WHERE id = {under_way[0][0]} AND status != 1"
        status, reason, prefix = (await until(lambda: world.rows("validator", ended), 30, "the request ended"))[0]
        assert status == 3 and reason in (Reason.DROPPED, Reason.OFFLINE) and len(json.loads(prefix)) >= 2

        port = (await world.neuron("old")).axon.port
        await world.register("new")
        again = ("--axon.port", str(port), "--state.dir", str(world.state("old")))
        world.add("miner", "new", *slow, *again).start()
        new = f"SELECT COUNT(*) FROM exchanges WHERE miner = '{world.hotkeys['new']}' AND status = 2"
        await until(lambda: world.rows("validator", new)[0][0] > 3, 90, "the new hotkey answers at the old address")
        told = f"SELECT json_extract(score, '$.last.answered') FROM miners WHERE hotkey = '{world.hotkeys['old']}'"
        await until(lambda: world.rows("validator", told) == [(0,)], 60, "the old one earns nothing")
        for name in ("old", "new"):
            row = await until(lambda name=name: world.miner_row("validator", name), 20, f"{name} is shown")
            assert row["standing"] == "good" and row["verdict"] != "inconsistent"
        check_books(world)
    finally:
        world.close()


async def test_sigterm_in_a_busy_moment_ends_everything_cleanly(tmp_path, model):
    world = new_world(tmp_path, model)
    try:
        await running(world)
        await until(
            lambda: world.rows("validator", "SELECT 1 FROM rounds WHERE phase = 1"), 60, "a round is asking", every=0.02
        )
        # a real request takes the same path, and is answered at once
        asked = {"messages": [{"role": "user", "content": "What is a river?"}], "max_tokens": 8}
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            reply = await client.post(world.url("validator") + "/v1/chat/completions", json=asked)
            assert reply.status_code == 200, reply.text
            assert reply.json()["usage"]["completion_tokens"] <= 8
            assert reply.json()["assay"]["miner"] == world.hotkeys["honest"]
            refused = await client.post(world.url("validator") + "/v1/chat/completions", json={**asked, "top_p": 0.5})
            assert refused.status_code == 400 and "min_p" in refused.text
        children = children_of(world.neurons["validator"].popen.pid)
        assert children, "the replay runs in a child process"
        began = time.monotonic()
        assert world.neurons["validator"].terminate(30) == 0
        assert world.neurons["honest"].terminate(30) == 0
        assert time.monotonic() - began < 30
        assert not [pid for pid in children if is_running(pid)]
        check_books(world)
    finally:
        world.close()
