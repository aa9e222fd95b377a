"""Measure honest noise and write a tolerance profile: `python -m subnet.verify.calibrate --class bf16`.

Runs the honest matrix (numerics, batch sizes, threads, attention kernels, contexts made to break honest miners), each
against the fp32 replay that validators do; stores what it measured, so that it can be stopped and taken up again; draws
fresh seeds; writes the profile as JSON and the distributions as a picture.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from subnet.errors import AssayError
from subnet.models import find_model, load_model, load_tokenizer
from subnet.models.files import cache_folder
from subnet.verify.fitting import (
    CLASSES,
    ClassRules,
    Counts,
    HonestSet,
    count,
    honest_set,
    make_profile,
    noise_left,
    pairwise_scale,
    with_spreads,
)
from subnet.verify.matrix import HONEST, MEMBERS, Run, honest_runs
from subnet.verify.measure import Measured, measure
from subnet.verify.profile import ToleranceProfile

NUMERICS = {
    "fp32": "float32 throughout; replayed in float32",
    "bf16": "bfloat16 layers, last norm and vocabulary projection in float32; replayed in float32",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=True)
    try:
        return _calibrate(options, console)
    except AssayError as error:
        console.print(f"[red]calibration failed:[/red] {error}", highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; what was measured is kept, run it again to go on")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m subnet.verify.calibrate", description=__doc__)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="name or path of a model manifest")
    parser.add_argument("--class", dest="tolerance_class", choices=sorted(MEMBERS), default="fp32")
    parser.add_argument("--name", help="name of the profile (default: MODEL-CLASS)")
    parser.add_argument("--data", type=Path, help="folder of stored measurements (default: the user's cache)")
    parser.add_argument("--output", type=Path, help="profile to write (default: NAME.json)")
    parser.add_argument("--plot", type=Path, help="picture to write (default: NAME.png)")
    parser.add_argument("--fresh", type=int, default=2_000_000, help="tokens to draw with fresh seeds")
    parser.add_argument("--threads", type=int, help="torch threads")
    parser.add_argument("--quick", action="store_true", help="a few requests of every kind: minutes, and wide bounds")
    parser.add_argument("--stored", action="store_true", help="measure nothing: fit what is stored")
    return parser


def _calibrate(options: argparse.Namespace, console: Console) -> int:
    if options.threads:
        torch.set_num_threads(options.threads)
    manifest = find_model(options.model).manifest
    name = options.name or f"{manifest.name}-{options.tolerance_class}"
    # the tensors name the model: its digest changes with the profile that this makes
    folder = options.data or cache_folder() / "calibration" / f"{manifest.name}-{manifest.weights.tensor_root[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    runs = honest_runs(options.tolerance_class, options.quick)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        if not options.stored:
            _measure_missing(options.model, runs, folder, progress)
        stored = load_honest(folder, options.tolerance_class)
        profile, counts = fitted(name, options.tolerance_class, stored, options.fresh, progress)
    output = options.output or Path(f"{name}.json")
    output.write_text(profile.to_json() + "\n")
    plot = options.plot or Path(f"{name}.png")
    from subnet.verify.picture import draw_calibration

    draw_calibration(profile, counts, stored, plot)
    sys.stdout.write(f"{output}\n{plot}\n")
    return 0


def _measure_missing(model: str, runs: Sequence[Run], folder: Path, progress: Progress) -> None:
    todo = [(run, chunk) for run in runs for chunk in range(run.chunks)]
    task = progress.add_task("measuring", total=len(todo))
    tokenizer, reference = load_tokenizer(model), load_model(model, dtype="float32")
    for run, chunk in todo:
        path = folder / f"{run.name}.{chunk:03d}.npz"
        progress.update(task, description=f"measuring {run.name}")
        if not path.exists():
            honest = HONEST[run.miner]
            with honest.running():
                jobs = run.requests(chunk, tokenizer, reference.max_positions)
                measure(reference, honest.load(model), jobs, run.batch, keep_pairs=True).save(path)
        progress.advance(task)


def load_honest(folder: Path, tolerance_class: str) -> dict[str, list[Measured]]:
    """Stored measurements of a class, by workload."""
    found: dict[str, list[Measured]] = {}
    for miner in MEMBERS[tolerance_class]:
        for path in sorted(folder.glob(f"{miner}.*.npz")):
            if ".part" not in path.name:
                found.setdefault(path.name.split(".")[1], []).append(Measured.load(path))
    return found


def fitted(
    name: str, tolerance_class: str, stored: dict[str, list[Measured]], fresh: int, progress: Progress | None = None
) -> tuple[ToleranceProfile, list[Counts]]:
    """The profile for what is stored; `fresh` tokens are drawn with fresh seeds, spread over the workloads."""
    random, rules = np.random.default_rng(20261124), CLASSES[tolerance_class]
    sets = []
    for workload, measured in sorted(stored.items()):
        kept = [m for m in measured if m.pairs is not None]
        if kept:
            sets.append(honest_set(workload, kept))
    sets, spread = with_spreads(sets, rules, random)
    seeds = [max(1, round(fresh / max(len(sets), 1) / len(honest.pairs))) for honest in sets]
    task = progress.add_task("drawing fresh seeds", total=sum(seeds)) if progress else None
    counts = []
    for honest, repeats in zip(sets, seeds, strict=True):
        advance = (lambda: progress.advance(task)) if progress and task is not None else None
        counts.append(count(honest, repeats, rules.tolerance, random, advance))
    how = describe(stored, counts, sets, rules, random)
    return make_profile(name, rules, NUMERICS[tolerance_class], counts, spread, how, random), counts


def describe(
    stored: dict[str, list[Measured]],
    counts: Sequence[Counts],
    sets: Sequence[HonestSet],
    rules: ClassRules,
    random: np.random.Generator,
) -> dict[str, object]:
    """How a profile was measured, as it is published."""
    everything = [m for measured in stored.values() for m in measured]
    widest = [m.widest for m in everything if m.widest is not None and len(m.widest)]
    return {
        "tokens": sum(len(m.tokens) for m in everything),
        "misses": int(sum(np.count_nonzero(m.records.margins > rules.tolerance) for m in everything)),
        "fresh_tokens": sum(c.tokens for c in counts),
        "fresh_misses": sum(c.misses for c in counts),
        "largest_margin": max(c.largest_margin for c in counts),
        "largest_difference": float(max(w.max() for w in widest)) if widest else None,
        "pairwise_noise": {honest.workload: round(pairwise_scale([honest]), 6) for honest in sets},
        "positions": {c.workload: c.positions for c in counts},
        "noise_left": noise_left(sets, random) if rules.spread else None,
        "torch": torch.__version__,
        "rules": asdict(rules),
    }


if __name__ == "__main__":
    raise SystemExit(main())
