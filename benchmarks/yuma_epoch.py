"""Time of one Yuma Consensus epoch: 256 neurons, 64 validators with full weight and bond rows.

Prints milliseconds (best, median, worst) for Yuma 2, Yuma 3 and Yuma 3 with liquid alpha, and writes them to
benchmarks/results/yuma_epoch.json. The aim is under 50 ms.

    python benchmarks/yuma_epoch.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from subnet.localchain.yuma import EpochParams, EpochState, run_epoch

RESULTS = Path(__file__).parent / "results" / "yuma_epoch.json"
AIM_MS = 50.0
VARIANTS = {
    "yuma2": EpochParams(bonds_penalty=32_767),
    "yuma3": EpochParams(bonds_penalty=32_767, yuma3=True),
    "yuma3 liquid alpha": EpochParams(bonds_penalty=32_767, yuma3=True, liquid_alpha=True),
}


def full_subnet(neurons: int, validators: int, seed: int = 1) -> EpochState:
    """A subnet in which every validator weights and holds bonds to every miner."""
    rng = np.random.default_rng(seed)
    miners = range(validators, neurons)

    def rows() -> dict[int, list[tuple[int, int]]]:
        return {
            uid: list(zip(miners, rng.integers(1, 65_536, len(miners)).tolist(), strict=True))
            for uid in range(validators)
        }

    return EpochState(
        block=10_000,
        tempo=360,
        alpha_stake=rng.integers(10**12, 10**14, validators).tolist() + [0] * len(miners),
        tao_stake=[0] * neurons,
        weights=rows(),
        bonds=rows(),
        validator_permit=[True] * validators + [False] * len(miners),
        last_update=[9_900] * neurons,
        block_at_registration=[1] * neurons,
    )


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 epochs of each kind instead of 50")
    repeats = 5 if parser.parse_args().quick else 50
    state = full_subnet(256, 64)
    results = {}
    for name, params in VARIANTS.items():
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            run_epoch(state, params, 148_000_000_000)
            times.append((time.perf_counter() - start) * 1_000)
        results[name] = {"best_ms": min(times), "median_ms": statistics.median(times), "worst_ms": max(times)}
        line = " ".join(f"{key} {value:7.2f}" for key, value in results[name].items())
        sys.stdout.write(f"{name:20} {line}   aim < {AIM_MS:.0f}\n")
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    report = {"neurons": 256, "validators": 64, "repeats": repeats, "machine": machine, "results": results}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
