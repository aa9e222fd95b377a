"""What this chain starts with, in one place. docs/local-chain.md repeats the table.

Where a value differs from finney the comment gives finney's. Every subnet gets the `Subnet`
values when it is created; AdminUtils changes them later.
"""

from __future__ import annotations

from dataclasses import dataclass, field

RAO = 1_000_000_000
U16_MAX = 65_535
U64_MAX = (1 << 64) - 1
FIXED_ONE = 1 << 64
"""1.0 in the U64F64 fixed point of prices, multipliers and ratios."""

SPEC_NAME = "node-subtensor"
SPEC_VERSION = 470
TRANSACTION_VERSION = 1
SS58_FORMAT = 42
CHAIN_NAME = "Assay local"
NODE_VERSION = "assay-localchain/1"

EXISTENTIAL_DEPOSIT = 500
FEE_BASE = 100_000
FEE_PER_BYTE = 100
BLOCK_EMISSION = RAO
MAX_CALL_DEPTH = 16

SUBNET_LIMIT = 128
MECHANISM_STRIDE = 4096
TAO_WEIGHT = 971_718_665_099_567_868
SWAP_FEE_RATE = 33
DEFAULT_TAKE = 11_796

FUNDS: dict[str, int] = {
    **dict.fromkeys(("//Alice", "//Bob", "//Charlie"), 1_000_000 * RAO),
    **dict.fromkeys(("//Dave", "//Eve", "//Ferdie"), 2_000 * RAO),
}
SUDO = "//Alice"


@dataclass(frozen=True, slots=True)
class Subnet:
    """Hyperparameters that a new subnet gets."""

    tempo: int = 20  # finney 360
    immunity_period: int = 1_000  # finney 5000 (blocks)
    weights_set_rate_limit: int = 5  # finney 100 (blocks)
    activity_cutoff_factor_milli: int = 50_000  # finney 13_889: tempos x 1000; here 50 tempos
    serving_rate_limit: int = 0  # finney 50 (blocks)
    max_registrations_per_block: int = 256  # finney 1
    target_registrations_per_interval: int = 256  # finney 1
    burn: int = RAO // 10
    min_burn: int = RAO // 10  # finney 0.0005 TAO
    max_burn: int = 100 * RAO
    burn_increase_mult: int = FIXED_ONE  # finney 1.26: here the price stays where it is
    burn_half_life: int = 360
    commit_reveal: bool = False  # finney true
    max_allowed_uids: int = 256
    max_allowed_validators: int = 64  # finney 128
    min_allowed_weights: int = 1
    max_weights_limit: int = U16_MAX
    bonds_moving_average: int = 900_000
    bonds_penalty: int = U16_MAX
    kappa: int = 32_767
    rho: int = 10
    alpha_low: int = 45_875
    alpha_high: int = 58_982
    alpha_sigmoid_steepness: int = 1_000
    collateral_lock_share: int = 0
    collateral_drain_ratio: int = FIXED_ONE
    emission_enabled: bool = True  # finney: off until root allows it


@dataclass(frozen=True, slots=True)
class Settings:
    """How a chain is started. Times in seconds, amounts in rao, distances in blocks."""

    block_time: float = 0.25
    subnet: Subnet = field(default_factory=Subnet)
    start_call_delay: int = 0  # finney 7 days
    network_rate_limit: int = 0  # finney 28800
    network_min_lock_cost: int = 1_000 * RAO
    network_lock_reduction_interval: int = 1_000  # finney 28800
    stake_threshold: int = 0  # finney 1000 TAO of stake weight to set weights
    admin_freeze_window: int = 0  # finney 10
    owner_hyperparam_rate_limit: int = 0  # finney 2 tempos
    owner_cut: int = 11_796
    keep_states: int = 4_096  # an official node keeps 256

    def __post_init__(self) -> None:
        if self.block_time <= 0:
            raise ValueError(f"block time must be positive, not {self.block_time}")
        if self.keep_states < 16:
            raise ValueError(f"at least 16 states must be kept, not {self.keep_states}")
