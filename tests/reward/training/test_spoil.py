"""Ways to spoil an answer: each makes what it says, and the same each time."""

from __future__ import annotations

import random

import pytest

from reward.text import words
from reward.training.corpus import hand_pairs, with_own_answers
from reward.training.dataset import ALL_KINDS, GOOD, examples
from reward.training.spoil import REFUSALS, TRAINED, UNSEEN, Stream, looped, padded, shuffled, truncated

PAIRS = with_own_answers(hand_pairs())
LONG = next(pair for pair in PAIRS if len(pair.good.split()) > 40)


def stream(seed: int = 1, held_out: bool = False) -> Stream:
    return Stream(random.Random(seed), held_out)


@pytest.mark.parametrize("held_out", [False, True])
def test_examples_are_the_same_each_time(held_out):
    assert examples(PAIRS, ALL_KINDS, held_out) == examples(PAIRS, ALL_KINDS, held_out)


def test_every_kind_occurs_and_differs_from_the_good_answer():
    made = examples(PAIRS, ALL_KINDS, True)
    good = {item.pair: item.completion for item in made if item.kind == GOOD}
    # hot and skipped_layers need the reference model's own answers
    assert {item.kind for item in made} == {GOOD, *ALL_KINDS} - {"hot", "skipped_layers"}
    assert all(item.completion != good[item.pair] for item in made if item.kind != GOOD)


def test_a_share_of_the_kinds_is_drawn():
    whole, part = examples(PAIRS, TRAINED, False), examples(PAIRS, TRAINED, False, 0.5)
    assert 0.4 < sum(item.kind != GOOD for item in part) / sum(item.kind != GOOD for item in whole) < 0.6


def test_truncated_is_a_beginning():
    cut = truncated(LONG, PAIRS, stream())
    assert LONG.good.startswith(cut)
    assert len(cut) < 0.9 * len(LONG.good)


def test_shuffled_keeps_the_words():
    assert sorted(shuffled(LONG, PAIRS, stream()).split()) == sorted(LONG.good.split())


def test_looped_repeats():
    text = words(looped(LONG, PAIRS, stream()))
    assert len(set(text)) < 0.6 * len(text)


def test_padded_contains_the_good_answer():
    assert padded(LONG, PAIRS, stream()).startswith(LONG.good)


def test_templates_of_the_two_sides_do_not_meet():
    seen = {side: {stream(i, side).template(REFUSALS) for i in range(100)} for side in (False, True)}
    assert not seen[False] & seen[True]
    assert seen[False] | seen[True] == set(REFUSALS)


def test_trained_and_unseen_kinds_do_not_meet():
    assert not set(TRAINED) & set(UNSEEN)
