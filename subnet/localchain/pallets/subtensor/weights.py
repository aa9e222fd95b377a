"""Weights: plain, committed by hash, and committed under a drand timelock."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import bittensor_core
from loguru import logger

from subnet.localchain.defaults import MECHANISM_STRIDE, U16_MAX
from subnet.localchain.errors import DecodeError, DispatchError
from subnet.localchain.model import CODEC
from subnet.localchain.pallets import drand
from subnet.localchain.pallets.subtensor import storage as st
from subnet.localchain.runtime import Origin, Runtime
from subnet.localchain.scale import compact
from subnet.localchain.yuma import stake_weight_bits

_MAX_UNREVEALED = 10
_MAX_COMMIT_BYTES = 5_000
_PAYLOAD = "(Vec<u8>, Vec<u16>, Vec<u16>, u64)"
_LEGACY_PAYLOAD = "(Vec<u16>, Vec<u16>, u64)"
_HASHED = "(AccountId32, NetUid, Vec<u16>, Vec<u16>, Vec<u16>, u64)"


def index(netuid: int, mechanism: int) -> int:
    """The storage index of a mechanism's weights."""
    return mechanism * MECHANISM_STRIDE + netuid


def _ensure_mechanism(rt: Runtime, netuid: int, mechanism: int) -> None:
    if not st.NetworksAdded.get(rt.state, netuid):
        raise rt.error("MechanismDoesNotExist")
    if mechanism >= st.MechanismCountCurrent.get(rt.state, netuid):
        raise rt.error("MechanismDoesNotExist")


def _ensure_member(rt: Runtime, netuid: int, hotkey: bytes) -> int:
    uid = st.Uids.get(rt.state, netuid, hotkey)
    if uid is None:
        raise rt.error("HotKeyNotRegisteredInSubNet")
    return int(uid)


def _ensure_stake(rt: Runtime, netuid: int, hotkey: bytes) -> None:
    weight = stake_weight_bits(
        st.TotalHotkeyAlpha.get(rt.state, hotkey, netuid),
        st.TotalHotkeyAlpha.get(rt.state, hotkey, 0),
        st.TaoWeight.get(rt.state),
    )
    if weight >> 32 < st.StakeThreshold.get(rt.state):
        raise rt.error("NotEnoughStakeToSetWeights")


def _ensure_rate(rt: Runtime, netuid: int, mechanism: int, uid: int, error: str) -> None:
    updates = st.LastUpdate.get(rt.state, index(netuid, mechanism))
    last = updates[uid] if uid < len(updates) else 0
    registered = st.BlockAtRegistration.get(rt.state, netuid, uid)
    # A new neuron's LastUpdate is its registration: its first weights need not wait.
    if last and last != registered and rt.block - last < st.WeightsSetRateLimit.get(rt.state, netuid):
        raise rt.error(error)


def _touch(rt: Runtime, netuid: int, mechanism: int, uid: int) -> None:
    where = index(netuid, mechanism)
    updates = st.LastUpdate.get(rt.state, where)
    updates.extend([0] * (uid + 1 - len(updates)))
    updates[uid] = rt.block
    st.LastUpdate.put(rt.state, where, updates)


def _validated(
    rt: Runtime, netuid: int, hotkey: bytes, uids: list[int], values: list[int], version: int
) -> tuple[int, list[tuple[int, int]]]:
    """(uid of the setter, the row to store). Raises the chain's error for the first rule broken."""
    state = rt.state
    if len(uids) != len(values):
        raise rt.error("WeightVecNotEqualSize")
    uid = _ensure_member(rt, netuid, hotkey)
    _ensure_stake(rt, netuid, hotkey)
    required = st.WeightsVersionKey.get(state, netuid)
    if required and version < required:
        raise rt.error("IncorrectWeightVersionKey")
    to_self = uids == [uid]
    permits = st.ValidatorPermit.get(state, netuid)
    if not (uid < len(permits) and permits[uid]) and not to_self and hotkey != st.SubnetOwnerHotkey.get(state, netuid):
        raise rt.error("NeuronNoValidatorPermit")
    count = st.SubnetworkN.get(state, netuid)
    if len(uids) > count:
        raise rt.error("UidsLengthExceedUidsInSubNet")
    if len(set(uids)) != len(uids):
        raise rt.error("DuplicateUids")
    if any(target >= count for target in uids):
        raise rt.error("UidVecContainInvalidOne")
    if not to_self and len(uids) < st.MinAllowedWeights.get(state, netuid):
        raise rt.error("WeightVecLengthIsLow")
    top = max(values, default=0)
    scaled = [value * U16_MAX // top if top else 0 for value in values]
    limit = st.MaxWeightsLimit.get(state, netuid)
    if not to_self and limit < U16_MAX and top * U16_MAX > limit * sum(values):
        raise rt.error("MaxWeightExceeded")
    return uid, list(zip(uids, scaled, strict=True))


def store(
    rt: Runtime, netuid: int, mechanism: int, hotkey: bytes, uids: list[int], values: list[int], version: int
) -> int:
    """Check a weight vector and make it the setter's row; returns the setter's uid."""
    uid, row = _validated(rt, netuid, hotkey, uids, values, version)
    st.Weights.put(rt.state, index(netuid, mechanism), uid, row)
    rt.deposit("SubtensorModule", "WeightsSet", (index(netuid, mechanism), uid))
    return uid


def _set(rt: Runtime, hotkey: bytes, netuid: int, mecid: int, uids: list[int], values: list[int], key: int) -> None:
    _ensure_mechanism(rt, netuid, mecid)
    if netuid == 0:
        raise rt.error("CanNotSetRootNetworkWeights")
    if st.CommitRevealWeightsEnabled.get(rt.state, netuid):
        raise rt.error("CommitRevealEnabled")
    uid = _ensure_member(rt, netuid, hotkey)
    _ensure_rate(rt, netuid, mecid, uid, "SettingWeightsTooFast")
    store(rt, netuid, mecid, hotkey, uids, values, key)
    _touch(rt, netuid, mecid, uid)


@st.PALLET.call(coldkey_pays=True, netuid="NetUid", dests="Vec<u16>", weights="Vec<u16>", version_key="u64")
def set_weights(
    rt: Runtime, origin: Origin, netuid: int, dests: list[int], weights: list[int], version_key: int
) -> None:
    """Set the signing hotkey's weights."""
    _set(rt, origin.signed(), netuid, 0, dests, weights, version_key)


@st.PALLET.call(
    coldkey_pays=True, netuid="NetUid", mecid="MechId", dests="Vec<u16>", weights="Vec<u16>", version_key="u64"
)
def set_mechanism_weights(
    rt: Runtime, origin: Origin, netuid: int, mecid: int, dests: list[int], weights: list[int], version_key: int
) -> None:
    """Set the signing hotkey's weights for one mechanism."""
    _set(rt, origin.signed(), netuid, mecid, dests, weights, version_key)


# --- committed by hash ------------------------------------------------------------------------


def commit_hash(hotkey: bytes, where: int, uids: list[int], values: list[int], salt: list[int], version: int) -> bytes:
    """What a hash commit must be: BLAKE2b-256 over the SCALE tuple."""
    return blake2b(CODEC.encode(_HASHED, (hotkey, where, uids, values, salt, version)), digest_size=32).digest()


def _ensure_committing(rt: Runtime, netuid: int, mecid: int, hotkey: bytes) -> int:
    _ensure_mechanism(rt, netuid, mecid)
    if not st.CommitRevealWeightsEnabled.get(rt.state, netuid):
        raise rt.error("CommitRevealDisabled")
    uid = _ensure_member(rt, netuid, hotkey)
    _ensure_stake(rt, netuid, hotkey)
    _ensure_rate(rt, netuid, mecid, uid, "CommittingWeightsTooFast")
    return uid


def _reveal_blocks(rt: Runtime, netuid: int) -> tuple[int, int]:
    """First and last block in which a commit made now can be revealed, as the schedule stands."""
    tempo, last = st.Tempo.get(rt.state, netuid), st.LastEpochBlock.get(rt.state, netuid)
    first = last + tempo * st.RevealPeriodEpochs.get(rt.state, netuid)
    return first, first + tempo - 1


def _commit(rt: Runtime, hotkey: bytes, netuid: int, mecid: int, commit_hash: bytes) -> None:
    uid = _ensure_committing(rt, netuid, mecid, hotkey)
    where = index(netuid, mecid)
    epoch = st.SubnetEpochIndex.get(rt.state, netuid)
    period = st.RevealPeriodEpochs.get(rt.state, netuid)
    queue = [c for c in st.WeightCommits.get(rt.state, where, hotkey) or [] if epoch <= c[1] + period]
    if len(queue) >= _MAX_UNREVEALED:
        raise rt.error("TooManyUnrevealedCommits")
    # The second field is the epoch of the commit: the schedule is stateful, so blocks would not do.
    queue.append((commit_hash, epoch, *_reveal_blocks(rt, netuid)))
    st.WeightCommits.put(rt.state, where, hotkey, queue)
    _touch(rt, netuid, mecid, uid)
    rt.deposit("SubtensorModule", "WeightsCommitted", (hotkey, where, commit_hash))


@st.PALLET.call(coldkey_pays=True, netuid="NetUid", commit_hash="H256")
def commit_weights(rt: Runtime, origin: Origin, netuid: int, commit_hash: bytes) -> None:
    """Commit to weights by their salted hash."""
    _commit(rt, origin.signed(), netuid, 0, commit_hash)


@st.PALLET.call(coldkey_pays=True, netuid="NetUid", mecid="MechId", commit_hash="H256")
def commit_mechanism_weights(rt: Runtime, origin: Origin, netuid: int, mecid: int, commit_hash: bytes) -> None:
    """Commit to one mechanism's weights by their salted hash."""
    _commit(rt, origin.signed(), netuid, mecid, commit_hash)


def _reveal(
    rt: Runtime,
    hotkey: bytes,
    netuid: int,
    mecid: int,
    uids: list[int],
    values: list[int],
    salt: list[int],
    version: int,
) -> None:
    _ensure_mechanism(rt, netuid, mecid)
    if not st.CommitRevealWeightsEnabled.get(rt.state, netuid):
        raise rt.error("CommitRevealDisabled")
    where = index(netuid, mecid)
    queue = st.WeightCommits.get(rt.state, where, hotkey)
    if not queue:
        raise rt.error("NoWeightsCommitFound")
    digest = commit_hash(hotkey, where, uids, values, salt, version)
    found = next((i for i, commit in enumerate(queue) if commit[0] == digest), None)
    if found is None:
        raise rt.error("InvalidRevealCommitHashNotMatch")
    due = queue[found][1] + st.RevealPeriodEpochs.get(rt.state, netuid)
    epoch = st.SubnetEpochIndex.get(rt.state, netuid)
    if epoch < due:
        raise rt.error("RevealTooEarly")
    if epoch > due:
        raise rt.error("ExpiredWeightCommit")
    store(rt, netuid, mecid, hotkey, uids, values, version)
    rest = queue[found + 1 :]
    if rest:
        st.WeightCommits.put(rt.state, where, hotkey, rest)
    else:
        st.WeightCommits.kill(rt.state, where, hotkey)
    rt.deposit("SubtensorModule", "WeightsRevealed", (hotkey, where, digest))


_REVEAL = {"uids": "Vec<u16>", "values": "Vec<u16>", "salt": "Vec<u16>", "version_key": "u64"}


@st.PALLET.call({"netuid": "NetUid", **_REVEAL}, coldkey_pays=True)
def reveal_weights(rt: Runtime, origin: Origin, netuid: int, **revealed: Any) -> None:
    """Open a hash commit, in the epoch in which it is due."""
    _reveal(rt, origin.signed(), netuid, 0, *(revealed[name] for name in _REVEAL))


@st.PALLET.call({"netuid": "NetUid", "mecid": "MechId", **_REVEAL}, coldkey_pays=True)
def reveal_mechanism_weights(rt: Runtime, origin: Origin, netuid: int, mecid: int, **revealed: Any) -> None:
    """Open a hash commit of one mechanism."""
    _reveal(rt, origin.signed(), netuid, mecid, *(revealed[name] for name in _REVEAL))


# --- committed under a timelock ------------------------------------------------------------------


def _commit_timelocked(
    rt: Runtime, hotkey: bytes, netuid: int, mecid: int, commit: bytes, reveal_round: int, version: int
) -> None:
    uid = _ensure_committing(rt, netuid, mecid, hotkey)
    if version != st.CommitRevealWeightsVersion.get(rt.state):
        raise rt.error("IncorrectCommitRevealVersion")
    if len(commit) > _MAX_COMMIT_BYTES:
        raise rt.error("CommitPayloadTooLarge")
    where, epoch = index(netuid, mecid), st.SubnetEpochIndex.get(rt.state, netuid)
    queue = st.TimelockedWeightCommits.get(rt.state, where, epoch)
    if sum(1 for entry in queue if entry[0] == hotkey) >= _MAX_UNREVEALED:
        raise rt.error("TooManyUnrevealedCommits")
    st.TimelockedWeightCommits.put(rt.state, where, epoch, [*queue, (hotkey, rt.block, commit, reveal_round)])
    _touch(rt, netuid, mecid, uid)
    digest = blake2b(commit, digest_size=32).digest()
    rt.deposit("SubtensorModule", "TimelockedWeightsCommitted", (hotkey, where, digest, reveal_round))


_TIMELOCK = {"commit": "BoundedVec<u8>", "reveal_round": "u64", "commit_reveal_version": "u16"}


@st.PALLET.call({"netuid": "NetUid", **_TIMELOCK}, coldkey_pays=True)
def commit_timelocked_weights(
    rt: Runtime, origin: Origin, netuid: int, commit: bytes, reveal_round: int, commit_reveal_version: int
) -> None:
    """Commit to weights that the chain opens itself once the drand round is out."""
    _commit_timelocked(rt, origin.signed(), netuid, 0, commit, reveal_round, commit_reveal_version)


@st.PALLET.call({"netuid": "NetUid", "mecid": "MechId", **_TIMELOCK}, coldkey_pays=True)
def commit_timelocked_mechanism_weights(
    rt: Runtime, origin: Origin, netuid: int, mecid: int, commit: bytes, reveal_round: int, commit_reveal_version: int
) -> None:
    """Commit to one mechanism's weights under a timelock."""
    _commit_timelocked(rt, origin.signed(), netuid, mecid, commit, reveal_round, commit_reveal_version)


def open_timelock(sealed: bytes, reveal_round: int, signature: bytes) -> bytes | None:
    """The plaintext of a drand-sealed payload, or None where the signature does not open it."""
    envelope = compact(len(sealed)) + sealed + reveal_round.to_bytes(8, "little")
    try:
        opened = bittensor_core.decrypt_with_signature(envelope, signature.hex())
    except (ValueError, RuntimeError) as error:
        logger.debug("timelocked payload for round {} did not open: {}", reveal_round, error)
        return None
    return None if opened is None else bytes(opened)


def reveal_due(rt: Runtime, netuid: int) -> None:
    """Open the timelocked commits of the epoch now due; called as an epoch begins.

    Commits whose round has no pulse yet wait; those two epochs past due are dropped.
    """
    epoch = st.SubnetEpochIndex.get(rt.state, netuid)
    period = st.RevealPeriodEpochs.get(rt.state, netuid)
    for mecid in range(st.MechanismCountCurrent.get(rt.state, netuid)):
        where = index(netuid, mecid)
        for (committed,), queue in list(st.TimelockedWeightCommits.items(rt.state, where)):
            if committed + period > epoch:
                continue
            waiting = [entry for entry in queue if not _open_commit(rt, netuid, mecid, entry)]
            if waiting and committed + period + 1 > epoch:
                st.TimelockedWeightCommits.put(rt.state, where, committed, waiting)
            else:
                st.TimelockedWeightCommits.kill(rt.state, where, committed)


def _open_commit(rt: Runtime, netuid: int, mecid: int, entry: tuple[bytes, int, bytes, int]) -> bool:
    """Apply one timelocked commit; False where its pulse is missing."""
    hotkey, _, sealed, reveal_round = entry
    pulse = drand.Pulses.get(rt.state, reveal_round)
    if pulse is None:
        return False
    opened = open_timelock(sealed, reveal_round, pulse["signature"])
    weights = None if opened is None else _payload(hotkey, opened)
    if weights is None:
        return True
    mark = rt.state.mark()
    try:
        store(rt, netuid, mecid, hotkey, *weights)
    except DispatchError as error:
        # The real chain drops a commit that breaks a rule without a word, too.
        rt.state.rollback(mark)
        logger.debug("timelocked weights dropped: {}", error)
        return True
    rt.deposit("SubtensorModule", "TimelockedWeightsRevealed", (index(netuid, mecid), hotkey))
    return True


def _payload(hotkey: bytes, opened: bytes) -> tuple[list[int], list[int], int] | None:
    for type_ in (_PAYLOAD, _LEGACY_PAYLOAD):
        try:
            fields = CODEC.decode(type_, opened)
        except DecodeError:
            continue
        if len(fields) == 4 and fields[0] != hotkey:
            return None
        return fields[-3:]
    return None
