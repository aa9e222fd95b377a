"""The corpus: it parses, nothing held out leaks into training, exact answers are exact."""

from __future__ import annotations

import re

import numpy as np
import pytest

from reward.training.corpus import generated_pairs, hand_pairs, panel, parse_answers
from reward.training.exact import exact_pairs
from reward.training.pairs import Pair
from reward.training.panel import agreement, panel_examples
from reward.training.tables import held_out_examples, training_examples
from subnet.errors import RewardError


def test_hand_written_pairs_are_many_different_and_complete():
    pairs = hand_pairs()
    for source, least in (("hand", 149), ("short", 100)):
        prompts = [pair.prompt for pair in pairs if pair.source == source]
        assert len(prompts) >= least
        assert len(set(prompts)) == len(prompts)
    assert {p.prompt for p in pairs if p.source == "short"} <= {p.prompt for p in pairs if p.source == "hand"}
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
    assert exact_pairs(64)[:32] == exact_pairs(16)


def test_a_wrong_exact_answer_differs_in_its_result_alone():
    for pair in exact_pairs(84):
        good, wrong = pair.good.split(), pair.wrong.split()
        assert abs(len(good) - len(wrong)) <= 4
        assert abs(len(pair.good) - len(pair.wrong)) <= 30


def test_no_held_out_prompt_or_answer_is_trained_on():
    train, held = training_examples(), held_out_examples()
    assert not {item.prompt for item in train} & {item.prompt for item in held}
    # Templates such as refusals and filler are halved too.
    shared = {(item.completion, item.kind) for item in train} & {(item.completion, item.kind) for item in held}
    made = {text for pair in exact_pairs(84) for text in (pair.good, pair.wrong)}  # "Rome." is right here, wrong there
    assert not {text for text, _ in shared} - made
    assert 0.25 < sum(pair.held_out for pair in hand_pairs()) / len(hand_pairs()) < 0.45


def test_split_depends_on_the_prompt_alone():
    pair = hand_pairs()[0]
    assert Pair(pair.prompt, "other", None, "x").held_out == pair.held_out


def test_panel_is_diverse_and_matched_in_length():
    entries = panel()
    assert len(entries) >= 30
    sorts = [entry.sort for entry in entries]
    assert {"fact", "explain", "howto", "code", "maths", "writing", "chat", "task"} == set(sorts)
    assert len({entry.prompt for entry in entries}) == len(entries)
    for entry in entries:
        assert len(entry.good_short) < len(entry.good_long)
        for good, wrong in ((entry.good_short, entry.wrong_short), (entry.good_long, entry.wrong_long)):
            assert abs(len(good.split()) - len(wrong.split())) <= 2 + 0.45 * len(good.split()), entry.prompt.question


def test_panel_is_never_trained_on_nor_part_of_the_other_table():
    prompts = {entry.prompt for entry in panel()}
    for items in (training_examples(), held_out_examples()):
        assert not prompts & {item.prompt for item in items}
    assert not prompts & {pair.prompt for pair in hand_pairs() + generated_pairs() + exact_pairs(84)}


def test_agreement_counts_won_comparisons():
    items = panel_examples()
    perfect = np.array([1.0 if item.kind.startswith("good") else 0.0 for item in items])
    assert set(agreement(items, perfect).values()) == {1.0}
    assert set(agreement(items, 1.0 - perfect).values()) == {0.0}
    assert set(agreement(items, np.zeros(len(items))).values()) == {0.5}
