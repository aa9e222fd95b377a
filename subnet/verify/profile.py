"""Tolerance profiles: what honest machines of a class may do, as measured, and what the test bets against it.

A profile is published with the model's manifest, as JSON. Its `bound` is the null of the test: for a competitor at a
distance d, in a context of a known spread and entropy, an upper bound of the probability that an honest miner's token
is that competitor.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from subnet.errors import ConfigError
from subnet.verify.records import COMPETITORS, NONE, SUSPECTS, UNIT, UNJUDGED, TokenRecords
from subnet.verify.spread import SpreadModel

NOISE = "noise"
ARBITRARY = "arbitrary"
KINDS = (NOISE, ARBITRARY, *SUSPECTS)


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way of not being honest that the test bets on.

    kind: `noise` (logits are wrong by noise; `strength` is its scale as a multiple of the profile's `scale`),
    `arbitrary` (one token in 1/strength is anything at all), or a name of SUSPECTS (where that sampler would draw
    another token, it does so with probability `strength`).
    """

    kind: str
    strength: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS or not self.strength > 0 or not self.weight > 0:
            raise ConfigError(f"an alternative is one of {', '.join(KINDS)}, strength and weight positive, not {self}")


@dataclass(frozen=True, slots=True)
class ToleranceProfile:
    """The null, the bets and the threshold of one tolerance class of one model.

    threshold: A; within n verified tokens an honest miner is accused with probability at most n/A. tolerance: logits; a
    competitor closer than this cannot be told from the drawn token, and drawing it is no miss. entropy_edges [b-1]
    (nats, temperature 1), distance_edges [k-1] (logits over the spread): the bins of `bound` and `far_bound`. bound
    [b][k]: largest honest probability of drawing one given competitor; far_bound [b][k]: of drawing any token that is
    not listed, when the list ends at that distance. scale [b]: logits, the size of numeric noise over entropy where the
    spread is 1. spread: predicts how noisy a context is; None: all are alike. reference: index of the alternative whose
    expected evidence measures what a question is worth; min_information: nats of it below which a miner is neither
    consistent nor inconsistent.
    """

    name: str
    tolerance_class: str
    numerics: str
    threshold: float
    tolerance: float
    entropy_edges: tuple[float, ...]
    distance_edges: tuple[float, ...]
    bound: tuple[tuple[float, ...], ...]
    far_bound: tuple[tuple[float, ...], ...]
    scale: tuple[float, ...]
    spread: SpreadModel | None
    alternatives: tuple[Alternative, ...]
    reference: int
    min_information: float
    measured: dict[str, Any]

    def __post_init__(self) -> None:
        shape = (len(self.entropy_edges) + 1, len(self.distance_edges) + 1)
        for field in ("bound", "far_bound"):
            table = np.asarray(getattr(self, field), dtype=np.float64)
            if table.shape != shape or not (table > 0).all() or not (table <= 1).all():
                raise ConfigError(f"profile {self.name}: {field} must be probabilities in (0, 1] of shape {shape}")
        if len(self.scale) != shape[0] or not min(self.scale) > 0:
            raise ConfigError(f"profile {self.name}: scale needs {shape[0]} positive numbers")
        if not 0 <= self.reference < len(self.alternatives):
            raise ConfigError(f"profile {self.name}: reference {self.reference} is not the index of an alternative")
        if not self.threshold > 1 or not self.tolerance >= 0 or not self.alternatives:
            raise ConfigError(f"profile {self.name}: needs threshold above 1, tolerance at least 0, one alternative")

    def digest(self) -> bytes:
        """SHA-256 of the profile's canonical JSON: what a stored state and a bundle are tied to."""
        return hashlib.sha256(b"assay/profile/1\0" + self.to_json(indent=None).encode()).digest()

    def to_json(self, indent: int | None = 1) -> str:
        """JSON with sorted keys; the inverse of `from_json`."""
        return json.dumps(asdict(self), sort_keys=True, indent=indent, separators=None if indent else (",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ToleranceProfile:
        """Raises ConfigError where the JSON is not a profile."""
        try:
            raw = json.loads(text)
            raw["alternatives"] = tuple(Alternative(**entry) for entry in raw["alternatives"])
            for field in ("entropy_edges", "distance_edges", "scale"):
                raw[field] = tuple(float(value) for value in raw[field])
            for field in ("bound", "far_bound"):
                raw[field] = tuple(tuple(float(value) for value in line) for line in raw[field])
            raw["spread"] = _spread_model(raw["spread"])
            return cls(**raw)
        except (json.JSONDecodeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ConfigError(f"not a tolerance profile: {error}") from error


def _spread_model(raw: dict[str, Any] | None) -> SpreadModel | None:
    if raw is None:
        return None
    vectors = {name: tuple(float(value) for value in raw[name]) for name in ("lengths", "context", "state")}
    starts = tuple(tuple(int(token) for token in start) for start in raw["starts"])
    return SpreadModel(**(raw | vectors | {"starts": starts, "constant": float(raw["constant"])}))


def load_profile(source: str | Path) -> ToleranceProfile:
    """A profile by the name of one that is shipped (`smollm2-135m-instruct-fp32`), or from a JSON file."""
    shipped = resources.files("subnet.verify") / "profiles" / f"{source}.json"
    if shipped.is_file():
        return ToleranceProfile.from_json(shipped.read_text())
    try:
        return ToleranceProfile.from_json(Path(source).read_text())
    except OSError as error:
        raise ConfigError(
            f"no tolerance profile {source}: it is not shipped, and as a file: {error.strerror}. Measure one "
            "with `python -m subnet.verify.calibrate`, then embed it in the manifest (docs/models.md)"
        ) from error


def shipped_profiles() -> tuple[str, ...]:
    """Names of the profiles that come with the package."""
    folder = resources.files("subnet.verify") / "profiles"
    return tuple(sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json")))


@dataclass(frozen=True, slots=True)
class Null:
    """The honest bound of every outcome of every record.

    probability [tokens, COMPETITORS + 1]: bound of drawing competitor k (the last column: FAR); 0 where the outcome is
    absent or not bet on, in which case it counts as a match. ratio [tokens, COMPETITORS + 1]: distance over the noise
    scale of the context.
    """

    probability: NDArray[np.float64]
    ratio: NDArray[np.float64]


LARGEST_MISS = 0.5
"""Outcomes are bet on from the farthest inwards while their honest bounds add up to no more than this."""


def null(records: TokenRecords, profile: ToleranceProfile) -> Null:
    """Look every competitor up in the profile."""
    distance = records.rows["distance"].astype(np.float64) / UNIT
    entropy_bin = np.searchsorted(profile.entropy_edges, records.rows["entropy"] / 1000.0, side="right")
    relative = distance / records.spreads[:, None]
    distance_bin = np.searchsorted(profile.distance_edges, relative, side="right")
    probability = np.asarray(profile.bound)[entropy_bin[:, None], distance_bin]
    probability[:, COMPETITORS] = np.asarray(profile.far_bound)[entropy_bin, distance_bin[:, COMPETITORS]]
    absent = (records.rows["distance"] == NONE) | (distance <= profile.tolerance)
    absent[:, COMPETITORS] = distance[:, COMPETITORS] <= profile.tolerance
    absent[records.rows["spread"] == UNJUDGED] = True
    probability[absent] = 0.0
    inwards = probability[:, ::-1].cumsum(axis=1)[:, ::-1]
    probability[inwards > LARGEST_MISS] = 0.0
    ratio = relative / np.asarray(profile.scale)[entropy_bin][:, None]
    return Null(probability, np.where(absent, math.inf, ratio))
