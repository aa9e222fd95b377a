"""Replay beside decoding beside the machine's ceiling: `python benchmarks/replay.py [--quick]`.

One run on one machine: what a response costs the miner that decodes it, what it costs the validator that replays it,
and how far the replay is from the fastest matrix product that the machine was seen to do. Writes results/replay.json
and replay.md. On a machine that others use, `--threads 1 --clock cpu` counts processor time instead of wall time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from subnet.engine.decode import DecodeJob, decode
from subnet.engine.llama import LlamaModel, LlamaShape, arranged_for_decoding
from subnet.engine.replay import ReplayJob, replay
from subnet.models import load_model, load_tokenizer
from subnet.models.registry import DEFAULT_MODEL
from subnet.sampling import Sampling

RESULTS = Path(__file__).parent / "results"
BATCHES = (1, 8, 32)
TOPICS = (
    "a lighthouse",
    "the number seven",
    "rain in a city",
    "an old clock",
    "two rivers",
    "a lost letter",
    "bread",
    "ice",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Timed:
    """Wall and processor seconds of one run."""

    wall: float
    cpu: float

    def by(self, clock: str) -> float:
        """Seconds of the clock called "wall" or "cpu"."""
        return self.wall if clock == "wall" else self.cpu


def timed(run: Callable[..., object], *arguments: object) -> Timed:
    """Run something once."""
    wall, cpu = time.perf_counter(), time.process_time()
    run(*arguments)
    return Timed(time.perf_counter() - wall, time.process_time() - cpu)


def ceiling(dtype: torch.dtype, clock: str, seconds: float = 1.0) -> dict[str, float]:
    """GFLOP/s of matrix products [m, k] x [k, n]: a large square one, and the model's own largest. Best of many."""
    found = {}
    for m, k, n in ((2048, 2048, 2048), (2048, 576, 1536)):
        a, b = torch.randn(m, k).to(dtype), torch.randn(n, k).to(dtype)
        times: list[float] = []
        while sum(times) < seconds:
            times.append(timed(F.linear, a, b).by(clock))
        found[f"{m}x{k}x{n}"] = 2e-9 * m * k * n / min(times)
    return found


def replay_flops(shape: LlamaShape, jobs: Sequence[ReplayJob]) -> float:
    """Operations that replaying needs: layers for every token, attention over its past, projection where needed."""
    wide, narrow = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    layer = 2 * shape.hidden_size * (2 * wide + 2 * narrow + 3 * shape.intermediate_size)
    head = 2 * shape.hidden_size * shape.vocab_size
    attention = sum(4 * wide * job.length * (job.length + 1) / 2 for job in jobs)
    tokens, rows = sum(job.length for job in jobs), sum(len(job.completion) for job in jobs)
    return shape.layers * (layer * tokens + attention) + head * rows


def run_replay(model: LlamaModel, jobs: Sequence[ReplayJob]) -> None:
    """Compute all logits and drop them, as a validator that is done with each chunk does."""
    for _ in replay(model, jobs):
        pass


def measure(
    dtype: str, responses: int, tokens: int, rounds: int, clock: str, advance: Callable[[], None]
) -> dict[str, Any]:
    """All numbers of one dtype. Rounds interleave what is compared; of each the best time counts."""
    model = load_model(dtype=dtype)
    if not isinstance(model, LlamaModel):
        raise TypeError(f"the benchmark measures our own forward pass, not {type(model).__name__}")
    endless = dataclasses.replace(model, eos_ids=frozenset())
    miner = arranged_for_decoding(endless)
    tokenizer = load_tokenizer()
    prompts = [tokenizer.chat([{"role": "user", "content": f"Story {i}: {TOPICS[i % 8]}."}]) for i in range(responses)]
    jobs = [DecodeJob(p, i.to_bytes(32, "big"), Sampling(800), tokens) for i, p in enumerate(prompts)]
    claims = [ReplayJob(j.prompt, c.tokens) for j, c in zip(jobs, decode(miner, jobs, batch=responses), strict=True)]
    advance()
    runs: dict[str, list[Timed]] = {}
    limits: list[dict[str, float]] = []
    for _ in range(rounds):
        limits.append(ceiling(getattr(torch, dtype), clock))
        runs.setdefault("replay alone", []).append(timed(run_replay, model, claims[:1]))
        runs.setdefault("replay batched", []).append(timed(run_replay, model, claims))
        for batch in BATCHES:
            runs.setdefault(f"decode {batch}", []).append(timed(decode, miner, jobs[:batch], batch))
        advance()
    best = max(max(limit.values()) for limit in limits)
    rows = {name: _row(name, times, claims, model.shape, best, clock) for name, times in runs.items()}
    return {"dtype": dtype, "ceiling_gflops": best, "ceilings": limits, "rows": rows, "prompt_tokens": len(prompts[0])}


def _row(
    name: str, times: Sequence[Timed], claims: Sequence[ReplayJob], shape: LlamaShape, best: float, clock: str
) -> dict[str, Any]:
    count = 1 if name == "replay alone" else len(claims) if name == "replay batched" else int(name.split()[1])
    covered = claims[:count]
    seconds = min(t.by(clock) for t in times)
    completed = sum(len(c.completion) for c in covered)
    gflops = replay_flops(shape, covered) / seconds / 1e9
    return {
        "responses": count,
        "seconds_per_response": seconds / count,
        "tokens_per_second": completed / seconds,
        "tokens_per_second_with_prompts": sum(c.length for c in covered) / seconds,
        "gflops": gflops,
        "share_of_ceiling": gflops / best,
        "wall_seconds": [t.wall for t in times],
        "cpu_seconds": [t.cpu for t in times],
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [
        f"Measured {report['date']} on {report['machine']}, {report['threads']} threads, load average before the run "
        f"{report['load']:.1f}, {report['clock']} time; {report['model']}, {report['responses']} responses of "
        f"{report['tokens']} tokens, prompts of about {report['dtypes'][0]['prompt_tokens']} tokens, temperature 0.8, "
        f"noise included. Best of {report['rounds']} round(s). One command: `python benchmarks/replay.py`.",
        "",
        "| numerics | what | s a response | tokens/s | GFLOP/s | share of ceiling | dearer than batched replay |",
        "|---|---|---|---|---|---|---|",
    ]
    for part in report["dtypes"]:
        cheapest = part["rows"]["replay batched"]["seconds_per_response"]
        lines.append(f"| {part['dtype']} | matrix-product ceiling | | | {part['ceiling_gflops']:.0f} | 100 % | |")
        for name, row in part["rows"].items():
            what = name.replace("decode ", "decode, batch ")
            lines.append(
                f"| {part['dtype']} | {what} | {row['seconds_per_response']:.3f} | "
                f"{row['tokens_per_second']:.0f} | {row['gflops']:.0f} | {100 * row['share_of_ceiling']:.0f} % | "
                f"{row['seconds_per_response'] / cheapest:.1f}x |"
            )
    mixed = _against_float32(report)
    if mixed:
        lines += ["", mixed]
    return "\n".join(lines) + "\n"


def _against_float32(report: dict[str, Any]) -> str:
    """A validator replays both tolerance classes in float32, so that is the price to set beside bf16 decoding."""
    parts = {part["dtype"]: part["rows"] for part in report["dtypes"]}
    if "bfloat16" not in parts or "float32" not in parts:
        return ""
    price = parts["float32"]["replay batched"]["seconds_per_response"]
    ratios = [f"{parts['bfloat16'][f'decode {b}']['seconds_per_response'] / price:.1f}x at batch {b}" for b in BATCHES]
    return "Validators replay both classes in float32: bf16 decoding is dearer than that by " + ", ".join(ratios) + "."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of short responses; results go nowhere")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch threads; default all cores")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="which seconds to count")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--output", type=Path, default=RESULTS, help=f"default {RESULTS}")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    tokens, rounds = (8, 1) if options.quick else (128, options.rounds)
    report: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{_processor()} ({os.cpu_count()} cores)",
        "torch": torch.__version__,
        "threads": options.threads,
        "clock": options.clock,
        "load": os.getloadavg()[0],
        "model": DEFAULT_MODEL,
        "responses": max(BATCHES),
        "tokens": tokens,
        "rounds": rounds,
        "dtypes": [],
    }
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("replay against decoding", total=len(options.dtypes) * (rounds + 1))
        for dtype in options.dtypes:
            part = measure(dtype, report["responses"], tokens, rounds, options.clock, lambda: progress.advance(task))
            report["dtypes"].append(part)
    sys.stdout.write(table(report))
    if not options.quick:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "replay.json").write_text(json.dumps(report, indent=1))
        (options.output / "replay.md").write_text(table(report))
    return 0


def _processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
