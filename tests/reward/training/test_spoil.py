"""Ways to spoil an answer: each makes what it says, and the same each time."""

from __future__ import annotations

import random

import pytest

from reward.text import words
from reward.training.corpus import hand_pairs, with_own_answers
from reward.training.dataset import ALL_KINDS, GOOD, examples
from reward.training.spoil import TRAINED, UNSEEN, Stream, looped, padded, shuffled, truncated
from reward.training.templates import ECHOES, EMPTY_TALK, FILLERS, REFUSALS

PAIRS = with_own_answers(hand_pairs())
LONG = next(pair for pair in PAIRS if len(pair.good.split()) > 40)


def stream(seed: int = 1, held_out: bool = False) -> Stream:
    return Stream(random.Random(seed), held_out)


@pytest.mark.parametrize("held_out", [False, True])
def test_examples_are_the_same_each_time(held_out):
    assert examples(PAIRS, ALL_KINDS, held_out) == examples(PAIRS, ALL_KINDS, held_out)


def test_every_kind_occurs_and_differs_from_the_good_answer():
    made = examples(PAIRS, ALL_KINDS, True)
    good = {(item.pair, item.completion) for item in made if item.kind == GOOD}
    # hot and skipped_layers need the reference model's own answers
    assert {item.kind for item in made} == {GOOD, *ALL_KINDS} - {"hot", "skipped_layers"}
    assert all((item.pair, item.completion) not in good for item in made if item.kind != GOOD)


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


@pytest.mark.parametrize("templates", [REFUSALS, EMPTY_TALK, ECHOES, FILLERS])
def test_templates_of_the_two_sides_do_not_meet(templates):
    seen = {side: {stream(i, side).template(templates) for i in range(200)} for side in (False, True)}
    assert not seen[False] & seen[True]
    assert seen[False] | seen[True] == set(templates)


def test_bad_answers_are_short_and_long_like_good_ones():
    """Else length would tell good from bad, and a long answer would beat a true one."""
    for held_out in (False, True):
        made = examples(PAIRS, {kind: TRAINED[kind] for kind in ("wrong", "off_topic")}, held_out)
        counts = {kind: [len(i.completion.split()) for i in made if i.kind == kind] for kind in (GOOD, "wrong")}
        good, bad = (sum(values) / len(values) for values in counts.values())
        assert abs(good - bad) < 0.12 * good
    for templates in (REFUSALS, EMPTY_TALK):
        for side in (templates[::2], templates[1::2]):
            assert min(len(text.split()) for text in side) <= 8
            assert max(len(text.split()) for text in side) >= 35


def test_trained_and_unseen_kinds_do_not_meet():
    assert not set(TRAINED) & set(UNSEEN)
