"""Speed of the transport: ours beside bittensor 10.5's axon and dendrite, and beside bare btauth.

Server and client are two processes on this machine. Everything runs in one go; bittensor 10.5 gets a virtual
environment of its own under build/. Writes benchmarks/results/transport.json and .md.

    python benchmarks/transport.py [--quick | --fanout-only | --prepare]
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
RESULTS = ROOT / "benchmarks" / "results"
SDK10 = "bittensor==10.5.0"
MINERS = 256


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of the table. `cost` scales the number of requests, so that slow ones end in time."""

    name: str
    signs: str
    command: tuple[str, ...]
    cost: float = 1.0


def contenders(python10: Path) -> list[Contender]:
    here = str(ROOT / "benchmarks")
    return [
        Contender("bittensor 10.5", "request", (str(python10), f"{here}/transport_sdk10.py", "{role}"), cost=20.0),
        Contender("bare btauth", "request", (sys.executable, "-m", "benchmarks.transport_bare", "{role}", "plain")),
        Contender(
            "bare btauth, signed answers",
            "request, answer",
            (sys.executable, "-m", "benchmarks.transport_bare", "{role}", "signed"),
        ),
        Contender(
            "ours",
            "request, answer (both also as evidence)",
            (sys.executable, "-m", "benchmarks.transport_ours", "{role}", "plain"),
        ),
    ]


def sdk10_python(console: Console) -> Path:
    """The interpreter of a virtual environment with bittensor 10.5, made at the first run."""
    folder = ROOT / "build" / "sdk10"
    python = folder / "bin" / "python"
    marker = folder / "ready"
    if not marker.exists():
        console.print(f"installing {SDK10} into {folder.relative_to(ROOT)} (once)")
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", SDK10], check=True, stderr=subprocess.DEVNULL)
        marker.touch()
    return python


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(contender: Contender, folder: Path) -> Iterator[tuple[int, int]]:
    """Start the contender's server; gives port and process id."""
    command = [part.format(role="serve") for part in contender.command] + [str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdin is not None and process.stdout is not None
    try:
        port = next(int(line) for line in process.stdout if line.strip().isdigit())
        yield port, process.pid
    finally:
        process.stdin.close()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
        process.stdout.close()


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(contender: Contender, folder: Path, server: tuple[int, int], concurrency: int, body: int, n: int) -> Any:
    port, pid = server
    requests = max(concurrency, int(n / contender.cost))
    command = [part.format(role="call") for part in contender.command]
    command += [str(folder), str(port), str(concurrency), str(requests), str(body)]
    before = cpu_seconds(pid)
    out = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    spent = cpu_seconds(pid) - before
    if out.returncode:
        raise SystemExit(f"{contender.name} failed: {out.stderr[-2_000:]}")
    result = json.loads(out.stdout.strip().splitlines()[-1])
    return {
        "contender": contender.name,
        "signs": contender.signs,
        "body_bytes": body,
        "concurrency": concurrency,
        "requests": requests,
        "requests_per_second": round(requests / result["wall"], 1),
        "p50_ms": round(1_000 * percentile(result["latencies"], 0.5), 2),
        "p99_ms": round(1_000 * percentile(result["latencies"], 0.99), 2),
        "client_cpu_ms": round(1_000 * result["cpu"] / requests, 3),
        # Warm-up requests are in the server's time: their number is small beside the measured ones.
        "server_cpu_ms": round(1_000 * spent / requests, 3),
    }


async def fan_out(folder: Path, rounds: int) -> list[float]:
    """Seconds to ask 256 miners, each with a hotkey and a port of its own, for one completion."""
    from benchmarks.transport_fanout import ask_all

    return await ask_all(folder, MINERS, rounds)


def machine() -> str:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"


def table(rows: list[dict[str, Any]], fanout: list[float], where: str) -> str:
    lines = [
        "| body | concurrency | transport | signed | requests/s | p50 ms | p99 ms | CPU ms, client | CPU ms, server "
        "| ours, times this |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    ours = {(row["body_bytes"], row["concurrency"]): row for row in rows if row["contender"] == "ours"}
    for row in rows:
        own = ours[row["body_bytes"], row["concurrency"]]
        times = "" if row is own else f"{own['requests_per_second'] / row['requests_per_second']:.2f}"
        lines.append(
            "| {body_bytes:,} | {concurrency} | {contender} | {signs} | {requests_per_second:,.0f} | {p50_ms} "
            "| {p99_ms} | {client_cpu_ms} | {server_cpu_ms} | {times} |".format(**row, times=times)
        )
    if fanout:
        lines.append("")
        lines.append(
            f"Fan-out to {MINERS} miners on loopback: median {percentile(fanout, 0.5):.3f} s, "
            f"worst {max(fanout):.3f} s of {len(fanout)} rounds."
        )
    lines += ["", f"{where}."]
    return "\n".join(lines) + "\n"


def short(rows: list[dict[str, Any]], where: str) -> str:
    """The table of the README: 1 KB bodies, 16 at once."""
    shown = [row for row in rows if (row["body_bytes"], row["concurrency"]) == (1_024, 16)]
    lines = ["| transport | signed | requests/s | p50 ms | p99 ms | CPU ms, both sides |", "|---|---|---|---|---|---|"]
    lines += [
        "| {contender} | {signs} | {requests_per_second:,.0f} | {p50_ms} | {p99_ms} | {cpu:.2f} |".format(
            **row, cpu=row["client_cpu_ms"] + row["server_cpu_ms"]
        )
        for row in shown
    ]
    return "\n".join([*lines, "", f"Bodies of 1 KB, 16 requests at once; {where}."]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few requests, one body size, concurrency 16")
    parser.add_argument("--fanout-only", action="store_true", help="only the fan-out to 256 miners")
    parser.add_argument("--prepare", action="store_true", help="only make the environment of bittensor 10.5")
    options = parser.parse_args()
    console = Console(stderr=True)
    if options.prepare:
        sdk10_python(console)
        return
    sizes, levels, n = ((1_024,), (16,), 1_000) if options.quick else ((1_024, 16_384), (1, 16, 64), 3_000)
    rows: list[dict[str, Any]] = []
    where = machine()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not options.fanout_only:
            for contender in contenders(sdk10_python(console)):
                with serving(contender, folder) as server:
                    for body in sizes:
                        for concurrency in levels:
                            count = n if concurrency > 1 else n // 3
                            rows.append(measure(contender, folder, server, concurrency, body, count))
                            console.print(rows[-1])
        fanout = uvloop.run(fan_out(folder, 5 if options.quick else 20))
    rows.sort(key=lambda row: (row["body_bytes"], row["concurrency"]))
    text = table(rows, fanout, where)
    console.print(text)
    if not options.quick and not options.fanout_only:
        facts = {"machine": where, "seconds": round(time.monotonic() - started), "rows": rows, "fanout_s": fanout}
        (RESULTS / "transport.json").write_text(json.dumps(facts, indent=1) + "\n")
        (RESULTS / "transport.md").write_text(text)
        (RESULTS / "transport_short.md").write_text(short(rows, where))


if __name__ == "__main__":
    main()
