"""The types that runtime APIs answer with, in Rust's field order."""

from __future__ import annotations

from subnet.localchain.typemodel import Composite, TypeDecl, Variant, cases


def _struct(path: str, **fields: str) -> Composite:
    return Composite(path, fields)


def _c(type_: str) -> str:
    return f"Compact<{type_}>"


_U16, _U64 = _c("u16"), _c("u64")
_RPC = "pallet_subtensor::rpc_info"

_NEURON = {
    "hotkey": "AccountId32",
    "coldkey": "AccountId32",
    "uid": _U16,
    "netuid": _c("NetUid"),
    "active": "bool",
    "axon_info": "AxonInfo",
    "prometheus_info": "PrometheusInfo",
    "stake": "Vec<(AccountId32, Compact<u64>)>",
    "rank": _U16,
    "emission": _U64,
    "incentive": _U16,
    "consensus": _U16,
    "trust": _U16,
    "validator_trust": _U16,
    "dividends": _U16,
    "last_update": _U64,
    "validator_permit": "bool",
}
_PAIRS = "Vec<(Compact<u16>, Compact<u16>)>"

METAGRAPH_FIELDS: dict[str, str] = {
    "netuid": _c("NetUid"),
    "name": "Vec<Compact<u8>>",
    "symbol": "Vec<Compact<u8>>",
    "identity": "Option<SubnetIdentityV3>",
    "network_registered_at": _U64,
    "owner_hotkey": "AccountId32",
    "owner_coldkey": "AccountId32",
    "block": _U64,
    "tempo": _U16,
    "last_step": _U64,
    "blocks_since_last_step": _U64,
    "subnet_emission": _U64,
    "alpha_in": _U64,
    "alpha_out": _U64,
    "tao_in": _U64,
    "alpha_out_emission": _U64,
    "alpha_in_emission": _U64,
    "tao_in_emission": _U64,
    "pending_alpha_emission": _U64,
    "pending_root_emission": _U64,
    "subnet_volume": "Compact<u128>",
    "moving_price": "FixedI128",
    "rho": _U16,
    "kappa": _U16,
    "min_allowed_weights": _U16,
    "max_weights_limit": _U16,
    "weights_version": _U64,
    "weights_rate_limit": _U64,
    "activity_cutoff": _U16,
    "max_validators": _U16,
    "num_uids": _U16,
    "max_uids": _U16,
    "burn": _U64,
    "difficulty": _U64,
    "registration_allowed": "bool",
    "pow_registration_allowed": "bool",
    "immunity_period": _U16,
    "min_difficulty": _U64,
    "max_difficulty": _U64,
    "min_burn": _U64,
    "max_burn": _U64,
    "adjustment_alpha": _U64,
    "adjustment_interval": _U16,
    "target_regs_per_interval": _U16,
    "max_regs_per_block": _U16,
    "serving_rate_limit": _U64,
    "commit_reveal_weights_enabled": "bool",
    "commit_reveal_period": _U64,
    "liquid_alpha_enabled": "bool",
    "alpha_high": _U16,
    "alpha_low": _U16,
    "bonds_moving_avg": _U64,
    "hotkeys": "Vec<AccountId32>",
    "coldkeys": "Vec<AccountId32>",
    "identities": "Vec<Option<ChainIdentityV2>>",
    "axons": "Vec<AxonInfo>",
    "active": "Vec<bool>",
    "validator_permit": "Vec<bool>",
    "pruning_score": "Vec<Compact<u16>>",
    "last_update": "Vec<Compact<u64>>",
    "emission": "Vec<Compact<u64>>",
    "dividends": "Vec<Compact<u16>>",
    "incentives": "Vec<Compact<u16>>",
    "consensus": "Vec<Compact<u16>>",
    "trust": "Vec<Compact<u16>>",
    "rank": "Vec<Compact<u16>>",
    "block_at_registration": "Vec<Compact<u64>>",
    "alpha_stake": "Vec<Compact<u64>>",
    "tao_stake": "Vec<Compact<u64>>",
    "total_stake": "Vec<Compact<u64>>",
    "tao_dividends_per_hotkey": "Vec<(AccountId32, Compact<u64>)>",
    "alpha_dividends_per_hotkey": "Vec<(AccountId32, Compact<u64>)>",
    "collateral_locked": "Vec<Compact<u64>>",
    "collateral_min": "Vec<Compact<u64>>",
    "collateral_earned": "Vec<Compact<u64>>",
}

RPC_TYPES: dict[str, TypeDecl] = {
    "NeuronInfoLite": Composite(f"{_RPC}::neuron_info::NeuronInfoLite", {**_NEURON, "pruning_score": _U16}),
    "NeuronInfo": Composite(
        f"{_RPC}::neuron_info::NeuronInfo", {**_NEURON, "weights": _PAIRS, "bonds": _PAIRS, "pruning_score": _U16}
    ),
    "Metagraph": Composite(f"{_RPC}::metagraph::Metagraph", METAGRAPH_FIELDS),
    "StakeInfo": _struct(
        f"{_RPC}::stake_info::StakeInfo",
        hotkey="AccountId32",
        coldkey="AccountId32",
        netuid=_c("NetUid"),
        stake=_U64,
        locked=_U64,
        emission=_U64,
        tao_emission=_U64,
        drain=_U64,
        is_registered="bool",
    ),
    "StakeAvailability": _struct(
        f"{_RPC}::stake_info::StakeAvailability", total="AlphaBalance", locked="AlphaBalance", available="AlphaBalance"
    ),
    "DelegateInfo": _struct(
        f"{_RPC}::delegate_info::DelegateInfo",
        delegate_ss58="AccountId32",
        take=_U16,
        nominators="Vec<(AccountId32, Vec<(Compact<u16>, Compact<u64>)>)>",
        owner_ss58="AccountId32",
        registrations="Vec<Compact<u16>>",
        validator_permits="Vec<Compact<u16>>",
        return_per_1000=_U64,
        total_daily_return=_U64,
    ),
    "SubnetInfo": _struct(
        f"{_RPC}::subnet_info::SubnetInfo",
        netuid=_c("NetUid"),
        rho=_U16,
        kappa=_U16,
        difficulty=_U64,
        immunity_period=_U16,
        max_allowed_validators=_U16,
        min_allowed_weights=_U16,
        max_weights_limit=_U16,
        scaling_law_power=_U16,
        subnetwork_n=_U16,
        max_allowed_uids=_U16,
        blocks_since_last_step=_U64,
        tempo=_U16,
        network_modality=_U16,
        network_connect="Vec<[u16; 2]>",
        emission_value=_U64,
        burn=_U64,
        owner="AccountId32",
    ),
    "HyperparamValue": Variant(
        f"{_RPC}::subnet_info::HyperparamValue",
        cases(
            ("Bool", ("bool",)),
            ("U16", (_U16,)),
            ("U32", ("Compact<u32>",)),
            ("U64", (_U64,)),
            ("U128", ("Compact<u128>",)),
            ("TaoBalance", (_U64,)),
            ("I32F32", ("FixedI64",)),
            ("U64F64", ("FixedU128",)),
        ),
    ),
    "HyperparamEntry": _struct(f"{_RPC}::subnet_info::HyperparamEntry", name="Vec<u8>", value="HyperparamValue"),
    "SubnetPrice": _struct("pallet_subtensor_swap_runtime_api::SubnetPrice", netuid="NetUid", price="u64"),
    "SimSwapResult": _struct(
        "pallet_subtensor_swap_runtime_api::SimSwapResult",
        tao_amount="TaoBalance",
        alpha_amount="AlphaBalance",
        tao_fee="TaoBalance",
        alpha_fee="AlphaBalance",
        tao_slippage="TaoBalance",
        alpha_slippage="AlphaBalance",
    ),
    "BasketPosition": _struct(
        f"{_RPC}::basket_info::BasketPosition", hotkey="AccountId32", shares="u64", owed_tao="TaoBalance"
    ),
}
