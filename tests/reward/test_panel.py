"""What a person would expect: named examples of the hand panel, and the agreement that training recorded.

Nothing of the panel is in the training data. The thresholds are what the shipped head reaches, with a little room.
"""

from __future__ import annotations

import numpy as np
import pytest

from reward.head import Head, LearnedReward, load_head
from reward.training.corpus import PanelEntry, panel
from reward.training.panel import WRONG_LONG, agreement, panel_examples

SHOWN = (
    "Why is the sky blue?",
    'What does the git command "git pull" do?',
    "How do I unclog a sink?",
    "I feel nervous about my exam tomorrow. Any advice?",
)
REFUSED = "I'm sorry, but I can't help with that request."


@pytest.fixture(scope="module")
def head() -> Head:
    return load_head()


@pytest.fixture(scope="module")
def reward(reader, head) -> LearnedReward:
    return LearnedReward(reader, head)


def entry(question: str) -> PanelEntry:
    return next(entry for entry in panel() if entry.prompt.question == question)


@pytest.mark.parametrize("question", SHOWN)
def test_a_short_true_answer_is_good_and_above_a_wrong_one_of_any_length(reward, question):
    """Once a one-sentence answer scored 0.19 and a fluent wrong paragraph 0.42: length beat truth."""
    one = entry(question)
    texts = [one.good_short, one.good_long, one.wrong_short, one.wrong_long, REFUSED]
    short, long, wrong_short, wrong_long, refused = (s.value for s in reward.score([one.prompt] * 5, texts))
    assert short > 0.5
    assert long > 0.5
    assert short > wrong_short
    assert short > wrong_long
    assert long > wrong_long
    assert refused < min(short, long)


ACCEPTED = {
    "wrong, both short": 0.87,
    "wrong, both long": 0.93,
    "long wrong one against short good one": 0.9,
    "short wrong one against long good one": 0.76,
    "off topic": 0.97,
    "another prompt's": 0.92,
    "truncated": 0.97,
    "refused": 0.97,
    "empty talk": 0.97,
    "copied": 0.97,
    "stuffed": 0.97,
    "looped": 0.97,
    "shuffled": 0.97,
    "words dropped": 0.94,
    "padded": 0.92,
    "injected": 0.95,
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_recorded_agreement_with_the_panel_is_accepted(head, kind):
    assert head.record["panel"][kind] >= ACCEPTED[kind]


@pytest.mark.slow
def test_agreement_is_what_training_recorded(reward, head):
    """Scores every written answer of the panel; about a minute."""
    written = ("good, short", "good, long", "wrong, short", WRONG_LONG)
    items = [item for item in panel_examples() if item.kind in written]
    scores = reward.score([item.prompt for item in items], [item.completion for item in items])
    found = agreement(items, np.array([score.value for score in scores]))
    for kind, value in found.items():
        assert value == pytest.approx(head.record["panel"][kind], abs=0.03), kind
