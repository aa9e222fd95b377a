"""kill -9 of a validator at every step of a round: no verdict is lost, none counted twice, no weight set twice."""

import pytest

from tests.neurons.books import check_books, check_weights_taken
from tests.neurons.processes import children_of, is_running
from tests.neurons.world import World, tiny_model, until

WRONG_SEED = ("--miner.engine", "tests.zoo.miner:factory", "--miner.engine_option", "adversary=wrong_seed")
STORE, ROUNDS = "subnet.validator.state.store:Store", "subnet.validator.rounds:Rounds"
PUNISHER = "subnet.validator.punishing:Punisher"
CHAIN, REPLAY = "subnet.chain.client:Chain", "subnet.validator.replay_client:ReplayClient"
IN_CI = (f"{STORE}.settle:inside", f"{CHAIN}._submit_weights:after")
THE_OTHERS = (
    # Accusing comes first: a process that dies on the way to it has accused nobody, so the next one does it again.
    (
        "subnet.validator.accuse:write_bundle:after",
        f"{PUNISHER}._zero:before",
        f"{PUNISHER}._zero:after",
        f"{STORE}.settle:after",
        f"{STORE}.record_weights:before",
        f"{CHAIN}._submit_weights:before",
    ),
    (
        f"{STORE}.close_round:inside:2",
        f"{STORE}.begin_round:inside:2",
        f"{STORE}.begin_round:after:2",
        f"{STORE}.record_answer:inside",
        f"{STORE}.record_answer:after:2",
        f"{STORE}.close_round:after",
    ),
    (
        f"{ROUNDS}._select_hash:after",
        f"{REPLAY}.examine:before",
        f"{REPLAY}.examine:after",
        f"{STORE}.settle:before",
        f"{STORE}.record_weights:after",
    ),
)


async def crash_at_each(tmp_path, points):
    """Runs a validator into every point, each process resuming what the one before left, then one to the end."""
    world = World(tmp_path, block_time=0.5, model=tiny_model(tmp_path / "model"), request_s=3)
    try:
        await world.open(["validator"], ["honest", "cheat"])
        world.add("miner", "honest").start()
        world.add("miner", "cheat", *WRONG_SEED).start()
        await until(lambda: world.url("honest") and world.url("cheat"), 60, "the miners listen")
        for point in points:
            validator = world.add("validator", "validator", env={"ALTERED_CRASH": point})
            validator.start()
            children = []

            def gone(validator=validator, children=children):
                if validator.alive:
                    children[:] = children_of(validator.popen.pid) or children
                return not validator.alive

            await until(gone, 60, f"the validator dies at {point}", every=0.1)
            assert validator.popen.returncode == -9, f"it ended by itself before {point}"
            await until(lambda pids=children: not any(map(is_running, pids)), 10, "the replaying child ends by itself")
        left = world.rows("validator", "SELECT id FROM rounds WHERE phase < 3")
        validator = world.add("validator", "validator")
        validator.start()
        before = world.settled("validator")
        await until(lambda: world.settled("validator") >= before + len(left) + 2, 60, "what was left is settled")
        accusation = "SELECT COUNT(*) FROM ledger WHERE kind = 2"
        await until(lambda: world.rows("validator", accusation) == [(1,)], 60, "the cheat is accused")
        newest = world.rows("validator", "SELECT MAX(block) FROM weights")[0][0] or 0
        sql = "SELECT MAX(block) FROM weights WHERE reason = 'set'"
        await until(lambda: (world.rows("validator", sql)[0][0] or 0) > newest, 60, "weights are set")
        assert validator.terminate(30) == 0
        assert world.rows("validator", "SELECT id FROM rounds WHERE phase < 3") == []
        check_books(world, accused=1)
        check_weights_taken(world, "validator", await world.weight_updates("validator"))
        row = await world.weights_of("validator")
        assert (await world.neuron("cheat")).uid not in dict(row[1])
    finally:
        world.close()


async def test_a_validator_killed_at_the_steps_that_matter_most_loses_and_repeats_nothing(tmp_path):
    await crash_at_each(tmp_path, IN_CI)


@pytest.mark.slow
@pytest.mark.parametrize("points", THE_OTHERS, ids=["accusing", "asking", "judging"])
async def test_a_validator_killed_at_every_other_step_loses_and_repeats_nothing(tmp_path, points):
    await crash_at_each(tmp_path, points)
