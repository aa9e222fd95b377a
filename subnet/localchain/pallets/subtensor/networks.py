"""Subnets: creation, start, identity, epochs on demand."""

from __future__ import annotations

from subnet.localchain.defaults import SUBNET_LIMIT, Subnet
from subnet.localchain.model import KeyValue
from subnet.localchain.pallets import balances
from subnet.localchain.pallets.subtensor import storage as st
from subnet.localchain.pallets.subtensor.registration import append_neuron, associate
from subnet.localchain.pallets.subtensor.staking import ensure_subnet
from subnet.localchain.runtime import Origin, Runtime

SYMBOLS = "Τ" + "αβγδεζηθικλμνξοπρστυφχψω" + "אבגדהוזחטיכלמנסעפצקרשת"
_LAST_REGISTRATION = b"NetworkLastRegistered".ljust(32, b"\x00")


def symbol(netuid: int) -> bytes:
    """The token symbol that a subnet starts with."""
    return (SYMBOLS[netuid] if netuid < len(SYMBOLS) else f"s{netuid}").encode()


def lock_cost(rt: Runtime) -> int:
    """What the next subnet costs: twice the last, falling linearly to the minimum."""
    return lock_cost_at(rt.state, rt.block)


def lock_cost_at(state: KeyValue, block: int) -> int:
    least = st.NetworkMinLockCost.get(state)
    last = st.NetworkLastLockCost.get(state)
    when = st.LastNetworkRegistration.get(state, _LAST_REGISTRATION)
    interval = max(1, st.NetworkLockReductionInterval.get(state))
    factor = 1 if when == 0 else 2
    return max(least, last * factor - last * (block - when) // interval)


def create(rt: Runtime, netuid: int, owner: bytes, hotkey: bytes, settings: Subnet) -> None:
    """Store every per-subnet value of a new subnet: a map read shows only what is stored."""
    state = rt.state
    rows = (
        (st.NetworksAdded, True), (st.SubnetworkN, 0), (st.SubnetOwner, owner), (st.SubnetOwnerHotkey, hotkey),
        (st.SubnetMechanism, 1 if netuid else 0), (st.NetworkRegisteredAt, rt.block), (st.TokenSymbol, symbol(netuid)),
        (st.Tempo, settings.tempo), (st.LastEpochBlock, rt.block), (st.BlocksSinceLastStep, 0),
        (st.SubnetEpochIndex, 0), (st.PendingEpochAt, 0), (st.NetworkRegistrationAllowed, True),
        (st.NetworkPowRegistrationAllowed, False), (st.MaxAllowedUids, settings.max_allowed_uids),
        (st.MinAllowedUids, 1), (st.MaxAllowedValidators, settings.max_allowed_validators),
        (st.MinAllowedWeights, settings.min_allowed_weights), (st.MaxWeightsLimit, settings.max_weights_limit),
        (st.WeightsSetRateLimit, settings.weights_set_rate_limit), (st.WeightsVersionKey, 0),
        (st.ImmunityPeriod, settings.immunity_period), (st.Kappa, settings.kappa), (st.Rho, settings.rho),
        (st.ActivityCutoffFactorMilli, settings.activity_cutoff_factor_milli),
        (st.ActivityCutoff, min(65_535, settings.activity_cutoff_factor_milli * settings.tempo // 1000)),
        (st.ServingRateLimit, settings.serving_rate_limit), (st.Burn, settings.burn), (st.MinBurn, settings.min_burn),
        (st.MaxBurn, settings.max_burn), (st.BurnHalfLife, settings.burn_half_life),
        (st.BurnIncreaseMult, {"bits": settings.burn_increase_mult}),
        (st.MaxRegistrationsPerBlock, settings.max_registrations_per_block),
        (st.TargetRegistrationsPerInterval, settings.target_registrations_per_interval),
        (st.BondsMovingAverage, settings.bonds_moving_average), (st.BondsPenalty, settings.bonds_penalty),
        (st.CommitRevealWeightsEnabled, settings.commit_reveal), (st.RevealPeriodEpochs, 1),
        (st.AlphaValues, (settings.alpha_low, settings.alpha_high)), (st.Yuma3On, False), (st.LiquidAlphaOn, False),
        (st.AlphaSigmoidSteepness, settings.alpha_sigmoid_steepness), (st.SubtokenEnabled, netuid == 0),
        (st.CollateralLockShare, settings.collateral_lock_share),
        (st.CollateralDrainRatio, {"bits": settings.collateral_drain_ratio}),
        (st.SubnetEmissionEnabled, settings.emission_enabled), (st.SubnetTaoInEmission, 0),
        (st.SubnetAlphaInEmission, 0), (st.SubnetAlphaOutEmission, 0), (st.SubnetTAO, 0), (st.SubnetAlphaIn, 0),
        (st.SubnetAlphaOut, 0), (st.SubnetEmaTaoFlow, (rt.block, {"bits": 0})), (st.SubnetLocked, 0),
        (st.SubnetMovingPrice, {"bits": 0}), (st.TransferToggle, True), (st.OwnerCutEnabled, True),
    )  # fmt: skip
    for item, value in rows:
        item.put(state, netuid, value)
    st.TotalNetworks.put(state, st.TotalNetworks.get(state) + 1)


def open_pool(rt: Runtime, netuid: int, tao: int) -> None:
    """Give a subnet its first reserves: the locked TAO, and as much alpha (price 1)."""
    st.SubnetTAO.put(rt.state, netuid, tao)
    st.SubnetAlphaIn.put(rt.state, netuid, tao)
    st.SubnetLocked.put(rt.state, netuid, tao)
    st.SubnetMovingPrice.put(rt.state, netuid, {"bits": 1 << 32})


@st.PALLET.call(hotkey="AccountId32")
def register_network(rt: Runtime, origin: Origin, hotkey: bytes) -> None:
    """Create a subnet owned by the signer."""
    _register(rt, origin.signed(), hotkey)


@st.PALLET.call(hotkey="AccountId32", identity="Option<SubnetIdentityV3>")
def register_network_with_identity(
    rt: Runtime, origin: Origin, hotkey: bytes, identity: dict[str, bytes] | None
) -> None:
    """Create a subnet and give it an identity."""
    netuid = _register(rt, origin.signed(), hotkey)
    if identity is not None:
        _store_identity(rt, netuid, identity)


def _register(rt: Runtime, coldkey: bytes, hotkey: bytes) -> int:
    state = rt.state
    if st.Owner.has(state, hotkey) and st.Owner.get(state, hotkey) != coldkey:
        raise rt.error("NonAssociatedColdKey")
    last = st.LastNetworkRegistration.get(state, _LAST_REGISTRATION)
    if last and rt.block - last < st.NetworkRateLimit.get(state):
        raise rt.error("NetworkTxRateLimitExceeded")
    taken = {key for (key,), added in st.NetworksAdded.items(state) if added}
    if len(taken) > min(SUBNET_LIMIT, st.SubnetLimit.get(state)):
        raise rt.error("SubnetLimitReached")
    cost = lock_cost(rt)
    if balances.free(state, coldkey) < cost:
        raise rt.error("CannotAffordLockCost")
    balances.withdraw(rt, coldkey, cost)
    netuid = next(n for n in range(1, 1 << 16) if n not in taken)
    associate(rt, coldkey, hotkey)
    create(rt, netuid, coldkey, hotkey, rt.settings.subnet)
    open_pool(rt, netuid, cost)
    append_neuron(rt, netuid, hotkey)
    st.NetworkLastLockCost.put(state, cost)
    st.LastNetworkRegistration.put(state, _LAST_REGISTRATION, rt.block)
    st.TotalStake.put(state, st.TotalStake.get(state) + cost)
    rt.deposit("SubtensorModule", "NetworkAdded", (netuid, 1))
    return netuid


@st.PALLET.call(netuid="NetUid")
def start_call(rt: Runtime, origin: Origin, netuid: int) -> None:
    """Activate a subnet: its token trades and its epochs pay from the next block on."""
    coldkey = origin.signed()
    state = rt.state
    ensure_subnet(rt, netuid)
    if st.SubnetOwner.get(state, netuid) != coldkey:
        raise rt.error("NotSubnetOwner")
    if st.FirstEmissionBlockNumber.has(state, netuid):
        raise rt.error("FirstEmissionBlockNumberAlreadySet")
    if rt.block < st.NetworkRegisteredAt.get(state, netuid) + st.StartCallDelay.get(state):
        raise rt.error("NeedWaitingMoreBlocksToStarCall")
    st.FirstEmissionBlockNumber.put(state, netuid, rt.block + 1)
    st.SubtokenEnabled.put(state, netuid, True)
    rt.deposit("SubtensorModule", "FirstEmissionBlockNumberSet", (netuid, rt.block + 1))


def ensure_owner_or_root(rt: Runtime, origin: Origin, netuid: int) -> None:
    """Raise NotSubnetOwner unless the origin is root or the subnet's owner."""
    if not origin.root and origin.signed() != st.SubnetOwner.get(rt.state, netuid):
        raise rt.error("NotSubnetOwner")


_IDENTITY = ("subnet_name", "github_repo", "subnet_contact", "subnet_url", "discord", "description", "logo_url",
             "additional")  # fmt: skip


def _store_identity(rt: Runtime, netuid: int, identity: dict[str, bytes]) -> None:
    if any(len(value) > 1024 for value in identity.values()):
        raise rt.error("InvalidIdentity")
    st.SubnetIdentitiesV3.put(rt.state, netuid, identity)
    rt.deposit("SubtensorModule", "SubnetIdentitySet", netuid)


@st.PALLET.call({"netuid": "NetUid", **dict.fromkeys(_IDENTITY, "Vec<u8>")})
def set_subnet_identity(rt: Runtime, origin: Origin, netuid: int, **identity: bytes) -> None:
    """Publish a subnet's identity."""
    ensure_owner_or_root(rt, origin, netuid)
    _store_identity(rt, netuid, identity)


@st.PALLET.call(netuid="NetUid", symbol="Vec<u8>")
def update_symbol(rt: Runtime, origin: Origin, netuid: int, symbol: bytes) -> None:
    """Change a subnet's token symbol."""
    ensure_owner_or_root(rt, origin, netuid)
    if any(value == symbol for _, value in st.TokenSymbol.items(rt.state)):
        raise rt.error("SymbolAlreadyInUse")
    st.TokenSymbol.put(rt.state, netuid, symbol)
    rt.deposit("SubtensorModule", "SymbolUpdated", (netuid, symbol))


_CHAIN_IDENTITY = ("name", "url", "github_repo", "image", "discord", "description", "additional")


@st.PALLET.call(dict.fromkeys(_CHAIN_IDENTITY, "Vec<u8>"))
def set_identity(rt: Runtime, origin: Origin, **identity: bytes) -> None:
    """Publish the signing coldkey's identity."""
    coldkey = origin.signed()
    if any(len(value) > 1024 for value in identity.values()):
        raise rt.error("InvalidIdentity")
    st.IdentitiesV2.put(rt.state, coldkey, identity)
    rt.deposit("SubtensorModule", "ChainIdentitySet", coldkey)


@st.PALLET.call(netuid="NetUid")
def trigger_epoch(rt: Runtime, origin: Origin, netuid: int) -> None:
    """Schedule an epoch `AdminFreezeWindow` blocks from now."""
    ensure_subnet(rt, netuid)
    ensure_owner_or_root(rt, origin, netuid)
    if st.PendingEpochAt.get(rt.state, netuid):
        raise rt.error("EpochTriggerAlreadyPending")
    at = rt.block + max(1, st.AdminFreezeWindow.get(rt.state))
    st.PendingEpochAt.put(rt.state, netuid, at)
    rt.deposit("SubtensorModule", "EpochTriggered", (netuid, at))


@st.PALLET.call(netuid="NetUid", tempo="u16")
def set_tempo(rt: Runtime, origin: Origin, netuid: int, tempo: int) -> None:
    """Change a subnet's tempo; the epoch cycle starts over."""
    ensure_subnet(rt, netuid)
    ensure_owner_or_root(rt, origin, netuid)
    store_tempo(rt, netuid, tempo)


def store_tempo(rt: Runtime, netuid: int, tempo: int) -> None:
    """Set the tempo and start the epoch cycle over. Raises TempoOutOfBounds."""
    if not 1 <= tempo <= 50_400:
        raise rt.error("TempoOutOfBounds")
    st.Tempo.put(rt.state, netuid, tempo)
    st.LastEpochBlock.put(rt.state, netuid, rt.block)
    factor = st.ActivityCutoffFactorMilli.get(rt.state, netuid)
    st.ActivityCutoff.put(rt.state, netuid, min(65_535, factor * tempo // 1000))
    rt.deposit("SubtensorModule", "TempoSet", (netuid, tempo))
