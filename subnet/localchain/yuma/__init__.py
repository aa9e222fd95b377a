"""Yuma Consensus and the split of emission: pure functions, in the chain's own fixed-point arithmetic."""

from subnet.localchain.yuma.consensus import (
    CURRENT_RULES,
    EpochInputError,
    EpochParams,
    EpochResult,
    EpochState,
    Rules,
    run_epoch,
    stake_weight_bits,
)
from subnet.localchain.yuma.emission import (
    BlockEmission,
    Collateral,
    EpochPayout,
    HotkeyStake,
    SubnetPending,
    block_emission,
    distribute,
    drain_collateral,
    root_proportion,
    split_block_emission,
)
from subnet.localchain.yuma.schedule import MAX_TEMPO, next_epoch_block, should_run_epoch

__all__ = [
    "CURRENT_RULES",
    "MAX_TEMPO",
    "BlockEmission",
    "Collateral",
    "EpochInputError",
    "EpochParams",
    "EpochPayout",
    "EpochResult",
    "EpochState",
    "HotkeyStake",
    "Rules",
    "SubnetPending",
    "block_emission",
    "distribute",
    "drain_collateral",
    "next_epoch_block",
    "root_proportion",
    "run_epoch",
    "should_run_epoch",
    "split_block_emission",
    "stake_weight_bits",
]
