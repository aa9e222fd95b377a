"""TOPLOC on the detection benchmark's completions: `python benchmarks/detection_toploc.py --data FOLDER`.

The miner's last hidden states are committed as TOPLOC does (32 tokens a proof, the 128 largest values, bfloat16) and
checked against the verifier's prefill at the thresholds of its paper. The published wheel does not import with this
torch, so the C++ that it carries is compiled once, in a folder of the benchmark's own (needs a C++ compiler and ninja).
Writes results/toploc.json.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "toploc.json"
WHEEL = "toploc==0.1.6"
PARTS = ("utils", "ndd", "poly")

TOKENS, TOP = 32, 128
WORST_EXPONENTS, WORST_MEAN, WORST_MEDIAN = 38, 10.0, 8.0
"""Ong et al., "TOPLOC" (2025), for bfloat16: a proof is rejected above 38 exponent mismatches of 128, a mean mantissa
error of 10, or a median of 8.
"""

ORDERS = 100
HONEST = {"fp32": "fp32", "bf16": "bf16h"}


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion's proofs: where each ends (tokens), and whether it was rejected."""

    ends: tuple[int, ...]
    rejected: tuple[bool, ...]
    errors: tuple[tuple[int, float, float], ...]


def toploc(console: Console) -> Any:
    """The package `toploc`, its extension modules compiled against the torch that runs here."""
    folder = ROOT / "build" / "toploc"
    ready, wanted = folder / "ready", f"{WHEEL}, torch {torch.__version__}, python {sys.version_info[:2]}"
    if not ready.is_file() or ready.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        with console.status(f"installing {WHEEL} into {folder} and compiling its sources (once, 2 minutes)"):
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), WHEEL]
            subprocess.run(pip, check=True, stderr=subprocess.DEVNULL)
            for part in PARTS:
                _compile(folder / "toploc" / "C" / "csrc", part, folder / "objects" / part)
        ready.write_text(wanted)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module("toploc")


def _compile(sources: Path, part: str, objects: Path) -> None:
    from torch.utils.cpp_extension import load

    objects.mkdir(parents=True)
    flags = ["-O1", "-fopenmp"]
    load(part, [str(sources / f"{part}.cpp")], flags, build_directory=str(objects), is_python_module=False)
    for stale in sources.glob(f"{part}.*.so"):
        stale.unlink()
    shutil.copy(objects / f"{part}.so", sources)


def proofs(package: Any, miner: torch.Tensor, verifier: torch.Tensor) -> Completion:
    """Commit to and check one completion. miner, verifier: bfloat16 [tokens, hidden]; the last proof may be shorter."""
    commitments = package.build_proofs(list(miner), TOKENS, TOP, skip_prefill=True)
    if any(not any(proof.coeffs) for proof in commitments):
        raise RuntimeError("toploc could not build a proof")
    found = package.verify_proofs(list(verifier), commitments, TOKENS, TOP, skip_prefill=True)
    errors = tuple((r.exp_mismatches, float(r.mant_err_mean), float(r.mant_err_median)) for r in found)
    bad = tuple(e > WORST_EXPONENTS or mean > WORST_MEAN or median > WORST_MEDIAN for e, mean, median in errors)
    ends = tuple(min(stop, len(miner)) for stop in range(TOKENS, len(miner) + TOKENS, TOKENS))
    return Completion(ends, bad, errors)


def stored(path: Path) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The miner's and the verifier's states of every completion of one file."""
    with np.load(path) as file:
        miner, verifier, lengths = (file[name] for name in ("miner", "verifier", "lengths"))
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    for start, stop in itertools.pairwise(bounds.tolist()):
        yield _bfloat16(miner[start:stop]), _bfloat16(verifier[start:stop])


def _bfloat16(bits: Any) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(bits).view(np.int16)).view(torch.bfloat16)


def delay(completions: list[Completion], order: Any) -> int | None:
    """Tokens until the first rejected proof in an order of the completions; None where none is rejected."""
    seen = 0
    for number in order:
        completion = completions[number]
        if any(completion.rejected):
            return seen + completion.ends[completion.rejected.index(True)]
        seen += completion.ends[-1]
    return None


def summary(completions: list[Completion]) -> dict[str, Any]:
    """One miner's figures over all of its completions."""
    rng = np.random.default_rng(0)
    delays = [delay(completions, rng.permutation(len(completions))) for _ in range(ORDERS)]
    reached = sorted(d for d in delays if d is not None)
    rejected = [flag for completion in completions for flag in completion.rejected]
    errors = np.array([error for completion in completions for error in completion.errors])
    return {
        "tokens": sum(completion.ends[-1] for completion in completions),
        "proofs": len(rejected),
        "rejected": float(np.mean(rejected)),
        "completions_rejected": float(np.mean([any(completion.rejected) for completion in completions])),
        "median_tokens": reached[len(delays) // 2] if len(reached) > len(delays) // 2 else None,
        "worst": [float(value) for value in np.minimum(errors.max(axis=0), 128.0)],
        "median": [float(value) for value in np.minimum(np.median(errors, axis=0), 128.0)],
    }


def tolerance_class(miner: str) -> str:
    """The class whose numerics a miner's name says it has."""
    return "bf16" if miner.endswith("@bf16") or miner == HONEST["bf16"] else "fp32"


def evaluate(folder: Path, console: Console) -> dict[str, dict[str, Any]]:
    """Figures of every miner that has states in the folder, by class."""
    package = toploc(console)
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.states.npz")):
        files.setdefault(path.name.split(".")[0], []).append(path)
    found: dict[str, dict[str, Any]] = {"fp32": {}, "bf16": {}}
    for miner, paths in track(files.items(), "TOPLOC", console=console):
        completions = [proofs(package, *pair) for path in paths for pair in stored(path) if len(pair[0])]
        found[tolerance_class(miner)][miner.removesuffix("@bf16")] = summary(completions)
    return found


def toploc_rows(folder: Path) -> dict[str, dict[str, Any]]:
    """By class, every miner's median verified tokens until the first rejected proof (None: never in half of the
    orders), and the share of completions of honest miners that are rejected ("honest accused").
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, miners in evaluate(folder, Console(stderr=True)).items():
        rows[name] = {miner: found["median_tokens"] for miner, found in miners.items() if miner != HONEST[name]}
        if HONEST[name] in miners:
            rows[name]["honest accused"] = miners[HONEST[name]]["completions_rejected"]
    return rows


def main() -> int:
    """Evaluate and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the *.states.npz of the detection data")
    parser.add_argument("--output", type=Path, default=RESULTS, help=f"default {RESULTS}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = evaluate(options.data, Console(stderr=True))
    thresholds = {"exponent_mismatches": WORST_EXPONENTS, "mantissa_mean": WORST_MEAN, "mantissa_median": WORST_MEDIAN}
    report = {"package": WHEEL, "tokens_a_proof": TOKENS, "top": TOP, "thresholds": thresholds, **found}
    options.output.write_text(json.dumps(report, indent=1) + "\n")
    for name, miners in found.items():
        for miner, row in sorted(miners.items()):
            sys.stdout.write(
                f"{name:5} {miner:24} {row['proofs']:5} proofs, {100 * row['rejected']:5.1f} % rejected, "
                f"median {row['median_tokens']} tokens, worst {row['worst']}\n"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
