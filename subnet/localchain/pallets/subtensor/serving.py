"""Endpoints: serve_axon and serve_prometheus, with the chain's address rules."""

from __future__ import annotations

import ipaddress

from subnet.localchain.pallets.subtensor import storage as st
from subnet.localchain.runtime import Origin, Runtime

_AXON = {
    "netuid": "NetUid", "version": "u32", "ip": "u128", "port": "u16", "ip_type": "u8", "protocol": "u8",
    "placeholder1": "u8", "placeholder2": "u8",
}  # fmt: skip

_NULL_V4 = {0, int(ipaddress.IPv4Address("255.255.255.255"))}


def _valid_ip(ip: int, ip_type: int) -> bool:
    """The chain's rule, less its ban of 127.0.0.1: on one machine every miner is at home."""
    if ip_type == 4:
        return ip not in _NULL_V4 and ip < 1 << 32
    return ip not in (0, (1 << 128) - 1) and not ipaddress.IPv6Address(ip).is_loopback


def _check(rt: Runtime, netuid: int, hotkey: bytes, ip: int, ip_type: int, last: int | None) -> None:
    if ip_type not in (4, 6):
        raise rt.error("InvalidIpType")
    if not _valid_ip(ip, ip_type):
        raise rt.error("InvalidIpAddress")
    if not st.Uids.has(rt.state, netuid, hotkey):
        raise rt.error("HotKeyNotRegisteredInNetwork")
    if last is not None and rt.block - last < st.ServingRateLimit.get(rt.state, netuid):
        raise rt.error("ServingRateLimitExceeded")


@st.PALLET.call(_AXON, coldkey_pays=True)
def serve_axon(rt: Runtime, origin: Origin, netuid: int, **axon: int) -> None:
    """Publish where a hotkey's axon listens."""
    _serve_axon(rt, origin.signed(), netuid, axon)


@st.PALLET.call(_AXON, coldkey_pays=True, certificate="Vec<u8>")
def serve_axon_tls(rt: Runtime, origin: Origin, netuid: int, certificate: bytes, **axon: int) -> None:
    """Publish an axon and its certificate (one algorithm byte, then the public key)."""
    hotkey = origin.signed()
    _serve_axon(rt, hotkey, netuid, axon)
    if certificate:
        entry = {"public_key": certificate[1:], "algorithm": certificate[0]}
        st.NeuronCertificates.put(rt.state, netuid, hotkey, entry)


def _serve_axon(rt: Runtime, hotkey: bytes, netuid: int, axon: dict[str, int]) -> None:
    last = st.Axons.get(rt.state, netuid, hotkey)
    _check(rt, netuid, hotkey, axon["ip"], axon["ip_type"], None if last is None else last["block"])
    if axon["port"] == 0:
        raise rt.error("InvalidPort")
    st.Axons.put(rt.state, netuid, hotkey, {"block": rt.block, **axon})
    rt.deposit("SubtensorModule", "AxonServed", (netuid, hotkey))


@st.PALLET.call(coldkey_pays=True, netuid="NetUid", version="u32", ip="u128", port="u16", ip_type="u8")
def serve_prometheus(rt: Runtime, origin: Origin, netuid: int, **info: int) -> None:
    """Publish where a hotkey's metrics are."""
    hotkey = origin.signed()
    last = st.Prometheus.get(rt.state, netuid, hotkey)
    _check(rt, netuid, hotkey, info["ip"], info["ip_type"], None if last is None else last["block"])
    st.Prometheus.put(rt.state, netuid, hotkey, {"block": rt.block, **info})
    rt.deposit("SubtensorModule", "PrometheusServed", (netuid, hotkey))
