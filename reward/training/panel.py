"""The hand panel as examples, and how often the reward agrees with it: what a person would look at first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reward.training.corpus import panel
from reward.training.dataset import Example, spoilt
from reward.training.pairs import Pair
from reward.training.spoil import (
    Spoiler,
    copied,
    dropped,
    empty_talk,
    injected,
    known_good,
    looped,
    off_topic,
    padded,
    refused,
    shuffled,
    stuffed,
    truncated,
)

GOOD_SHORT, GOOD_LONG = "good, short", "good, long"
WRONG_SHORT, WRONG_LONG = "wrong, short", "wrong, long"

KINDS: dict[str, Spoiler] = {
    "off topic": off_topic,
    "another prompt's": known_good,
    "truncated": truncated,
    "refused": refused,
    "empty talk": empty_talk,
    "copied": copied,
    "stuffed": stuffed,
    "looped": looped,
    "shuffled": shuffled,
    "words dropped": dropped,
    "padded": padded,
    "injected": injected,
}
"""Kinds that are made from the short good answer of every other prompt, and from the long one of the rest."""


def panel_examples() -> list[Example]:
    """The four written answers to each prompt, and a spoilt version of each kind. `pair` numbers the prompt."""
    entries = panel()
    sides = [
        [Pair(entry.prompt, getattr(entry, field), None, "panel") for entry in entries]
        for field in ("good_short", "good_long")
    ]
    made: list[Example] = []
    for number, entry in enumerate(entries):
        made += [
            Example(number, GOOD_SHORT, entry.prompt, entry.good_short),
            Example(number, GOOD_LONG, entry.prompt, entry.good_long),
            Example(number, WRONG_SHORT, entry.prompt, entry.wrong_short),
            Example(number, WRONG_LONG, entry.prompt, entry.wrong_long),
        ]
        side = sides[number % 2]
        for kind, spoil in KINDS.items():
            text = spoilt(kind, spoil, side[number], side, True)
            if text is not None:
                made.append(Example(number, kind, entry.prompt, text))
    return made


def agreement(items: Sequence[Example], scores: np.ndarray) -> dict[str, float]:
    """Share of comparisons in which the good answer scores above the bad one to the same prompt, ties counting half.

    Wrong answers are compared by length, each with each; other kinds with both good answers.
    """
    by_prompt: dict[int, dict[str, list[float]]] = {}
    for item, score in zip(items, scores, strict=True):
        by_prompt.setdefault(item.pair, {}).setdefault(item.kind, []).append(float(score))
    rows: dict[str, list[float]] = {}
    for found in by_prompt.values():
        short, long = found[GOOD_SHORT][0], found[GOOD_LONG][0]
        for name, good, bad in (
            ("wrong, both short", short, WRONG_SHORT),
            ("wrong, both long", long, WRONG_LONG),
            ("long wrong one against short good one", short, WRONG_LONG),
            ("short wrong one against long good one", long, WRONG_SHORT),
        ):
            rows.setdefault(name, []).append(_wins(good, found[bad][0]))
        for kind in KINDS:
            rows.setdefault(kind, []).extend(_wins(good, bad) for bad in found.get(kind, ()) for good in (short, long))
    return {name: float(np.mean(values)) for name, values in rows.items() if values}


def _wins(good: float, bad: float) -> float:
    return 1.0 if good > bad else 0.5 if good == bad else 0.0
