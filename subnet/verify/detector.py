"""The sequential test: Shiryaev-Roberts e-detector over a mixture of alternatives.

For every alternative `R <- (R + 1) * factor`; the miner is accused when the weighted average of R reaches A. Each
factor has an honest expectation of at most 1 given everything before, so `R_n - n` is a supermartingale and the
probability that an honest miner is accused within n verified tokens is at most n/A, however often one looks (Shin,
Ramdas, Rinaldo 2022). Matches earn no credit: R never falls below 0, and every token starts a new count of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np

from subnet.errors import StateError
from subnet.verify.bets import expectation, factors
from subnet.verify.profile import ToleranceProfile
from subnet.verify.records import TokenRecords


@dataclass(frozen=True, slots=True)
class TestState:
    """Where the test of one miner stands. Immutable; persist it with `to_json`.

    tokens: verified so far. statistics: R of every alternative. information: nats that a cheat of reference strength
    would have been expected to show. accused_at: the number of the verified token at which the threshold was reached,
    if it was.
    """

    profile: bytes
    tokens: int
    statistics: tuple[float, ...]
    information: float
    misses: int
    accused_at: int | None = None

    __test__ = False

    def evidence(self, profile: ToleranceProfile) -> float:
        """The test's statistic: the weighted average of R. Accused at profile.threshold."""
        weights = np.array([alternative.weight for alternative in profile.alternatives])
        return float(np.average(self.statistics, weights=weights))

    def to_json(self) -> str:
        """The state as JSON, exactly (floats in hexadecimal)."""
        return json.dumps(
            {
                "profile": self.profile.hex(),
                "tokens": self.tokens,
                "statistics": [value.hex() for value in self.statistics],
                "information": self.information.hex(),
                "misses": self.misses,
                "accused_at": self.accused_at,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> TestState:
        """Inverse of `to_json`. Raises StateError where the text is no state."""
        try:
            raw = json.loads(text)
            state = cls(
                bytes.fromhex(raw["profile"]),
                int(raw["tokens"]),
                tuple(float.fromhex(value) for value in raw["statistics"]),
                float.fromhex(raw["information"]),
                int(raw["misses"]),
                None if raw["accused_at"] is None else int(raw["accused_at"]),
            )
        except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise StateError(f"the stored state of a sequential test cannot be read: {error}") from error
        if not np.isfinite(state.statistics).all() or not np.isfinite(state.information) or state.tokens < 0:
            raise StateError("the stored state of a sequential test holds impossible numbers")
        return state


def start(profile: ToleranceProfile) -> TestState:
    """The state of a miner of whom nothing has been verified."""
    return TestState(profile.digest(), 0, (0.0,) * len(profile.alternatives), 0.0, 0)


def update(state: TestState, records: TokenRecords, profile: ToleranceProfile) -> TestState:
    """The state after more verified tokens, in order. An accusation stays: tokens after it change nothing but the
    counts.

    Raises StateError when the state was built with another profile (its bets would not be comparable): start again.
    """
    if state.profile != profile.digest():
        raise StateError(f"this state was built with another tolerance profile than {profile.name}; start a new one")
    if len(records) == 0:
        return state
    ratios = factors(records, profile)
    weights = np.array([alternative.weight for alternative in profile.alternatives])
    weights /= weights.sum()
    current = np.array(state.statistics)
    accused_at = state.accused_at
    for number, factor in enumerate(ratios, start=state.tokens + 1):
        if accused_at is not None:
            break
        current = (current + 1.0) * factor
        if float(weights @ current) >= profile.threshold:
            accused_at = number
    return replace(
        state,
        tokens=state.tokens + len(records),
        statistics=tuple(float(value) for value in current),
        information=state.information + information(records, profile),
        misses=state.misses + int(np.count_nonzero(records.margins > profile.tolerance)),
        accused_at=accused_at,
    )


def information(records: TokenRecords, profile: ToleranceProfile) -> float:
    """Nats of evidence that these tokens would have been expected to give against the profile's reference alternative.

    The Kullback-Leibler divergence of the reference from the honest bound, summed over tokens. It depends on contexts
    and seeds alone, so it says what the questions were worth, not how the miner did: low-entropy answers are worth
    nothing.
    """
    honest, expected = expectation(records, profile, profile.alternatives[profile.reference])
    match_honest, match_expected = 1.0 - honest.sum(axis=1), 1.0 - expected.sum(axis=1)
    active = honest > 0
    misses = np.where(active, expected * np.log(np.where(active, expected, 1.0) / np.where(active, honest, 1.0)), 0.0)
    return float(misses.sum() + (match_expected * np.log(match_expected / match_honest)).sum())
