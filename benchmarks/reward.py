"""How well each reward tells good answers from bad ones, what it costs, and whether it is reproducible.

    python benchmarks/reward.py            everything, about ten minutes on two quiet cores
    python benchmarks/reward.py --quick    every fourth held-out prompt, without the refits and instruction sets

Writes benchmarks/results/reward.json and reward.md (`python scripts/fill_tables.py` puts it into docs/reward.md). AUC
is the probability that the good answer to a held-out prompt scores above a bad one; no prompt of the tables was used
in training. The column "kind unseen" is a head refitted without any example of that kind.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from loguru import logger

from benchmarks.reward_table import markdown, summary
from reward.composite import handmade
from reward.head import SCORE_ONE, Head, LearnedReward, features, load_head
from reward.signals import SignalReader, Signals
from reward.training.corpus import hand_pairs
from reward.training.dataset import GOOD, Example
from reward.training.fit import FitOptions, auc_by_kind, fit
from reward.training.panel import agreement, panel_examples
from reward.training.sources import Sources, add_options
from reward.training.spoil import TRAINED
from reward.training.tables import (
    WHOLE,
    evaluate,
    held_out_examples,
    model_examples,
    table_of,
    version_examples,
)

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
COMPARED = 32
"""Completions of the panel that are scored on every other machine."""
MACHINES = {
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "SSE4": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}
"""Variables that make PyTorch and its libraries take the kernels of older processors."""

SINGLE: dict[str, Callable[[Signals], float]] = {
    "cosine": lambda s: s.embedding.relevance,
    "likelihood": lambda s: s.reference.likelihood,
}
"""Single signals, to show the holes that each leaves."""


def main() -> int:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--quick", action="store_true", help="a quarter of the prompts, no refits, results of its own")
    add_options(parse, ROOT)
    options = parse.parse_args()
    torch.set_num_threads(options.threads)
    head, sources = load_head(), Sources(options)
    held, own, versions, people = held_out_examples(), model_examples(True), version_examples(), panel_examples()
    if options.quick:
        held, own, versions = ([item for item in items if item.pair % 4 == 0] for items in (held, own, versions))
    cache = sources.cache
    result: dict[str, Any] = {
        "machine": {"processor": processor(), "threads": options.threads, "torch": torch.__version__},
        "quick": options.quick,
        "head": {"sha256": head.digest, "parameters": head.parameters},
        "held_out": {"prompts": len({item.prompt for item in held}), "completions": len(held)},
        "auc": table(held, cache.read(held), head),
        "auc_model_answers": table(own, cache.read(own), head) if own else {},
        **panel_of(people, cache.read(people), head),
        "versions": versions_of(versions, cache.read(versions), head) if versions else {},
    }
    result["seconds"] = timing(sources.reader, head)
    result |= reproducibility(sources.reader, head, options, people)
    if not options.quick:
        result["auc_kind_unseen"] = unseen(sources, held, head)
    write(result, options.quick)
    return 0


def scores_of(signals: Sequence[Signals | None], head: Head) -> dict[str, np.ndarray]:
    """Scores in [0, 1] of the two rewards, 0 for a completion without words."""
    found = [item for item in signals if item is not None]
    present = np.array([item is not None for item in signals])
    columns = {
        "handmade": np.array([handmade(item).value for item in found]),
        "head": head.scores(head.quantise(features(found, head.blocks))) / SCORE_ONE,
    }
    full = {name: np.zeros(len(signals)) for name in columns}
    for name, values in columns.items():
        full[name][present] = values
    return full


def table(items: Sequence[Example], signals: Sequence[Signals | None], head: Head) -> dict[str, dict[str, float]]:
    """AUC by kind for each reward."""
    kept = [(item, found) for item, found in zip(items, signals, strict=True) if found is not None]
    kinds, pairs = [item.kind for item, _ in kept], np.array([item.pair for item, _ in kept])
    columns = {name: np.array([signal(found) for _, found in kept]) for name, signal in SINGLE.items()}
    columns |= scores_of([found for _, found in kept], head)
    return {name: rounded(auc_by_kind(scores, kinds, pairs)) for name, scores in columns.items()}


def panel_of(items: Sequence[Example], signals: Sequence[Signals | None], head: Head) -> dict[str, Any]:
    """How often each reward agrees with the hand panel, and its mean score of each kind."""
    columns = scores_of(signals, head)
    kinds = np.array([item.kind for item in items])
    means = {
        name: {kind: float(scores[kinds == kind].mean()) for kind in dict.fromkeys(item.kind for item in items)}
        for name, scores in columns.items()
    }
    return {
        "panel_prompts": len({item.pair for item in items}),
        "panel": {name: rounded(agreement(items, scores)) for name, scores in columns.items()},
        "panel_means": {name: rounded(values) for name, values in means.items()},
    }


def versions_of(items: Sequence[Example], signals: Sequence[Signals | None], head: Head) -> dict[str, Any]:
    """Mean score of each version of the reference model, and how often the whole one scores above it."""
    columns = scores_of(signals, head)
    kinds = np.array([item.kind for item in items])
    by_prompt: dict[int, dict[str, float]] = {}
    for item, score in zip(items, columns["head"], strict=True):
        by_prompt.setdefault(item.pair, {})[item.kind] = float(score)
    names = list(dict.fromkeys(item.kind for item in items))
    wins = {
        name: statistics.mean(
            1.0 if row[WHOLE] > row[name] else 0.5 if row[WHOLE] == row[name] else 0.0
            for row in by_prompt.values()
            if name in row
        )
        for name in names
    }
    means = {
        column: rounded({name: float(scores[kinds == name].mean()) for name in names})
        for column, scores in columns.items()
    }
    return {"prompts": len(by_prompt), **means, "wins": rounded(wins)}


def unseen(sources: Sources, held: list[Example], head: Head) -> dict[str, float]:
    """AUC on each trained kind of a head that was fitted without it."""
    options = FitOptions()
    whole, judged = sources.training_table(options.blocks), sources.table(held, options.blocks)
    found = {}
    torch.set_num_threads(1)
    for kind in TRAINED:
        values = evaluate(fit(whole.without([kind]), options, {}), judged)
        if kind in values:
            found[kind] = round(values[kind], 4)
            logger.info("without {}: {:.3f}", kind, found[kind])
    return found


def timing(reader: SignalReader, head: Head) -> dict[str, float]:
    """Seconds a completion takes, median over runs: alone, and in a batch of eight. 60 to 90 words each."""
    pairs = [pair for pair in hand_pairs() if 45 <= len(pair.good.split()) <= 90][:8]
    prompts, texts = [pair.prompt for pair in pairs], [pair.good for pair in pairs]
    reward = LearnedReward(reader, head)
    reward.score(prompts[:1], texts[:1])
    return {
        "alone": round(median_seconds(lambda: reward.score(prompts[:1], texts[:1])), 4),
        "in a batch of 8": round(median_seconds(lambda: reward.score(prompts, texts)) / 8, 4),
        "embeddings alone": round(median_seconds(lambda: reader.embedder.embed(texts)) / 8, 4),
        "head alone": round(_head_seconds(reader, head, prompts, texts), 7),
        "words a completion": round(statistics.mean(len(text.split()) for text in texts), 1),
    }


def _head_seconds(reader: SignalReader, head: Head, prompts: Sequence, texts: Sequence[str]) -> float:
    items = [Example(i, GOOD, prompt, text) for i, (prompt, text) in enumerate(zip(prompts, texts, strict=True))]
    numbers = table_of(items, reader.read(prompts, texts), head.blocks).features
    return median_seconds(lambda: head.scores(head.quantise(numbers))) / len(texts)


def median_seconds(run: Callable[[], object], times: int = 3) -> float:
    """Median wall time of a call."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def reproducibility(
    reader: SignalReader, head: Head, options: argparse.Namespace, people: Sequence[Example]
) -> dict[str, Any]:
    """Largest difference of a score between orders, batch sizes, thread counts and instruction sets."""
    items = list(people[:: max(1, len(people) // COMPARED)])[:COMPARED]
    prompts, texts = [item.prompt for item in items], [item.completion for item in items]
    reward = LearnedReward(reader, head)

    def scores(order: Sequence[int]) -> np.ndarray:
        read = reward.score([prompts[i] for i in order], [texts[i] for i in order])
        found = np.empty(len(items))
        found[list(order)] = [score.value for score in read]
        return found

    plain = scores(range(len(items)))
    found = {"again": scores(range(len(items))), "other order": scores(range(len(items) - 1, -1, -1))}
    found["one at a time"] = np.array([reward.score([p], [t])[0].value for p, t in zip(prompts, texts, strict=True)])
    torch.set_num_threads(1 if options.threads > 1 else 2)
    found["other threads"] = scores(range(len(items)))
    torch.set_num_threads(options.threads)
    if not options.quick:
        found |= {name: elsewhere(items, variables) for name, variables in MACHINES.items()}
    differences = {name: float(np.abs(values - plain).max()) for name, values in found.items()}
    return {"compared": len(items), "reproducibility": differences}


def elsewhere(items: Sequence[Example], variables: Mapping[str, str]) -> np.ndarray:
    """The scores of another process with these environment variables."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.jsonl"
        rows = ({"prompt": item.prompt.question, "completion": item.completion} for item in items)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        command = [sys.executable, "-m", "reward", "--batch", str(file), "--threads", "1"]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, check=True
        )
    return np.array([json.loads(line)["reward"] for line in done.stdout.splitlines()])


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def processor() -> str:
    """The processor's name and the number of cores, as far as the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def write(result: dict[str, Any], quick: bool) -> None:
    """Write the results; a quick run leaves the full results alone."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = "reward_quick" if quick else "reward"
    text = markdown(result)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    if not quick:
        (RESULTS / "reward_panel.md").write_text(summary(result), encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    raise SystemExit(main())
