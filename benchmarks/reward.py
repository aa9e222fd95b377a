"""How well each reward tells good answers from bad ones, what it costs, and whether it is reproducible.

    python benchmarks/reward.py            the whole table, about ten minutes on two quiet cores
    python benchmarks/reward.py --quick    every fourth held-out prompt, without the refits

Writes benchmarks/results/reward.json and reward.md, and the same table into docs/reward.md. AUC is the
probability that the good answer to a held-out prompt scores above a bad one; no prompt of the table
was used in training. The column "kind unseen" is a head refitted without any example of that kind.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from loguru import logger

from reward.composite import handmade
from reward.embedding import load_embedder
from reward.head import SCORE_ONE, Head, LearnedReward, load_head
from reward.reference import ReferenceModel
from reward.signals import SignalReader, Signals
from reward.training.corpus import hand_pairs
from reward.training.dataset import GOOD, Example, SignalCache
from reward.training.fit import FitOptions, auc_by_kind, fit
from reward.training.spoil import TRAINED
from reward.training.tables import (
    evaluate,
    held_out_examples,
    joined,
    model_examples,
    table_of,
    training_examples,
)
from subnet.models import load_model, load_tokenizer

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs" / "reward.md"
BEGIN, END = "<!-- reward table: written by benchmarks/reward.py -->", "<!-- end of reward table -->"

SINGLE: dict[str, Callable[[Signals], float]] = {
    "cosine": lambda s: s.embedding.relevance,
    "likelihood": lambda s: s.reference.likelihood,
}
"""Single signals, to show the holes that each leaves."""


def main() -> int:
    """Measure and write."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--quick", action="store_true", help="a quarter of the prompts, no refits, no docs")
    parse.add_argument("--cache", type=Path, default=ROOT / "build" / "reward-signals.pkl", help="cache of signals")
    parse.add_argument("--models", type=Path, default=None, help="folder of converted models, if not the user's cache")
    parse.add_argument("--threads", type=int, default=2, help="threads for the timing")
    options = parse.parse_args()
    torch.set_num_threads(options.threads)
    reference = ReferenceModel(load_model(cache=options.models), load_tokenizer(cache=options.models))
    reader = SignalReader(load_embedder(), reference)
    head = load_head()
    cache = SignalCache(options.cache, lambda: reader)
    held, own = held_out_examples(), model_examples(True)
    if options.quick:
        held, own = ([item for item in items if item.pair % 4 == 0] for items in (held, own))
    result: dict[str, Any] = {
        "machine": {"processor": processor(), "threads": options.threads, "torch": torch.__version__},
        "quick": options.quick,
        "head": {"sha256": head.digest, "parameters": head.parameters},
        "held_out": {"prompts": len({item.pair for item in held}), "completions": len(held)},
        "auc": table(held, cache.read(held), head),
        "auc_model_answers": table(own, cache.read(own), head) if own else {},
        "seconds": timing(reader, head),
        "reproducibility": reproducibility(reader, head, options.threads),
    }
    if not options.quick:
        result["auc_kind_unseen"] = unseen(cache, held, head)
    write(result, options.quick)
    return 0


def table(items: Sequence[Example], signals: Sequence[Signals | None], head: Head) -> dict[str, dict[str, float]]:
    """AUC by kind for each reward."""
    kept = [(item, found) for item, found in zip(items, signals, strict=True) if found is not None]
    kinds, pairs = [item.kind for item, _ in kept], np.array([item.pair for item, _ in kept])
    numbers = table_of(items, signals, head.blocks)
    columns = {name: np.array([signal(found) for _, found in kept]) for name, signal in SINGLE.items()}
    columns["handmade"] = np.array([handmade(found).value for _, found in kept])
    columns["head"] = head.scores(head.quantise(numbers.features)) / SCORE_ONE
    return {name: rounded(auc_by_kind(scores, kinds, pairs)) for name, scores in columns.items()}


def unseen(cache: SignalCache, held: Sequence[Example], head: Head) -> dict[str, float]:
    """AUC on each trained kind of a head that was fitted without it."""
    options = FitOptions()
    train, own = training_examples(), model_examples(False)
    sides = [items for items in (train, own) if items]
    tables = [table_of(items, cache.read(items), options.blocks, 10_000 * n) for n, items in enumerate(sides)]
    whole, judged = joined(*tables), table_of(held, cache.read(held), options.blocks)
    found = {}
    torch.set_num_threads(1)
    for kind in TRAINED:
        refitted = fit(whole.without([kind]), options, {})
        found[kind] = round(evaluate(refitted, judged)[kind], 4)
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


def reproducibility(reader: SignalReader, head: Head, threads: int) -> dict[str, float]:
    """Largest difference of a score between thread counts, batch sizes and orders, over 12 completions."""
    items = held_out_examples()[:12]
    prompts, texts = [item.prompt for item in items], [item.completion for item in items]
    reward = LearnedReward(reader, head)

    def scores(order: Sequence[int]) -> np.ndarray:
        read = reward.score([prompts[i] for i in order], [texts[i] for i in order])
        found = np.empty(len(items))
        found[list(order)] = [score.value for score in read]
        return found

    plain = scores(range(len(items)))
    again = scores(range(len(items)))
    backwards = scores(range(len(items) - 1, -1, -1))
    alone = np.array([reward.score([p], [t])[0].value for p, t in zip(prompts, texts, strict=True)])
    torch.set_num_threads(1 if threads > 1 else 2)
    other = scores(range(len(items)))
    torch.set_num_threads(threads)
    differences = {"again": again, "other order": backwards, "one at a time": alone, "other threads": other}
    return {name: float(np.abs(values - plain).max()) for name, values in differences.items()}


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


def markdown(result: dict[str, Any]) -> str:
    """The tables of a result."""
    refits = result.get("auc_kind_unseen", {})
    columns = list(result["auc"])
    lines = [
        "AUC, good answers to held-out prompts against each kind of bad one "
        f"({result['held_out']['prompts']} prompts, {result['held_out']['completions']} completions):",
        "",
        "| kind | trained on | " + " | ".join(columns) + " | head, kind unseen |",
        "|---|---|" + "---|" * (len(columns) + 1),
    ]
    for kind in result["auc"]["head"]:
        cells = " | ".join(f"{result['auc'][name][kind]:.3f}" for name in columns)
        trained = kind in TRAINED
        other = f"{refits[kind]:.3f}" if kind in refits else ("" if trained else f"{result['auc']['head'][kind]:.3f}")
        lines.append(f"| {kind} | {'yes' if trained else 'no'} | {cells} | {other} |")
    means = {name: statistics.mean(values.values()) for name, values in result["auc"].items()}
    lines.append("| **mean** | | " + " | ".join(f"**{means[name]:.3f}**" for name in columns) + " | |")
    if result["auc_model_answers"]:
        lines += ["", "The same with the reference model's own answers to held-out prompts as the good ones:", ""]
        lines += ["| kind | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
        for kind in result["auc_model_answers"]["head"]:
            cells = " | ".join(f"{result['auc_model_answers'][name][kind]:.3f}" for name in columns)
            lines.append(f"| {kind} | {cells} |")
    seconds = result["seconds"]
    lines += [
        "",
        f"Time a completion of {seconds['words a completion']:.0f} words, {result['machine']['threads']} threads on "
        f"{result['machine']['processor']}: {seconds['alone']:.3f} s alone, {seconds['in a batch of 8']:.3f} s in a "
        f"batch of 8; of this the embeddings take {seconds['embeddings alone'] * 1000:.1f} ms and the head "
        f"{seconds['head alone'] * 1e6:.0f} µs.",
        "",
        "Largest difference of a score between runs: "
        + ", ".join(f"{name} {value:.1e}" for name, value in result["reproducibility"].items())
        + ".",
        "",
        f"Head: {result['head']['parameters']} parameters, SHA-256 `{result['head']['sha256']}`.",
    ]
    return "\n".join(lines) + "\n"


def write(result: dict[str, Any], quick: bool) -> None:
    """Write the results; a quick run leaves the docs and the full results alone."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = "reward_quick" if quick else "reward"
    text = markdown(result)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    if not quick and DOCS.exists():
        page = DOCS.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        DOCS.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
