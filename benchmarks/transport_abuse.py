"""Does honest traffic keep its latency while the axon is attacked? The aim is a p99 under three times the unloaded one.

One axon process; an honest validator asks for completions at a steady rate; beside it each attacker of
`tests/transport/attackers.py` runs in a process of its own, with the lowest priority, since a real attacker does not
use the miner's processor. Writes benchmarks/results/transport_abuse.json and .md.

    python -m benchmarks.transport_abuse [--quick] [--only NAME]
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

from benchmarks.transport import RESULTS, ROOT, machine, percentile
from subnet.protocol import Hello
from subnet.transport.dendrite import Dendrite, Peer
from tests.transport import attackers
from tests.transport.axon_process import MINER_KEY, VALIDATOR, axon_process
from tests.transport.miner_double import GENESIS, NETUID, make_request

PER_SECOND = 40
AIM = 3.0


async def honest(port: int, seconds: float, first: int) -> list[float]:
    """Latencies (seconds) of completions sent at a steady rate, each timed from when it was due."""
    latencies: list[float] = []
    async with Dendrite(VALIDATOR, allow_private=True) as dendrite:
        peer = Peer(MINER_KEY, "127.0.0.1", port)
        greeted = await dendrite.hello(peer, Hello((1,), GENESIS, NETUID), seconds=30)
        assert greeted.value is not None, greeted
        commitment = greeted.value.capabilities.handshake.commitment

        async def one(counter: int, due: float) -> None:
            request = make_request(VALIDATOR, MINER_KEY, counter)
            outcome = await dendrite.complete(peer, request, commitment, seconds=30)
            if not outcome.ok:
                raise RuntimeError(f"an honest request failed: {outcome}")
            latencies.append(time.perf_counter() - due)

        await asyncio.gather(*(one(first + number, 0.0) for number in range(8)))
        latencies.clear()
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds * PER_SECOND)):
                due = started + number / PER_SECOND
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(one(first + 8 + number, due))
    return latencies


def facts(name: str, latencies: list[float]) -> dict[str, Any]:
    return {
        "attacker": name,
        "requests": len(latencies),
        "p50_ms": round(1_000 * percentile(latencies, 0.5), 2),
        "p99_ms": round(1_000 * percentile(latencies, 0.99), 2),
    }


async def measure(name: str, folder: Path, seconds: float) -> dict[str, Any]:
    """Honest latencies without the attacker, then with it, on one axon process."""
    with axon_process(folder / f"nonces-{name}", per_address=64) as process:
        calm = facts(name, await honest(process.port, seconds, 0))
        command = [sys.executable, "-m", "benchmarks.transport_abuse", "--attack", name, str(process.port)]
        attack = subprocess.Popen(
            [*command, str(seconds + 3)], cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.nice(19)
        )
        assert attack.stdout is not None
        # It says when it starts: importing takes it a while.
        await asyncio.to_thread(attack.stdout.readline)
        loaded = facts(name, await honest(process.port, seconds, 8_000))
        loaded["seen"] = json.loads(await asyncio.to_thread(attack.stdout.readline))
        attack.wait(60)
        attack.stdout.close()
    loaded |= {"calm_p50_ms": calm["p50_ms"], "calm_p99_ms": calm["p99_ms"]}
    loaded["ratio"] = round(loaded["p99_ms"] / calm["p99_ms"], 2)
    return loaded


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| attacker | honest p50 ms | p99 ms | unloaded p50 ms | p99 ms | p99 ratio | what the attacker saw |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        seen = ", ".join(f"{key} {value:,}" for key, value in sorted(row["seen"].items()))
        lines.append(
            f"| `{row['attacker']}` | {row['p50_ms']} | {row['p99_ms']} | {row['calm_p50_ms']} | {row['calm_p99_ms']} "
            f"| {row['ratio']} | {seen} |"
        )
    worst = max(rows, key=lambda row: row["ratio"])
    lines += ["", f"Worst ratio {worst['ratio']} (aim: under {AIM:g}). {PER_SECOND} honest requests/s; {machine()}."]
    return "\n".join(lines) + "\n"


def attack(name: str, port: int, seconds: float) -> None:
    """The attacker's own process."""
    attacker = next(found for found in attackers.ALL if found.__name__ == name)
    sys.stdout.write("attacking\n")
    sys.stdout.flush()
    seen = asyncio.run(attacker(port, seconds))  # type: ignore[arg-type]
    sys.stdout.write(json.dumps(seen) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three seconds an attacker; nothing is written")
    parser.add_argument("--only", choices=[attacker.__name__ for attacker in attackers.ALL], help="one attacker")
    parser.add_argument("--attack", nargs=3, metavar=("NAME", "PORT", "SECONDS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attack:
        name, port, seconds = options.attack
        attack(name, int(port), float(seconds))
        return
    console = Console(stderr=True)
    names = [options.only] if options.only else [attacker.__name__ for attacker in attackers.ALL]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            rows.append(uvloop.run(measure(name, Path(folder), 3.0 if options.quick else 12.0)))
            console.print(rows[-1])
    text = table(rows)
    console.print(text)
    if not options.quick and not options.only:
        (RESULTS / "transport_abuse.json").write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")
        (RESULTS / "transport_abuse.md").write_text(text)


if __name__ == "__main__":
    main()
