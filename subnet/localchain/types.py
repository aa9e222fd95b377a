"""The named types of the chain: one row each, in Rust's field order.

Paths end in the names that clients look for; the rows that the codec treats specially on the
client side (AccountId32, Era, MultiAddress, BTreeMap, U256, Option) keep their exact paths.
"""

from __future__ import annotations

from subnet.localchain.typemodel import Case, Composite, NewType, TypeDecl, Variant, cases
from subnet.localchain.types_rpc import RPC_TYPES


def _struct(path: str, **fields: str) -> Composite:
    return Composite(path, fields)


def _c(type_: str) -> str:
    return f"Compact<{type_}>"


_U64 = _c("u64")

_CRYPTO: dict[str, TypeDecl] = {
    "AccountId32": NewType("sp_core::crypto::AccountId32", "[u8; 32]"),
    "H256": NewType("primitive_types::H256", "[u8; 32]"),
    "H160": NewType("primitive_types::H160", "[u8; 20]"),
    "MultiAddress": Variant(
        "sp_runtime::multiaddress::MultiAddress",
        cases(
            ("Id", ("AccountId32",)),
            ("Index", ("Compact<()>",)),
            ("Raw", ("Vec<u8>",)),
            ("Address32", ("[u8; 32]",)),
            ("Address20", ("[u8; 20]",)),
        ),
    ),
    "MultiSignature": Variant(
        "sp_runtime::MultiSignature",
        cases(("Ed25519", ("[u8; 64]",)), ("Sr25519", ("[u8; 64]",)), ("Ecdsa", ("[u8; 65]",))),
    ),
    "Era": Variant(
        "sp_runtime::generic::era::Era",
        (Case("Immortal", 0), *(Case(f"Mortal{i}", i, ("u8",)) for i in range(1, 256))),
    ),
}

_UNITS: dict[str, TypeDecl] = {
    "TaoBalance": NewType("subtensor_runtime_common::currency::TaoBalance", "u64"),
    "AlphaBalance": NewType("subtensor_runtime_common::currency::AlphaBalance", "u64"),
    "NetUid": NewType("subtensor_runtime_common::NetUid", "u16"),
    "MechId": NewType("subtensor_runtime_common::MechId", "u8"),
    "PerU16": NewType("sp_arithmetic::per_things::PerU16", "u16"),
    "FixedI128": _struct("substrate_fixed::FixedI128", bits="i128"),
    "FixedU128": _struct("substrate_fixed::FixedU128", bits="u128"),
    "FixedI64": _struct("substrate_fixed::FixedI64", bits="i64"),
    "FeeMultiplier": NewType("sp_arithmetic::fixed_point::FixedU128", "u128"),
    "SafeFloat": _struct("share_pool::SafeFloat", mantissa="u128", exponent="i64"),
}

_FRAME: dict[str, TypeDecl] = {
    "AccountData": _struct(
        "pallet_balances::types::AccountData",
        free="TaoBalance",
        reserved="TaoBalance",
        frozen="TaoBalance",
        flags="u128",
    ),
    "AccountInfo": _struct(
        "frame_system::AccountInfo",
        nonce="u32",
        consumers="u32",
        providers="u32",
        sufficients="u32",
        data="AccountData",
    ),
    "Weight": _struct("sp_weights::weight_v2::Weight", ref_time=_U64, proof_size=_U64),
    "DispatchClass": Variant("frame_support::dispatch::DispatchClass", cases("Normal", "Operational", "Mandatory")),
    "Pays": Variant("frame_support::dispatch::Pays", cases("Yes", "No")),
    "DispatchEventInfo": _struct(
        "frame_system::DispatchEventInfo", weight="Weight", class_="DispatchClass", pays_fee="Pays"
    ),
    "RuntimeDispatchInfo": _struct(
        "pallet_transaction_payment::types::RuntimeDispatchInfo",
        weight="Weight",
        class_="DispatchClass",
        partial_fee="TaoBalance",
    ),
    "InclusionFee": _struct(
        "pallet_transaction_payment::types::InclusionFee",
        base_fee="TaoBalance",
        len_fee="TaoBalance",
        adjusted_weight_fee="TaoBalance",
    ),
    "FeeDetails": _struct(
        "pallet_transaction_payment::types::FeeDetails", inclusion_fee="Option<InclusionFee>", tip="TaoBalance"
    ),
    "ModuleError": _struct("sp_runtime::ModuleError", index="u8", error="[u8; 4]"),
    "TokenError": Variant(
        "sp_runtime::TokenError",
        cases(
            "FundsUnavailable",
            "OnlyProvider",
            "BelowMinimum",
            "CannotCreate",
            "UnknownAsset",
            "Frozen",
            "Unsupported",
            "CannotCreateHold",
            "NotExpendable",
            "Blocked",
        ),
    ),
    "ArithmeticError": Variant("sp_arithmetic::ArithmeticError", cases("Underflow", "Overflow", "DivisionByZero")),
    "TransactionalError": Variant("sp_runtime::TransactionalError", cases("LimitReached", "NoLayer")),
    "DispatchError": Variant(
        "sp_runtime::DispatchError",
        cases(
            "Other",
            "CannotLookup",
            "BadOrigin",
            ("Module", ("ModuleError",)),
            "ConsumerRemaining",
            "NoProviders",
            "TooManyConsumers",
            ("Token", ("TokenError",)),
            ("Arithmetic", ("ArithmeticError",)),
            ("Transactional", ("TransactionalError",)),
            "Exhausted",
            "Corruption",
            "Unavailable",
            "RootNotAllowed",
        ),
    ),
    "Phase": Variant("frame_system::Phase", cases(("ApplyExtrinsic", ("u32",)), "Finalization", "Initialization")),
    "EventRecord": _struct("frame_system::EventRecord", phase="Phase", event="RuntimeEvent", topics="Vec<H256>"),
    "LastRuntimeUpgradeInfo": _struct(
        "frame_system::LastRuntimeUpgradeInfo", spec_version="Compact<u32>", spec_name="str"
    ),
    "DigestItem": Variant(
        "sp_runtime::generic::digest::DigestItem",
        (
            Case("Other", 0, ("Vec<u8>",)),
            Case("Consensus", 4, ("[u8; 4]", "Vec<u8>")),
            Case("Seal", 5, ("[u8; 4]", "Vec<u8>")),
            Case("PreRuntime", 6, ("[u8; 4]", "Vec<u8>")),
            Case("RuntimeEnvironmentUpdated", 8),
        ),
    ),
    "Digest": _struct("sp_runtime::generic::digest::Digest", logs="Vec<DigestItem>"),
    "RuntimeVersion": _struct(
        "sp_version::RuntimeVersion",
        spec_name="str",
        impl_name="str",
        authoring_version="u32",
        spec_version="u32",
        impl_version="u32",
        apis="Vec<([u8; 8], u32)>",
        transaction_version="u32",
        system_version="u8",
    ),
    "OpaqueMetadata": NewType("sp_core::OpaqueMetadata", "Vec<u8>"),
    "Slot": NewType("sp_consensus_slots::Slot", "u64"),
}

_SUBTENSOR: dict[str, TypeDecl] = {
    "AxonInfo": _struct(
        "pallet_subtensor::pallet::AxonInfo",
        block="u64",
        version="u32",
        ip="u128",
        port="u16",
        ip_type="u8",
        protocol="u8",
        placeholder1="u8",
        placeholder2="u8",
    ),
    "NeuronCertificate": _struct(
        "pallet_subtensor::pallet::NeuronCertificate", public_key="BoundedVec<u8>", algorithm="u8"
    ),
    "PrometheusInfo": _struct(
        "pallet_subtensor::pallet::PrometheusInfo", block="u64", version="u32", ip="u128", port="u16", ip_type="u8"
    ),
    "ChainIdentityV2": _struct(
        "pallet_subtensor::pallet::ChainIdentityV2",
        name="Vec<u8>",
        url="Vec<u8>",
        github_repo="Vec<u8>",
        image="Vec<u8>",
        discord="Vec<u8>",
        description="Vec<u8>",
        additional="Vec<u8>",
    ),
    "SubnetIdentityV3": _struct(
        "pallet_subtensor::pallet::SubnetIdentityV3",
        subnet_name="Vec<u8>",
        github_repo="Vec<u8>",
        subnet_contact="Vec<u8>",
        subnet_url="Vec<u8>",
        discord="Vec<u8>",
        description="Vec<u8>",
        logo_url="Vec<u8>",
        additional="Vec<u8>",
    ),
    "MinerCollateralState": _struct(
        "pallet_subtensor::MinerCollateralState",
        locked="AlphaBalance",
        drain_ratio="FixedU128",
        min_locked="AlphaBalance",
        earned="AlphaBalance",
    ),
    "RecycleOrBurnEnum": Variant("pallet_subtensor::pallet::RecycleOrBurnEnum", cases("Burn", "Recycle")),
    "ConsensusMode": Variant("pallet_subtensor::ConsensusMode", cases("Current", "Previous", "Auto")),
    "EpochConsensus": Variant("pallet_subtensor::EpochConsensus", cases("Yuma", "Null")),
    "LockState": _struct(
        "pallet_subtensor::LockState", locked_mass="AlphaBalance", conviction="FixedU128", last_update="u64"
    ),
    "DissolveCleanupStatus": _struct("pallet_subtensor::DissolveCleanupStatus", netuid="NetUid"),
    "NetworkRegistrationInfo": _struct(
        "pallet_subtensor::NetworkRegistrationInfo",
        coldkey="AccountId32",
        hotkey="AccountId32",
        lock_amount="TaoBalance",
        registration_block="u64",
    ),
}

_COMMITMENTS: dict[str, TypeDecl] = {
    "Data": Variant(
        "pallet_commitments::types::Data",
        (
            Case("None", 0),
            *(Case(f"Raw{i}", i + 1, (f"[u8; {i}]",)) for i in range(129)),
            Case("BlakeTwo256", 130, ("[u8; 32]",)),
            Case("Sha256", 131, ("[u8; 32]",)),
            Case("Keccak256", 132, ("[u8; 32]",)),
            Case("ShaThree256", 133, ("[u8; 32]",)),
            Case("TimelockEncrypted", 134, {"encrypted": "BoundedVec<u8>", "reveal_round": "u64"}),
            Case("ResetBondsFlag", 135),
            Case("BigRaw", 136, ("BoundedVec<u8>",)),
            Case("TimelockRevealFailed", 137, {"encrypted": "BoundedVec<u8>", "reveal_round": "u64"}),
        ),
    ),
    "CommitmentInfo": _struct("pallet_commitments::types::CommitmentInfo", fields="BoundedVec<Data>"),
    "Registration": _struct(
        "pallet_commitments::types::Registration", deposit="TaoBalance", block="u32", info="CommitmentInfo"
    ),
    "UsageTracker": _struct("pallet_commitments::types::UsageTracker", last_epoch="u64", used_space="u64"),
    "Pulse": _struct(
        "pallet_drand::types::Pulse", round="u64", randomness="BoundedVec<u8>", signature="BoundedVec<u8>"
    ),
    "PulsesPayload": _struct(
        "pallet_drand::types::PulsesPayload", block_number="u32", pulses="Vec<Pulse>", public="MultiSigner"
    ),
    "MultiSigner": Variant(
        "sp_runtime::MultiSigner",
        cases(("Ed25519", ("[u8; 32]",)), ("Sr25519", ("[u8; 32]",)), ("Ecdsa", ("[u8; 33]",))),
    ),
}

TYPES: dict[str, TypeDecl] = {**_CRYPTO, **_UNITS, **_FRAME, **_SUBTENSOR, **_COMMITMENTS, **RPC_TYPES}
"""Every named type except the three enums that the pallets themselves make up (calls, events, errors)."""
