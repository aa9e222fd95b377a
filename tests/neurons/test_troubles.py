"""One small subnet, and what goes wrong around it, one thing after another: the road to the chain, refused weights, a
replay that fails, a clock that jumps, hotkeys that come and go.

The tests share one world of real processes, in the order of this file.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time

import bittensor as bt
import pytest

from subnet.chain.owner import connected, development_key
from subnet.evidence.slashing import Reason, from_json, may_earn
from tests.localchain.test_timelock import RANDOMNESS, ROUND, SIGNATURE
from tests.neurons.books import check_books, check_weights_taken
from tests.neurons.proxy import Proxy
from tests.neurons.world import ROOT, World, tiny_model, until

VALIDATOR, HONEST, CHEAT = "validator", "honest", "cheat"
WRONG_SEED = ("--miner.engine", "tests.zoo.miner:factory", "--miner.engine_option", "adversary=wrong_seed")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("troubles")
    world = World(folder, block_time=0.3, model=tiny_model(folder / "model"), request_s=2)
    try:
        asyncio.run(world.open([VALIDATOR], [HONEST, CHEAT]))
        with Proxy(world.endpoint) as road:
            world.add("miner", HONEST).start()  # its own road to the chain is good: what goes wrong is the validator's
            world.proxy, world.road = road, road.endpoint
            world.add("miner", CHEAT, *WRONG_SEED).start()
            world.clock, world.replay = folder / "clock", folder / "no-replay"
            env = {
                "ALTERED_CLOCK": str(world.clock), "ALTERED_REPLAY": str(world.replay), "ALTERED_SEAL": str(ROUND),
                "ALTERED_CRASH": "subnet.chain.client:Chain._submit_weights:lose:1",
            }  # fmt: skip
            flags = ("--validator.version_key", "1", "--validator.commit_blocks", "1000")
            world.add("validator", VALIDATOR, *flags, env=env).start()
            yield world
    finally:
        world.close()


async def rounds(world, more, seconds=30):
    before = world.settled(VALIDATOR)
    await until(lambda: world.settled(VALIDATOR) >= before + more, seconds, f"{more} more rounds are settled")


def attempts(world):
    return world.rows(VALIDATOR, "SELECT reason, message FROM weights ORDER BY id")


async def newest_attempt(world, reason, seconds=30):
    await until(lambda: (attempts(world) or [("", "")])[-1][0] == reason, seconds, f"weights: {reason}")


async def unready(world):
    page = await world.get(VALIDATOR, "/readyz")
    return "; ".join(page.json()["reasons"]) if page is not None else "no answer"


def no_fault_of(world, name):
    return world.rows(VALIDATOR, f"SELECT * FROM exchanges WHERE miner = '{world.hotkeys[name]}' AND status = 3") == []


async def test_a_vector_whose_fate_was_lost_is_found_on_the_chain_and_not_set_again(world):
    def tries():
        return [attempt for attempt in attempts(world) if attempt[0] != "nothing to set"]

    await until(tries, 90, "weights are tried")
    assert tries()[0] == ("chain away", "lost by a test")
    await until(lambda: len(tries()) > 1, 30, "they are looked up")
    assert tries()[1] == ("set", "found on the chain")
    check_weights_taken(world, VALIDATOR, await world.weight_updates(VALIDATOR))


async def test_a_road_to_the_chain_that_stalls_drops_refuses_and_answers_late_is_lived_with(world):
    await rounds(world, 1, 90)
    road = world.proxy
    road.stall()
    await asyncio.sleep(3)
    page = await world.get(VALIDATOR, "/healthz")
    assert page is not None and page.status_code == 200, "the process answers while the chain is silent"
    road.mend()
    await rounds(world, 1)
    road.drop()
    await rounds(world, 1)
    road.refuse()
    await asyncio.sleep(2)
    road.mend()
    await rounds(world, 1)
    road.delay(0.5)
    await rounds(world, 1)
    road.mend()
    assert no_fault_of(world, HONEST)
    assert all(neuron.alive for neuron in world.neurons.values())


async def test_refused_weights_are_understood_told_and_tried_again(world):
    await newest_attempt(world, "set")
    await world.sudo(weights_set_rate_limit=1000)
    await newest_attempt(world, "rate limited")
    await world.sudo(weights_set_rate_limit=2, weights_version_key=7)
    await newest_attempt(world, "version key too old")
    assert "update: the subnet's owner asks for a newer version" in world.neurons[VALIDATOR].text()
    await world.sudo(weights_version_key=0)
    await newest_attempt(world, "set")
    check_weights_taken(world, VALIDATOR, await world.weight_updates(VALIDATOR))


@pytest.mark.slow
async def test_a_lost_permit_is_told_and_nothing_is_asked_without_it(world):
    await rounds(world, 1, 90)
    await world.stake(HONEST, 100.0)
    await world.sudo(max_allowed_validators=1)
    await until(lambda: "No validator permit" in world.neurons[VALIDATOR].text(), 30, "the permit is gone and missed")
    assert "no validator permit" in await unready(world)
    before = len(world.rows(VALIDATOR, "SELECT id FROM rounds"))
    await asyncio.sleep(2.5)
    assert len(world.rows(VALIDATOR, "SELECT id FROM rounds")) == before, "nothing is asked without a permit"
    await world.sudo(max_allowed_validators=64)
    await rounds(world, 1)
    check_weights_taken(world, VALIDATOR, await world.weight_updates(VALIDATOR))


async def test_committed_weights_are_read_back_once_they_are_open(world):
    await world.sudo(commit_reveal_weights_enabled=True)
    await newest_attempt(world, "committed")
    pulse = {"round": ROUND, "randomness": "0x" + RANDOMNESS, "signature": "0x" + SIGNATURE}
    payload = {"block_number": 1, "pulses": [pulse], "public": {"Sr25519": "0x" + "00" * 32}}
    async with connected(world.endpoint, development_key("Alice")) as owner:
        await owner.sudo([bt.calls.Drand.write_pulse(pulses_payload=payload, signature=None)], "write a pulse")
    await until(lambda: "revealed" in {reason for reason, _ in attempts(world)}, 40, "the weights are open")
    assert "are open and read back" in world.neurons[VALIDATOR].text()
    await world.sudo(commit_reveal_weights_enabled=False)
    await newest_attempt(world, "set")
    check_weights_taken(world, VALIDATOR, await world.weight_updates(VALIDATOR))


async def test_without_a_replay_for_three_rounds_no_weights_are_set(world):
    await rounds(world, 1, 90)
    world.replay.touch()
    await until(lambda: "no weights are set until it works" in world.neurons[VALIDATOR].text(), 40, "the guard holds")
    before, _ = await world.weights_of(VALIDATOR)
    await rounds(world, 3)
    assert (await world.weights_of(VALIDATOR))[0] == before
    assert "nothing could be replayed" in await unready(world)
    world.replay.unlink()

    async def again():
        return (await world.weights_of(VALIDATOR))[0] > before

    await until(again, 30, "weights are set again", every=0.5)
    assert "nothing could be replayed" not in await unready(world)


@pytest.mark.parametrize("seconds", [90.0, pytest.param(-90.0, marks=pytest.mark.slow)])
async def test_our_own_clock_is_named_and_no_miner_pays_for_it(world, seconds):
    def service():
        sql = f"SELECT json_extract(score, '$.score') FROM miners WHERE hotkey = '{world.hotkeys[HONEST]}'"
        faults = f"SELECT COUNT(*) FROM exchanges WHERE miner = '{world.hotkeys[HONEST]}' AND status = 3"
        return world.rows(VALIDATOR, sql)[0][0], world.rows(VALIDATOR, faults)[0][0]

    await rounds(world, 1, 90)
    before, faults = service()
    world.clock.write_text(str(seconds))
    try:
        side = "ahead of" if seconds > 0 else "behind"
        text = await until(lambda: _clock_line(world, side), 20, "the clock is named")
        assert "this machine's clock is" in text
        assert "clock" in await unready(world)
        if seconds > 0:
            found = await asyncio.to_thread(_doctor, world)
            assert f"s {side} the chain's" in found and "timedatectl" in found
    finally:
        world.clock.write_text("0")
    await rounds(world, 2)
    after, faults_after = service()
    assert faults_after == faults and after >= 0.9 * before
    assert "clock" not in await unready(world)


def _clock_line(world, side):
    lines = world.neurons[VALIDATOR].text().splitlines()
    return next((line for line in lines if f"s {side} the chain's" in line and "ERROR" in line), None)


def _doctor(world):
    process = world.neurons[VALIDATOR]
    args = [process.args[0], "validator", "doctor", *process.args[2:]]
    done = subprocess.run(
        [sys.executable, *args], cwd=ROOT, env={**os.environ, **process.env}, capture_output=True, text=True, timeout=60
    )
    return done.stdout + done.stderr


async def test_a_miner_that_hangs_is_late_and_nothing_worse(world):
    await rounds(world, 1, 90)
    honest = f"SELECT COUNT(*) FROM exchanges WHERE miner = '{world.hotkeys[HONEST]}' AND "
    world.neurons[HONEST].signal(signal.SIGSTOP)
    late = honest + f"reason = {int(Reason.LATE)}"
    await until(lambda: world.rows(VALIDATOR, late)[0][0] > 0, 30, "a miner that hangs is late")
    world.neurons[HONEST].signal(signal.SIGCONT)
    before = world.rows(VALIDATOR, honest + "status = 2")[0][0]
    await until(lambda: world.rows(VALIDATOR, honest + "status = 2")[0][0] > before, 30, "it answers again")
    row = await world.miner_row(VALIDATOR, HONEST)
    assert row["standing"] == "good" and row["verdict"] != "inconsistent"


async def test_a_new_hotkey_inherits_neither_guilt_nor_score_and_an_old_one_keeps_its_guilt(world):
    async def out():
        row = await world.miner_row(VALIDATOR, CHEAT)
        return row is not None and row["standing"] == "out"

    await until(out, 60, "the cheat is out")
    old = (await world.neuron(CHEAT)).uid
    await world.sudo(immunity_period=1, max_allowed_uids=len((await world.metagraph()).neurons))
    await world.register("newcomer")
    newcomer = await world.neuron("newcomer")
    assert newcomer.uid == old and await world.neuron(CHEAT) is None, "it has the cheat's uid"
    world.add("miner", "newcomer").start()
    await until(lambda: "is not registered on subnet" in world.neurons[CHEAT].text(), 20, "the cheat is told")

    async def earns():
        row = await world.miner_row(VALIDATOR, "newcomer")
        return row is not None and row["weight"] > 0 and row["standing"] == "good"

    await until(earns, 60, "the newcomer earns by its own answers", every=0.5)
    guilt = world.rows(VALIDATOR, f"SELECT standing FROM miners WHERE hotkey = '{world.hotkeys[CHEAT]}'")
    assert not may_earn(from_json(guilt[0][0])), "its guilt stays with the hotkey"

    await world.sudo(immunity_period=1000, max_allowed_uids=old + 3)
    await world.register(CHEAT)
    asked = f"SELECT COUNT(*) FROM exchanges WHERE miner = '{world.hotkeys[CHEAT]}'"
    before = world.rows(VALIDATOR, asked)
    await rounds(world, 3)
    row = await world.miner_row(VALIDATOR, CHEAT)
    assert row["standing"] == "out" and row["weight"] == 0 and world.rows(VALIDATOR, asked) == before


@pytest.mark.slow
async def test_who_takes_an_earning_uid_gets_no_weight_for_it(world):
    earner = await world.neuron(HONEST)
    newcomer = await world.neuron("newcomer")
    head = (await world.metagraph()).block
    assert newcomer.registered_at > earner.registered_at
    await world.sudo(
        sn_owner_hotkey=world.hotkeys[VALIDATOR], immunity_period=head - newcomer.registered_at + 40,
        max_allowed_uids=len((await world.metagraph()).neurons),
    )  # fmt: skip
    await world.register("filler")  # takes the uid of the subnet's first owner, who earns nothing
    await world.register("heir")
    heir = await world.neuron("heir")
    assert heir.uid == earner.uid
    ends = time.monotonic() + 8
    while time.monotonic() < ends:
        status = await world.snapshot(VALIDATOR)
        shown = {row["hotkey"]: row for row in status["miners"]}.get(world.hotkeys["heir"])
        assert shown is None or (shown["weight"] == 0 and not shown["score"])
        await asyncio.sleep(0.3)
    _, row = await world.weights_of(VALIDATOR)
    assert heir.uid not in dict(row) and newcomer.uid in dict(row)
    gone = await world.neuron(HONEST)
    assert gone is None
    check_books(world, VALIDATOR, accused=1)
    check_weights_taken(world, VALIDATOR, await world.weight_updates(VALIDATOR))
