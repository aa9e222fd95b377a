"""Rewards made by hand and by mixing.

`Handmade` multiplies six readable components. It needs no training, serves as the baseline that the
learned head has to beat, and explains itself. `TextOnly` does without models. `Mix` is the weighted mean of
other rewards.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reward.model import Component, Conversation, RewardModel, RewardScore, check_pairs
from reward.signals import SignalReader, Signals
from reward.text import text_signals
from subnet.errors import RewardError

EMPTY = RewardScore(0.0, (Component("answer", 0.0, "there is no text to score"),))

RAMPS = {
    "relevance": (0.05, 0.60),
    "completeness": (-14.0, -1.0),
    "fluency": (-2.6, -0.2),
    "distinctness": (0.45, 0.95),
    "novelty": (0.2, 0.9),
    "length": (0.0, 0.1),
}
"""Where each component is 0 and 1: cosine, log-probability of the end, excess nats, shares, words / (words + 60)."""
FLOOR = 0.02
"""No component goes below this, so that one bad signal does not hide what the others say."""

REASONS = {
    "relevance": "the answer does not fit the question",
    "completeness": "the answer seems to stop before its end",
    "fluency": "the text is not what a language model expects to read",
    "distinctness": "the text repeats itself",
    "novelty": "much of the text is copied from the prompt",
    "length": "the answer is only a word or two",
}


def ramp(value: float, low: float, high: float) -> float:
    """0 at `low`, 1 at `high`, straight in between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


def components(signals: Signals) -> tuple[Component, ...]:
    """The six readable components of one pair."""
    raw = {
        "relevance": signals.embedding.relevance,
        "completeness": signals.reference.ending,
        "fluency": signals.reference.excess,
        "distinctness": min(signals.text.distinct_2, 1.0 - signals.text.longest_repeat),
        "novelty": signals.text.novelty,
        "length": signals.text.length,
    }
    values = {name: ramp(value, *RAMPS[name]) for name, value in raw.items()}
    return tuple(_component(name, value) for name, value in values.items())


def _component(name: str, value: float) -> Component:
    return Component(name, value, REASONS[name] if value < 0.5 else "")


@dataclass(frozen=True)
class Handmade:
    """The product of the six components, to the power 1/3 so that a typical good answer is near 0.7."""

    reader: SignalReader

    @property
    def name(self) -> str:
        return "handmade"

    @property
    def identity(self) -> str:
        return hashlib.sha256(
            json.dumps(["handmade/1", RAMPS, FLOOR, self.reader.identity], sort_keys=True).encode()
        ).hexdigest()

    def score(self, prompts: Sequence[Conversation], completions: Sequence[str]) -> list[RewardScore]:
        """Scores of n pairs; see `RewardModel.score`."""
        return [EMPTY if s is None else handmade(s) for s in self.reader.read(prompts, completions)]


def handmade(signals: Signals) -> RewardScore:
    """The hand-made score of one pair's signals."""
    parts = components(signals)
    return RewardScore(math.prod(max(FLOOR, part.value) for part in parts) ** (1 / 3), parts)


@dataclass(frozen=True)
class TextOnly:
    """What can be said without a model: repetition, novelty, a closed ending, length. Microseconds, and easily gamed.

    For rehearsals on machines that have no time for more, never for paying.
    """

    @property
    def name(self) -> str:
        return "text"

    @property
    def identity(self) -> str:
        return hashlib.sha256(json.dumps(["text/1", RAMPS, FLOOR], sort_keys=True).encode()).hexdigest()

    def score(self, prompts: Sequence[Conversation], completions: Sequence[str]) -> list[RewardScore]:
        """Scores of n pairs; see `RewardModel.score`."""
        check_pairs(prompts, completions)
        return [_text_score(prompt, text) for prompt, text in zip(prompts, completions, strict=True)]


def _text_score(prompt: Conversation, completion: str) -> RewardScore:
    signals = text_signals(prompt.question, completion)
    if signals.length == 0.0:
        return EMPTY
    parts = tuple(
        _component(name, ramp(raw, *RAMPS[name]))
        for name, raw in (
            ("distinctness", min(signals.distinct_2, 1.0 - signals.longest_repeat)),
            ("novelty", signals.novelty),
            ("length", signals.length),
        )
    )
    closed = Component("ending", 0.5 + 0.5 * signals.ends_closed, "" if signals.ends_closed else "no closing mark")
    return RewardScore(math.prod(max(FLOOR, part.value) for part in (*parts, closed)) ** (1 / 3), (*parts, closed))


@dataclass(frozen=True)
class Mix:
    """The weighted mean of several rewards. `parts` are (reward, weight) with positive weights."""

    parts: tuple[tuple[RewardModel, float], ...]

    def __post_init__(self) -> None:
        if not self.parts or any(not weight > 0.0 for _, weight in self.parts):
            raise RewardError("a mix needs at least one reward, and each weight above 0")

    @property
    def name(self) -> str:
        return "mix(" + ", ".join(f"{reward.name} {weight:g}" for reward, weight in self.parts) + ")"

    @property
    def identity(self) -> str:
        named = [[reward.identity, weight] for reward, weight in self.parts]
        return hashlib.sha256(json.dumps(["mix/1", named]).encode()).hexdigest()

    def score(self, prompts: Sequence[Conversation], completions: Sequence[str]) -> list[RewardScore]:
        """Weighted means; the components are those of the parts, prefixed with the part's name."""
        check_pairs(prompts, completions)
        columns = [reward.score(prompts, completions) for reward, _ in self.parts]
        total = math.fsum(weight for _, weight in self.parts)
        mixed = []
        for row in zip(*columns, strict=True):
            value = math.fsum(s.value * w for s, (_, w) in zip(row, self.parts, strict=True)) / total
            named: Mapping[str, Component] = {
                f"{reward.name}.{part.name}": part
                for score, (reward, _) in zip(row, self.parts, strict=True)
                for part in (Component("score", score.value), *score.components)
            }
            listed = tuple(Component(name, part.value, part.reason) for name, part in named.items())
            mixed.append(RewardScore(min(1.0, max(0.0, value)), listed))
        return mixed
