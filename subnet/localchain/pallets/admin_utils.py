"""AdminUtils: hyperparameters. One row a setter; the same rows feed the hyperparameters API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from subnet.localchain.defaults import FIXED_ONE, U16_MAX, U64_MAX
from subnet.localchain.model import Pallet, StorageItem
from subnet.localchain.pallets import balances
from subnet.localchain.pallets.subtensor import networks
from subnet.localchain.pallets.subtensor import storage as st
from subnet.localchain.runtime import Origin, Runtime

PALLET = Pallet("AdminUtils", 19)


@dataclass(frozen=True, slots=True)
class Setter:
    """`AdminUtils.sudo_set_<name>`: where the value goes, its type, its bounds, who may call."""

    name: str
    item: StorageItem
    arg: str
    type: str
    low: int = 0
    high: int = U64_MAX
    owner: bool = True
    error: str = "InvalidValue"
    wrap: bool = False
    check: Callable[[Runtime, int, Any], None] | None = None


def _within_uids(rt: Runtime, netuid: int, value: int) -> None:
    if value > st.MaxAllowedUids.get(rt.state, netuid):
        raise rt.error("MaxValidatorsLargerThanMaxUIds", "AdminUtils")


def _room_for_all(rt: Runtime, netuid: int, value: int) -> None:
    if value < st.SubnetworkN.get(rt.state, netuid):
        raise rt.error("MaxAllowedUIdsLessThanCurrentUIds", "AdminUtils")


def _below_max_burn(rt: Runtime, netuid: int, value: int) -> None:
    if value >= st.MaxBurn.get(rt.state, netuid):
        raise rt.error("InvalidValue")


def _above_min_burn(rt: Runtime, netuid: int, value: int) -> None:
    if value <= st.MinBurn.get(rt.state, netuid):
        raise rt.error("InvalidValue")


def _lift_burn(rt: Runtime, netuid: int) -> None:
    low, high = st.MinBurn.get(rt.state, netuid), st.MaxBurn.get(rt.state, netuid)
    st.Burn.put(rt.state, netuid, min(max(low, st.Burn.get(rt.state, netuid)), high))


SETTERS: tuple[Setter, ...] = (
    Setter("activity_cutoff_factor", st.ActivityCutoffFactorMilli, "factor_milli", "u32", 1_000, 50_000,
           error="ActivityCutoffFactorMilliOutOfBounds"),
    Setter("adjustment_alpha", st.AdjustmentAlpha, "adjustment_alpha", "u64"),
    Setter("adjustment_interval", st.AdjustmentInterval, "adjustment_interval", "u16", owner=False),
    Setter("alpha_sigmoid_steepness", st.AlphaSigmoidSteepness, "steepness", "i16", -32_768, 32_767),
    Setter("bonds_moving_average", st.BondsMovingAverage, "bonds_moving_average", "u64", 0, 975_000),
    Setter("bonds_penalty", st.BondsPenalty, "bonds_penalty", "u16"),
    Setter("bonds_reset_enabled", st.BondsResetOn, "enabled", "bool"),
    Setter("burn_half_life", st.BurnHalfLife, "burn_half_life", "u16", 1, 36_000),
    Setter("burn_increase_mult", st.BurnIncreaseMult, "burn_increase_mult", "FixedU128", FIXED_ONE, 3 * FIXED_ONE,
           wrap=True),
    Setter("collateral_drain_ratio", st.CollateralDrainRatio, "drain_ratio", "FixedU128", 1, 10 * FIXED_ONE, wrap=True),
    Setter("collateral_lock_share", st.CollateralLockShare, "lock_share", "u16", 0, 62_258),
    Setter("commit_reveal_weights_enabled", st.CommitRevealWeightsEnabled, "enabled", "bool"),
    Setter("commit_reveal_weights_interval", st.RevealPeriodEpochs, "interval", "u64", 1, 100,
           error="RevealPeriodTooLarge"),
    Setter("difficulty", st.Difficulty, "difficulty", "u64", owner=False),
    Setter("epoch_consensus", st.SubnetEpochConsensus, "mode", "EpochConsensus", owner=False),
    Setter("immunity_period", st.ImmunityPeriod, "immunity_period", "u16"),
    Setter("kappa", st.Kappa, "kappa", "u16", owner=False),
    Setter("liquid_alpha_consensus_mode", st.LiquidAlphaConsensusMode, "mode", "ConsensusMode"),
    Setter("liquid_alpha_enabled", st.LiquidAlphaOn, "enabled", "bool"),
    Setter("max_allowed_uids", st.MaxAllowedUids, "max_allowed_uids", "u16", 1, 256, check=_room_for_all),
    Setter("max_allowed_validators", st.MaxAllowedValidators, "max_allowed_validators", "u16", 1, owner=False,
           check=_within_uids),
    Setter("max_burn", st.MaxBurn, "max_burn", "TaoBalance", check=_above_min_burn),
    Setter("max_difficulty", st.MaxDifficulty, "max_difficulty", "u64"),
    Setter("max_registrations_per_block", st.MaxRegistrationsPerBlock, "max_registrations_per_block", "u16",
           owner=False),
    Setter("min_allowed_uids", st.MinAllowedUids, "min_allowed_uids", "u16", owner=False),
    Setter("min_allowed_weights", st.MinAllowedWeights, "min_allowed_weights", "u16"),
    Setter("min_burn", st.MinBurn, "min_burn", "TaoBalance", check=_below_max_burn),
    Setter("min_childkey_take_per_subnet", st.MinChildkeyTakePerSubnet, "take", "PerU16"),
    Setter("min_difficulty", st.MinDifficulty, "min_difficulty", "u64", owner=False),
    Setter("network_pow_registration_allowed", st.NetworkPowRegistrationAllowed, "registration_allowed", "bool"),
    Setter("network_registration_allowed", st.NetworkRegistrationAllowed, "registration_allowed", "bool"),
    Setter("owner_cut_auto_lock_enabled", st.OwnerCutAutoLockEnabled, "enabled", "bool"),
    Setter("owner_cut_enabled", st.OwnerCutEnabled, "enabled", "bool"),
    Setter("owner_immune_neuron_limit", st.ImmuneOwnerUidsLimit, "immune_neurons", "u16", 1, 10),
    Setter("rao_recycled", st.RAORecycledForRegistration, "rao_recycled", "TaoBalance", owner=False),
    Setter("recycle_or_burn", st.RecycleOrBurn, "recycle_or_burn", "RecycleOrBurnEnum"),
    Setter("rho", st.Rho, "rho", "u16"),
    Setter("serving_rate_limit", st.ServingRateLimit, "serving_rate_limit", "u64"),
    Setter("sn_owner_hotkey", st.SubnetOwnerHotkey, "hotkey", "AccountId32"),
    Setter("subnet_emission_enabled", st.SubnetEmissionEnabled, "enabled", "bool", owner=False),
    Setter("subtoken_enabled", st.SubtokenEnabled, "subtoken_enabled", "bool", owner=False),
    Setter("target_registrations_per_interval", st.TargetRegistrationsPerInterval, "target_registrations_per_interval",
           "u16", owner=False),
    Setter("toggle_transfer", st.TransferToggle, "toggle", "bool"),
    Setter("weights_set_rate_limit", st.WeightsSetRateLimit, "weights_set_rate_limit", "u64"),
    Setter("weights_version_key", st.WeightsVersionKey, "weights_version_key", "u64"),
    Setter("yuma3_enabled", st.Yuma3On, "enabled", "bool"),
)  # fmt: skip

GLOBAL_SETTERS: tuple[Setter, ...] = (
    Setter("admin_freeze_window", st.AdminFreezeWindow, "window", "u16"),
    Setter("commit_reveal_version", st.CommitRevealWeightsVersion, "version", "u16"),
    Setter("default_take", st.MaxDelegateTake, "default_take", "PerU16"),
    Setter("lock_reduction_interval", st.NetworkLockReductionInterval, "interval", "u64", 1),
    Setter("max_epochs_per_block", st.MaxEpochsPerBlock, "max_epochs_per_block", "u8", 1, 255),
    Setter("min_delegate_take", st.MinDelegateTake, "take", "PerU16"),
    Setter("network_immunity_period", st.NetworkImmunityPeriod, "immunity_period", "u64"),
    Setter("network_min_lock_cost", st.NetworkMinLockCost, "lock_cost", "TaoBalance"),
    Setter("network_rate_limit", st.NetworkRateLimit, "rate_limit", "u64"),
    Setter("nominator_min_required_stake", st.NominatorMinRequiredStake, "min_stake", "u64"),
    Setter("owner_hparam_rate_limit", st.OwnerHyperparamRateLimit, "epochs", "u16"),
    Setter("stake_threshold", st.StakeThreshold, "min_stake", "u64"),
    Setter("start_call_delay", st.StartCallDelay, "delay", "u64"),
    Setter("subnet_limit", st.SubnetLimit, "max_subnets", "u16"),
    Setter("subnet_owner_cut", st.SubnetOwnerCut, "subnet_owner_cut", "u16"),
    Setter("tx_rate_limit", st.TxRateLimit, "tx_rate_limit", "u64"),
)


def _checked(rt: Runtime, setter: Setter, value: Any) -> Any:
    number = value["bits"] if setter.wrap else value
    if isinstance(number, int) and not isinstance(number, bool) and not setter.low <= number <= setter.high:
        raise rt.error(setter.error)
    return value


def ensure_changeable(rt: Runtime, origin: Origin, netuid: int, owner: bool = True) -> None:
    """The chain's rules for a hyperparameter change.

    Raises DispatchError: SubnetDoesNotExist, BadOrigin or NotSubnetOwner, and for an owner
    AdminActionProhibitedDuringWeightsWindow in the last blocks before an epoch.
    """
    if not st.NetworksAdded.get(rt.state, netuid):
        raise rt.error("SubnetDoesNotExist", "AdminUtils")
    if not owner:
        origin.ensure_root()
    if origin.root:
        return
    networks.ensure_owner_or_root(rt, origin, netuid)
    tempo = st.Tempo.get(rt.state, netuid)
    left = st.LastEpochBlock.get(rt.state, netuid) + tempo - rt.block
    if 0 <= left < st.AdminFreezeWindow.get(rt.state):
        raise rt.error("AdminActionProhibitedDuringWeightsWindow")


def _subnet_call(setter: Setter) -> Callable[..., None]:
    def run(rt: Runtime, origin: Origin, netuid: int, **given: Any) -> None:
        ensure_changeable(rt, origin, netuid, setter.owner)
        value = _checked(rt, setter, given[setter.arg])
        if setter.check is not None:
            setter.check(rt, netuid, value)
        setter.item.put(rt.state, netuid, value)
        if setter.item in (st.MinBurn, st.MaxBurn):
            _lift_burn(rt, netuid)

    run.__name__ = f"sudo_set_{setter.name}"
    return run


def _global_call(setter: Setter) -> Callable[..., None]:
    def run(rt: Runtime, origin: Origin, **given: Any) -> None:
        origin.ensure_root()
        setter.item.put(rt.state, _checked(rt, setter, given[setter.arg]))

    run.__name__ = f"sudo_set_{setter.name}"
    return run


for _setter in SETTERS:
    PALLET.call({"netuid": "NetUid", _setter.arg: _setter.type})(_subnet_call(_setter))
for _setter in GLOBAL_SETTERS:
    PALLET.call({_setter.arg: _setter.type})(_global_call(_setter))


@PALLET.call(netuid="NetUid", tempo="u16")
def sudo_set_tempo(rt: Runtime, origin: Origin, netuid: int, tempo: int) -> None:
    """Set a subnet's tempo. Root only, as the owner has set_tempo."""
    ensure_changeable(rt, origin, netuid, owner=False)
    networks.store_tempo(rt, netuid, tempo)


@PALLET.call(netuid="NetUid", activity_cutoff="u16")
def sudo_set_activity_cutoff(rt: Runtime, origin: Origin, netuid: int, activity_cutoff: int) -> None:
    """Retired on the chain: the cutoff follows from activity_cutoff_factor."""
    raise rt.error("Deprecated")


@PALLET.call(netuid="NetUid", alpha_low="u16", alpha_high="u16")
def sudo_set_alpha_values(rt: Runtime, origin: Origin, netuid: int, alpha_low: int, alpha_high: int) -> None:
    """Set the range of liquid alpha."""
    ensure_changeable(rt, origin, netuid)
    if not st.LiquidAlphaOn.get(rt.state, netuid):
        raise rt.error("LiquidAlphaDisabled")
    if alpha_high < U16_MAX // 40:
        raise rt.error("AlphaHighTooLow")
    if not U16_MAX // 40 <= alpha_low <= alpha_high:
        raise rt.error("AlphaLowOutOfRange")
    st.AlphaValues.put(rt.state, netuid, (alpha_low, alpha_high))


@PALLET.call(total_issuance="TaoBalance")
def sudo_set_total_issuance(rt: Runtime, origin: Origin, total_issuance: int) -> None:
    """Set the recorded total issuance. Root only."""
    origin.ensure_root()
    st.TotalIssuance.put(rt.state, total_issuance)
    balances.TotalIssuance.put(rt.state, total_issuance)
