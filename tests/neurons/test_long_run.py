"""Days of blocks in minutes: the memory of every process, its replaying child included, stays where it was."""

import asyncio
import json
import os

import pytest

from tests.neurons.books import check_books
from tests.neurons.processes import children_of, private_mb, resident_mb
from tests.neurons.world import World, tiny_model, until

SECONDS = float(os.environ.get("ASSAY_LONG_RUN_S", "480"))
"""How long the measured part takes. At four blocks a second, 480 s are the blocks of six and a half hours."""


@pytest.mark.slow
async def test_days_of_blocks_in_minutes_with_flat_memory(tmp_path):
    world = World(tmp_path, block_time=0.25, model=tiny_model(tmp_path / "model"), request_s=2)
    try:
        await world.open(["validator"], ["honest", "other"])
        for name in ("honest", "other"):
            world.add("miner", name).start()
        world.add("validator", "validator", "--validator.round_blocks", "2").start()
        await until(lambda: world.settled("validator") >= 3, 120, "rounds are settled")
        pids = {name: process.popen.pid for name, process in world.neurons.items()}
        pids["replay child"] = children_of(pids["validator"])[-1]
        seen = []
        for _ in range(5):
            await asyncio.sleep(SECONDS / 5)
            seen.append({name: (resident_mb(pid), private_mb(pid)) for name, pid in pids.items()})
        report = {
            "seconds": SECONDS, "rounds": world.settled("validator"), "block": (await world.metagraph()).block,
            "resident_mb": {name: [round(at[name][0], 1) for at in seen] for name in pids},
            "private_mb": {name: [round(at[name][1], 1) for at in seen] for name in pids},
        }  # fmt: skip
        print(json.dumps(report))
        for name in pids:
            first, last = seen[0][name][1], seen[-1][name][1]
            assert last < 1.05 * first + 5, (name, report)
        check_books(world)
    finally:
        world.close()
