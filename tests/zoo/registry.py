"""Rows, cheats and behaviours put together."""

from __future__ import annotations

from dataclasses import dataclass

from tests.zoo.behaviours import BEHAVIOURS, Behaviour
from tests.zoo.engines import CHEATS, Cheat
from tests.zoo.rows import ROWS, Fate


@dataclass(frozen=True, slots=True)
class Adversary:
    """One adversary: how its engine cheats, how it behaves, and what must become of it.

    With neither it is a scenario of whole networks (`Fate.ECONOMY`), played by tests of rewards.
    """

    name: str
    group: str
    does: str
    fate: Fate
    cheat: Cheat | None
    behaviour: Behaviour | None


ZOO: dict[str, Adversary] = {
    name: Adversary(name, row.group, row.does, row.fate, CHEATS.get(name), BEHAVIOURS.get(name))
    for name, row in ROWS.items()
}
