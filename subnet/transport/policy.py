"""Who may call: registered, with a permit or enough stake, and not denied. A pure function of a metagraph snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """What the metagraph says about one registered hotkey. Stake in rao."""

    stake_rao: int
    validator_permit: bool


@dataclass(frozen=True, slots=True)
class CallerPolicy:
    """Admission of callers: a validator permit, or stake of at least `minimum_stake_rao`; `denied` wins over both.

    `minimum_stake_rao` None asks for the permit alone; 0 admits every registered hotkey.
    """

    minimum_stake_rao: int | None = None
    denied: frozenset[str] = frozenset()

    def refusal(self, hotkey: str, callers: Mapping[str, Caller]) -> str | None:
        """Why this hotkey may not call, or None if it may. `callers` maps registered hotkeys (ss58)."""
        if hotkey in self.denied:
            return "this hotkey is on the deny list"
        caller = callers.get(hotkey)
        if caller is None:
            return "this hotkey is not registered on the subnet"
        if caller.validator_permit:
            return None
        if self.minimum_stake_rao is None:
            return "this hotkey has no validator permit"
        if caller.stake_rao < self.minimum_stake_rao:
            return f"{caller.stake_rao} rao staked, no permit: at least {self.minimum_stake_rao} rao are needed"
        return None
