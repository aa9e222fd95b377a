"""The corpus: it parses, nothing held out leaks into training, exact answers are exact."""

from __future__ import annotations

import re

import pytest

from reward.training.corpus import Pair, exact_pairs, hand_pairs, parse_answers
from reward.training.tables import held_out_examples, training_examples
from subnet.errors import RewardError


def test_hand_written_pairs_are_many_different_and_complete():
    pairs = hand_pairs()
    assert len(pairs) >= 150
    assert len({pair.prompt for pair in pairs}) == len(pairs)
    assert all(pair.good and pair.wrong and pair.good != pair.wrong for pair in pairs)


def test_format_keeps_lists_and_several_lines():
    text = "# note\n? Ask\nmore\n+ Good\n\n* item\n- Wrong\n? Next\n+ g\n- w\n"
    assert parse_answers(text) == [("Ask\nmore", "Good\n\n* item", "Wrong"), ("Next", "g", "w")]


@pytest.mark.parametrize("text", ["stray line\n? a\n+ b\n- c", "? a\n+ b\n", "? a\n- c\n"])
def test_broken_files_are_refused(text):
    with pytest.raises(RewardError):
        parse_answers(text)


def test_exact_sums_are_right_and_their_wrong_answers_wrong():
    for pair in exact_pairs(64):
        sum_ = re.fullmatch(r"What is (\d+) \+ (\d+)\?", pair.prompt.question)
        if sum_:
            result = str(int(sum_[1]) + int(sum_[2]))
            assert f"is {result}." in pair.good
            assert f"is {result}." not in pair.wrong
    assert all(pair.good != pair.wrong for pair in exact_pairs(64))
    assert exact_pairs(64)[:32] == exact_pairs(32)


def test_no_held_out_prompt_or_answer_is_trained_on():
    train, held = training_examples(), held_out_examples()
    assert not {item.prompt for item in train} & {item.prompt for item in held}
    # Templates such as refusals and filler are halved too.
    assert not {item.completion for item in train} & {item.completion for item in held}
    assert 0.25 < sum(pair.held_out for pair in hand_pairs()) / len(hand_pairs()) < 0.45


def test_split_depends_on_the_prompt_alone():
    pair = hand_pairs()[0]
    assert Pair(pair.prompt, "other", None, "x").held_out == pair.held_out
