"""The pallets that are a row or two: Timestamp, Aura, TransactionPayment, Sudo, Utility."""

from __future__ import annotations

from typing import Any

from subnet.localchain.errors import DispatchError
from subnet.localchain.model import Pallet
from subnet.localchain.runtime import NONE, ROOT, Origin, Runtime, account

TIMESTAMP = Pallet("Timestamp", 2)
Now = TIMESTAMP.value("Now", "u64", 0)
TIMESTAMP.constant("MinimumPeriod", "u64", 1)


@TIMESTAMP.call(now="Compact<u64>")
def set_(rt: Runtime, origin: Origin, now: int) -> None:
    """Set the block's time in milliseconds. An inherent: nobody can sign it."""
    if origin != NONE:
        raise DispatchError("BadOrigin", "Timestamp.set is an inherent")
    Now.put(rt.state, now)


def aura(block_time_ms: int) -> Pallet:
    """Aura, whose SlotDuration is how clients learn the block time."""
    pallet = Pallet("Aura", 3)
    pallet.value("CurrentSlot", "Slot", 0)
    pallet.constant("SlotDuration", "u64", block_time_ms)
    return pallet


PAYMENT = Pallet("TransactionPayment", 6)
NextFeeMultiplier = PAYMENT.value("NextFeeMultiplier", "FeeMultiplier", 10**18)
PAYMENT.constant("OperationalFeeMultiplier", "u8", 5)
PAYMENT.event("TransactionFeePaid", who="AccountId32", actual_fee="TaoBalance", tip="TaoBalance")

SUDO = Pallet("Sudo", 12)
Key = SUDO.value("Key", "AccountId32")
SUDO.event("Sudid", sudo_result="Result<(), DispatchError>")
SUDO.event("KeyChanged", old="Option<AccountId32>", new="AccountId32")
SUDO.event("KeyRemoved")
SUDO.event("SudoAsDone", sudo_result="Result<(), DispatchError>")


def _ensure_sudo(rt: Runtime, origin: Origin) -> None:
    if origin.signed() != Key.get(rt.state):
        raise rt.error("RequireSudo", "Sudo")


def _result(rt: Runtime, origin: Origin, call: Any) -> tuple[str, Any]:
    try:
        rt.dispatch(origin, call)
    except DispatchError as error:
        return ("Err", error.value)
    return ("Ok", ())


@SUDO.call(pays_fee=False, call="RuntimeCall")
def sudo(rt: Runtime, origin: Origin, call: Any) -> None:
    """Dispatch a call as root."""
    _ensure_sudo(rt, origin)
    rt.deposit("Sudo", "Sudid", {"sudo_result": _result(rt, ROOT, call)})


@SUDO.call(pays_fee=False, call="RuntimeCall", weight="Weight")
def sudo_unchecked_weight(rt: Runtime, origin: Origin, call: Any, weight: Any) -> None:
    """Dispatch a call as root; the weight is not looked at."""
    sudo(rt, origin, call)


@SUDO.call(pays_fee=False, new="MultiAddress")
def set_key(rt: Runtime, origin: Origin, new: Any) -> None:
    """Hand sudo to another account."""
    _ensure_sudo(rt, origin)
    target = account(new)
    rt.deposit("Sudo", "KeyChanged", {"old": Key.get(rt.state), "new": target})
    Key.put(rt.state, target)


@SUDO.call(pays_fee=False, who="MultiAddress", call="RuntimeCall")
def sudo_as(rt: Runtime, origin: Origin, who: Any, call: Any) -> None:
    """Dispatch a call as another account."""
    _ensure_sudo(rt, origin)
    rt.deposit("Sudo", "SudoAsDone", {"sudo_result": _result(rt, Origin(account(who)), call)})


UTILITY = Pallet("Utility", 11)
MAX_BATCH = 10_000
UTILITY.constant("batched_calls_limit", "u32", MAX_BATCH)
UTILITY.event("BatchInterrupted", index="u32", error="DispatchError")
UTILITY.event("BatchCompleted")
UTILITY.event("BatchCompletedWithErrors")
UTILITY.event("ItemCompleted")
UTILITY.event("ItemFailed", error="DispatchError")


def _check_size(rt: Runtime, calls: list[Any]) -> None:
    if len(calls) > MAX_BATCH:
        raise rt.error("TooManyCalls", "Utility")


@UTILITY.call(calls="Vec<RuntimeCall>")
def batch(rt: Runtime, origin: Origin, calls: list[Any]) -> None:
    """Run calls until one fails; what ran before it stays."""
    _check_size(rt, calls)
    for index, call in enumerate(calls):
        try:
            rt.dispatch(origin, call)
        except DispatchError as error:
            rt.deposit("Utility", "BatchInterrupted", {"index": index, "error": error.value})
            return
        rt.deposit("Utility", "ItemCompleted")
    rt.deposit("Utility", "BatchCompleted")


@UTILITY.call(calls="Vec<RuntimeCall>")
def batch_all(rt: Runtime, origin: Origin, calls: list[Any]) -> None:
    """Run calls; all or none."""
    _check_size(rt, calls)
    for call in calls:
        rt.dispatch(origin, call)
        rt.deposit("Utility", "ItemCompleted")
    rt.deposit("Utility", "BatchCompleted")


@UTILITY.call(calls="Vec<RuntimeCall>")
def force_batch(rt: Runtime, origin: Origin, calls: list[Any]) -> None:
    """Run calls; failures do not stop the rest."""
    _check_size(rt, calls)
    failed = False
    for call in calls:
        try:
            rt.dispatch(origin, call)
        except DispatchError as error:
            failed = True
            rt.deposit("Utility", "ItemFailed", {"error": error.value})
        else:
            rt.deposit("Utility", "ItemCompleted")
    rt.deposit("Utility", "BatchCompletedWithErrors" if failed else "BatchCompleted")
