"""The hand-made reward and mixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward.composite import Handmade, Mix, TextOnly, ramp
from reward.loading import load_reward, parse_mix
from reward.model import Component, Conversation, RewardModel, RewardScore
from subnet.errors import RewardError

SKY = Conversation.of("Why is the sky blue?")
GOOD = (
    "Sunlight contains all colours. Air molecules scatter the short blue waves far more strongly than the long red "
    "ones, so blue light reaches our eyes from every part of the sky."
)


@dataclass(frozen=True)
class Constant:
    """A reward that gives one value."""

    name: str
    value: float

    @property
    def identity(self) -> str:
        return f"{self.name}{self.value}"

    def score(self, prompts: Sequence[Conversation], completions: Sequence[str]) -> list[RewardScore]:
        return [RewardScore(self.value, (Component("it", self.value),)) for _ in completions]


def test_handmade_beats_spoilt_answers_and_says_why(reader):
    bad = {
        "relevance": "Mix the flour with water and salt, let the dough rest, and bake it in a hot oven.",
        "completeness": GOOD[:88],
        "distinctness": "The sky is blue because of air. " * 7,
        "novelty": "Why is the sky blue?",
    }
    reward = Handmade(reader)
    good, *others = reward.score([SKY] * (1 + len(bad)), [GOOD, *bad.values()])
    for (component, text), score in zip(bad.items(), others, strict=True):
        assert score.value < good.value, text
        assert score.component(component) < good.component(component), text
        assert any(part.name == component and part.reason for part in score.components), text


def test_empty_completions_score_zero(reader):
    reward = Handmade(reader)
    assert [score.value for score in reward.score([SKY] * 3, ["", "  \n", "...!"])] == [0.0, 0.0, 0.0]
    assert reward.score([], []) == []


@given(st.text(max_size=80), st.text(max_size=300))
def test_text_only_stays_in_bounds_on_any_text(prompt, completion):
    score = TextOnly().score([Conversation.of(prompt)], [completion])[0]
    assert 0.0 <= score.value <= 1.0


def test_text_only_tells_loops_copies_and_open_endings():
    bad = ["The sky is blue because of air. " * 7, "Why is the sky blue?", GOOD[:88], "Yes."]
    good, *others = TextOnly().score([SKY] * 5, [GOOD, *bad])
    assert all(score.value < good.value for score in others)


def test_unequal_lists_are_refused(reader):
    with pytest.raises(RewardError, match="2 prompts but 1"):
        Handmade(reader).score([SKY, SKY], ["a"])


def test_rewards_fit_the_protocol(reader):
    assert isinstance(Handmade(reader), RewardModel)
    assert isinstance(Mix(((Handmade(reader), 1.0),)), RewardModel)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 100)), min_size=1, max_size=5))
def test_mix_is_the_weighted_mean_and_in_bounds(parts):
    mix = Mix(tuple((Constant(f"r{i}", value), weight) for i, (value, weight) in enumerate(parts)))
    score = mix.score([SKY], ["x"])[0]
    expected = sum(value * weight for value, weight in parts) / sum(weight for _, weight in parts)
    assert score.value == pytest.approx(expected, abs=1e-9)
    assert score.component("r0.it") == parts[0][0]


@pytest.mark.parametrize("parts", [(), ((Constant("a", 1.0), 0.0),), ((Constant("a", 1.0), float("nan")),)])
def test_impossible_mixes_are_refused(parts):
    with pytest.raises(RewardError):
        Mix(parts)


def test_identity_tells_mixes_apart():
    one, two = Constant("a", 1.0), Constant("b", 0.5)
    assert Mix(((one, 1.0), (two, 2.0))).identity != Mix(((one, 2.0), (two, 1.0))).identity


@given(st.floats(-100, 100), st.floats(-10, 10), st.floats(0.1, 10))
def test_ramp_is_monotone_between_zero_and_one(value, low, span):
    assert 0.0 <= ramp(value, low, low + span) <= ramp(value + 0.1, low, low + span) <= 1.0


def test_mix_lines_are_parsed_with_numbers_inside():
    assert parse_mix("mix:default=0.7,hf:/a/b.json@1.5,2.0=0.3") == [("default", 0.7), ("hf:/a/b.json@1.5,2.0", 0.3)]


@pytest.mark.parametrize("spec", ["nonsense", "mix:", "mix:handmade", "mix:handmade=x", "hf:/a.json@1", "mix:zzz=1"])
def test_lines_that_name_no_reward_are_refused(spec, reference):
    with pytest.raises(RewardError):
        load_reward(spec, reference.model, reference.tokenizer)
