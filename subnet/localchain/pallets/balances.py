"""Balances: free TAO, transfers, issuance."""

from __future__ import annotations

from typing import Any

from subnet.localchain.defaults import EXISTENTIAL_DEPOSIT
from subnet.localchain.errors import DispatchError
from subnet.localchain.model import KeyValue, Pallet
from subnet.localchain.pallets import system
from subnet.localchain.runtime import Origin, Runtime, account

PALLET = Pallet("Balances", 5)

TotalIssuance = PALLET.value("TotalIssuance", "TaoBalance", 0)
InactiveIssuance = PALLET.value("InactiveIssuance", "TaoBalance", 0)
Account = PALLET.map("Account", "blake2 AccountId32", "AccountData", system.NO_ACCOUNT["data"])

PALLET.constant("ExistentialDeposit", "TaoBalance", EXISTENTIAL_DEPOSIT)
PALLET.constant("MaxLocks", "u32", 50)
PALLET.constant("MaxReserves", "u32", 50)
PALLET.constant("MaxFreezes", "u32", 50)

PALLET.event("Endowed", account="AccountId32", free_balance="TaoBalance")
PALLET.event("DustLost", account="AccountId32", amount="TaoBalance")
PALLET.event("Transfer", from_="AccountId32", to="AccountId32", amount="TaoBalance")
PALLET.event("BalanceSet", who="AccountId32", free="TaoBalance")
PALLET.event("Deposit", who="AccountId32", amount="TaoBalance")
PALLET.event("Withdraw", who="AccountId32", amount="TaoBalance")


def free(state: KeyValue, who: bytes) -> int:
    """Free balance in rao."""
    return system.Account.get(state, who)["data"]["free"]


def set_free(rt: Runtime, who: bytes, amount: int) -> None:
    """Set a free balance; an account below the existential deposit and never used is reaped."""
    info = system.Account.get(rt.state, who)
    was_there = info["providers"] > 0
    if amount < EXISTENTIAL_DEPOSIT:
        if was_there:
            issue(rt, -amount)
            system.Account.kill(rt.state, who)
            if amount:
                rt.deposit("Balances", "DustLost", {"account": who, "amount": amount})
            rt.deposit("System", "KilledAccount", {"account": who})
        return
    info["data"]["free"] = amount
    info["providers"] = 1
    system.Account.put(rt.state, who, info)
    if not was_there:
        rt.deposit("System", "NewAccount", {"account": who})
        rt.deposit("Balances", "Endowed", {"account": who, "free_balance": amount})


def issue(rt: Runtime, amount: int) -> None:
    """Change the total issuance by `amount`."""
    TotalIssuance.put(rt.state, TotalIssuance.get(rt.state) + amount)


def deposit(rt: Runtime, who: bytes, amount: int) -> None:
    """Add existing (already issued) TAO to an account."""
    if amount:
        set_free(rt, who, free(rt.state, who) + amount)


def withdraw(rt: Runtime, who: bytes, amount: int, keep_alive: bool = True) -> None:
    """Take TAO out of an account. Raises DispatchError Token.FundsUnavailable or NotExpendable."""
    have = free(rt.state, who)
    if amount > have:
        raise DispatchError(("Token", "FundsUnavailable"), f"{amount} rao wanted, {have} there")
    if keep_alive and have - amount < EXISTENTIAL_DEPOSIT:
        raise DispatchError(("Token", "NotExpendable"), f"{have - amount} rao would stay, {EXISTENTIAL_DEPOSIT} must")
    set_free(rt, who, have - amount)


def transfer(rt: Runtime, source: bytes, target: bytes, amount: int, keep_alive: bool) -> None:
    """Move TAO. Raises DispatchError Token.* where the funds or the deposit do not allow it."""
    if source != target:
        if free(rt.state, target) + amount < EXISTENTIAL_DEPOSIT:
            raise DispatchError(("Token", "BelowMinimum"), f"{amount} rao cannot open an account")
        withdraw(rt, source, amount, keep_alive)
        set_free(rt, target, free(rt.state, target) + amount)
    elif amount > free(rt.state, source):
        raise DispatchError(("Token", "FundsUnavailable"), f"{amount} rao wanted")
    rt.deposit("Balances", "Transfer", {"from_": source, "to": target, "amount": amount})


@PALLET.call(dest="MultiAddress", value="Compact<u64>")
def transfer_allow_death(rt: Runtime, origin: Origin, dest: Any, value: int) -> None:
    """Transfer; the sender's account may be reaped."""
    transfer(rt, origin.signed(), account(dest), value, keep_alive=False)


@PALLET.call(dest="MultiAddress", value="Compact<u64>")
def transfer_keep_alive(rt: Runtime, origin: Origin, dest: Any, value: int) -> None:
    """Transfer; fails rather than reap the sender's account."""
    transfer(rt, origin.signed(), account(dest), value, keep_alive=True)


@PALLET.call(dest="MultiAddress", keep_alive="bool")
def transfer_all(rt: Runtime, origin: Origin, dest: Any, keep_alive: bool) -> None:
    """Transfer everything that can be transferred."""
    who = origin.signed()
    amount = free(rt.state, who) - (EXISTENTIAL_DEPOSIT if keep_alive else 0)
    transfer(rt, who, account(dest), max(0, amount), keep_alive)


@PALLET.call(source="MultiAddress", dest="MultiAddress", value="Compact<u64>")
def force_transfer(rt: Runtime, origin: Origin, source: Any, dest: Any, value: int) -> None:
    """Transfer from any account. Root only."""
    origin.ensure_root()
    transfer(rt, account(source), account(dest), value, keep_alive=False)


@PALLET.call(who="MultiAddress", new_free="Compact<u64>")
def force_set_balance(rt: Runtime, origin: Origin, who: Any, new_free: int) -> None:
    """Set an account's free balance, and the issuance with it. Root only."""
    origin.ensure_root()
    target = account(who)
    issue(rt, new_free - free(rt.state, target))
    set_free(rt, target, new_free)
    rt.deposit("Balances", "BalanceSet", {"who": target, "free": new_free})


@PALLET.call(value="Compact<u64>", keep_alive="bool")
def burn(rt: Runtime, origin: Origin, value: int, keep_alive: bool) -> None:
    """Burn free TAO."""
    withdraw(rt, origin.signed(), value, keep_alive)
    issue(rt, -value)
