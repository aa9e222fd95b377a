"""Train the reward's head and write it with its record: `python scripts/train_reward.py`.

Reads the corpus, spoils the good answers, reads the signals of everything once (cached), fits the head
on the training side of the split, evaluates it on the held-out side, and writes reward/data/head.json.
The corpus and the split are fixed, every seed is fixed, so a rerun on the same build gives the same hash.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from loguru import logger

from reward.composite import handmade
from reward.embedding import PINNED
from reward.head import DEFAULT_HEAD
from reward.training.corpus import hand_pairs
from reward.training.dataset import Example
from reward.training.fit import FitOptions, auc_by_kind, fit
from reward.training.generate import synthetic_prompts, write_generated
from reward.training.panel import agreement, panel_examples
from reward.training.sources import Sources, add_options
from reward.training.spoil import TRAINED
from reward.training.tables import evaluate, held_out_examples, model_examples, training_examples
from subnet.models import load_model, load_tokenizer

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "reward" / "data"
GENERATED = (40, 44)
"""How many hand-written and how many synthetic prompts the reference model answers."""


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--out", type=Path, default=DATA / DEFAULT_HEAD, help="where to write the head")
    parse.add_argument("--regenerate", action="store_true", help="answer the prompts with the reference model again")
    add_options(parse, ROOT)
    return parse


def corpus_digest(*parts: list[Example]) -> str:
    """SHA-256 over all examples in order."""
    rows = [
        [[m.role, m.content] for m in item.prompt.messages] + [item.kind, item.completion]
        for part in parts
        for item in part
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def regenerate(models: Path | None) -> None:
    """Answer the prompts anew; the old file is replaced when the new one is complete."""
    written, synthetic = GENERATED
    prompts = [pair.prompt for pair in hand_pairs() if pair.source == "hand"][:written] + synthetic_prompts(synthetic)
    partial = DATA / "generated.partial"
    write_generated(partial, prompts, load_model(cache=models), load_tokenizer(cache=models))
    partial.replace(DATA / "generated.jsonl")


def main() -> int:
    """Train, evaluate, write."""
    options = arguments().parse_args()
    torch.set_num_threads(options.threads)
    if options.regenerate:
        regenerate(options.models)
    sources, fitted = Sources(options), FitOptions()
    train, own, held, own_held = training_examples(), model_examples(False), held_out_examples(), model_examples(True)
    whole, judged = sources.training_table(fitted.blocks), sources.held_out_tables(fitted.blocks)
    people = panel_examples()
    panel = sources.table(people, fitted.blocks)
    torch.set_num_threads(1)
    record: dict[str, Any] = {
        "script": "scripts/train_reward.py",
        "options": dataclasses.asdict(fitted),
        "corpus_sha256": corpus_digest(train, own),
        "held_out_sha256": corpus_digest(held, own_held),
        "panel_sha256": corpus_digest(people),
        "examples": {"train": len(train) + len(own), "held_out": len(held) + len(own_held), "panel": len(people)},
        "trained_kinds": list(TRAINED),
        "embedding_sha256": PINNED["model.safetensors"],
        "reference_model": load_model(cache=options.models).model_id.hex(),
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
    }
    draft = fit(whole, fitted, {})
    for name, table in judged.items():
        record[f"auc_{name}"] = {kind: round(value, 4) for kind, value in evaluate(draft, table).items()}
    agreed = agreement(people, draft.scores(draft.quantise(panel.features)))
    record["panel"] = {kind: round(value, 4) for kind, value in agreed.items()}
    head = dataclasses.replace(draft, record=record)
    options.out.write_text(json.dumps(head.to_json(), sort_keys=True) + "\n", encoding="ascii")
    baseline = _baseline(held, sources)
    for kind, value in record["auc_held"].items():
        logger.info("{:<16} head {:.3f}  handmade {:.3f}", kind, value, baseline[kind])
    logger.info("{} parameters, hash {}", head.parameters, head.digest)
    sys.stdout.write(head.digest + "\n")
    return 0


def _baseline(items: list[Example], sources: Sources) -> dict[str, float]:
    kept = [(item, found) for item, found in zip(items, sources.cache.read(items), strict=True) if found is not None]
    scores = np.array([handmade(found).value for _, found in kept])
    return auc_by_kind(scores, [item.kind for item, _ in kept], np.array([item.pair for item, _ in kept]))


if __name__ == "__main__":
    raise SystemExit(main())
