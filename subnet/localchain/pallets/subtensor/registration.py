"""Neurons: burned registration, replacement on a full subnet, collateral."""

from __future__ import annotations

from subnet.localchain.defaults import FIXED_ONE, U16_MAX
from subnet.localchain.model import KeyValue
from subnet.localchain.pallets import balances, swap
from subnet.localchain.pallets.subtensor import staking
from subnet.localchain.pallets.subtensor import storage as st
from subnet.localchain.runtime import Origin, Runtime

_COLLATERAL_SLIPPAGE = (105, 100)
"""Buying registration collateral may move the price by at most 5 %."""


def associate(rt: Runtime, coldkey: bytes, hotkey: bytes) -> None:
    """Make `coldkey` the owner of a hotkey that nobody owns. Raises NonAssociatedColdKey."""
    owner = st.Owner.get(rt.state, hotkey) if st.Owner.has(rt.state, hotkey) else None
    if owner is None:
        st.Owner.put(rt.state, hotkey, coldkey)
        st.Delegates.put(rt.state, hotkey, st.MaxDelegateTake.get(rt.state))
        st.OwnedHotkeys.put(rt.state, coldkey, [*st.OwnedHotkeys.get(rt.state, coldkey), hotkey])
    elif owner != coldkey:
        raise rt.error("NonAssociatedColdKey")


@st.PALLET.call(hotkey="AccountId32")
def try_associate_hotkey(rt: Runtime, origin: Origin, hotkey: bytes) -> None:
    """Claim an unowned hotkey."""
    associate(rt, origin.signed(), hotkey)


def append_neuron(rt: Runtime, netuid: int, hotkey: bytes) -> int:
    """Give a hotkey the next uid of a subnet that is not full."""
    state = rt.state
    uid = st.SubnetworkN.get(state, netuid)
    st.SubnetworkN.put(state, netuid, uid + 1)
    for item, start in st.PER_UID.items():
        item.put(state, netuid, [*item.get(state, netuid), start])
    _seat(rt, netuid, uid, hotkey)
    return uid


def _seat(rt: Runtime, netuid: int, uid: int, hotkey: bytes) -> None:
    state = rt.state
    st.Keys.put(state, netuid, uid, hotkey)
    st.Uids.put(state, netuid, hotkey, uid)
    st.IsNetworkMember.put(state, hotkey, netuid, True)
    st.BlockAtRegistration.put(state, netuid, uid, rt.block)
    updates = st.LastUpdate.get(state, netuid)
    updates[uid] = rt.block
    st.LastUpdate.put(state, netuid, updates)
    rt.deposit("SubtensorModule", "NeuronRegistered", (netuid, uid, hotkey))


def _replace(rt: Runtime, netuid: int, uid: int, hotkey: bytes) -> None:
    """Evict the neuron at a uid and seat another; its stake and its weights row's targets stay."""
    state = rt.state
    old = st.Keys.get(state, netuid, uid)
    st.Uids.kill(state, netuid, old)
    st.IsNetworkMember.kill(state, old, netuid)
    st.Axons.kill(state, netuid, old)
    st.Prometheus.kill(state, netuid, old)
    st.Weights.kill(state, netuid, uid)
    st.Bonds.kill(state, netuid, uid)
    for item, start in st.PER_UID.items():
        values = item.get(state, netuid)
        values[uid] = start
        item.put(state, netuid, values)
    _seat(rt, netuid, uid, hotkey)


def prunable(state: KeyValue, netuid: int, block: int) -> int | None:
    """The uid that a registration on a full subnet evicts: lowest emission, then oldest, then lowest uid."""
    immunity = st.ImmunityPeriod.get(state, netuid)
    owner_hotkey = st.SubnetOwnerHotkey.get(state, netuid)
    emission = st.Emission.get(state, netuid)
    candidates = []
    for uid in range(st.SubnetworkN.get(state, netuid)):
        since = st.BlockAtRegistration.get(state, netuid, uid)
        if block - since >= immunity and st.Keys.get(state, netuid, uid) != owner_hotkey:
            candidates.append((emission[uid], since, uid))
    return min(candidates)[2] if candidates else None


@st.PALLET.call(netuid="NetUid", hotkey="AccountId32")
def burned_register(rt: Runtime, origin: Origin, netuid: int, hotkey: bytes) -> None:
    """Register a hotkey on a subnet for the current price."""
    register(rt, origin.signed(), netuid, hotkey)


@st.PALLET.call(netuid="NetUid", hotkey="AccountId32", limit_price="u64")
def register_limit(rt: Runtime, origin: Origin, netuid: int, hotkey: bytes, limit_price: int) -> None:
    """Like burned_register, at no more than a price."""
    if st.Burn.get(rt.state, netuid) > limit_price:
        raise rt.error("RegistrationPriceLimitExceeded")
    register(rt, origin.signed(), netuid, hotkey)


@st.PALLET.call(hotkey="AccountId32")
def root_register(rt: Runtime, origin: Origin, hotkey: bytes) -> None:
    """Register a hotkey on root (netuid 0) for its price."""
    _register_checked(rt, origin.signed(), 0, hotkey)


def register(rt: Runtime, coldkey: bytes, netuid: int, hotkey: bytes) -> int:
    """Register a hotkey on an ordinary subnet; returns its uid."""
    if netuid == 0:
        raise rt.error("RegistrationNotPermittedOnRootSubnet")
    return _register_checked(rt, coldkey, netuid, hotkey)


def _register_checked(rt: Runtime, coldkey: bytes, netuid: int, hotkey: bytes) -> int:
    state = rt.state
    staking.ensure_subnet(rt, netuid)
    if not st.NetworkRegistrationAllowed.get(state, netuid):
        raise rt.error("SubNetRegistrationDisabled")
    this_block = st.RegistrationsThisBlock.get(state, netuid)
    if this_block >= st.MaxRegistrationsPerBlock.get(state, netuid):
        raise rt.error("TooManyRegistrationsThisBlock")
    if st.Uids.has(state, netuid, hotkey):
        raise rt.error("HotKeyAlreadyRegisteredInSubNet")
    price = st.Burn.get(state, netuid)
    if balances.free(state, coldkey) < price + balances.EXISTENTIAL_DEPOSIT:
        raise rt.error("NotEnoughBalanceToStake")
    associate(rt, coldkey, hotkey)
    full = st.SubnetworkN.get(state, netuid) >= st.MaxAllowedUids.get(state, netuid)
    victim = prunable(state, netuid, rt.block) if full else None
    if full and victim is None:
        raise rt.error("NoNeuronIdAvailable")
    _pay(rt, coldkey, netuid, hotkey, price)
    if victim is None:
        uid = append_neuron(rt, netuid, hotkey)
    else:
        uid = victim
        _replace(rt, netuid, uid, hotkey)
    st.RegistrationsThisBlock.put(state, netuid, this_block + 1)
    raised = price * st.BurnIncreaseMult.get(state, netuid)["bits"] // FIXED_ONE
    st.Burn.put(state, netuid, min(max(raised, st.MinBurn.get(state, netuid)), st.MaxBurn.get(state, netuid)))
    return uid


def _pay(rt: Runtime, coldkey: bytes, netuid: int, hotkey: bytes, price: int) -> None:
    """Burn one part of the price; lock the other as collateral, less what is already locked."""
    state = rt.state
    share = st.CollateralLockShare.get(state, netuid) if netuid and st.SubtokenEnabled.get(state, netuid) else 0
    lock_tao = price * share // U16_MAX
    burnt = price - lock_tao
    balances.withdraw(rt, coldkey, burnt)
    balances.issue(rt, -burnt)
    st.RAORecycledForRegistration.put(state, netuid, st.RAORecycledForRegistration.get(state, netuid) + burnt)
    if not lock_tao:
        return
    credited = staking.locked(state, hotkey, coldkey, netuid) * swap.price(state, netuid) // 10**9
    missing = lock_tao - min(credited, lock_tao)
    alpha = 0
    if missing:
        limit = swap.price(state, netuid) * _COLLATERAL_SLIPPAGE[0] // _COLLATERAL_SLIPPAGE[1]
        if swap.amount_within(state, netuid, limit, buy=True) < missing:
            raise rt.error("SlippageTooHigh")
        balances.withdraw(rt, coldkey, missing)
        alpha = swap.trade(rt, netuid, missing, buy=True)
        staking.add(rt, hotkey, coldkey, netuid, alpha)
        st.SubnetAlphaOut.put(state, netuid, st.SubnetAlphaOut.get(state, netuid) + alpha)
    lock(rt, netuid, hotkey, coldkey, alpha, snapshot=True)


def lock(rt: Runtime, netuid: int, hotkey: bytes, coldkey: bytes, alpha: int, snapshot: bool = False) -> None:
    """Lock staked alpha of a position as collateral."""
    state = rt.state
    ratio = st.CollateralDrainRatio.get(state, netuid)
    entry = st.MinerCollateral.get(state, netuid, hotkey, coldkey) or {
        "locked": 0, "drain_ratio": ratio, "min_locked": 0, "earned": 0
    }  # fmt: skip
    entry["locked"] += alpha
    if snapshot:
        entry["drain_ratio"] = ratio
    st.MinerCollateral.put(state, netuid, hotkey, coldkey, entry)
    total = st.ColdkeyMinerCollateral.get(state, coldkey, netuid)
    st.ColdkeyMinerCollateral.put(state, coldkey, netuid, total + alpha)
    event = {"netuid": netuid, "hotkey": hotkey, "coldkey": coldkey, "amount": alpha}
    rt.deposit("SubtensorModule", "CollateralLocked", event)


def _ensure_owned(rt: Runtime, coldkey: bytes, hotkey: bytes) -> None:
    if not st.Owner.has(rt.state, hotkey) or st.Owner.get(rt.state, hotkey) != coldkey:
        raise rt.error("NonAssociatedColdKey")


@st.PALLET.call(netuid="NetUid", hotkey="AccountId32", alpha="AlphaBalance", limit_price="TaoBalance")
def add_collateral(rt: Runtime, origin: Origin, netuid: int, hotkey: bytes, alpha: int, limit_price: int) -> None:
    """Lock more collateral: free stake first, the rest bought at no more than a price."""
    coldkey = origin.signed()
    state = rt.state
    staking.ensure_subnet(rt, netuid)
    _ensure_owned(rt, coldkey, hotkey)
    if alpha == 0:
        raise rt.error("AmountTooLow")
    free = staking.stake_of(state, hotkey, coldkey, netuid) - staking.locked(state, hotkey, coldkey, netuid)
    missing = alpha - min(alpha, max(0, free))
    if missing:
        tao = _cost_of(rt, netuid, missing)
        if swap.amount_within(state, netuid, limit_price, buy=True) < tao:
            raise rt.error("SlippageTooHigh")
        staking.buy(rt, coldkey, hotkey, netuid, tao)
    lock(rt, netuid, hotkey, coldkey, alpha)


def _cost_of(rt: Runtime, netuid: int, alpha: int) -> int:
    """TAO that buys at least `alpha`."""
    tao, reserve = swap.reserves(rt.state, netuid)
    if alpha >= reserve:
        raise rt.error("InsufficientLiquidity")
    net = tao * alpha // (reserve - alpha) + 2
    return net * U16_MAX // (U16_MAX - swap.FeeRate.get(rt.state, netuid)) + 2


@st.PALLET.call(netuid="NetUid", hotkey="AccountId32", min_locked="AlphaBalance")
def set_min_collateral(rt: Runtime, origin: Origin, netuid: int, hotkey: bytes, min_locked: int) -> None:
    """Set the floor that the lock keeps by itself."""
    coldkey = origin.signed()
    staking.ensure_subnet(rt, netuid)
    _ensure_owned(rt, coldkey, hotkey)
    entry = st.MinerCollateral.get(rt.state, netuid, hotkey, coldkey) or {
        "locked": 0, "drain_ratio": st.CollateralDrainRatio.get(rt.state, netuid), "min_locked": 0, "earned": 0
    }  # fmt: skip
    entry["min_locked"] = min_locked
    st.MinerCollateral.put(rt.state, netuid, hotkey, coldkey, entry)
    event = {"netuid": netuid, "hotkey": hotkey, "coldkey": coldkey, "min_locked": min_locked}
    rt.deposit("SubtensorModule", "MinCollateralSet", event)
