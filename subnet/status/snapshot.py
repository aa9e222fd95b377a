"""The snapshot that a validator publishes at /snapshot.json. Values only; the page and the terminal table render it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from subnet.errors import AssayError

FORMAT = 1
"""Raised when a field changes its meaning; readers refuse other formats instead of guessing."""


@dataclass(frozen=True, slots=True)
class MinerStatus:
    """One miner as one validator sees it.

    tokens_per_second and first_token_s (seconds) are of the last round in which it answered, quality in [0, 1] is the
    reward model's mean of that round, score in [0, 1] the moving average. evidence and threshold are log10 of the
    sequential test's statistic and of its bound A: the miner is accused where evidence reaches threshold.
    history holds (checked tokens, evidence) pairs, oldest first. weight, incentive in [0, 1]; stake in TAO.
    standing is the slash ledger's word for it (good, accused, out, probation, ...), reason what it was last told.
    """

    uid: int
    hotkey: str
    requests: int = 0
    answered: int = 0
    tokens_per_second: float | None = None
    first_token_s: float | None = None
    quality: float | None = None
    score: float = 0.0
    checked_tokens: int = 0
    evidence: float = 0.0
    threshold: float = 9.0
    verdict: str = "unchecked"
    standing: str = "good"
    reason: str = ""
    weight: float = 0.0
    incentive: float = 0.0
    stake: float = 0.0
    history: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class EpochStatus:
    """Incentives (in [0, 1], by uid) as the chain had them after the epoch at `block`."""

    block: int
    incentives: dict[int, float]


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """One ledger entry. bundle is the hex digest under which /bundle/<digest> serves its evidence, if it has any."""

    index: int
    block: int
    kind: str
    miner: str
    reason: str
    bundle: str | None = None


@dataclass(frozen=True, slots=True)
class StatusSnapshot:
    """Everything a validator shows. Blocks are chain block numbers; round_s is the last round's length in seconds."""

    netuid: int
    validator: str
    uid: int | None
    block: int
    tempo: int
    next_epoch_block: int | None
    last_weights_block: int | None
    round: int
    round_s: float | None
    miners: tuple[MinerStatus, ...] = ()
    epochs: tuple[EpochStatus, ...] = ()
    ledger: tuple[LedgerStatus, ...] = ()
    format: int = field(default=FORMAT)

    def to_json(self) -> str:
        """Strict JSON: a number that is not finite becomes null."""
        try:
            return json.dumps(self, default=_fields, allow_nan=False)
        except ValueError:
            return json.dumps(_finite(asdict(self)), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> StatusSnapshot:
        """Reads what to_json wrote. Raises AssayError on another format or on text that is no snapshot."""
        try:
            values: dict[str, Any] = json.loads(text)
            if values["format"] != FORMAT:
                raise AssayError(f"snapshot format {values['format']} is not the one this version reads ({FORMAT})")
            values["miners"] = tuple(_miner(m) for m in values["miners"])
            values["epochs"] = tuple(
                EpochStatus(e["block"], {int(uid): share for uid, share in e["incentives"].items()})
                for e in values["epochs"]
            )
            values["ledger"] = tuple(LedgerStatus(**entry) for entry in values["ledger"])
            return cls(**values)
        except (ValueError, KeyError, TypeError) as error:
            raise AssayError(f"this is not a status snapshot: {error!r}") from error


def _miner(values: dict[str, Any]) -> MinerStatus:
    return MinerStatus(**{**values, "history": tuple((int(n), float(e)) for n, e in values["history"])})


def _fields(value: Any) -> dict[str, Any]:
    """A snapshot's part one level deep, so that the histories in it go to the encoder as they are."""
    return {part.name: getattr(value, part.name) for part in fields(value)}


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value
