"""Signals that need no model: how a completion is built, and what it took from the prompt.

Pure functions of two texts, all in [0, 1] unless they say otherwise. They are computed with
integers and divisions only, so every machine gets the same bits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[.!?…][\"'”’)\]])\s+|\n+")
_END = re.compile(r"[.!?…][\"'”’)\]*_`]*(?=\s|$)|\n")
CLOSERS = "\"'”’)]*`_"

_FUNCTION_WORDS = """
a an the and or but so if when while because as than that this these those which who what where how why
of to in on at by for from with without into over under about after before between through during is are
was were be been being am do does did have has had can could may might must shall should will would not
no nor it its he she they them their his her you your we our us i me my there here also more most very
much many some any each every all both only just then too up down out off one two
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())


def words(text: str) -> list[str]:
    """The words of a text in lower case; digits count as letters, punctuation is dropped."""
    return [match.group().lower() for match in WORD.finditer(text)]


def sentences(text: str) -> list[str]:
    """The sentences or lines of a text, without empty ones."""
    return [part.strip() for part in SENTENCE_END.split(text) if part.strip()]


def grams(items: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """All runs of `size` items, in order."""
    return [tuple(items[start : start + size]) for start in range(len(items) - size + 1)]


def distinct(items: Sequence[str], size: int) -> float:
    """Share of different n-grams among all n-grams; 1 for a text too short to have two."""
    runs = grams(items, size)
    return len(set(runs)) / len(runs) if len(runs) > 1 else 1.0


def longest_repeat(items: Sequence[str]) -> float:
    """Share of the text that the most repeated 4-gram covers: near 0 in prose, near 1 in a loop."""
    runs = Counter(grams(items, 4))
    if not runs:
        return 0.0
    most = max(runs.values())
    return min(1.0, 4 * (most - 1) / len(items))


def novelty(prompt: Sequence[str], completion: Sequence[str]) -> float:
    """Share of the completion's trigrams (words, for two words or fewer) that the prompt does not have."""
    size = 3 if len(completion) >= 3 else 1
    runs = grams(completion, size)
    if not runs:
        return 0.0
    known = set(grams(prompt, size))
    return sum(run not in known for run in runs) / len(runs)


def keyword_share(prompt: Sequence[str], completion: Sequence[str]) -> float:
    """Share of the completion's content words that are content words of the prompt: high when it is stuffed."""
    asked = set(prompt) - FUNCTION_WORDS
    said = [word for word in completion if word not in FUNCTION_WORDS]
    return sum(word in asked for word in said) / len(said) if said else 0.0


def covered_share(prompt: Sequence[str], completion: Sequence[str]) -> float:
    """Share of the prompt's content words that the completion mentions."""
    asked = set(prompt) - FUNCTION_WORDS
    return len(asked & set(completion)) / len(asked) if asked else 1.0


def function_share(items: Sequence[str]) -> float:
    """Share of function words: about 0.3 to 0.6 in English prose, near 0 in a list of keywords."""
    return sum(word in FUNCTION_WORDS for word in items) / len(items) if items else 0.0


def ends_closed(text: str) -> float:
    """1 if the text ends with a closing mark, a code fence or a short last line as lists and poems have; else 0."""
    stripped = text.rstrip()
    if not stripped:
        return 0.0
    if stripped.endswith("```"):
        return 1.0
    bare = stripped.rstrip(CLOSERS)
    return 1.0 if bare and bare[-1] in ".!?…。！？;" else 0.0


def whole_sentences(text: str) -> str:
    """The text up to its last full sentence or line; the text itself where there is none.

    For answers that the request's own token limit cut: what the miner could not finish is not held against it.
    """
    ends = [match.end() for match in _END.finditer(text)]
    lines = text[: ends[-1]].rstrip().split("\n") if ends else []
    while lines and not any(char.isalpha() for char in lines[-1]):  # the number of an item that was never written
        lines.pop()
    return "\n".join(lines).rstrip() or text


def letter_share(text: str) -> float:
    """Share of letters and spaces among all characters."""
    return sum(char.isalpha() or char.isspace() for char in text) / len(text) if text else 0.0


def saturating(value: float, half: float) -> float:
    """value / (value + half): 0 at 0, 0.5 at `half`, towards 1 beyond."""
    return value / (value + half)


def sentence_openings(text: str) -> float:
    """Share of sentences that begin with a capital letter, a digit or a mark: low in shuffled or broken text."""
    parts = sentences(text)
    return sum(not part[0].islower() for part in parts) / len(parts) if parts else 0.0


def duplicate_sentences(text: str) -> float:
    """Share of sentences that occurred before in the same text."""
    parts = [" ".join(words(part)) for part in sentences(text)]
    return 1.0 - len(set(parts)) / len(parts) if parts else 0.0


@dataclass(frozen=True, slots=True)
class TextSignals:
    """All of the above for one pair, in a fixed order. Values in [0, 1]."""

    distinct_1: float
    distinct_2: float
    distinct_3: float
    longest_repeat: float
    duplicate_sentences: float
    novelty: float
    keyword_share: float
    covered_share: float
    function_share: float
    ends_closed: float
    letter_share: float
    sentence_openings: float
    length: float
    """words / (words + 60)"""
    sentence_length: float
    """mean words of a sentence / (that + 15)"""
    word_length: float
    """mean letters of a word / (that + 5)"""


def text_signals(prompt: str, completion: str) -> TextSignals:
    """The signals of one pair."""
    asked, said = words(prompt), words(completion)
    parts = sentences(completion)
    return TextSignals(
        distinct_1=distinct(said, 1),
        distinct_2=distinct(said, 2),
        distinct_3=distinct(said, 3),
        longest_repeat=longest_repeat(said),
        duplicate_sentences=duplicate_sentences(completion),
        novelty=novelty(asked, said),
        keyword_share=keyword_share(asked, said),
        covered_share=covered_share(asked, said),
        function_share=function_share(said),
        ends_closed=ends_closed(completion),
        letter_share=letter_share(completion),
        sentence_openings=sentence_openings(completion),
        length=saturating(len(said), 60),
        sentence_length=saturating(len(said) / len(parts), 15) if parts else 0.0,
        word_length=saturating(sum(map(len, said)) / len(said), 5) if said else 0.0,
    )
