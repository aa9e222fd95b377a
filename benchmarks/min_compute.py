"""Memory of both roles as they run with the embedded model: the figures of min_compute.yml.

    python benchmarks/min_compute.py            (about two minutes)

A real chain, a miner with its self-test, one that shares its weights, one without a self-test, and a validator that
asks them. Prints peak and resident megabytes of every process, once the self-tests and some rounds are over.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.neurons.processes import children_of, peak_mb, private_mb, resident_mb  # noqa: E402
from tests.neurons.world import World, until  # noqa: E402

MINERS = {
    "self_test": ("--miner.self_test", "256"),
    "share_weights": ("--miner.self_test", "256", "--miner.share_weights"),
    "no_self_test": (),
}
ROUNDS = 4


def memory(pid: int) -> dict[str, int]:
    """Peak, resident, and private megabytes of a process."""
    return {"peak_mb": int(peak_mb(pid)), "resident_mb": int(resident_mb(pid)), "private_mb": int(private_mb(pid))}


async def measure(folder: Path) -> dict[str, dict[str, int]]:
    """Every process's memory after its start, its self-test and some rounds."""
    world = World(folder, block_time=1.0, request_s=40)
    found = {}
    try:
        await world.open(["validator"], list(MINERS))
        for name, flags in MINERS.items():
            world.add("miner", name, *flags).start()
            await until(lambda name=name: world.url(name), 120, f"{name} has started")
        validator = world.add("validator", "validator")
        validator.start()
        await until(lambda: world.settled("validator") >= ROUNDS, 400, "rounds are settled")
        for name in MINERS:
            process = world.neurons[name].popen
            assert process is not None
            found[f"miner, {name}"] = memory(process.pid)
        assert validator.popen is not None
        main = validator.popen.pid
        found["validator, main"] = memory(main)
        found["validator, replaying child"] = memory(children_of(main)[-1])
    finally:
        world.close()
    return found


def main() -> int:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory(prefix="assay-memory-") as name:
        found = asyncio.run(measure(Path(name)))
    for process, figures in found.items():
        sys.stdout.write(f"{process:36} {json.dumps(figures)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
