"""Gates: decisions against a miner that an operator can watch before they are enforced.

`--validator.gate verdict=shadow` runs a gate in shadow: what it would have done is logged, counted and shown by
`explain`, and nothing else happens. A gate that a new version brings can be watched so before it is trusted.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from subnet.errors import ConfigError


class Mode(enum.Enum):
    """What becomes of a gate's decision."""

    OFF = "off"
    """It is not even made."""
    SHADOW = "shadow"
    """It is recorded."""
    ENFORCE = "enforce"
    """It is recorded and acted on."""


GATES: Mapping[str, str] = MappingProxyType(
    {
        "verdict": "accuse a miner whose running test has reached its threshold",
        "peers": "punish a miner that another validator's bundle convicts in our own replay",
        "suspicion": "check every answer of a miner whose dropped stream the model does not say",
    }
)


@dataclass(frozen=True, slots=True)
class GateModes:
    """The mode of every gate; enforced where nothing else was said."""

    modes: Mapping[str, Mode] = field(default_factory=dict)

    def mode(self, gate: str) -> Mode:
        assert gate in GATES, gate
        return self.modes.get(gate, Mode.ENFORCE)

    def watches(self, gate: str) -> bool:
        return self.mode(gate) is not Mode.OFF

    def enforces(self, gate: str) -> bool:
        return self.mode(gate) is Mode.ENFORCE


def gate_modes(texts: Sequence[str]) -> GateModes:
    """The modes in texts like "verdict=shadow". Raises ConfigError for a gate or a mode that does not exist."""
    modes: dict[str, Mode] = {}
    for text in texts:
        gate, _, mode = text.partition("=")
        if gate not in GATES:
            raise ConfigError(f"--validator.gate: {gate!r} is not a gate; there are {', '.join(GATES)}")
        try:
            modes[gate] = Mode(mode)
        except ValueError:
            raise ConfigError(
                f"--validator.gate: {text!r} has no mode; write {gate}=off, {gate}=shadow or {gate}=enforce"
            ) from None
    return GateModes(MappingProxyType(modes))
