"""Ways to make a bad completion, each named. Training and the benchmark use the same functions.

Every function takes a pair, the other pairs (donors) and a random stream, and gives a bad completion
or None where the kind does not apply to the pair. Templates come in two halves: training draws from
the even ones, the held-out evaluation from the odd ones, so that recognising a sentence is no use.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reward.text import FUNCTION_WORDS, sentences, words
from reward.training.pairs import Pair
from reward.training.templates import ECHOES, EMPTY_TALK, FILLERS, INJECTIONS, REFUSALS


@dataclass(frozen=True)
class Stream:
    """Random choices for one pair and kind; `held_out` picks the half of the templates."""

    random: random.Random
    held_out: bool

    def template(self, templates: Sequence[str]) -> str:
        return self.random.choice([text for index, text in enumerate(templates) if index % 2 == int(self.held_out)])


Spoiler = Callable[[Pair, Sequence[Pair], Stream], str | None]


def truncated(pair: Pair, _donors: Sequence[Pair], stream: Stream) -> str | None:
    """Cut in the middle of a sentence, at 30 to 85 percent."""
    parts = pair.good.split(" ")
    if len(parts) < 6:
        return None
    cut = max(3, int(len(parts) * stream.random.uniform(0.3, 0.85)))
    return " ".join(parts[:cut]).rstrip(".!?,;:") if cut < len(parts) else None


def shuffled(pair: Pair, _donors: Sequence[Pair], stream: Stream) -> str | None:
    """The words in random order; half the time only within runs of eight."""
    parts = pair.good.split()
    if len(parts) < 6:
        return None
    if stream.random.random() < 0.5:
        stream.random.shuffle(parts)
        return " ".join(parts)
    mixed: list[str] = []
    for start in range(0, len(parts), 8):
        run = parts[start : start + 8]
        stream.random.shuffle(run)
        mixed += run
    return " ".join(mixed) if mixed != parts else None


def looped(pair: Pair, _donors: Sequence[Pair], stream: Stream) -> str | None:
    """The beginning of the answer again and again."""
    parts = pair.good.split()
    size = stream.random.randint(4, 18)
    if len(parts) < 3:
        return None
    chunk = parts[: min(size, len(parts))]
    start = len(parts) // 2 if stream.random.random() < 0.5 else 0
    times = max(3, min(8, 90 // len(chunk)))
    return " ".join(parts[:start] + chunk * times)


def off_topic(pair: Pair, donors: Sequence[Pair], stream: Stream) -> str | None:
    """A good answer to a prompt chosen at random."""
    others = [other for other in donors if other.prompt != pair.prompt and other.source == pair.source]
    return stream.random.choice(others).good if others else None


def copied(pair: Pair, _donors: Sequence[Pair], stream: Stream) -> str | None:
    """The prompt given back, with or without a phrase around it."""
    return stream.template(ECHOES).format(prompt=pair.prompt.question)


def stuffed(pair: Pair, _donors: Sequence[Pair], stream: Stream) -> str | None:
    """The prompt's keywords in heaps, with a few good-sounding words."""
    keys = [word for word in words(pair.prompt.question) if word not in FUNCTION_WORDS]
    if not keys:
        return None
    extra = ["important", "best", "guide", "complete", "answer", "facts", "useful", "explained", "expert", "tips"]
    pool = keys * 3 + stream.random.sample(extra, 5)
    stream.random.shuffle(pool)
    text = " ".join((pool * 4)[: stream.random.randint(20, 60)])
    return text.capitalize() + "."


def refused(pair: Pair, _donors: Sequence[Pair], stream: Stream) -> str | None:
    """A refusal."""
    keys = [word for word in words(pair.prompt.question) if word not in FUNCTION_WORDS]
    return stream.template(REFUSALS).format(topic=" ".join(keys[-2:]) or "this")


def wrong(pair: Pair, _donors: Sequence[Pair], _stream: Stream) -> str | None:
    """A fluent answer that is wrong."""
    return pair.wrong


def own_answer(pair: Pair, _donors: Sequence[Pair], _stream: Stream) -> str | None:
    """The small reference model's own answer, where a person wrote a better one."""
    return dict(pair.weak).get("own")


def hot(pair: Pair, _donors: Sequence[Pair], _stream: Stream) -> str | None:
    """The reference model's answer at a far too high temperature."""
    return dict(pair.weak).get("hot")


def skipped_layers(pair: Pair, _donors: Sequence[Pair], _stream: Stream) -> str | None:
    """The answer of the reference model with one decoder layer left out."""
    return dict(pair.weak).get("skipped")


def known_good(pair: Pair, donors: Sequence[Pair], _stream: Stream) -> str | None:
    """A stored good answer to the most similar other prompt (by shared words): what a miner with a library sends."""
    asked = set(words(pair.prompt.question)) - FUNCTION_WORDS
    best, overlap = None, -1.0
    for other in donors:
        if other.prompt.question == pair.prompt.question or other.good == pair.good:
            continue
        theirs = set(words(other.prompt.question)) - FUNCTION_WORDS
        share = len(asked & theirs) / max(1, len(asked | theirs))
        if share > overlap:
            best, overlap = other.good, share
    return best


def padded(pair: Pair, donors: Sequence[Pair], stream: Stream) -> str | None:
    """The good answer with as much again of filler, or of another answer, behind it."""
    if stream.random.random() < 0.5:
        fillers = [text for index, text in enumerate(FILLERS) if index % 2 == int(stream.held_out)]
        stream.random.shuffle(fillers)
        return pair.good + " " + " ".join(fillers * 2)
    other = off_topic(pair, donors, stream)
    return pair.good + " " + other if other else None


def injected(pair: Pair, donors: Sequence[Pair], stream: Stream) -> str | None:
    """Text aimed at the reward model, alone or around a bad answer."""
    aim = stream.random.choice(INJECTIONS)
    base = stream.random.choice((None, truncated, off_topic, refused))
    text = base(pair, donors, stream) if base else None
    if text is None:
        return aim
    return f"{text} {aim}" if stream.random.random() < 0.5 else f"{aim} {text}"


def empty_talk(_pair: Pair, _donors: Sequence[Pair], stream: Stream) -> str | None:
    """Polite sentences that would fit any question."""
    return stream.template(EMPTY_TALK)


def dropped(pair: Pair, _donors: Sequence[Pair], stream: Stream) -> str | None:
    """A fifth of the words missing, as from a broken model; in training a tenth to a third."""
    parts = pair.good.split()
    share = 0.2 if stream.held_out else stream.random.uniform(0.1, 0.33)
    kept = [part for part in parts if stream.random.random() > share]
    return " ".join(kept) if 4 <= len(kept) < len(parts) else None


def one_sentence_lost(pair: Pair, _donors: Sequence[Pair], stream: Stream) -> str | None:
    """Only the last sentences: the answer without its beginning."""
    parts = sentences(pair.good)
    return " ".join(parts[len(parts) // 2 :]) if len(parts) >= 4 else None


TRAINED: dict[str, Spoiler] = {
    "truncated": truncated,
    "shuffled": shuffled,
    "looped": looped,
    "off_topic": off_topic,
    "copied": copied,
    "stuffed": stuffed,
    "refused": refused,
    "wrong": wrong,
    "own_answer": own_answer,
    "empty_talk": empty_talk,
    "dropped_words": dropped,
    "skipped_layers": skipped_layers,
}
"""Kinds that the head is trained on."""

UNSEEN: dict[str, Spoiler] = {
    "known_good": known_good,
    "padded": padded,
    "injected": injected,
    "headless": one_sentence_lost,
    "hot": hot,
}
"""Kinds that it never sees before the evaluation."""
