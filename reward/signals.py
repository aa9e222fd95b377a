"""All signals of a prompt and its completion, computed once and shared by the composite and the head."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F

from reward.embedding import DIMENSIONS, PINNED, Embedder
from reward.model import Conversation, check_pairs
from reward.reference import ReferenceModel, ReferenceSignals, ReferenceView
from reward.text import TextSignals, text_signals, words

VERSION = 2
"""Changes whenever a signal is computed otherwise; a head must then be trained again."""
PIECES = 4
"""Consecutive pieces of a completion that are embedded on their own."""
PIECE_WORDS = 12
"""A piece has at least this many words; a shorter completion has fewer pieces."""
MOST_CHARACTERS = 6000
"""Characters of a text that are embedded."""


@dataclass(frozen=True, slots=True)
class EmbeddingSignals:
    """Cosines between unit vectors, in [-1, 1]."""

    relevance: float
    """question and completion"""
    weakest: float
    """question and the piece that fits it least"""
    first: float
    last: float
    """question and the first and last piece"""
    flow: float
    """neighbouring pieces, mean; 1 for a single piece"""
    break_: float
    """neighbouring pieces, least"""
    twin: float
    """two pieces that are most alike; 0 for a single piece. Near 1 in a loop"""
    context: float
    """what was said before the question, and the completion; the relevance again where nothing was"""


@dataclass(frozen=True)
class Signals:
    """Everything known about one pair.

    `question` and `answer` are float32 [384] unit vectors; `view` is what the reference model said at every
    token, and `reference` the summary of it.
    """

    text: TextSignals
    embedding: EmbeddingSignals
    reference: ReferenceSignals
    question: np.ndarray
    answer: np.ndarray
    view: ReferenceView


@dataclass(frozen=True)
class SignalReader:
    """Reads the signals of pairs with the two frozen models."""

    embedder: Embedder
    reference: ReferenceModel

    @property
    def identity(self) -> str:
        """Hex digest of what decides the signals: both models and the version of the formulas."""
        named = [VERSION, PINNED, self.reference.model.model_id.hex()]
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()

    def read(self, prompts: Sequence[Conversation], completions: Sequence[str]) -> list[Signals | None]:
        """Signals of n pairs, in order; None for a completion without words or tokens (it scores 0)."""
        check_pairs(prompts, completions)
        read = [index for index, text in enumerate(completions) if words(text)]
        chosen_prompts = [prompts[index] for index in read]
        chosen = [completions[index] for index in read]
        results: list[Signals | None] = [None] * len(completions)
        vectors = self._vectors(chosen_prompts, chosen)
        views = self.reference.view(chosen_prompts, chosen)
        for place, index in enumerate(read):
            view, (question, answer, embedding) = views[place], vectors[place]
            if view is not None:
                text = text_signals(chosen_prompts[place].question, chosen[place])
                results[index] = Signals(text, embedding, view.signals, question, answer, view)
        return results

    def _vectors(
        self, prompts: Sequence[Conversation], completions: Sequence[str]
    ) -> list[tuple[np.ndarray, np.ndarray, EmbeddingSignals]]:
        texts: dict[str, int] = {}
        wanted: list[tuple[int, int, int | None, list[int]]] = []

        def place(text: str) -> int:
            return texts.setdefault(text[:MOST_CHARACTERS], len(texts))

        for prompt, completion in zip(prompts, completions, strict=True):
            parts = pieces(completion[:MOST_CHARACTERS])
            context = place(prompt.context) if prompt.context else None
            wanted.append((place(prompt.question), place(completion), context, [place(part) for part in parts]))
        table = self.embedder.embed(list(texts))
        return [
            (
                table[question].numpy(),
                table[answer].numpy(),
                _cosines(table[question], table[answer], None if context is None else table[context], table[parts]),
            )
            for question, answer, context, parts in wanted
        ]


def pieces(text: str) -> list[str]:
    """The text cut at spaces into up to PIECES pieces of nearly equal numbers of words."""
    parts = text.split()
    count = max(1, min(PIECES, len(parts) // PIECE_WORDS))
    cuts = [len(parts) * index // count for index in range(count + 1)]
    return [" ".join(parts[start:end]) for start, end in pairwise(cuts)]


def _cosines(
    question: torch.Tensor, answer: torch.Tensor, context: torch.Tensor | None, parts: torch.Tensor
) -> EmbeddingSignals:
    fits = parts @ question
    between = parts @ parts.T
    count = len(parts)
    neighbours = between.diagonal(1) if count > 1 else torch.ones(1)
    others = between - 2.0 * torch.eye(count)
    relevance = float(answer @ question)
    return EmbeddingSignals(
        relevance=relevance,
        weakest=float(fits.min()),
        first=float(fits[0]),
        last=float(fits[-1]),
        flow=float(neighbours.mean()),
        break_=float(neighbours.min()),
        twin=float(others.max()) if count > 1 else 0.0,
        context=relevance if context is None else float(F.cosine_similarity(context, answer, dim=0)),
    )


def scalars(signals: Signals) -> np.ndarray:
    """The scalar signals as float64 [SCALARS], in the order of `SCALAR_NAMES`."""
    parts = (signals.text, signals.embedding, signals.reference)
    values = [getattr(part, field.name) for part in parts for field in dataclasses.fields(part)]
    return np.array([*values, signals.reference.relevance], dtype=np.float64)


SCALAR_NAMES = (
    *(f"text.{field.name}" for field in dataclasses.fields(TextSignals)),
    *(f"embedding.{field.name}" for field in dataclasses.fields(EmbeddingSignals)),
    *(f"reference.{field.name}" for field in dataclasses.fields(ReferenceSignals)),
    "reference.relevance",
)
SCALARS = len(SCALAR_NAMES)

__all__ = [
    "DIMENSIONS",
    "SCALARS",
    "SCALAR_NAMES",
    "EmbeddingSignals",
    "SignalReader",
    "Signals",
    "pieces",
    "scalars",
]
