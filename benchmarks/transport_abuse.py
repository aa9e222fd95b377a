"""Does honest traffic keep its latency while the axon is attacked? The aim is a p99 under three times the unloaded one.

One axon process; an honest validator asks for completions at a steady rate; beside it each attacker of
`tests/transport/attackers.py` runs in a process of its own, with the lowest priority, since a real attacker does not
use the miner's processor. What is left of that is shown: the same beside a process that burns as much time for nothing.
Writes benchmarks/results/transport_abuse.json and .md.

    python -m benchmarks.transport_abuse [--quick] [--only NAME ...]
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


def beside(arguments: list[str]) -> subprocess.Popen[str]:
    """Start a process of the lowest priority that says when it begins: importing takes it a while."""
    command = [sys.executable, "-m", "benchmarks.transport_abuse", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.nice(19))
    assert process.stdout is not None
    process.stdout.readline()
    return process


async def measure(name: str, folder: Path, seconds: float) -> dict[str, Any]:
    """Honest latencies alone, with the attacker, and with a process that only burns as much processor time as the
    attacker did; all on one axon process with the limits of the product."""
    limits = {"per_address": 64, "address_rate": 200, "address_burst": 800, "hotkey_rate": 50}
    with axon_process(folder / f"nonces-{name}", **limits) as process:
        calm = facts(name, await honest(process.port, seconds, 0))
        attack = await asyncio.to_thread(beside, ["--attack", name, str(process.port), str(seconds + 3)])
        loaded = facts(name, await honest(process.port, seconds, 5_000))
        assert attack.stdout is not None
        told = json.loads(await asyncio.to_thread(attack.stdout.readline))
        attack.wait(60)
        attack.stdout.close()
        burn = await asyncio.to_thread(beside, ["--burn", str(told["share"]), str(seconds + 3)])
        neutral = facts(name, await honest(process.port, seconds, 10_000))
        burn.kill()
        burn.wait()
    assert burn.stdout is not None
    burn.stdout.close()
    loaded |= {"calm_p50_ms": calm["p50_ms"], "calm_p99_ms": calm["p99_ms"], "seen": told["seen"]}
    loaded |= {"attacker_cpu": told["share"], "neutral_p99_ms": neutral["p99_ms"]}
    loaded["ratio"] = round(loaded["p99_ms"] / calm["p99_ms"], 2)
    loaded["ratio_to_neutral"] = round(loaded["p99_ms"] / neutral["p99_ms"], 2)
    return loaded


def table(rows: list[dict[str, Any]], where: str) -> str:
    lines = [
        "| attacker | honest p50 ms | p99 ms | unloaded p99 ms | ratio | attacker's own CPU "
        "| p99 ms beside as much burnt for nothing | ratio | what the attacker saw |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        seen = ", ".join(f"{key} {value:,}" for key, value in sorted(row["seen"].items()))
        lines.append(
            f"| `{row['attacker']}` | {row['p50_ms']} | {row['p99_ms']} | {row['calm_p99_ms']} | {row['ratio']} "
            f"| {row['attacker_cpu']:.0%} | {row['neutral_p99_ms']} | {row['ratio_to_neutral']} | {seen} |"
        )
    worst = max(rows, key=lambda row: row["ratio"])
    lines += ["", f"Worst ratio {worst['ratio']} (aim: under {AIM:g}). {PER_SECOND} honest requests/s; {where}."]
    return "\n".join(lines) + "\n"


def burn(share: float, seconds: float) -> None:
    """Use this share of one processor for nothing, in slices of ten milliseconds."""
    sys.stdout.write("burning\n")
    sys.stdout.flush()
    deadline = time.perf_counter() + seconds
    while (now := time.perf_counter()) < deadline:
        while time.perf_counter() < now + 0.01 * min(1.0, share):
            pass
        time.sleep(0.01 * max(0.0, 1.0 - share))


def attack(name: str, port: int, seconds: float) -> None:
    """The attacker's own process."""
    attacker = next(found for found in attackers.ALL if found.__name__ == name)
    sys.stdout.write("attacking\n")
    sys.stdout.flush()
    cpu, wall = time.process_time(), time.perf_counter()
    seen = asyncio.run(attacker(port, seconds))  # type: ignore[arg-type]
    share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    sys.stdout.write(json.dumps({"seen": seen, "share": round(share, 3)}) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three seconds an attacker; nothing is written")
    names = [attacker.__name__ for attacker in attackers.ALL]
    parser.add_argument(
        "--only", choices=names, nargs="+", default=names, metavar="NAME",
        help="some attackers; their rows replace those in the results",
    )  # fmt: skip
    parser.add_argument("--burn", nargs=2, type=float, metavar=("SHARE", "SECONDS"), help=argparse.SUPPRESS)
    parser.add_argument("--attack", nargs=3, metavar=("NAME", "PORT", "SECONDS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attack:
        name, port, seconds = options.attack
        attack(name, int(port), float(seconds))
        return
    if options.burn:
        burn(*options.burn)
        return
    console = Console(stderr=True)
    rows, where = [], machine()
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            rows.append(uvloop.run(measure(name, Path(folder), 3.0 if options.quick else 8.0)))
            console.print(rows[-1])
    console.print(table(rows, where))
    if options.quick:
        return
    file = RESULTS / "transport_abuse.json"
    known = {row["attacker"]: row for row in (json.loads(file.read_text())["rows"] if file.exists() else [])}
    known |= {row["attacker"]: row for row in rows}
    rows = [known[name] for name in names if name in known]
    file.write_text(json.dumps({"machine": where, "rows": rows}, indent=1) + "\n")
    (RESULTS / "transport_abuse.md").write_text(table(rows, where))


if __name__ == "__main__":
    main()
