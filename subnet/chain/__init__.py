"""The chain: the one place that imports bittensor for chain access. Everything else sees frozen values."""

from subnet.chain.client import Chain
from subnet.chain.clock import ClockWatch, clock_trouble
from subnet.chain.errors import ChainAway, ChainRejected, WalletError
from subnet.chain.values import (
    REMEDY,
    Endpoint,
    EpochInfo,
    Head,
    MetagraphSnapshot,
    Neuron,
    Published,
    WeightRules,
    WeightsOutcome,
    WeightsReason,
)  # fmt: skip
from subnet.chain.wallet import Hotkey, address_of, load_hotkey, public_key_of

__all__ = [
    "REMEDY", "Chain", "ChainAway", "ChainRejected", "ClockWatch", "Endpoint", "EpochInfo", "Head", "Hotkey",
    "MetagraphSnapshot", "Neuron", "Published", "WalletError", "WeightRules", "WeightsOutcome", "WeightsReason",
    "address_of", "clock_trouble", "load_hotkey", "public_key_of",
]  # fmt: skip
