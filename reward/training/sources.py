"""What the training script and the benchmark both start from: options, the frozen models, signals and tables."""

from __future__ import annotations

import argparse
from functools import cached_property
from pathlib import Path

from reward.embedding import load_embedder
from reward.reference import ReferenceModel
from reward.signals import SignalReader
from reward.training.dataset import Example, SignalCache
from reward.training.fit import Table
from reward.training.tables import (
    held_out_examples,
    joined,
    model_examples,
    table_of,
    training_examples,
)
from subnet.models import load_model, load_tokenizer

CACHE = Path("build") / "reward-signals.pkl"
PAIR_OFFSET = 10_000
"""Pair numbers of joined tables are this far apart."""


def add_options(parse: argparse.ArgumentParser, root: Path) -> None:
    """The options that both have."""
    parse.add_argument("--cache", type=Path, default=root / CACHE, help="cache of signals")
    parse.add_argument("--models", type=Path, default=None, help="folder of converted models, if not the user's cache")
    parse.add_argument("--threads", type=int, default=2, help="threads for reading signals and for timing")


class Sources:
    """The models, loaded when first needed, and the signals of examples."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.models: Path | None = options.models
        self.cache = SignalCache(options.cache, lambda: self.reader)

    @cached_property
    def reader(self) -> SignalReader:
        reference = ReferenceModel(load_model(cache=self.models), load_tokenizer(cache=self.models))
        return SignalReader(load_embedder(), reference)

    def table(self, items: list[Example], blocks: tuple[str, ...], offset: int = 0) -> Table:
        """Examples with their signals; one without words is left out."""
        return table_of(items, self.cache.read(items), blocks, offset)

    def training_table(self, blocks: tuple[str, ...]) -> Table:
        """Everything that a head is fitted on."""
        sides = (training_examples(), model_examples(False))
        return joined(*(self.table(items, blocks, PAIR_OFFSET * n) for n, items in enumerate(sides) if items))

    def held_out_tables(self, blocks: tuple[str, ...]) -> dict[str, Table]:
        """What it is judged on: `held` are the written answers, `own_held` the reference model's."""
        sides = {"held": held_out_examples(), "own_held": model_examples(True)}
        return {name: self.table(items, blocks) for name, items in sides.items() if items}
