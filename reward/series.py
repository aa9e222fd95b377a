"""Which prompts a validator had to ask: the secret behind them is committed to before and opened after.

A series is the secret and the distributions that the synthetic requests of a stretch of rounds are drawn with. Its
commitment goes into the validator's ledger while the series before it is in use, so that neither can be chosen
once the block hashes are known that the prompts follow from. When the next series begins, the old one is published,
and everybody can draw its prompts again:

    commitment = SHA-256(domain || secret || SHA-256(profile))
    seed of a round = SHA-256(domain || hash of the block it opened at || validator key || secret)

`python -m reward.series prompts.json bundle` checks the requests of a bundle. A request that follows from no series is
an organic one, or one that the validator made up: the two cannot be told apart.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reward.model import Conversation
from reward.prompts import COMMIT_DOMAIN, RoundSecret, TrafficProfile, generate, round_seed
from subnet.errors import AssayError, RewardError

MOST_DRAWS = 512
"""Draws of a round that are compared with a request: prompts that are too long are passed over, so a few are lost."""

Tokenize = Callable[[Conversation], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class PromptSeries:
    """What the prompts of a stretch of rounds follow from, beside public block hashes."""

    secret: RoundSecret
    profile: TrafficProfile

    @property
    def commitment(self) -> bytes:
        """The 32 bytes that are published before the series is used; they fix the secret and the profile."""
        profile = json.dumps(_profile_json(self.profile), sort_keys=True, separators=(",", ":")).encode()
        return hashlib.sha256(COMMIT_DOMAIN + self.secret.value + hashlib.sha256(profile).digest()).digest()

    def seed(self, block_hash: bytes, validator: bytes) -> bytes:
        """The seed of the round that opened at this block."""
        return round_seed(block_hash, validator, self.secret)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; whoever has them can draw the prompts."""
        return {"secret": self.secret.value.hex(), "profile": _profile_json(self.profile)}

    @classmethod
    def from_json(cls, raw: Any) -> PromptSeries:
        """Read plain JSON values. Raises RewardError where they are not a series."""
        try:
            fields: dict[str, Any] = {
                name: value if isinstance(value, int) else tuple((int(a), int(b)) for a, b in value)
                for name, value in raw["profile"].items()
            }
            return cls(RoundSecret(bytes.fromhex(raw["secret"])), TrafficProfile(**fields))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RewardError(f"not a prompt series: {type(error).__name__}: {error}") from error


@dataclass(frozen=True, slots=True)
class Sent:
    """What a request shows of its prompt: the block it refers to, its tokens, and how it is sampled."""

    beacon_hash: bytes
    prompt: tuple[int, ...]
    temperature_milli: int
    min_p_ppm: int


def place_in(series: PromptSeries, validator: bytes, sent: Sent, tokenize: Tokenize) -> int | None:
    """The number of the request in its round's draws; None where it does not follow from the series."""
    seed = series.seed(sent.beacon_hash, validator)
    for index in range(MOST_DRAWS):
        drawn = generate(seed, index, series.profile)
        sampling = drawn.sampling
        if (sampling.temperature_milli, sampling.min_p_ppm) != (sent.temperature_milli, sent.min_p_ppm):
            continue
        if tokenize(drawn.conversation) == sent.prompt:
            return index
    return None


def _profile_json(profile: TrafficProfile) -> dict[str, Any]:
    return {
        name: value if isinstance(value, int) else [list(pair) for pair in value]
        for name, value in dataclasses.asdict(profile).items()
    }


def read_series(text: str) -> list[tuple[PromptSeries, bytes]]:
    """The opened series of a validator, as its `/assay/v1/prompts` gives them, and the commitment that each claims.

    RewardError where a secret or profile does not fit its commitment.
    """
    try:
        entries = json.loads(text)["series"]
        read = [(PromptSeries.from_json(entry), bytes.fromhex(entry["commitment"])) for entry in entries]
    except (KeyError, TypeError, ValueError) as error:
        raise RewardError(f"not a list of prompt series: {type(error).__name__}: {error}") from error
    for series, commitment in read:
        if series.commitment != commitment:
            raise RewardError(
                f"a series does not fit the commitment {commitment.hex()}; secret or profile were changed"
            )
    return read


def main(arguments: list[str] | None = None) -> int:
    """Check the requests of a bundle; 0 where all follow, 1 where some do not, 2 for files that cannot be read."""
    parse = argparse.ArgumentParser(prog="python -m reward.series", description=__doc__.split("\n\n")[0])
    parse.add_argument("series", type=Path, help="opened series: GET /assay/v1/prompts of the validator")
    parse.add_argument("bundle", type=Path, help="a bundle of the same validator")
    options = parse.parse_args(arguments)
    from subnet.evidence.bundle import SignedBundle
    from subnet.models import load_tokenizer

    try:
        known = read_series(options.series.read_text(encoding="utf-8"))
        bundle = SignedBundle.from_bytes(options.bundle.read_bytes()).bundle
        tokenizer = load_tokenizer()
    except (AssayError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    strangers = 0
    for answer in bundle.answers:
        request = answer.request
        sent = Sent(request.beacon_hash, request.prompt, request.temperature_milli, request.min_p_ppm)
        place = _search(known, bundle.validator, sent, lambda c: tokenizer.chat(c.as_dicts()))
        strangers += place is None
        sys.stdout.write(f"request {request.counter}: {place or 'follows from none: organic, or made up'}\n")
    return 1 if strangers else 0


def _search(
    known: Sequence[tuple[PromptSeries, bytes]], validator: bytes, sent: Sent, tokenize: Tokenize
) -> str | None:
    for series, commitment in known:
        index = place_in(series, validator, sent, tokenize)
        if index is not None:
            return f"draw {index} of the series that {commitment.hex()} commits to"
    return None


if __name__ == "__main__":
    raise SystemExit(main())
