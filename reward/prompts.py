"""Synthetic requests that look like organic ones.

There is no list of prompts that a miner could memorise: a grammar (`reward.prompt_words`) spans
billions of texts, and style noise (case, typing slips, greetings) multiplies them. Everything is drawn
from SHA-256 in counter mode under one seed, so that the same seed gives the same request on
every machine, and whoever knows the seed's parts can check the prompts.

    seed = SHA-256(domain || block hash || validator key || round secret)

The block hash is public randomness that the validator cannot choose. The round secret keeps
miners from computing the same prompts and so from telling a synthetic request by its text. It is committed to
before and opened after (`reward.series`), which shows that the validator did not choose its prompts.

Sampling parameters, lengths and the shape of the conversation come from a `TrafficProfile`,
which can be re-estimated from the organic requests that a validator really served, so that
both kinds are drawn from the same distributions.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from reward.model import Conversation, Message
from reward.prompt_words import (
    ASPECTS,
    CLOSINGS,
    EARLIER,
    FOLLOW_UPS,
    LIMITS,
    OPENINGS,
    READERS,
    SUBJECTS,
    SYSTEMS,
    TASKS,
)
from subnet.errors import RewardError

DOMAIN = b"assay/prompts/1\0"
COMMIT_DOMAIN = b"assay/prompt-secret/1\0"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RoundSecret:
    """32 bytes that only the validator knows until the round is over."""

    value: bytes

    def __post_init__(self) -> None:
        if len(self.value) != 32:
            raise RewardError(f"a round secret has 32 bytes, this one {len(self.value)}")


def round_seed(block_hash: bytes, validator: bytes, secret: RoundSecret) -> bytes:
    """The 32-byte seed of a round's prompts, from a 32-byte block hash and a 32-byte public key."""
    if len(block_hash) != 32 or len(validator) != 32:
        raise RewardError(f"block hash and validator key have 32 bytes, not {len(block_hash)} and {len(validator)}")
    return hashlib.sha256(DOMAIN + block_hash + validator + secret.value).digest()


class Draws:
    """A stream of uniform draws from SHA-256(seed || counter): the same on every machine."""

    __slots__ = ("_counter", "_seed")

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._counter = 0

    def below(self, bound: int) -> int:
        """An integer in [0, bound); the bias is under bound / 2**64."""
        block = hashlib.sha256(self._seed + self._counter.to_bytes(8, "big")).digest()
        self._counter += 1
        return int.from_bytes(block[:8], "big") % bound

    def chance(self, parts_per_million: int) -> bool:
        return self.below(1_000_000) < parts_per_million

    def choice(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def weighted(self, options: Sequence[tuple[T, int]]) -> T:
        """One of the options, each a (value, weight) pair with a whole weight >= 0."""
        point = self.below(sum(weight for _, weight in options))
        for value, weight in options:
            if point < weight:
                return value
            point -= weight
        raise RewardError("a distribution needs at least one positive weight")


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters as the protocol carries them: thousandths of T, millionths of min-p, tokens."""

    temperature_milli: int
    min_p_ppm: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class RequestShape:
    """What is counted about an organic request: its sampling parameters and its conversation's shape."""

    sampling: Sampling
    messages: int
    has_system: bool


@dataclass(frozen=True, slots=True)
class TrafficProfile:
    """Distributions of requests, as (value, weight) pairs with whole weights, weights in any unit."""

    temperature_milli: tuple[tuple[int, int], ...] = (
        (700, 34), (800, 18), (1000, 22), (600, 8), (900, 6), (500, 5), (300, 3), (0, 4),
    )  # fmt: skip
    min_p_ppm: tuple[tuple[int, int], ...] = ((0, 70), (50_000, 20), (20_000, 5), (100_000, 5))
    max_tokens: tuple[tuple[int, int], ...] = ((64, 15), (96, 15), (128, 35), (192, 15), (256, 20))
    earlier_turns: tuple[tuple[int, int], ...] = ((0, 80), (1, 15), (2, 5))
    system_ppm: int = 300_000

    def sampling(self, draws: Draws) -> Sampling:
        return Sampling(
            draws.weighted(self.temperature_milli), draws.weighted(self.min_p_ppm), draws.weighted(self.max_tokens)
        )

    def fitted(self, observed: Iterable[RequestShape], pseudo_count: int = 200, keep: int = 32) -> TrafficProfile:
        """The profile of organic traffic: observed counts plus `pseudo_count` requests of this profile.

        At most `keep` values of each parameter are kept, the most frequent ones, so that one client
        with many odd values cannot make the profile grow.
        """
        seen = list(observed)
        if not seen:
            return self
        systems = sum(shape.has_system for shape in seen)
        turns = [max(0, (shape.messages - 1 - shape.has_system) // 2) for shape in seen]
        return TrafficProfile(
            _blend(self.temperature_milli, [s.sampling.temperature_milli for s in seen], pseudo_count, keep),
            _blend(self.min_p_ppm, [s.sampling.min_p_ppm for s in seen], pseudo_count, keep),
            _blend(self.max_tokens, [s.sampling.max_tokens for s in seen], pseudo_count, keep),
            _blend(self.earlier_turns, [min(turn, 3) for turn in turns], pseudo_count, keep),
            (self.system_ppm * pseudo_count + 1_000_000 * systems) // (pseudo_count + len(seen)),
        )


def _blend(
    prior: tuple[tuple[int, int], ...], seen: Sequence[int], pseudo_count: int, keep: int
) -> tuple[tuple[int, int], ...]:
    total = sum(weight for _, weight in prior)
    counts = Counter({value: 1000 * pseudo_count * weight // total for value, weight in prior})
    counts.update({value: 1000 * count for value, count in Counter(seen).items()})
    return tuple(sorted(counts.most_common(keep)))


@dataclass(frozen=True, slots=True)
class SyntheticRequest:
    """A request to send: the conversation and its sampling parameters."""

    conversation: Conversation
    sampling: Sampling


DEFAULT_PROFILE = TrafficProfile()


def generate(seed: bytes, index: int, profile: TrafficProfile = DEFAULT_PROFILE) -> SyntheticRequest:
    """The index-th request of a round, from the round's seed (`round_seed`)."""
    if index < 0:
        raise RewardError(f"request index {index} is negative")
    draws = Draws(hashlib.sha256(seed + index.to_bytes(8, "big")).digest())
    subject, other = draws.choice(SUBJECTS), draws.choice(SUBJECTS)
    style = _Style(lower=draws.chance(180_000), slips=draws.chance(120_000), bare=draws.chance(60_000))
    messages: list[Message] = []
    if draws.chance(profile.system_ppm):
        messages.append(Message("system", draws.choice(SYSTEMS)))
    turns = draws.weighted(profile.earlier_turns)
    for _ in range(turns):
        asked, answered = draws.choice(EARLIER)
        topic = draws.choice((subject, other))
        messages.append(Message("user", _styled(asked.replace("{x}", topic), style, draws)))
        messages.append(Message("assistant", _capitalised(answered.replace("{x}", topic))))
    text = (
        draws.choice(FOLLOW_UPS).replace("{x}", _topic(subject, draws)) if turns else _question(subject, other, draws)
    )
    messages.append(Message("user", _styled(text, style, draws)))
    return SyntheticRequest(Conversation(tuple(messages)), profile.sampling(draws))


def variants() -> int:
    """How many different single-turn questions the grammar spans, before style noise."""
    sizes = (len(set(part)) for part in (SUBJECTS, ASPECTS, TASKS, READERS, LIMITS, OPENINGS, CLOSINGS))
    return math.prod(sizes)


@dataclass(frozen=True, slots=True)
class _Style:
    lower: bool
    slips: bool
    bare: bool


def _topic(subject: str, draws: Draws) -> str:
    return draws.choice(ASPECTS) + subject


def _question(subject: str, other: str, draws: Draws) -> str:
    task = draws.choice(TASKS).replace("{x}", _topic(subject, draws)).replace("{y}", other)
    reader = draws.choice(READERS)
    task = task[:-1] + reader + "?" if task.endswith("?") else task + reader + "."
    limit = draws.choice(LIMITS)
    limit = limit.replace("{n}", str(2 + draws.below(7))).replace("{w}", str(30 + 10 * draws.below(12)))
    opening = draws.choice(OPENINGS)
    if opening.rstrip().endswith((",", ":")):
        task = task[0].lower() + task[1:] if not task.startswith("I ") else task
    return opening + task + limit + draws.choice(CLOSINGS)


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]


def _styled(text: str, style: _Style, draws: Draws) -> str:
    if style.lower:
        text = text.lower()
    if style.bare:
        text = text.rstrip(".!?")
    if style.slips:
        # Two neighbouring letters swapped inside one longer word: the commonest typing slip.
        words = text.split(" ")
        long = [index for index, word in enumerate(words) if len(word) > 4 and word.isalpha()]
        if long:
            index = draws.choice(long)
            word = words[index]
            at = 1 + draws.below(len(word) - 2)
            words[index] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
            text = " ".join(words)
    return text
