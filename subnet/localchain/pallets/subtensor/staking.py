"""Stake: alpha held behind hotkeys, in share pools, bought and sold through the subnet's pool.

`TotalHotkeyAlpha` is what a hotkey holds on a subnet; a coldkey's part of it is its share of
`TotalHotkeySharesV2`. Dividends raise the total and leave the shares alone, so that every
nominator earns without being visited.
"""

from __future__ import annotations

from subnet.localchain.defaults import U64_MAX
from subnet.localchain.model import KeyValue
from subnet.localchain.pallets import balances, swap
from subnet.localchain.pallets.subtensor import storage as st
from subnet.localchain.runtime import Origin, Runtime

_SHARE_SCALE = 1 << 32
"""Shares per rao in a pool's first deposit, so that later deposits lose less than a rao to rounding."""

_MIN_STAKE = 2_000_000
"""The least TAO value of a stake operation, in rao (0.002 TAO)."""


def stake_of(state: KeyValue, hotkey: bytes, coldkey: bytes, netuid: int) -> int:
    """Alpha of one (hotkey, coldkey) position, in rao."""
    shares = st.AlphaV2.get(state, hotkey, coldkey, netuid)["mantissa"]
    if shares == 0:
        return 0
    total = st.TotalHotkeySharesV2.get(state, hotkey, netuid)["mantissa"]
    return shares * st.TotalHotkeyAlpha.get(state, hotkey, netuid) // total


def add(rt: Runtime, hotkey: bytes, coldkey: bytes, netuid: int, alpha: int) -> None:
    """Put alpha into a position. Issuance is the caller's concern."""
    if alpha <= 0:
        return
    state = rt.state
    total = st.TotalHotkeyAlpha.get(state, hotkey, netuid)
    total_shares = st.TotalHotkeySharesV2.get(state, hotkey, netuid)["mantissa"]
    new = alpha * total_shares // total if total and total_shares else alpha * _SHARE_SCALE
    position = st.AlphaV2.get(state, hotkey, coldkey, netuid)["mantissa"]
    _set_shares(rt, hotkey, coldkey, netuid, position + new, total_shares + new)
    st.TotalHotkeyAlpha.put(state, hotkey, netuid, total + alpha)
    st.TotalAlphaStaked.put(state, netuid, st.TotalAlphaStaked.get(state, netuid) + alpha)
    if position == 0:
        staking = st.StakingHotkeys.get(state, coldkey)
        if hotkey not in staking:
            st.StakingHotkeys.put(state, coldkey, [*staking, hotkey])


def share_out(rt: Runtime, hotkey: bytes, netuid: int, alpha: int) -> None:
    """Dividends: raise a hotkey's total, for all its nominators in proportion."""
    if alpha <= 0:
        return
    state = rt.state
    total = st.TotalHotkeyAlpha.get(state, hotkey, netuid)
    if total == 0 or st.TotalHotkeySharesV2.get(state, hotkey, netuid)["mantissa"] == 0:
        add(rt, hotkey, st.Owner.get(state, hotkey), netuid, alpha)
        return
    st.TotalHotkeyAlpha.put(state, hotkey, netuid, total + alpha)
    st.TotalAlphaStaked.put(state, netuid, st.TotalAlphaStaked.get(state, netuid) + alpha)


def take(rt: Runtime, hotkey: bytes, coldkey: bytes, netuid: int, alpha: int) -> None:
    """Take alpha out of a position. Raises DispatchError where it holds less, or holds it as collateral."""
    state = rt.state
    held = stake_of(state, hotkey, coldkey, netuid)
    if alpha > held:
        raise rt.error("NotEnoughStakeToWithdraw")
    if alpha > held - locked(state, hotkey, coldkey, netuid):
        raise rt.error("StakeUnavailable")
    total = st.TotalHotkeyAlpha.get(state, hotkey, netuid)
    total_shares = st.TotalHotkeySharesV2.get(state, hotkey, netuid)["mantissa"]
    position = st.AlphaV2.get(state, hotkey, coldkey, netuid)["mantissa"]
    gone = position if alpha == held else min(position, -(-alpha * total_shares // total))
    _set_shares(rt, hotkey, coldkey, netuid, position - gone, total_shares - gone)
    st.TotalHotkeyAlpha.put(state, hotkey, netuid, total - alpha)
    st.TotalAlphaStaked.put(state, netuid, st.TotalAlphaStaked.get(state, netuid) - alpha)


def locked(state: KeyValue, hotkey: bytes, coldkey: bytes, netuid: int) -> int:
    """Alpha of a position that is collateral and cannot leave."""
    collateral = st.MinerCollateral.get(state, netuid, hotkey, coldkey)
    return 0 if collateral is None else collateral["locked"]


def _set_shares(rt: Runtime, hotkey: bytes, coldkey: bytes, netuid: int, position: int, total: int) -> None:
    if position:
        st.AlphaV2.put(rt.state, hotkey, coldkey, netuid, {"mantissa": position, "exponent": 0})
    else:
        st.AlphaV2.kill(rt.state, hotkey, coldkey, netuid)
    st.TotalHotkeySharesV2.put(rt.state, hotkey, netuid, {"mantissa": total, "exponent": 0})


def ensure_subnet(rt: Runtime, netuid: int) -> None:
    if not st.NetworksAdded.get(rt.state, netuid):
        raise rt.error("SubnetNotExists")


def _ensure_open(rt: Runtime, netuid: int) -> None:
    ensure_subnet(rt, netuid)
    if netuid and not st.SubtokenEnabled.get(rt.state, netuid):
        raise rt.error("SubtokenDisabled")


def _ensure_hotkey(rt: Runtime, hotkey: bytes) -> None:
    if not st.Owner.has(rt.state, hotkey):
        raise rt.error("HotKeyAccountNotExists")


def buy(rt: Runtime, coldkey: bytes, hotkey: bytes, netuid: int, tao: int) -> int:
    """Spend TAO on alpha for a position; returns the alpha."""
    if tao < _MIN_STAKE:
        raise rt.error("AmountTooLow")
    if balances.free(rt.state, coldkey) - tao < 0:
        raise rt.error("NotEnoughBalanceToStake")
    balances.withdraw(rt, coldkey, tao)
    alpha = swap.trade(rt, netuid, tao, buy=True)
    if netuid == 0:
        st.SubnetTAO.put(rt.state, 0, st.SubnetTAO.get(rt.state, 0) + tao)
    add(rt, hotkey, coldkey, netuid, alpha)
    st.SubnetAlphaOut.put(rt.state, netuid, st.SubnetAlphaOut.get(rt.state, netuid) + alpha)
    st.TotalStake.put(rt.state, st.TotalStake.get(rt.state) + tao)
    _flow(rt, netuid, tao)
    rt.deposit("SubtensorModule", "StakeAdded", (coldkey, hotkey, tao, alpha, netuid, 0))
    return alpha


def sell(rt: Runtime, coldkey: bytes, hotkey: bytes, netuid: int, alpha: int) -> int:
    """Sell alpha of a position for TAO to its coldkey; returns the TAO."""
    if alpha <= 0:
        raise rt.error("AmountTooLow")
    take(rt, hotkey, coldkey, netuid, alpha)
    tao = swap.trade(rt, netuid, alpha, buy=False)
    if netuid == 0:
        st.SubnetTAO.put(rt.state, 0, st.SubnetTAO.get(rt.state, 0) - tao)
    out = st.SubnetAlphaOut.get(rt.state, netuid)
    st.SubnetAlphaOut.put(rt.state, netuid, max(0, out - alpha))
    st.TotalStake.put(rt.state, max(0, st.TotalStake.get(rt.state) - tao))
    balances.deposit(rt, coldkey, tao)
    _flow(rt, netuid, -tao)
    rt.deposit("SubtensorModule", "StakeRemoved", (coldkey, hotkey, tao, alpha, netuid, 0))
    return tao


def _flow(rt: Runtime, netuid: int, tao: int) -> None:
    st.SubnetTaoFlow.put(rt.state, netuid, st.SubnetTaoFlow.get(rt.state, netuid) + tao)


def _bounded(rt: Runtime, netuid: int, amount: int, limit_price: int, partial: bool, is_buy: bool) -> int:
    room = swap.amount_within(rt.state, netuid, limit_price, is_buy)
    if amount <= room:
        return amount
    if not partial or room == 0:
        raise rt.error("SlippageTooHigh")
    return room


@st.PALLET.call(hotkey="AccountId32", netuid="NetUid", amount_staked="TaoBalance")
def add_stake(rt: Runtime, origin: Origin, hotkey: bytes, netuid: int, amount_staked: int) -> None:
    """Buy alpha with TAO and stake it on a hotkey."""
    add_stake_limit(rt, origin, hotkey, netuid, amount_staked, U64_MAX, False)


@st.PALLET.call(
    hotkey="AccountId32", netuid="NetUid", amount_staked="TaoBalance", limit_price="TaoBalance", allow_partial="bool"
)
def add_stake_limit(
    rt: Runtime, origin: Origin, hotkey: bytes, netuid: int, amount_staked: int, limit_price: int, allow_partial: bool
) -> None:
    """Like add_stake, at no more than a price."""
    coldkey = origin.signed()
    _ensure_open(rt, netuid)
    _ensure_hotkey(rt, hotkey)
    buy(rt, coldkey, hotkey, netuid, _bounded(rt, netuid, amount_staked, limit_price, allow_partial, True))


@st.PALLET.call(hotkey="AccountId32", netuid="NetUid", amount_unstaked="AlphaBalance")
def remove_stake(rt: Runtime, origin: Origin, hotkey: bytes, netuid: int, amount_unstaked: int) -> None:
    """Take alpha off a hotkey and sell it for TAO."""
    remove_stake_limit(rt, origin, hotkey, netuid, amount_unstaked, 0, False)


@st.PALLET.call(
    hotkey="AccountId32",
    netuid="NetUid",
    amount_unstaked="AlphaBalance",
    limit_price="TaoBalance",
    allow_partial="bool",
)
def remove_stake_limit(
    rt: Runtime, origin: Origin, hotkey: bytes, netuid: int, amount_unstaked: int, limit_price: int, allow_partial: bool
) -> None:
    """Like remove_stake, at no less than a price."""
    coldkey = origin.signed()
    _ensure_open(rt, netuid)
    _ensure_hotkey(rt, hotkey)
    amount = (
        _bounded(rt, netuid, amount_unstaked, limit_price, allow_partial, False) if limit_price else amount_unstaked
    )
    sell(rt, coldkey, hotkey, netuid, amount)


@st.PALLET.call(hotkey="AccountId32", netuid="NetUid", limit_price="Option<TaoBalance>")
def remove_stake_full_limit(rt: Runtime, origin: Origin, hotkey: bytes, netuid: int, limit_price: int | None) -> None:
    """Sell all free alpha of a position."""
    coldkey = origin.signed()
    free = stake_of(rt.state, hotkey, coldkey, netuid) - locked(rt.state, hotkey, coldkey, netuid)
    remove_stake_limit(rt, origin, hotkey, netuid, free, limit_price or 0, False)


def _unstake_everywhere(rt: Runtime, coldkey: bytes, hotkey: bytes, root_too: bool) -> int:
    """Sell a coldkey's free alpha behind a hotkey on every subnet; returns the TAO."""
    _ensure_hotkey(rt, hotkey)
    total = 0
    for (netuid,), _ in list(st.NetworksAdded.items(rt.state)):
        if netuid == 0 and not root_too:
            continue
        free = stake_of(rt.state, hotkey, coldkey, netuid) - locked(rt.state, hotkey, coldkey, netuid)
        if free > 0:
            total += sell(rt, coldkey, hotkey, netuid, free)
    return total


@st.PALLET.call(hotkey="AccountId32")
def unstake_all(rt: Runtime, origin: Origin, hotkey: bytes) -> None:
    """Sell all free alpha behind a hotkey, on every subnet and root."""
    _unstake_everywhere(rt, origin.signed(), hotkey, root_too=True)


@st.PALLET.call(hotkey="AccountId32")
def unstake_all_alpha(rt: Runtime, origin: Origin, hotkey: bytes) -> None:
    """Sell all free alpha behind a hotkey and stake the TAO on root."""
    coldkey = origin.signed()
    tao = _unstake_everywhere(rt, coldkey, hotkey, root_too=False)
    if tao:
        buy(rt, coldkey, hotkey, 0, tao)


def _move(rt: Runtime, source: tuple[bytes, bytes, int], target: tuple[bytes, bytes, int], alpha: int) -> int:
    """Move alpha between positions (hotkey, coldkey, netuid), through both pools where the subnet changes."""
    _ensure_open(rt, source[2])
    _ensure_open(rt, target[2])
    _ensure_hotkey(rt, target[0])
    if alpha <= 0:
        raise rt.error("AmountTooLow")
    take(rt, *source, alpha)
    if source[2] == target[2]:
        add(rt, *target, alpha)
        return alpha
    tao = swap.trade(rt, source[2], alpha, buy=False)
    received = swap.trade(rt, target[2], tao, buy=True)
    for netuid, change, paid in ((source[2], -alpha, -tao), (target[2], received, tao)):
        st.SubnetAlphaOut.put(rt.state, netuid, max(0, st.SubnetAlphaOut.get(rt.state, netuid) + change))
        if netuid == 0:
            st.SubnetTAO.put(rt.state, 0, st.SubnetTAO.get(rt.state, 0) + paid)
    add(rt, *target, received)
    return tao


@st.PALLET.call(
    origin_hotkey="AccountId32", destination_hotkey="AccountId32", origin_netuid="NetUid", destination_netuid="NetUid",
    alpha_amount="AlphaBalance",
)  # fmt: skip
def move_stake(
    rt: Runtime, origin: Origin, origin_hotkey: bytes, destination_hotkey: bytes, origin_netuid: int,
    destination_netuid: int, alpha_amount: int,
) -> None:  # fmt: skip
    """Move stake to another hotkey, on the same or another subnet."""
    who = origin.signed()
    tao = _move(rt, (origin_hotkey, who, origin_netuid), (destination_hotkey, who, destination_netuid), alpha_amount)
    event = (who, origin_hotkey, origin_netuid, destination_hotkey, destination_netuid, tao)
    rt.deposit("SubtensorModule", "StakeMoved", event)


@st.PALLET.call(
    destination_coldkey="AccountId32", hotkey="AccountId32", origin_netuid="NetUid", destination_netuid="NetUid",
    alpha_amount="AlphaBalance",
)  # fmt: skip
def transfer_stake(
    rt: Runtime, origin: Origin, destination_coldkey: bytes, hotkey: bytes, origin_netuid: int,
    destination_netuid: int, alpha_amount: int,
) -> None:  # fmt: skip
    """Give stake to another coldkey."""
    who = origin.signed()
    if not st.TransferToggle.get(rt.state, origin_netuid):
        raise rt.error("TransferDisallowed")
    tao = _move(rt, (hotkey, who, origin_netuid), (hotkey, destination_coldkey, destination_netuid), alpha_amount)
    event = (who, destination_coldkey, hotkey, origin_netuid, destination_netuid, tao)
    rt.deposit("SubtensorModule", "StakeTransferred", event)


@st.PALLET.call(hotkey="AccountId32", origin_netuid="NetUid", destination_netuid="NetUid", alpha_amount="AlphaBalance")
def swap_stake(
    rt: Runtime, origin: Origin, hotkey: bytes, origin_netuid: int, destination_netuid: int, alpha_amount: int
) -> None:
    """Move stake to another subnet, behind the same hotkey."""
    who = origin.signed()
    if origin_netuid == destination_netuid:
        raise rt.error("SameNetuid")
    tao = _move(rt, (hotkey, who, origin_netuid), (hotkey, who, destination_netuid), alpha_amount)
    rt.deposit("SubtensorModule", "StakeSwapped", (who, hotkey, origin_netuid, destination_netuid, tao))


def _set_take(rt: Runtime, origin: Origin, hotkey: bytes, value: int, up: bool) -> None:
    coldkey = origin.signed()
    if st.Owner.get(rt.state, hotkey) != coldkey:
        raise rt.error("NonAssociatedColdKey")
    now = st.Delegates.get(rt.state, hotkey)
    if up and (value <= now or value > st.MaxDelegateTake.get(rt.state)):
        raise rt.error("DelegateTakeTooLow" if value <= now else "DelegateTakeTooHigh")
    if not up and (value >= now or value < st.MinDelegateTake.get(rt.state)):
        raise rt.error("DelegateTakeTooLow")
    st.Delegates.put(rt.state, hotkey, value)
    rt.deposit("SubtensorModule", "TakeIncreased" if up else "TakeDecreased", (coldkey, hotkey, value))


@st.PALLET.call(hotkey="AccountId32", take="PerU16")
def increase_take(rt: Runtime, origin: Origin, hotkey: bytes, take: int) -> None:
    """Raise a validator's take."""
    _set_take(rt, origin, hotkey, take, up=True)


@st.PALLET.call(hotkey="AccountId32", take="PerU16")
def decrease_take(rt: Runtime, origin: Origin, hotkey: bytes, take: int) -> None:
    """Lower a validator's take."""
    _set_take(rt, origin, hotkey, take, up=False)
