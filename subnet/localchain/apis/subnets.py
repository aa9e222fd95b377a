"""SubnetInfoRuntimeApi and SubnetRegistrationRuntimeApi: metagraph, hyperparameters, epochs, cost."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from subnet.localchain.apis.neurons import NO_AXON, column, pruning_scores
from subnet.localchain.defaults import BLOCK_EMISSION, U64_MAX
from subnet.localchain.model import KeyValue, RuntimeApi, StorageItem
from subnet.localchain.pallets.subtensor import networks
from subnet.localchain.pallets.subtensor import storage as st
from subnet.localchain.yuma import next_epoch_block

INFO = RuntimeApi("SubnetInfoRuntimeApi")
REGISTRATION = RuntimeApi("SubnetRegistrationRuntimeApi")
APIS = (INFO, REGISTRATION)

_HYPERPARAMETERS: tuple[tuple[str, StorageItem, str], ...] = (
    ("rho", st.Rho, "U16"), ("kappa", st.Kappa, "U16"), ("immunity_period", st.ImmunityPeriod, "U16"),
    ("min_allowed_weights", st.MinAllowedWeights, "U16"), ("max_weights_limit", st.MaxWeightsLimit, "U16"),
    ("tempo", st.Tempo, "U16"), ("min_difficulty", st.MinDifficulty, "U64"),
    ("max_difficulty", st.MaxDifficulty, "U64"), ("difficulty", st.Difficulty, "U64"),
    ("weights_version", st.WeightsVersionKey, "U64"), ("weights_rate_limit", st.WeightsSetRateLimit, "U64"),
    ("adjustment_interval", st.AdjustmentInterval, "U16"), ("activity_cutoff", st.ActivityCutoff, "U16"),
    ("activity_cutoff_factor", st.ActivityCutoffFactorMilli, "U32"),
    ("registration_allowed", st.NetworkRegistrationAllowed, "Bool"),
    ("network_pow_registration_allowed", st.NetworkPowRegistrationAllowed, "Bool"),
    ("target_regs_per_interval", st.TargetRegistrationsPerInterval, "U16"), ("min_burn", st.MinBurn, "TaoBalance"),
    ("max_burn", st.MaxBurn, "TaoBalance"), ("bonds_moving_avg", st.BondsMovingAverage, "U64"),
    ("max_regs_per_block", st.MaxRegistrationsPerBlock, "U16"), ("serving_rate_limit", st.ServingRateLimit, "U64"),
    ("max_validators", st.MaxAllowedValidators, "U16"), ("adjustment_alpha", st.AdjustmentAlpha, "U64"),
    ("commit_reveal_period", st.RevealPeriodEpochs, "U64"),
    ("commit_reveal_weights_enabled", st.CommitRevealWeightsEnabled, "Bool"),
    ("liquid_alpha_enabled", st.LiquidAlphaOn, "Bool"), ("bonds_penalty", st.BondsPenalty, "U16"),
    ("min_childkey_take", st.MinChildkeyTakePerSubnet, "U16"),
    ("owner_immune_neuron_limit", st.ImmuneOwnerUidsLimit, "U16"), ("max_allowed_uids", st.MaxAllowedUids, "U16"),
    ("burn_half_life", st.BurnHalfLife, "U16"), ("burn_increase_mult", st.BurnIncreaseMult, "U64F64"),
    ("collateral_lock_share", st.CollateralLockShare, "U16"),
    ("collateral_drain_ratio", st.CollateralDrainRatio, "U64F64"), ("yuma3_enabled", st.Yuma3On, "Bool"),
    ("subnet_is_active", st.SubtokenEnabled, "Bool"), ("subnet_emission_enabled", st.SubnetEmissionEnabled, "Bool"),
    ("bonds_reset_enabled", st.BondsResetOn, "Bool"), ("transfers_enabled", st.TransferToggle, "Bool"),
    ("owner_cut_enabled", st.OwnerCutEnabled, "Bool"),
    ("owner_cut_auto_lock_enabled", st.OwnerCutAutoLockEnabled, "Bool"),
)  # fmt: skip


@INFO.method("Option<Vec<HyperparamEntry>>", netuid="NetUid")
def get_subnet_hyperparams_v3(view: Any, netuid: int) -> list[dict[str, Any]] | None:
    state = view.state
    if not st.NetworksAdded.get(state, netuid):
        return None
    rows = [(name, (tag, item.get(state, netuid))) for name, item, tag in _HYPERPARAMETERS]
    low, high = st.AlphaValues.get(state, netuid)
    steepness = st.AlphaSigmoidSteepness.get(state, netuid)
    consensus = st.SubnetEpochConsensus.get(state, netuid)
    rows += [
        ("alpha_low", ("U16", low)),
        ("alpha_high", ("U16", high)),
        ("alpha_sigmoid_steepness", ("I32F32", {"bits": steepness << 32})),
        ("yuma_version", ("U16", 3 if st.Yuma3On.get(state, netuid) else 2)),
        ("epoch_consensus", ("U16", int(consensus == "Null"))),
        ("user_liquidity_enabled", ("Bool", False)),
    ]
    return [{"name": name.encode(), "value": value} for name, value in rows]


@INFO.method("Option<Metagraph>", netuid="NetUid")
def get_metagraph(view: Any, netuid: int) -> dict[str, Any] | None:
    return metagraph(view.state, netuid, view.block)


@INFO.method("Vec<Option<Metagraph>>")
def get_all_metagraphs(view: Any) -> list[dict[str, Any] | None]:
    netuids = [netuid for (netuid,), added in st.NetworksAdded.items(view.state) if added]
    return [metagraph(view.state, netuid, view.block) for netuid in netuids]


_SCALARS: dict[str, StorageItem] = {
    "network_registered_at": st.NetworkRegisteredAt, "owner_hotkey": st.SubnetOwnerHotkey,
    "owner_coldkey": st.SubnetOwner, "tempo": st.Tempo, "last_step": st.LastMechansimStepBlock,
    "blocks_since_last_step": st.BlocksSinceLastStep, "alpha_in": st.SubnetAlphaIn, "alpha_out": st.SubnetAlphaOut,
    "tao_in": st.SubnetTAO, "alpha_out_emission": st.SubnetAlphaOutEmission,
    "alpha_in_emission": st.SubnetAlphaInEmission, "tao_in_emission": st.SubnetTaoInEmission,
    "pending_root_emission": st.PendingRootAlphaDivs, "subnet_volume": st.SubnetVolume,
    "moving_price": st.SubnetMovingPrice, "rho": st.Rho, "kappa": st.Kappa,
    "min_allowed_weights": st.MinAllowedWeights, "max_weights_limit": st.MaxWeightsLimit,
    "weights_version": st.WeightsVersionKey, "weights_rate_limit": st.WeightsSetRateLimit,
    "activity_cutoff": st.ActivityCutoff, "max_validators": st.MaxAllowedValidators, "num_uids": st.SubnetworkN,
    "max_uids": st.MaxAllowedUids, "burn": st.Burn, "difficulty": st.Difficulty,
    "registration_allowed": st.NetworkRegistrationAllowed,
    "pow_registration_allowed": st.NetworkPowRegistrationAllowed, "immunity_period": st.ImmunityPeriod,
    "min_difficulty": st.MinDifficulty, "max_difficulty": st.MaxDifficulty, "min_burn": st.MinBurn,
    "max_burn": st.MaxBurn, "adjustment_alpha": st.AdjustmentAlpha, "adjustment_interval": st.AdjustmentInterval,
    "target_regs_per_interval": st.TargetRegistrationsPerInterval,
    "max_regs_per_block": st.MaxRegistrationsPerBlock, "serving_rate_limit": st.ServingRateLimit,
    "commit_reveal_weights_enabled": st.CommitRevealWeightsEnabled, "commit_reveal_period": st.RevealPeriodEpochs,
    "liquid_alpha_enabled": st.LiquidAlphaOn, "bonds_moving_avg": st.BondsMovingAverage,
}  # fmt: skip


def metagraph(state: KeyValue, netuid: int, block: int) -> dict[str, Any] | None:
    """A subnet's whole state, None where it does not exist."""
    if not st.NetworksAdded.get(state, netuid):
        return None
    out: dict[str, Any] = {name: item.get(state, netuid) for name, item in _SCALARS.items()}
    identity = st.SubnetIdentitiesV3.get(state, netuid)
    low, high = st.AlphaValues.get(state, netuid)
    pending = sum(i.get(state, netuid) for i in (st.PendingServerEmission, st.PendingValidatorEmission))
    out |= {
        "netuid": netuid,
        "name": list(identity["subnet_name"] if identity else (b"root" if netuid == 0 else b"unknown")),
        "symbol": list(st.TokenSymbol.get(state, netuid)),
        "identity": identity,
        "block": block,
        "subnet_emission": out["tao_in_emission"],
        "pending_alpha_emission": pending,
        "alpha_low": low,
        "alpha_high": high,
    }
    return out | _columns(state, netuid, out["num_uids"])


def _columns(state: KeyValue, netuid: int, n: int) -> dict[str, Any]:
    hotkeys = [st.Keys.get(state, netuid, uid) for uid in range(n)]
    coldkeys = [st.Owner.get(state, hotkey) for hotkey in hotkeys]
    alpha = [st.TotalHotkeyAlpha.get(state, hotkey, netuid) for hotkey in hotkeys]
    tao = [st.TotalHotkeyAlpha.get(state, hotkey, 0) for hotkey in hotkeys]
    weight = st.TaoWeight.get(state)
    emission = column(st.Emission.get(state, netuid), n)
    incentives = column(st.Incentive.get(state, netuid), n)
    axons = [st.Axons.get(state, netuid, hotkey) or NO_AXON for hotkey in hotkeys]
    dividends = [(hotkey, st.AlphaDividendsPerSubnet.get(state, netuid, hotkey)) for hotkey in hotkeys]
    bonds = {(hotkey, coldkey): entry for (hotkey, coldkey), entry in st.MinerCollateral.items(state, netuid)}
    owned = [bonds.get(pair) for pair in zip(hotkeys, coldkeys, strict=True)]
    return {
        "hotkeys": hotkeys,
        "coldkeys": coldkeys,
        "identities": [st.IdentitiesV2.get(state, coldkey) for coldkey in coldkeys],
        "axons": axons,
        "active": column(st.Active.get(state, netuid), n, False),
        "validator_permit": column(st.ValidatorPermit.get(state, netuid), n, False),
        "pruning_score": pruning_scores(emission),
        "last_update": column(st.LastUpdate.get(state, netuid), n),
        "emission": emission,
        "dividends": column(st.Dividends.get(state, netuid), n),
        "incentives": incentives,
        "consensus": column(st.Consensus.get(state, netuid), n),
        "trust": [0] * n,
        "rank": incentives,
        "block_at_registration": [st.BlockAtRegistration.get(state, netuid, uid) for uid in range(n)],
        "alpha_stake": alpha,
        "tao_stake": tao,
        "total_stake": [a + t * weight // U64_MAX for a, t in zip(alpha, tao, strict=True)],
        "tao_dividends_per_hotkey": [(hotkey, 0) for hotkey in hotkeys],
        "alpha_dividends_per_hotkey": dividends,
        "collateral_locked": [entry["locked"] if entry else 0 for entry in owned],
        "collateral_min": [entry["min_locked"] if entry else 0 for entry in owned],
        "collateral_earned": [entry["earned"] if entry else 0 for entry in owned],
    }


@INFO.method("Option<u64>", netuid="NetUid")
def get_next_epoch_start_block(view: Any, netuid: int) -> int | None:
    state = view.state
    if not st.NetworksAdded.get(state, netuid):
        return None
    return next_epoch_block(
        st.Tempo.get(state, netuid), st.LastEpochBlock.get(state, netuid), st.PendingEpochAt.get(state, netuid)
    )


@INFO.method("u64")
def get_block_emission(view: Any) -> int:
    return BLOCK_EMISSION


@INFO.method("Option<NetUid>")
def get_subnet_to_prune(view: Any) -> None:
    return None


@INFO.method("Option<AccountId32>", netuid="NetUid")
def get_subnet_account_id(view: Any, netuid: int) -> bytes | None:
    if not st.NetworksAdded.get(view.state, netuid):
        return None
    return blake2b(b"subnet" + netuid.to_bytes(2, "little"), digest_size=32).digest()


@INFO.method("Option<AccountId32>", coldkey="AccountId32", netuid="NetUid")
def get_coldkey_auto_stake_hotkey(view: Any, coldkey: bytes, netuid: int) -> bytes | None:
    return st.AutoStakeDestination.get(view.state, coldkey, netuid)


def _subnet_info(state: KeyValue, netuid: int) -> dict[str, Any] | None:
    if not st.NetworksAdded.get(state, netuid):
        return None
    items = {
        "rho": st.Rho, "kappa": st.Kappa, "difficulty": st.Difficulty, "immunity_period": st.ImmunityPeriod,
        "max_allowed_validators": st.MaxAllowedValidators, "min_allowed_weights": st.MinAllowedWeights,
        "max_weights_limit": st.MaxWeightsLimit, "scaling_law_power": st.ScalingLawPower,
        "subnetwork_n": st.SubnetworkN, "max_allowed_uids": st.MaxAllowedUids,
        "blocks_since_last_step": st.BlocksSinceLastStep, "tempo": st.Tempo, "burn": st.Burn,
        "owner": st.SubnetOwner, "emission_value": st.SubnetTaoInEmission,
    }  # fmt: skip
    out = {name: item.get(state, netuid) for name, item in items.items()}
    return {**out, "netuid": netuid, "network_modality": 0, "network_connect": []}


@INFO.method("Option<SubnetInfo>", netuid="NetUid")
def get_subnet_info(view: Any, netuid: int) -> dict[str, Any] | None:
    return _subnet_info(view.state, netuid)


@INFO.method("Vec<Option<SubnetInfo>>")
def get_subnets_info(view: Any) -> list[dict[str, Any] | None]:
    return [_subnet_info(view.state, netuid) for (netuid,), added in st.NetworksAdded.items(view.state) if added]


@REGISTRATION.method("TaoBalance")
def get_network_registration_cost(view: Any) -> int:
    return networks.lock_cost_at(view.state, view.block)
