"""Miners that stream, dislike and hang up, against an honest one: real processes, the replayed prefix, the weights."""

from subnet.evidence.slashing import Reason
from tests.neurons.world import World, tiny_model, until

ZOO = ("--miner.engine", "tests.zoo.miner:factory", "--miner.engine_option")


async def test_aborts_gain_nothing_and_are_never_slashed(tmp_path):
    """Two that hang up: what one streamed the model says, what the other streamed it does not."""
    world = World(tmp_path, block_time=0.5, model=tiny_model(tmp_path / "model"), request_s=6)
    try:
        await world.open(["validator"], ["honest", "moody", "bluffer"])
        world.add("miner", "honest").start()
        world.add("miner", "moody", *ZOO, "adversary=aborts_midway").start()
        world.add("miner", "bluffer", *ZOO, "adversary=bluffs").start()
        await until(lambda: all(world.url(name) for name in ("honest", "moody", "bluffer")), 90, "the miners serve")
        world.add("validator", "validator", "--validator.requests", "3", "--validator.max_requests", "3").start()

        def dropped(name):
            sql = "SELECT COUNT(*), MIN(checked), MAX(misses), MAX(selected), MAX(reason = {}) FROM exchanges "
            sql += "WHERE miner = '{}' AND prefix IS NOT NULL AND response IS NULL AND checked > 0"
            return world.rows("validator", sql.format(int(Reason.SUSPECT_PREFIX), world.hotkeys[name]))[0]

        await until(lambda: world.settled("validator") >= 4 and dropped("moody")[0] >= 3, 150, "prefixes are replayed")
        count, checked, misses, selected, suspect = dropped("moody")
        assert checked > 1 and misses == 0 and selected is None and not suspect
        count, checked, misses, selected, suspect = dropped("bluffer")
        assert count >= 3 and misses > 1 and selected is None and suspect

        sql = "SELECT suspected_until, standing, answered FROM miners WHERE hotkey = '{}'"
        until_block, standing, answered = world.rows("validator", sql.format(world.hotkeys["moody"]))[0]
        assert until_block == 0 and standing is None and answered > 0
        until_block, standing, answered = world.rows("validator", sql.format(world.hotkeys["bluffer"]))[0]
        assert until_block > 0 and standing is None and answered == 0
        assert world.rows("validator", "SELECT COUNT(*) FROM ledger WHERE kind IN (2, 3, 4)") == [(0,)]

        honest, moody, bluffer = [await world.miner_row("validator", n) for n in ("honest", "moody", "bluffer")]
        assert bluffer["score"] == bluffer["weight"] == 0.0
        assert moody["score"] < 0.75 * honest["score"], "two of three answers earn less than two thirds"
        page = await world.get("validator", "/metrics")
        assert 'gate_decisions{gate="suspicion",mode="enforce"' in page.text
    finally:
        world.close()
