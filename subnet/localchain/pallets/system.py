"""System: accounts, nonces, block hashes, events."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from subnet.localchain.defaults import SPEC_NAME, SPEC_VERSION, SS58_FORMAT, TRANSACTION_VERSION
from subnet.localchain.model import KeyValue, Pallet
from subnet.localchain.runtime import Origin, Runtime

PALLET = Pallet("System", 0)

NO_ACCOUNT: dict[str, Any] = {
    "nonce": 0,
    "consumers": 0,
    "providers": 0,
    "sufficients": 0,
    "data": {"free": 0, "reserved": 0, "frozen": 0, "flags": 1 << 127},
}

Account = PALLET.map("Account", "blake2 AccountId32", "AccountInfo", NO_ACCOUNT)
ExtrinsicCount = PALLET.value("ExtrinsicCount", "u32")
BlockHash = PALLET.map("BlockHash", "twox u32", "H256", bytes(32))
Number = PALLET.value("Number", "u32", 0)
ParentHash = PALLET.value("ParentHash", "H256", bytes(32))
Digest = PALLET.value("Digest", "Digest", {"logs": []})
Events = PALLET.opaque("Events", "Vec<EventRecord>", b"\x00")
EventCount = PALLET.value("EventCount", "u32", 0)
LastRuntimeUpgrade = PALLET.value("LastRuntimeUpgrade", "LastRuntimeUpgradeInfo")
ExecutionPhase = PALLET.value("ExecutionPhase", "Phase")

VERSION = {
    "spec_name": SPEC_NAME,
    "impl_name": SPEC_NAME,
    "authoring_version": 1,
    "spec_version": SPEC_VERSION,
    "impl_version": 1,
    "apis": [],
    "transaction_version": TRANSACTION_VERSION,
    "system_version": 1,
}

PALLET.constant("BlockHashCount", "u32", 2400)
PALLET.constant("SS58Prefix", "u16", SS58_FORMAT)
PALLET.constant("Version", "RuntimeVersion", VERSION)

PALLET.event("ExtrinsicSuccess", dispatch_info="DispatchEventInfo")
PALLET.event("ExtrinsicFailed", dispatch_error="DispatchError", dispatch_info="DispatchEventInfo")
PALLET.event("NewAccount", account="AccountId32")
PALLET.event("KilledAccount", account="AccountId32")
PALLET.event("Remarked", sender="AccountId32", hash_="H256")

BLOCK_HASH_COUNT = 2400


def nonce(state: KeyValue, who: bytes) -> int:
    return Account.get(state, who)["nonce"]


def increment_nonce(state: KeyValue, who: bytes) -> None:
    info = Account.get(state, who)
    info["nonce"] += 1
    Account.put(state, who, info)


def on_initialize(rt: Runtime) -> None:
    Number.put(rt.state, rt.block)
    ParentHash.put(rt.state, rt.parent_hash)
    BlockHash.put(rt.state, rt.block - 1, rt.parent_hash)
    if rt.block > BLOCK_HASH_COUNT:
        BlockHash.kill(rt.state, rt.block - BLOCK_HASH_COUNT - 1)


@PALLET.call(remark="Vec<u8>")
def remark(rt: Runtime, origin: Origin, remark: bytes) -> None:
    """Do nothing but be in a block."""
    origin.signed()


@PALLET.call(remark="Vec<u8>")
def remark_with_event(rt: Runtime, origin: Origin, remark: bytes) -> None:
    """Be in a block and leave an event."""
    who = origin.signed()
    rt.deposit("System", "Remarked", {"sender": who, "hash_": blake2b(remark, digest_size=32).digest()})


@PALLET.call(items="Vec<(Vec<u8>, Vec<u8>)>")
def set_storage(rt: Runtime, origin: Origin, items: list[tuple[bytes, bytes]]) -> None:
    """Set storage entries directly. Root only."""
    origin.ensure_root()
    for key, value in items:
        rt.state.put(key, value)


@PALLET.call(keys="Vec<Vec<u8>>")
def kill_storage(rt: Runtime, origin: Origin, keys: list[bytes]) -> None:
    """Remove storage entries directly. Root only."""
    origin.ensure_root()
    for key in keys:
        rt.state.delete(key)
