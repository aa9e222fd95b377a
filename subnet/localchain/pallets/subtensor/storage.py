"""SubtensorModule: every storage item, event and constant, one row each."""

from __future__ import annotations

from subnet.localchain.defaults import (
    BLOCK_EMISSION,
    DEFAULT_TAKE,
    RAO,
    SUBNET_LIMIT,
    TAO_WEIGHT,
    U16_MAX,
    U64_MAX,
    Settings,
    Subnet,
)
from subnet.localchain.model import Pallet

PALLET = Pallet("SubtensorModule", 7)
_D = Subnet()
_value, _map = PALLET.value, PALLET.map
NET = "identity NetUid"
HOT = "blake2 AccountId32"
ZERO32 = bytes(32)

# --- accounts ---------------------------------------------------------------------------------
Owner = _map("Owner", HOT, "AccountId32", ZERO32)
OwnedHotkeys = _map("OwnedHotkeys", HOT, "Vec<AccountId32>", [])
StakingHotkeys = _map("StakingHotkeys", HOT, "Vec<AccountId32>", [])
Delegates = _map("Delegates", HOT, "PerU16", DEFAULT_TAKE)
ChildkeyTake = _map("ChildkeyTake", (HOT, NET), "PerU16", 0)
ChildKeys = _map("ChildKeys", (HOT, NET), "Vec<(u64, AccountId32)>", [])
ParentKeys = _map("ParentKeys", (HOT, NET), "Vec<(u64, AccountId32)>", [])
IdentitiesV2 = _map("IdentitiesV2", HOT, "ChainIdentityV2")
ColdkeySwapAnnouncements = _map("ColdkeySwapAnnouncements", "twox AccountId32", "(u32, H256)")
ColdkeySwapDisputes = _map("ColdkeySwapDisputes", "twox AccountId32", "u32")
AutoStakeDestination = _map("AutoStakeDestination", (HOT, NET), "AccountId32")
LastTxBlock = _map("LastTxBlock", "identity AccountId32", "u64", 0)
AutoParentDelegationEnabled = _map("AutoParentDelegationEnabled", HOT, "bool", True)

# --- stake ------------------------------------------------------------------------------------
TotalIssuance = _value("TotalIssuance", "TaoBalance", 0)
TotalStake = _value("TotalStake", "TaoBalance", 0)
TotalHotkeyAlpha = _map("TotalHotkeyAlpha", (HOT, NET), "AlphaBalance", 0)
TotalAlphaStaked = _map("TotalAlphaStaked", NET, "AlphaBalance", 0)
TotalHotkeyAlphaLastEpoch = _map("TotalHotkeyAlphaLastEpoch", (HOT, NET), "AlphaBalance", 0)
TotalHotkeySharesV2 = _map("TotalHotkeySharesV2", (HOT, NET), "SafeFloat", {"mantissa": 0, "exponent": 0})
AlphaV2 = _map("AlphaV2", (HOT, HOT, NET), "SafeFloat", {"mantissa": 0, "exponent": 0})
AlphaDividendsPerSubnet = _map("AlphaDividendsPerSubnet", (NET, HOT), "AlphaBalance", 0)
RootAlphaDividendsPerSubnet = _map("RootAlphaDividendsPerSubnet", (NET, HOT), "AlphaBalance", 0)
LastHotkeyEmissionOnNetuid = _map("LastHotkeyEmissionOnNetuid", (HOT, NET), "AlphaBalance", 0)
StakeThreshold = _value("StakeThreshold", "u64", Settings().stake_threshold)
TaoWeight = _value("TaoWeight", "u64", TAO_WEIGHT)
NominatorMinRequiredStake = _value("NominatorMinRequiredStake", "u64", 0)
MaxDelegateTake = _value("MaxDelegateTake", "PerU16", DEFAULT_TAKE)
MinDelegateTake = _value("MinDelegateTake", "PerU16", 0)
Lock = _map("Lock", (HOT, NET, HOT), "LockState")
LockingColdkeys = _map("LockingColdkeys", (NET, HOT, HOT), "()")
HotkeyLock = _map("HotkeyLock", (NET, HOT), "LockState")
DecayingLock = _map("DecayingLock", (HOT, NET), "bool", True)

# --- pools and emission -------------------------------------------------------------------------
BlockEmission = _value("BlockEmission", "u64", BLOCK_EMISSION)
SubnetTAO = _map("SubnetTAO", NET, "TaoBalance", 0)
SubnetAlphaIn = _map("SubnetAlphaIn", NET, "AlphaBalance", 0)
SubnetAlphaOut = _map("SubnetAlphaOut", NET, "AlphaBalance", 0)
SubnetTaoInEmission = _map("SubnetTaoInEmission", NET, "TaoBalance", 0)
SubnetAlphaInEmission = _map("SubnetAlphaInEmission", NET, "AlphaBalance", 0)
SubnetAlphaOutEmission = _map("SubnetAlphaOutEmission", NET, "AlphaBalance", 0)
SubnetEmissionEnabled = _map("SubnetEmissionEnabled", NET, "bool", _D.emission_enabled)
SubnetMovingPrice = _map("SubnetMovingPrice", NET, "FixedI128", {"bits": 0})
SubnetVolume = _map("SubnetVolume", NET, "u128", 0)
SubnetTaoFlow = _map("SubnetTaoFlow", NET, "i64", 0)
SubnetEmaTaoFlow = _map("SubnetEmaTaoFlow", NET, "(u64, FixedI128)")
PendingServerEmission = _map("PendingServerEmission", NET, "AlphaBalance", 0)
PendingValidatorEmission = _map("PendingValidatorEmission", NET, "AlphaBalance", 0)
PendingRootAlphaDivs = _map("PendingRootAlphaDivs", NET, "AlphaBalance", 0)
PendingOwnerCut = _map("PendingOwnerCut", NET, "AlphaBalance", 0)
SubnetOwnerCut = _value("SubnetOwnerCut", "u16", Settings().owner_cut)
OwnerCutEnabled = _map("OwnerCutEnabled", NET, "bool", True)
OwnerCutAutoLockEnabled = _map("OwnerCutAutoLockEnabled", NET, "bool", False)
RecycleOrBurn = _map("RecycleOrBurn", NET, "RecycleOrBurnEnum", "Burn")

# --- networks -------------------------------------------------------------------------------------
TotalNetworks = _value("TotalNetworks", "u16", 0)
NetworksAdded = _map("NetworksAdded", NET, "bool", False)
SubnetLimit = _value("SubnetLimit", "u16", SUBNET_LIMIT)
SubnetworkN = _map("SubnetworkN", NET, "u16", 0)
SubnetOwner = _map("SubnetOwner", NET, "AccountId32", ZERO32)
SubnetOwnerHotkey = _map("SubnetOwnerHotkey", NET, "AccountId32", ZERO32)
SubnetLocked = _map("SubnetLocked", NET, "TaoBalance", 0)
SubnetMechanism = _map("SubnetMechanism", NET, "u16", 0)
SubtokenEnabled = _map("SubtokenEnabled", NET, "bool", False)
FirstEmissionBlockNumber = _map("FirstEmissionBlockNumber", NET, "u64")
NetworkRegisteredAt = _map("NetworkRegisteredAt", NET, "u64", 0)
NetworkRegistrationAllowed = _map("NetworkRegistrationAllowed", NET, "bool", True)
NetworkPowRegistrationAllowed = _map("NetworkPowRegistrationAllowed", NET, "bool", False)
NetworkImmunityPeriod = _value("NetworkImmunityPeriod", "u64", 7_200)
NetworkMinLockCost = _value("NetworkMinLockCost", "TaoBalance", Settings().network_min_lock_cost)
NetworkLastLockCost = _value("NetworkLastLockCost", "TaoBalance", Settings().network_min_lock_cost)
NetworkLockReductionInterval = _value("NetworkLockReductionInterval", "u64", 1_000)
NetworkRateLimit = _value("NetworkRateLimit", "u64", 0)
StartCallDelay = _value("StartCallDelay", "u64", 0)
TokenSymbol = _map("TokenSymbol", NET, "Vec<u8>", b"")
SubnetIdentitiesV3 = _map("SubnetIdentitiesV3", "blake2 NetUid", "SubnetIdentityV3")
TransferToggle = _map("TransferToggle", NET, "bool", True)
MechanismCountCurrent = _map("MechanismCountCurrent", "twox NetUid", "MechId", 1)
MechanismEmissionSplit = _map("MechanismEmissionSplit", "twox NetUid", "Vec<u16>")
DissolveCleanupQueue = _value("DissolveCleanupQueue", "Vec<NetUid>", [])
CurrentDissolveCleanupStatus = _value("CurrentDissolveCleanupStatus", "DissolveCleanupStatus")
NetworkRegistrationQueue = _value("NetworkRegistrationQueue", "Vec<NetworkRegistrationInfo>", [])
AdminFreezeWindow = _value("AdminFreezeWindow", "u16", Settings().admin_freeze_window)
OwnerHyperparamRateLimit = _value("OwnerHyperparamRateLimit", "u16", Settings().owner_hyperparam_rate_limit)
LastNetworkRegistration = _map("LastRateLimitedBlock", "identity [u8; 32]", "u64", 0)

# --- epochs -----------------------------------------------------------------------------------------
Tempo = _map("Tempo", NET, "u16", _D.tempo)
LastEpochBlock = _map("LastEpochBlock", NET, "u64", 0)
PendingEpochAt = _map("PendingEpochAt", NET, "u64", 0)
SubnetEpochIndex = _map("SubnetEpochIndex", NET, "u64", 0)
BlocksSinceLastStep = _map("BlocksSinceLastStep", NET, "u64", 0)
LastMechansimStepBlock = _map("LastMechansimStepBlock", NET, "u64", 0)
SubnetEpochConsensus = _map("SubnetEpochConsensus", NET, "EpochConsensus", "Yuma")
MaxEpochsPerBlock = _value("MaxEpochsPerBlock", "u8", 8)

# --- hyperparameters ----------------------------------------------------------------------------------
Rho = _map("Rho", NET, "u16", _D.rho)
Kappa = _map("Kappa", NET, "u16", _D.kappa)
AlphaSigmoidSteepness = _map("AlphaSigmoidSteepness", NET, "i16", _D.alpha_sigmoid_steepness)
MinAllowedUids = _map("MinAllowedUids", NET, "u16", 1)
MaxAllowedUids = _map("MaxAllowedUids", NET, "u16", _D.max_allowed_uids)
ImmunityPeriod = _map("ImmunityPeriod", NET, "u16", _D.immunity_period)
ActivityCutoff = _map("ActivityCutoff", NET, "u16", _D.activity_cutoff_factor_milli * _D.tempo // 1000)
ActivityCutoffFactorMilli = _map("ActivityCutoffFactorMilli", NET, "u32", _D.activity_cutoff_factor_milli)
MinActivityCutoff = _value("MinActivityCutoff", "u16", 1)
MaxWeightsLimit = _map("MaxWeightsLimit", NET, "u16", _D.max_weights_limit)
WeightsVersionKey = _map("WeightsVersionKey", NET, "u64", 0)
MinAllowedWeights = _map("MinAllowedWeights", NET, "u16", _D.min_allowed_weights)
MaxAllowedValidators = _map("MaxAllowedValidators", NET, "u16", _D.max_allowed_validators)
AdjustmentInterval = _map("AdjustmentInterval", NET, "u16", 360)
AdjustmentAlpha = _map("AdjustmentAlpha", NET, "u64", 0)
BondsMovingAverage = _map("BondsMovingAverage", NET, "u64", _D.bonds_moving_average)
BondsPenalty = _map("BondsPenalty", NET, "u16", _D.bonds_penalty)
BondsResetOn = _map("BondsResetOn", NET, "bool", False)
WeightsSetRateLimit = _map("WeightsSetRateLimit", NET, "u64", _D.weights_set_rate_limit)
ValidatorPruneLen = _map("ValidatorPruneLen", NET, "u64", 1)
ScalingLawPower = _map("ScalingLawPower", NET, "u16", 50)
TargetRegistrationsPerInterval = _map(
    "TargetRegistrationsPerInterval", NET, "u16", _D.target_registrations_per_interval
)
CommitRevealWeightsEnabled = _map("CommitRevealWeightsEnabled", NET, "bool", _D.commit_reveal)
CommitRevealWeightsVersion = _value("CommitRevealWeightsVersion", "u16", 4)
RevealPeriodEpochs = _map("RevealPeriodEpochs", "twox NetUid", "u64", 1)
Burn = _map("Burn", NET, "TaoBalance", _D.burn)
MinBurn = _map("MinBurn", NET, "TaoBalance", _D.min_burn)
MaxBurn = _map("MaxBurn", NET, "TaoBalance", _D.max_burn)
BurnHalfLife = _map("BurnHalfLife", NET, "u16", _D.burn_half_life)
BurnIncreaseMult = _map("BurnIncreaseMult", NET, "FixedU128", {"bits": _D.burn_increase_mult})
Difficulty = _map("Difficulty", NET, "u64", U64_MAX)
MinDifficulty = _map("MinDifficulty", NET, "u64", U64_MAX)
MaxDifficulty = _map("MaxDifficulty", NET, "u64", U64_MAX)
MaxRegistrationsPerBlock = _map("MaxRegistrationsPerBlock", NET, "u16", _D.max_registrations_per_block)
RegistrationsThisBlock = _map("RegistrationsThisBlock", NET, "u16", 0)
RegistrationsThisInterval = _map("RegistrationsThisInterval", NET, "u16", 0)
RAORecycledForRegistration = _map("RAORecycledForRegistration", NET, "TaoBalance", 0)
ServingRateLimit = _map("ServingRateLimit", NET, "u64", _D.serving_rate_limit)
LiquidAlphaOn = _map("LiquidAlphaOn", "blake2 NetUid", "bool", False)
Yuma3On = _map("Yuma3On", "blake2 NetUid", "bool", False)
AlphaValues = _map("AlphaValues", NET, "(u16, u16)", (_D.alpha_low, _D.alpha_high))
LiquidAlphaConsensusMode = _map("LiquidAlphaConsensusMode", NET, "ConsensusMode", "Current")
MinChildkeyTakePerSubnet = _map("MinChildkeyTakePerSubnet", NET, "PerU16", 0)
ImmuneOwnerUidsLimit = _map("ImmuneOwnerUidsLimit", NET, "u16", 1)
TxRateLimit = _value("TxRateLimit", "u64", 0)

# --- collateral -----------------------------------------------------------------------------------------
CollateralLockShare = _map("CollateralLockShare", NET, "u16", _D.collateral_lock_share)
CollateralDrainRatio = _map("CollateralDrainRatio", NET, "FixedU128", {"bits": _D.collateral_drain_ratio})
MinerCollateral = _map("MinerCollateral", (NET, HOT, HOT), "MinerCollateralState")
ColdkeyMinerCollateral = _map("ColdkeyMinerCollateral", (HOT, NET), "AlphaBalance", 0)

# --- neurons ----------------------------------------------------------------------------------------------
UID = "identity u16"
Uids = _map("Uids", (NET, HOT), "u16")
Keys = _map("Keys", (NET, UID), "AccountId32", ZERO32)
IsNetworkMember = _map("IsNetworkMember", (HOT, NET), "bool", False)
BlockAtRegistration = _map("BlockAtRegistration", (NET, UID), "u64", 0)
Axons = _map("Axons", (NET, HOT), "AxonInfo")
Prometheus = _map("Prometheus", (NET, HOT), "PrometheusInfo")
NeuronCertificates = _map("NeuronCertificates", (NET, HOT), "NeuronCertificate")
AssociatedEvmAddress = _map("AssociatedEvmAddress", ("twox NetUid", "twox u16"), "(H160, u64)")
StakeWeight = _map("StakeWeight", NET, "Vec<u16>", [])
Active = _map("Active", NET, "Vec<bool>", [])
Consensus = _map("Consensus", NET, "Vec<PerU16>", [])
Incentive = _map("Incentive", NET, "Vec<PerU16>", [])
Dividends = _map("Dividends", NET, "Vec<PerU16>", [])
Emission = _map("Emission", NET, "Vec<AlphaBalance>", [])
LastUpdate = _map("LastUpdate", NET, "Vec<u64>", [])
ValidatorTrust = _map("ValidatorTrust", NET, "Vec<PerU16>", [])
ValidatorPermit = _map("ValidatorPermit", NET, "Vec<bool>", [])
Weights = _map("Weights", (NET, UID), "Vec<(u16, u16)>", [])
Bonds = _map("Bonds", (NET, UID), "Vec<(u16, u16)>", [])
WeightCommits = _map("WeightCommits", ("twox NetUid", "twox AccountId32"), "Vec<(H256, u64, u64, u64)>")
TimelockedWeightCommits = _map(
    "TimelockedWeightCommits", ("twox NetUid", "twox u64"), "Vec<(AccountId32, u64, BoundedVec<u8>, u64)>", []
)

PER_UID = {
    StakeWeight: 0, Active: True, Consensus: 0, Incentive: 0, Dividends: 0, Emission: 0, LastUpdate: 0,
    ValidatorTrust: 0, ValidatorPermit: False,
}  # fmt: skip
"""The vectors indexed by uid, and what a new neuron starts with."""

# --- events -------------------------------------------------------------------------------------------------
_A, _N, _T, _AL = "AccountId32", "NetUid", "TaoBalance", "AlphaBalance"
for _name, _types in {
    "NetworkAdded": (_N, "u16"),
    "StakeAdded": (_A, _A, _T, _AL, _N, "u64"),
    "StakeRemoved": (_A, _A, _T, _AL, _N, "u64"),
    "StakeMoved": (_A, _A, _N, _A, _N, _T),
    "StakeTransferred": (_A, _A, _A, _N, _N, _T),
    "StakeSwapped": (_A, _A, _N, _N, _T),
    "WeightsSet": (_N, "u16"),
    "NeuronRegistered": (_N, "u16", _A),
    "AxonServed": (_N, _A),
    "PrometheusServed": (_N, _A),
    "CRV3WeightsCommitted": (_A, _N, "H256"),
    "WeightsCommitted": (_A, _N, "H256"),
    "WeightsRevealed": (_A, _N, "H256"),
    "TimelockedWeightsCommitted": (_A, _N, "H256", "u64"),
    "TimelockedWeightsRevealed": (_N, _A),
    "FirstEmissionBlockNumberSet": (_N, "u64"),
    "RegistrationAllowed": (_N, "bool"),
    "BurnSet": (_N, _T),
    "TempoSet": (_N, "u16"),
    "SubnetIdentitySet": (_N,),
    "ChainIdentitySet": (_A,),
    "DelegateAdded": (_A, _A, "u16"),
    "TakeDecreased": (_A, _A, "u16"),
    "TakeIncreased": (_A, _A, "u16"),
    "EpochTriggered": (_N, "u64"),
    "SymbolUpdated": (_N, "Vec<u8>"),
}.items():
    PALLET.event(_name, *_types)
PALLET.event("CollateralLocked", netuid=_N, hotkey=_A, coldkey=_A, amount=_AL)
PALLET.event("MinCollateralSet", netuid=_N, hotkey=_A, coldkey=_A, min_locked=_AL)

# --- constants ------------------------------------------------------------------------------------------------
for _name, _type, _default in (
    ("InitialIssuance", "u64", 0),
    ("InitialMinAllowedWeights", "u16", _D.min_allowed_weights),
    ("InitialTempo", "u16", _D.tempo),
    ("MinTempo", "u16", 1),
    ("MaxTempo", "u16", 50_400),
    ("MinActivityCutoffFactorMilli", "u32", 1_000),
    ("MaxActivityCutoffFactorMilli", "u32", 50_000),
    ("InitialBurn", "u64", _D.burn),
    ("InitialMinBurn", "u64", _D.min_burn),
    ("InitialMaxBurn", "u64", _D.max_burn),
    ("InitialMinStake", "u64", 0),
    ("InitialRho", "u16", _D.rho),
    ("InitialKappa", "u16", _D.kappa),
    ("InitialBondsMovingAverage", "u64", _D.bonds_moving_average),
    ("InitialBondsPenalty", "u16", _D.bonds_penalty),
    ("InitialImmunityPeriod", "u16", _D.immunity_period),
    ("InitialMaxAllowedUids", "u16", _D.max_allowed_uids),
    ("InitialMinAllowedUids", "u16", 1),
    ("InitialMaxAllowedValidators", "u16", _D.max_allowed_validators),
    ("InitialMaxRegistrationsPerBlock", "u16", _D.max_registrations_per_block),
    ("InitialTargetRegistrationsPerInterval", "u16", _D.target_registrations_per_interval),
    ("InitialServingRateLimit", "u64", _D.serving_rate_limit),
    ("InitialWeightsVersionKey", "u64", 0),
    ("InitialDefaultDelegateTake", "u16", DEFAULT_TAKE),
    ("InitialTaoWeight", "u64", TAO_WEIGHT),
    ("InitialTxRateLimit", "u64", 0),
    ("InitialNetworkMinLockCost", "u64", Settings().network_min_lock_cost),
    ("InitialSubnetOwnerCut", "u16", Settings().owner_cut),
    ("InitialNetworkRateLimit", "u64", 0),
    ("KeySwapCost", "u64", RAO // 10),
    ("AlphaHigh", "u16", _D.alpha_high),
    ("AlphaLow", "u16", _D.alpha_low),
    ("LiquidAlphaOn", "bool", False),
    ("Yuma3On", "bool", False),
    ("InitialStartCallDelay", "u64", Settings().start_call_delay),
    ("MaxImmuneUidsPercentage", "u16", U16_MAX * 80 // 100),
):
    PALLET.constant(_name, _type, _default)
