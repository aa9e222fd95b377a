"""Commitments: what a hotkey publishes about itself, plain or under a timelock."""

from __future__ import annotations

from typing import Any

from subnet.localchain.defaults import U64_MAX
from subnet.localchain.model import CODEC, Pallet
from subnet.localchain.pallets import drand
from subnet.localchain.pallets.subtensor import storage as st
from subnet.localchain.pallets.subtensor.weights import open_timelock
from subnet.localchain.runtime import Origin, Runtime

PALLET = Pallet("Commitments", 18)
_KEYS = ("identity NetUid", "twox AccountId32")
CommitmentOf = PALLET.map("CommitmentOf", _KEYS, "Registration")
LastCommitment = PALLET.map("LastCommitment", _KEYS, "u32")
RevealedCommitments = PALLET.map("RevealedCommitments", _KEYS, "Vec<(Vec<u8>, u64)>")
UsedSpaceOf = PALLET.map("UsedSpaceOf", _KEYS, "UsageTracker")
MaxSpace = PALLET.value("MaxSpace", "u32", 3_100)
TimelockedIndex = PALLET.value("TimelockedIndex", "BTreeSet<(NetUid, AccountId32)>", [])

MAX_FIELDS = 3
PALLET.constant("MaxFields", "u32", MAX_FIELDS)
PALLET.constant("InitialDeposit", "TaoBalance", 0)
PALLET.constant("FieldDeposit", "TaoBalance", 0)
PALLET.event("Commitment", netuid="NetUid", who="AccountId32")
PALLET.event("TimelockCommitment", netuid="NetUid", who="AccountId32", reveal_round="u64")
PALLET.event("CommitmentRevealed", netuid="NetUid", who="AccountId32")

_MAX_REVEALED = 10


def _sealed(fields: list[Any]) -> list[dict[str, Any]]:
    return [f[1] for f in fields if isinstance(f, tuple) and f[0] == "TimelockEncrypted"]


@PALLET.call(coldkey_pays=True, netuid="NetUid", info="CommitmentInfo")
def set_commitment(rt: Runtime, origin: Origin, netuid: int, info: dict[str, Any]) -> None:
    """Publish a commitment; it replaces the hotkey's last one on that subnet."""
    who = origin.signed()
    state = rt.state
    if not st.Uids.has(state, netuid, who):
        raise rt.error("AccountNotAllowedCommit", "Commitments")
    if len(info["fields"]) > MAX_FIELDS:
        raise rt.error("TooManyFieldsInCommitmentInfo", "Commitments")
    _use_space(rt, netuid, who, len(CODEC.encode("CommitmentInfo", info)))
    CommitmentOf.put(state, netuid, who, {"deposit": 0, "block": rt.block, "info": info})
    LastCommitment.put(state, netuid, who, rt.block)
    index = [entry for entry in TimelockedIndex.get(state) if entry != (netuid, who)]
    sealed = _sealed(info["fields"])
    if sealed:
        index.append((netuid, who))
        last = max(item["reveal_round"] for item in sealed)
        rt.deposit("Commitments", "TimelockCommitment", {"netuid": netuid, "who": who, "reveal_round": last})
    else:
        rt.deposit("Commitments", "Commitment", {"netuid": netuid, "who": who})
    TimelockedIndex.put(state, sorted(index))


def _use_space(rt: Runtime, netuid: int, who: bytes, size: int) -> None:
    """Count a commitment's bytes (100 at least) against the hotkey's allowance for this epoch."""
    epoch = st.SubnetEpochIndex.get(rt.state, netuid)
    usage = UsedSpaceOf.get(rt.state, netuid, who)
    used = usage["used_space"] if usage and usage["last_epoch"] == epoch else 0
    used += max(100, size)
    if used > MaxSpace.get(rt.state):
        raise rt.error("SpaceLimitExceeded", "Commitments")
    UsedSpaceOf.put(rt.state, netuid, who, {"last_epoch": epoch, "used_space": min(used, U64_MAX)})


@PALLET.call(new_limit="u32")
def set_max_space(rt: Runtime, origin: Origin, new_limit: int) -> None:
    """Set how many bytes a hotkey may commit per epoch. Root only."""
    origin.ensure_root()
    MaxSpace.put(rt.state, new_limit)


def on_initialize(rt: Runtime) -> None:
    """Open the timelocked commitments whose pulse is there."""
    index = TimelockedIndex.get(rt.state)
    if not index:
        return
    waiting = [entry for entry in index if not _reveal(rt, *entry)]
    if len(waiting) != len(index):
        TimelockedIndex.put(rt.state, waiting)


def _reveal(rt: Runtime, netuid: int, who: bytes) -> bool:
    """Open what can be opened of one commitment; True once nothing sealed is left."""
    entry = CommitmentOf.get(rt.state, netuid, who)
    if entry is None:
        return True
    kept, opened = [], []
    for item in entry["info"]["fields"]:
        sealed = _sealed([item])
        pulse = drand.Pulses.get(rt.state, sealed[0]["reveal_round"]) if sealed else None
        if pulse is None:
            kept.append(item)
            continue
        plain = open_timelock(sealed[0]["encrypted"], sealed[0]["reveal_round"], pulse["signature"])
        if plain is None:
            kept.append(("TimelockRevealFailed", sealed[0]))
        else:
            opened.append((plain, rt.block))
    if opened:
        history = [*(RevealedCommitments.get(rt.state, netuid, who) or []), *opened]
        RevealedCommitments.put(rt.state, netuid, who, history[-_MAX_REVEALED:])
        rt.deposit("Commitments", "CommitmentRevealed", {"netuid": netuid, "who": who})
    if kept:
        entry["info"]["fields"] = kept
        CommitmentOf.put(rt.state, netuid, who, entry)
    else:
        CommitmentOf.kill(rt.state, netuid, who)
    return not _sealed(kept)
