"""Swap: each subnet's TAO/alpha pool, a constant product with a fee.

The real pallet's balancer weights start at one half each, where it is the same curve. Root
(netuid 0) trades one to one. Prices are rao of TAO per whole alpha, as the runtime API gives them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

from subnet.localchain.defaults import RAO, SWAP_FEE_RATE, U16_MAX
from subnet.localchain.model import KeyValue, Pallet
from subnet.localchain.pallets.subtensor import storage as st
from subnet.localchain.runtime import Origin, Runtime

PALLET = Pallet("Swap", 28)
FeeRate = PALLET.map("FeeRate", "twox NetUid", "u16", SWAP_FEE_RATE)
PALLET.constant("MaxFeeRate", "u16", 10_000)
PALLET.constant("MinimumLiquidity", "u64", 1_000)
PALLET.constant("MinimumReserve", "u64", 1_000_000)
PALLET.event("FeeRateSet", netuid="NetUid", rate="u16")

MINIMUM_RESERVE = 1_000_000


@dataclass(frozen=True, slots=True)
class Quote:
    """One simulated swap: what goes in, what comes out, the fee in the incoming token."""

    paid: int
    received: int
    fee: int
    slippage: int


def reserves(state: KeyValue, netuid: int) -> tuple[int, int]:
    """(TAO, alpha) in the pool, in rao."""
    return st.SubnetTAO.get(state, netuid), st.SubnetAlphaIn.get(state, netuid)


def price(state: KeyValue, netuid: int) -> int:
    """Rao of TAO for one whole alpha; 0 for an empty pool."""
    if netuid == 0:
        return RAO
    tao, alpha = reserves(state, netuid)
    return tao * RAO // alpha if alpha else 0


def quote(state: KeyValue, netuid: int, amount: int, buy: bool) -> Quote:
    """Simulate a swap of `amount` TAO for alpha (buy), or of `amount` alpha for TAO."""
    if netuid == 0:
        return Quote(amount, amount, 0, 0)
    tao, alpha = reserves(state, netuid)
    here, there = (tao, alpha) if buy else (alpha, tao)
    fee = amount * FeeRate.get(state, netuid) // U16_MAX
    net = amount - fee
    if here == 0 or net <= 0:
        return Quote(amount, 0, fee, 0)
    received = there * net // (here + net)
    return Quote(amount, received, fee, max(0, net * there // here - received))


def amount_within(state: KeyValue, netuid: int, limit_price: int, buy: bool) -> int:
    """How much can be swapped before the price passes `limit_price` (rao per alpha)."""
    if netuid == 0:
        return 1 << 63
    tao, alpha = reserves(state, netuid)
    product = tao * alpha
    # On the curve the price is tao^2/product, so the limit gives the reserve directly.
    if buy:
        room = isqrt(limit_price * product // RAO) - tao
    else:
        room = isqrt(product * RAO // limit_price) - alpha if limit_price else 1 << 63
    rate = FeeRate.get(state, netuid)
    return max(0, room) * U16_MAX // (U16_MAX - rate)


def trade(rt: Runtime, netuid: int, amount: int, buy: bool) -> int:
    """Swap through the pool and return what was received. The fee stays in the pool.

    Raises DispatchError InsufficientLiquidity where the pool would be left too small.
    """
    result = quote(rt.state, netuid, amount, buy)
    if netuid != 0:
        tao, alpha = reserves(rt.state, netuid)
        tao, alpha = (tao + amount, alpha - result.received) if buy else (tao - result.received, alpha + amount)
        if min(tao, alpha) < MINIMUM_RESERVE:
            raise rt.error("InsufficientLiquidity")
        st.SubnetTAO.put(rt.state, netuid, tao)
        st.SubnetAlphaIn.put(rt.state, netuid, alpha)
        volume = amount if buy else result.received
        st.SubnetVolume.put(rt.state, netuid, st.SubnetVolume.get(rt.state, netuid) + volume)
    if result.received == 0:
        raise rt.error("AmountTooLow")
    return result.received


@PALLET.call(netuid="NetUid", rate="u16")
def set_fee_rate(rt: Runtime, origin: Origin, netuid: int, rate: int) -> None:
    """Set a pool's fee rate. Root only."""
    origin.ensure_root()
    if rate > 10_000:
        raise rt.error("FeeRateTooHigh", "Swap")
    FeeRate.put(rt.state, netuid, rate)
    rt.deposit("Swap", "FeeRateSet", {"netuid": netuid, "rate": rate})
