"""Text signals: bounds on any text, and that each tells the text it is meant to tell."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward.text import ends_closed, sentences, text_signals, whole_sentences, words

PROMPT = "Why do bees make honey in summer?"
GOOD = "Bees store honey because flowers are rare in winter. The colony eats it, and its warmth keeps the queen alive."


@given(st.text(max_size=300), st.text(max_size=600))
def test_all_signals_stay_in_bounds_on_any_text(prompt, completion):
    signals = text_signals(prompt, completion)
    for field in dataclasses.fields(signals):
        assert 0.0 <= getattr(signals, field.name) <= 1.0, field.name


def test_loop_shows_in_repetition():
    looped = text_signals(PROMPT, "Bees store honey because flowers are rare. " * 6)
    good = text_signals(PROMPT, GOOD)
    assert looped.longest_repeat > 0.4 > 0.1 > good.longest_repeat
    assert looped.distinct_2 < 0.3 < 0.9 < good.distinct_2
    assert looped.duplicate_sentences > 0.8


def test_copy_of_the_prompt_has_no_novelty():
    assert text_signals(PROMPT, PROMPT).novelty == 0.0
    assert text_signals(PROMPT, GOOD).novelty == 1.0
    assert text_signals("sky", "sky").novelty == 0.0


def test_stuffing_shows_in_keywords_and_function_words():
    stuffed = text_signals(PROMPT, "Bees honey summer bees make honey best honey bees summer guide.")
    good = text_signals(PROMPT, GOOD)
    assert stuffed.keyword_share > 0.7 > good.keyword_share
    assert stuffed.function_share < 0.1 < 0.3 < good.function_share


@pytest.mark.parametrize("text", ["Yes.", 'He said "no."', "```python\nx = 1\n```", "Really?", "**Bold end.**"])
def test_closed_endings(text):
    assert ends_closed(text) == 1.0


@pytest.mark.parametrize("text", ["and then the", "", "because,", "..and so", "   "])
def test_open_endings(text):
    assert ends_closed(text) == 0.0


def test_words_and_sentences():
    assert words("Don't stop: 3 bees' wings!") == ["don't", "stop", "3", "bees", "wings"]
    assert sentences('One. "Two!" Three?\nfour') == ["One.", '"Two!"', "Three?", "four"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One is done. Two is not", "One is done."),
        ('He said "no." Then he', 'He said "no."'),
        ("* first\n* second\n* thi", "* first\n* second"),
        ("1. One is done.\n\n2.", "1. One is done."),
        ("no end at all", "no end at all"),
        ("version 3.11 is", "version 3.11 is"),
        ("All done.", "All done."),
        ("", ""),
    ],
)
def test_answers_cut_by_the_limit_keep_their_whole_sentences(text, expected):
    assert whole_sentences(text) == expected


@given(st.text(max_size=200))
def test_whole_sentences_are_a_beginning_and_settle(text):
    cut = whole_sentences(text)
    assert text.startswith(cut)
    assert whole_sentences(cut) == cut
