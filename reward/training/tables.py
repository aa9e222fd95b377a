"""The training and the held-out examples, as tables that the fit and the benchmark share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reward.head import Head, features
from reward.signals import Signals
from reward.training.corpus import exact_pairs, generated_pairs, hand_pairs, with_own_answers
from reward.training.dataset import ALL_KINDS, Example, examples
from reward.training.fit import Table, auc_by_kind
from reward.training.spoil import TRAINED, own_answer, wrong
from subnet.errors import RewardError

EXACT_PAIRS = 48
TRAIN_SHARE = 0.6
"""Share of the kinds that each training pair gets; the fluent wrong answer and the model's own always."""
MODEL_KINDS = ("truncated", "off_topic", "looped", "hot", "skipped_layers")
"""Kinds that the reference model's own answers are spoilt with."""


def training_examples() -> list[Example]:
    """What the head is trained on: held-out prompts and the unseen kinds are not in it."""
    pairs = with_own_answers(hand_pairs()) + exact_pairs(EXACT_PAIRS)
    made = examples(pairs, TRAINED, False, TRAIN_SHARE)
    present = {(item.prompt, item.completion) for item in made}
    every = examples(pairs, {"wrong": wrong, "own_answer": own_answer}, False)
    return made + [item for item in every if (item.prompt, item.completion) not in present]


def model_examples(held_out: bool) -> list[Example]:
    """The reference model's own answers, spoilt; on the training side with trained kinds only."""
    kinds = {kind: ALL_KINDS[kind] for kind in MODEL_KINDS if held_out or kind in TRAINED}
    return examples(generated_pairs(), kinds, held_out)


def held_out_examples() -> list[Example]:
    """What the head is judged on: held-out prompts, trained and unseen kinds."""
    return examples(with_own_answers(hand_pairs()) + exact_pairs(EXACT_PAIRS), ALL_KINDS, True)


def table_of(
    items: Sequence[Example], signals: Sequence[Signals | None], blocks: tuple[str, ...], offset: int = 0
) -> Table:
    """Examples with signals as a table; an example without words has none and is left out."""
    kept = [(item, found) for item, found in zip(items, signals, strict=True) if found is not None]
    if not kept:
        raise RewardError("there are no examples; is reward/data/generated.jsonl empty? make it with --regenerate")
    return Table(
        features([found for _, found in kept], blocks),
        np.array([item.pair + offset for item, _ in kept]),
        tuple(item.kind for item, _ in kept),
    )


def joined(*tables: Table) -> Table:
    """Tables below each other; pair numbers must not overlap."""
    return Table(
        np.concatenate([table.features for table in tables]),
        np.concatenate([table.pairs for table in tables]),
        tuple(kind for table in tables for kind in table.kinds),
    )


def evaluate(head: Head, table: Table) -> dict[str, float]:
    """AUC by kind on a table."""
    scores = head.scores(head.quantise(table.features))
    return auc_by_kind(scores, table.kinds, table.pairs)
