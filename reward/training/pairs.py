"""A prompt with a good and a bad answer, and the split into what is trained on and what is held out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from reward.model import Conversation

HELD_OUT_PERCENT = 35


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt with a good answer; `wrong` is a fluent wrong one, `weak` are answers of worse models by name."""

    prompt: Conversation
    good: str
    wrong: str | None
    source: str
    weak: tuple[tuple[str, str], ...] = ()

    @property
    def held_out(self) -> bool:
        """True for the pairs that training never sees."""
        digest = hashlib.sha256(self.prompt.question.encode()).digest()
        return int.from_bytes(digest[:4], "big") % 100 < HELD_OUT_PERCENT
