"""Genesis: funded development keys, sudo, root and netuid 1."""

from __future__ import annotations

import bittensor_core

from subnet.localchain.defaults import BLOCK_EMISSION, FUNDS, SPEC_NAME, SPEC_VERSION, SUDO
from subnet.localchain.pallets import balances, small, system
from subnet.localchain.pallets.subtensor import networks
from subnet.localchain.pallets.subtensor import storage as st
from subnet.localchain.runtime import Runtime


def key(uri: str) -> bytes:
    """The public key of a development key, such as //Alice."""
    return bytes(bittensor_core.Keypair.from_uri(uri).public_key)


def write(rt: Runtime, now_ms: int) -> None:
    """Fill the state of block 0."""
    state, settings = rt.state, rt.settings
    total = 0
    for uri, amount in FUNDS.items():
        info = {**system.NO_ACCOUNT, "providers": 1, "data": {**system.NO_ACCOUNT["data"], "free": amount}}
        system.Account.put(state, key(uri), info)
        total += amount
    balances.TotalIssuance.put(state, total)
    st.TotalIssuance.put(state, total)
    small.Key.put(state, key(SUDO))
    small.Now.put(state, now_ms)
    system.LastRuntimeUpgrade.put(state, {"spec_version": SPEC_VERSION, "spec_name": SPEC_NAME})
    for item, value in (
        (st.BlockEmission, BLOCK_EMISSION),
        (st.StartCallDelay, settings.start_call_delay),
        (st.NetworkRateLimit, settings.network_rate_limit),
        (st.NetworkMinLockCost, settings.network_min_lock_cost),
        (st.NetworkLastLockCost, settings.network_min_lock_cost),
        (st.NetworkLockReductionInterval, settings.network_lock_reduction_interval),
        (st.StakeThreshold, settings.stake_threshold),
        (st.AdminFreezeWindow, settings.admin_freeze_window),
        (st.OwnerHyperparamRateLimit, settings.owner_hyperparam_rate_limit),
        (st.SubnetOwnerCut, settings.owner_cut),
    ):
        item.put(state, value)
    owner = key(SUDO)
    networks.create(rt, 0, owner, owner, settings.subnet)
    networks.create(rt, 1, owner, owner, settings.subnet)
    networks.open_pool(rt, 1, settings.network_min_lock_cost)
