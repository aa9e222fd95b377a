"""What the chain looks like to the rest of the project: plain frozen values, no client and no SDK types.

Stakes are in the subnet's alpha, as float; hashes are raw 32 bytes; scores are fractions from 0 to 1.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Head:
    """A finalised block."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a neuron says that it listens. `certificate` is its neuron certificate (see `subnet.transport.pinning`), if
    it serves TLS."""

    ip: str
    port: int
    certificate: bytes | None = None

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class Neuron:
    """One row of the metagraph."""

    uid: int
    hotkey: str
    coldkey: str
    stake: float
    validator_permit: bool
    active: bool
    last_update: int
    registered_at: int
    incentive: float
    dividends: float
    consensus: float
    trust: float
    emission: float
    collateral: float
    axon: Endpoint | None


@dataclass(frozen=True, slots=True)
class MetagraphSnapshot:
    """A subnet at one block. Immutable: share it freely, never copy it."""

    netuid: int
    block: int
    tempo: int
    owner_hotkey: str
    max_uids: int
    neurons: tuple[Neuron, ...]

    def by_hotkey(self, hotkey: str) -> Neuron | None:
        return next((neuron for neuron in self.neurons if neuron.hotkey == hotkey), None)

    def by_uid(self, uid: int) -> Neuron | None:
        return next((neuron for neuron in self.neurons if neuron.uid == uid), None)

    @property
    def uids(self) -> dict[str, int]:
        return {neuron.hotkey: neuron.uid for neuron in self.neurons}

    @property
    def total_validator_stake(self) -> float:
        return sum(neuron.stake for neuron in self.neurons if neuron.validator_permit)


@dataclass(frozen=True, slots=True)
class EpochInfo:
    """Where the subnet is between two epochs. `next_block` is None where the tempo is 0."""

    block: int
    tempo: int
    index: int
    last_block: int
    next_block: int | None
    block_time_s: float


@dataclass(frozen=True, slots=True)
class WeightRules:
    """The subnet's rules for weights at one block. `max_share` is the largest share that one uid may have."""

    block: int
    uid: int | None
    permit: bool
    last_update: int
    rate_limit: int
    min_allowed: int
    max_share: float
    version_key: int
    commit_reveal: bool
    reveal_epochs: int = 1

    @property
    def allowed_at(self) -> int:
        """First block at which the rate limit allows new weights; 0 where none were set."""
        return self.last_update + self.rate_limit if self.last_update else 0


class WeightsReason(enum.StrEnum):
    """What became of an attempt to set weights."""

    SET = "set"
    COMMITTED = "committed"
    REVEALED = "revealed"
    NOT_REVEALED = "not revealed"
    UNCHANGED = "unchanged"
    NOTHING_TO_SET = "nothing to set"
    RATE_LIMITED = "rate limited"
    NOT_REGISTERED = "not registered"
    NO_PERMIT = "no validator permit"
    TOO_LITTLE_STAKE = "too little stake"
    VERSION_KEY = "version key too old"
    TOO_FEW = "too few weights"
    NOT_READ_BACK = "not found when read back"
    CHAIN_AWAY = "chain away"
    REJECTED = "rejected"

    @property
    def done(self) -> bool:
        """Whether the chain now holds, or will reveal, what was planned."""
        return self in (
            WeightsReason.SET, WeightsReason.COMMITTED, WeightsReason.REVEALED, WeightsReason.UNCHANGED
        )  # fmt: skip


REMEDY: Mapping[WeightsReason, str] = {
    WeightsReason.NOTHING_TO_SET: "nobody earned anything yet: wait for verified answers; if there are, see explain",
    WeightsReason.RATE_LIMITED: "wait; the subnet limits how often weights may be set",
    WeightsReason.NOT_REGISTERED: "register the hotkey: btcli subnets register --netuid <netuid>",
    WeightsReason.NO_PERMIT: "stake more: the subnet gives permits to its largest validators",
    WeightsReason.TOO_LITTLE_STAKE: "stake more: the subnet has a least stake for setting weights",
    WeightsReason.VERSION_KEY: "update: the subnet's owner asks for a newer version of this software",
    WeightsReason.TOO_FEW: "the subnet asks for weights on more uids than have a score",
    WeightsReason.NOT_READ_BACK: "see `doctor`: the chain took the extrinsic and does not show its weights",
    WeightsReason.NOT_REVEALED: "the chain opens commits itself, once the beacon's round is out; another follows",
    WeightsReason.CHAIN_AWAY: "check --subtensor.chain_endpoint and the network",
    WeightsReason.REJECTED: "see the message; `doctor` reads the weights back by another library",
}


@dataclass(frozen=True, slots=True)
class WeightsOutcome:
    """An attempt to set weights: what was planned (uid, u16), and what the chain says of it."""

    reason: WeightsReason
    planned: tuple[tuple[int, int], ...]
    block: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """A neuron's commitment on the chain: what it wrote, and when."""

    hotkey: str
    block: int
    text: str
