"""The training and the held-out examples, as tables that the fit and the benchmark share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reward.head import Head, features
from reward.signals import Signals
from reward.training.corpus import generated_pairs, hand_pairs, with_own_answers
from reward.training.dataset import ALL_KINDS, Example, examples
from reward.training.exact import exact_pairs
from reward.training.fit import Table, auc_by_kind
from reward.training.spoil import TRAINED, own_answer, skipped_layers, wrong
from subnet.errors import RewardError

EXACT_QUESTIONS = 84
TRAIN_SHARE = 0.4
"""Share of the kinds that each hand-written training pair gets; the fluent wrong answer and the model's own always."""
SHORT_SHARE = 0.3
EXACT_SHARE = 0.05
WHOLE = "whole"
MODEL_KINDS = ("truncated", "off_topic", "looped", "hot", "skipped_layers")
"""Kinds that the reference model's own answers are spoilt with."""


def training_examples() -> list[Example]:
    """What the head is trained on: held-out prompts, the panel and the unseen kinds are not in it."""
    hand, exact = with_own_answers(hand_pairs()), exact_pairs(EXACT_QUESTIONS)
    shares = (("hand", TRAIN_SHARE), ("short", SHORT_SHARE), ("exact", EXACT_SHARE))
    made = [
        example for source, share in shares for example in examples(hand + exact, TRAINED, False, share, source=source)
    ]
    present = {(item.prompt, item.completion) for item in made}
    every = examples(hand + exact, {"wrong": wrong, "own_answer": own_answer}, False)
    return made + [item for item in every if (item.prompt, item.completion) not in present]


def model_examples(held_out: bool) -> list[Example]:
    """The reference model's own answers, spoilt; on the training side with trained kinds only."""
    kinds = {kind: ALL_KINDS[kind] for kind in MODEL_KINDS if held_out or kind in TRAINED}
    if held_out:
        return examples(generated_pairs(), kinds, True)
    made = examples(generated_pairs(), kinds, False, SHORT_SHARE)
    present = {(item.prompt, item.completion) for item in made}
    every = examples(generated_pairs(), {"skipped_layers": skipped_layers}, False)
    return made + [item for item in every if (item.prompt, item.completion) not in present]


def version_examples() -> list[Example]:
    """What versions of the reference model answer to held-out prompts: `kind` is "whole" or how it was made worse."""
    made: list[Example] = []
    for number, pair in enumerate(pair for pair in generated_pairs() if pair.held_out):
        if len(pair.weak) > 1:
            made.append(Example(number, WHOLE, pair.prompt, pair.good))
            made += [Example(number, name, pair.prompt, text) for name, text in pair.weak]
    return made


def held_out_examples() -> list[Example]:
    """What the head is judged on: held-out prompts, trained and unseen kinds."""
    hand, exact = with_own_answers(hand_pairs()), exact_pairs(EXACT_QUESTIONS)
    shares = (("hand", 1.0), ("short", SHORT_SHARE), ("exact", EXACT_SHARE))
    made = [
        example for source, share in shares for example in examples(hand + exact, ALL_KINDS, True, share, source=source)
    ]
    present = {(item.prompt, item.completion) for item in made}
    every = examples(exact + hand, {"wrong": wrong}, True)
    return made + [item for item in every if (item.prompt, item.completion) not in present]


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
