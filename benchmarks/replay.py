"""Replay beside decoding beside the machine's ceiling: `python benchmarks/replay.py [--quick]`.

One run on one machine: what a response costs the miner that decodes it, what it costs the validator that replays it,
and how far the replay is from the fastest matrix product that the machine was seen to do; also what the ratios would be
if the replay were that fast, so that an aim beyond the machine is seen as one. Writes results/replay.json,
replay.md and replay.png; `--dtypes float32` measures one part and keeps the other. On a machine that others use,
`--threads 1 --clock cpu` counts processor time instead of wall time.
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
from subnet.verify.profile import load_profile
from subnet.verify.replaying import Claim, replayed

RESULTS = Path(__file__).parent / "results"
MODELS = {"float32": DEFAULT_MODEL, "bfloat16": f"{DEFAULT_MODEL}-bf16"}
"""The model as each tolerance class runs it; the bf16 class has a float32 vocabulary projection."""
PROFILES = {"float32": f"{DEFAULT_MODEL}-fp32", "bfloat16": f"{DEFAULT_MODEL}-bf16"}
SHARING = "replay batched, 8 responses a prompt"
JUDGING = "replay batched, with noise and margins"
BATCHES = (1, 8, 32)
AIMS = {1: 40.0, 8: 10.0, 32: 4.0}
"""How much dearer than batched replay decoding is hoped to be, by batch."""
SHARED = 8
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
    """Operations that replaying needs: layers for every token, attention over its past, projection where needed.

    A prompt that several jobs share is counted once.
    """
    wide, narrow = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    layer = 2 * shape.hidden_size * (2 * wide + 2 * narrow + 3 * shape.intermediate_size)
    head = 2 * shape.hidden_size * shape.vocab_size
    prompts = {job.prompt for job in jobs}
    read = sum(len(prompt) * (len(prompt) + 1) / 2 for prompt in prompts)
    read += sum(job.length * (job.length + 1) / 2 - len(job.prompt) * (len(job.prompt) + 1) / 2 for job in jobs)
    tokens = sum(len(prompt) for prompt in prompts) + sum(len(job.completion) - 1 for job in jobs)
    rows = sum(len(job.completion) for job in jobs)
    return shape.layers * (layer * tokens + 4 * wide * read) + head * rows


def run_replay(model: LlamaModel, jobs: Sequence[ReplayJob]) -> None:
    """Compute all logits and drop them, as a validator that is done with each chunk does."""
    for _ in replay(model, jobs):
        pass


def measure(
    dtype: str, responses: int, tokens: int, rounds: int, clock: str, advance: Callable[[], None]
) -> dict[str, Any]:
    """All numbers of one dtype. Rounds interleave what is compared; of each the best time counts."""
    load = os.getloadavg()[0]
    model = load_model(MODELS[dtype])
    if not isinstance(model, LlamaModel):
        raise TypeError(f"the benchmark measures our own forward pass, not {type(model).__name__}")
    endless = dataclasses.replace(model, eos_ids=frozenset())
    miner = arranged_for_decoding(endless)
    tokenizer = load_tokenizer()
    prompts = [tokenizer.chat([{"role": "user", "content": f"Story {i}: {TOPICS[i % 8]}."}]) for i in range(responses)]
    jobs = [DecodeJob(p, i.to_bytes(32, "big"), Sampling(800), tokens) for i, p in enumerate(prompts)]
    done = [c.tokens for c in decode(miner, jobs, batch=responses)]
    claims = [ReplayJob(job.prompt, given) for job, given in zip(jobs, done, strict=True)]
    shared = [ReplayJob(jobs[i // SHARED].prompt, given) for i, given in enumerate(done)]
    judged = [Claim(j.prompt, given, j.seed, j.sampling, tokens, "length") for j, given in zip(jobs, done, strict=True)]
    spread = load_profile(PROFILES[dtype]).spread
    advance()
    runs: dict[str, list[Timed]] = {}
    limits: list[dict[str, float]] = []
    for _ in range(rounds):
        limits.append(ceiling(getattr(torch, dtype), clock))
        runs.setdefault("replay alone", []).append(timed(run_replay, model, claims[:1]))
        runs.setdefault("replay batched", []).append(timed(run_replay, model, claims))
        runs.setdefault(SHARING, []).append(timed(run_replay, model, shared))
        runs.setdefault(JUDGING, []).append(timed(replayed, model, judged, spread))
        for batch in BATCHES:
            runs.setdefault(f"decode {batch}", []).append(timed(decode, miner, jobs[:batch], batch))
        advance()
    best = max(max(limit.values()) for limit in limits)
    rows = {
        name: _row(name, times, shared if name == SHARING else claims, model.shape, best, clock)
        for name, times in runs.items()
    }
    return {
        "dtype": dtype,
        "date": time.strftime("%Y-%m-%d"),
        "load": load,
        "rounds": rounds,
        "ceiling_gflops": best,
        "ceilings": limits,
        "rows": rows,
        "limits": _limits(rows, best),
        "prompt_tokens": len(prompts[0]),
    }


def _limits(rows: dict[str, dict[str, Any]], ceiling: float) -> dict[str, dict[str, float]]:
    """By batch: how much dearer decoding is than batched replay, and how much it would be at the ceiling."""
    replay_row = rows["replay batched"]
    at_ceiling = replay_row["seconds_per_response"] * replay_row["gflops"] / ceiling
    found = {}
    for batch in BATCHES:
        price = rows[f"decode {batch}"]["seconds_per_response"]
        found[str(batch)] = {
            "ratio": price / replay_row["seconds_per_response"],
            "ratio_with_verdict": price / rows[JUDGING]["seconds_per_response"],
            "ratio_at_ceiling": price / at_ceiling,
            "aim": AIMS[batch],
        }
    return found


def _row(
    name: str, times: Sequence[Timed], claims: Sequence[ReplayJob], shape: LlamaShape, best: float, clock: str
) -> dict[str, Any]:
    count = 1 if name == "replay alone" else int(name.split()[1]) if name.startswith("decode") else len(claims)
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
    loads = ", ".join(f"{part['dtype']} on {part['date']} at load {part['load']:.1f}" for part in report["dtypes"])
    lines = [
        f"Measured on {report['machine']}, {report['threads']} threads, {report['clock']} time ({loads}); "
        f"{report['model']}, {report['responses']} responses of {report['tokens']} tokens, prompts of about "
        f"{report['dtypes'][0]['prompt_tokens']} tokens, temperature 0.8, decoding with noise. Best of "
        f"{report['dtypes'][0]['rounds']} rounds. One command: `python benchmarks/replay.py`.",
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
    lines += ["", *_distance(report["dtypes"]), ""]
    mixed = _against_float32(report)
    return "\n".join([*lines, *([mixed, ""] if mixed else [])])


def _distance(parts: Sequence[dict[str, Any]]) -> list[str]:
    """How far the ratios are from their aims, and how far they could be on this machine."""
    lines = [
        "| decoding is dearer than | batch 1 | batch 8 | batch 32 |",
        "|---|---|---|---|",
        "| aim | " + " | ".join(f"{AIMS[batch]:.0f}x" for batch in BATCHES) + " |",
    ]
    kinds = {
        "ratio": "batched replay",
        "ratio_with_verdict": "batched replay with noise and margins",
        "ratio_at_ceiling": "a replay at the ceiling (the limit of this machine)",
    }
    for part in parts:
        for kind, name in kinds.items():
            cells = " | ".join(f"{part['limits'][str(batch)][kind]:.1f}x" for batch in BATCHES)
            lines.append(f"| {part['dtype']}: {name} | {cells} |")
    return lines


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
        "machine": f"{_processor()} ({os.cpu_count()} cores)",
        "torch": torch.__version__,
        "threads": options.threads,
        "clock": options.clock,
        "model": DEFAULT_MODEL,
        "responses": max(BATCHES),
        "tokens": tokens,
    }
    found: list[dict[str, Any]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("replay against decoding", total=len(options.dtypes) * (rounds + 1))
        for dtype in options.dtypes:
            part = measure(dtype, report["responses"], tokens, rounds, options.clock, lambda: progress.advance(task))
            found.append(part)
    kept = [] if options.quick else _kept(options.output / "replay.json", report, options.dtypes)
    report["dtypes"] = sorted([*found, *kept], key=lambda part: list(MODELS).index(part["dtype"]))
    sys.stdout.write(table(report))
    if not options.quick:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "replay.json").write_text(json.dumps(report, indent=1) + "\n")
        (options.output / "replay.md").write_text(table(report))
        draw(report, options.output / "replay.png")
    return 0


def draw(report: dict[str, Any], path: Path) -> None:
    """Seconds a response of everything measured, beside what a replay at the ceiling would take."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    parts = report["dtypes"]
    figure, axes = plt.subplots(1, len(parts), figsize=(6.5 * len(parts), 3.6), squeeze=False, layout="constrained")
    for axis, part in zip(axes[0], parts, strict=True):
        names = list(part["rows"])[::-1]
        seconds = [part["rows"][name]["seconds_per_response"] for name in names]
        colours = ["tab:blue" if name.startswith("replay") else "tab:orange" for name in names]
        bars = axis.barh([name.replace("decode ", "decode, batch ") for name in names], seconds, color=colours)
        axis.bar_label(bars, [f"{value:.2f} s" for value in seconds], padding=3)
        batched = part["rows"]["replay batched"]
        limit = batched["seconds_per_response"] * batched["share_of_ceiling"]
        axis.axvline(limit, color="black", linestyle="--")
        title = f"{part['dtype']} (ceiling, dashed: {limit:.2f} s)"
        axis.set(xscale="log", xlabel="seconds a response", title=title, xlim=(limit / 2, max(seconds) * 3))
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _kept(path: Path, report: dict[str, Any], measured: Sequence[str]) -> list[dict[str, Any]]:
    """Parts of an earlier run in the same circumstances that this run did not measure again."""
    try:
        earlier = json.loads(path.read_text())
    except FileNotFoundError:
        return []
    if any(earlier.get(key) != value for key, value in report.items()):
        return []
    return [part for part in earlier["dtypes"] if part["dtype"] not in measured and "limits" in part]


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
