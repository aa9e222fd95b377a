"""NeuronInfoRuntimeApi and DelegateInfoRuntimeApi."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from subnet.localchain.defaults import U16_MAX
from subnet.localchain.model import KeyValue, RuntimeApi
from subnet.localchain.pallets.subtensor import storage as st
from subnet.localchain.pallets.subtensor.staking import stake_of

NEURONS = RuntimeApi("NeuronInfoRuntimeApi")
DELEGATES = RuntimeApi("DelegateInfoRuntimeApi")
APIS = (NEURONS, DELEGATES)

NO_AXON = dict.fromkeys(("block", "version", "ip", "port", "ip_type", "protocol", "placeholder1", "placeholder2"), 0)
NO_PROMETHEUS = dict.fromkeys(("block", "version", "ip", "port", "ip_type"), 0)


def column(values: Sequence[Any], n: int, default: Any = 0) -> list[Any]:
    """A per-uid vector, exactly n long."""
    return [*values[:n], *[default] * (n - len(values))]


def at(values: Sequence[Any], uid: int, default: Any = 0) -> Any:
    return values[uid] if uid < len(values) else default


def pruning_scores(emission: Sequence[int]) -> list[int]:
    """Emission shares max-upscaled to u16, as clients show them; the chain no longer stores them."""
    top = max(emission, default=0)
    return [value * U16_MAX // top if top else 0 for value in emission]


def _reader(state: KeyValue, netuid: int, full: bool) -> Callable[[int], dict[str, Any]]:
    """Reads the subnet's vectors once; the result makes one neuron's record."""
    emission, incentive = st.Emission.get(state, netuid), st.Incentive.get(state, netuid)
    consensus, trust = st.Consensus.get(state, netuid), st.ValidatorTrust.get(state, netuid)
    dividends, updates = st.Dividends.get(state, netuid), st.LastUpdate.get(state, netuid)
    permits, active, pruning = (
        st.ValidatorPermit.get(state, netuid),
        st.Active.get(state, netuid),
        pruning_scores(emission),
    )

    def neuron(uid: int) -> dict[str, Any]:
        hotkey = st.Keys.get(state, netuid, uid)
        coldkey = st.Owner.get(state, hotkey)
        record = {
            "hotkey": hotkey, "coldkey": coldkey, "uid": uid, "netuid": netuid, "active": at(active, uid, False),
            "axon_info": st.Axons.get(state, netuid, hotkey) or NO_AXON,
            "prometheus_info": st.Prometheus.get(state, netuid, hotkey) or NO_PROMETHEUS,
            "stake": [(coldkey, st.TotalHotkeyAlpha.get(state, hotkey, netuid))],
            "rank": at(incentive, uid), "emission": at(emission, uid), "incentive": at(incentive, uid),
            "consensus": at(consensus, uid), "trust": 0, "validator_trust": at(trust, uid),
            "dividends": at(dividends, uid), "last_update": at(updates, uid),
            "validator_permit": at(permits, uid, False), "pruning_score": at(pruning, uid),
        }  # fmt: skip
        if full:
            record["weights"] = [pair for pair in st.Weights.get(state, netuid, uid) if pair[1]]
            record["bonds"] = [pair for pair in st.Bonds.get(state, netuid, uid) if pair[1]]
        return record

    return neuron


def _all(view: Any, netuid: int, full: bool) -> list[dict[str, Any]]:
    if not st.NetworksAdded.get(view.state, netuid):
        return []
    neuron = _reader(view.state, netuid, full)
    return [neuron(uid) for uid in range(st.SubnetworkN.get(view.state, netuid))]


def _one(view: Any, netuid: int, uid: int, full: bool) -> dict[str, Any] | None:
    if uid >= st.SubnetworkN.get(view.state, netuid):
        return None
    return _reader(view.state, netuid, full)(uid)


@NEURONS.method("Vec<NeuronInfoLite>", netuid="NetUid")
def get_neurons_lite(view: Any, netuid: int) -> list[dict[str, Any]]:
    return _all(view, netuid, full=False)


@NEURONS.method("Vec<NeuronInfo>", netuid="NetUid")
def get_neurons(view: Any, netuid: int) -> list[dict[str, Any]]:
    return _all(view, netuid, full=True)


@NEURONS.method("Option<NeuronInfoLite>", netuid="NetUid", uid="u16")
def get_neuron_lite(view: Any, netuid: int, uid: int) -> dict[str, Any] | None:
    return _one(view, netuid, uid, full=False)


@NEURONS.method("Option<NeuronInfo>", netuid="NetUid", uid="u16")
def get_neuron(view: Any, netuid: int, uid: int) -> dict[str, Any] | None:
    return _one(view, netuid, uid, full=True)


def _delegate(state: KeyValue, hotkey: bytes) -> dict[str, Any]:
    nominators: dict[bytes, list[tuple[int, int]]] = {}
    for (coldkey, netuid), _ in st.AlphaV2.items(state, hotkey):
        nominators.setdefault(coldkey, []).append((netuid, stake_of(state, hotkey, coldkey, netuid)))
    memberships = [netuid for (netuid,), member in st.IsNetworkMember.items(state, hotkey) if member]
    permitted = [
        netuid
        for netuid in memberships
        if at(st.ValidatorPermit.get(state, netuid), st.Uids.get(state, netuid, hotkey), False)
    ]
    return {
        "delegate_ss58": hotkey, "take": st.Delegates.get(state, hotkey), "nominators": list(nominators.items()),
        "owner_ss58": st.Owner.get(state, hotkey), "registrations": memberships, "validator_permits": permitted,
        "return_per_1000": 0, "total_daily_return": 0,
    }  # fmt: skip


@DELEGATES.method("Vec<DelegateInfo>")
def get_delegates(view: Any) -> list[dict[str, Any]]:
    return [_delegate(view.state, hotkey) for (hotkey,), _ in st.Delegates.items(view.state)]


@DELEGATES.method("Option<DelegateInfo>", delegate_account="AccountId32")
def get_delegate(view: Any, delegate_account: bytes) -> dict[str, Any] | None:
    return _delegate(view.state, delegate_account) if st.Delegates.has(view.state, delegate_account) else None


@DELEGATES.method("Vec<(DelegateInfo, (Compact<u16>, Compact<u64>))>", delegatee_account="AccountId32")
def get_delegated(view: Any, delegatee_account: bytes) -> list[tuple[dict[str, Any], tuple[int, int]]]:
    out: list[tuple[dict[str, Any], tuple[int, int]]] = []
    for hotkey in st.StakingHotkeys.get(view.state, delegatee_account):
        record = _delegate(view.state, hotkey)
        positions = dict(record["nominators"]).get(delegatee_account, [])
        out.extend((record, position) for position in positions)
    return out
