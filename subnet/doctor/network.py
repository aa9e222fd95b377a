"""Checks of the chain and of what others see: registration, permit, weights, endpoint, clock.

Stake and weights are read a second time through `substrate-interface`, which shares no code with the SDK.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator
from typing import Any

from subnet.chain import Chain, ChainAway, ChainRejected, Endpoint, Hotkey, MetagraphSnapshot, Neuron, clock_trouble
from subnet.chain.weights import same_row
from subnet.config.tree import NeuronConfig, ValidatorConfig
from subnet.doctor.findings import Finding, Level
from subnet.protocol import public_key
from subnet.transport.dendrite import Dendrite, Peer

INDEPENDENT_S = 30.0


async def chain(config: NeuronConfig, client: Chain) -> AsyncIterator[Finding]:
    try:
        head, clock, block_time = await asyncio.gather(client.head(), client.clock(), client.block_time())
    except (ChainAway, ChainRejected) as error:
        yield Finding("chain", Level.BROKEN, str(error), "check --subtensor.network or --subtensor.chain_endpoint")
        return
    yield Finding("chain", Level.OK, f"{client.endpoint}, block {head.number}, a block every {block_time:g} s")
    now = time.time()
    trouble = clock_trouble(now, clock, block_time)
    if trouble:
        yield Finding(
            "clock", Level.BROKEN, trouble, "synchronise the clock: timedatectl set-ntp true; or the chain has stopped"
        )
    else:
        yield Finding("clock", Level.OK, f"within {abs(now - clock):.0f} s of the chain's")


async def membership(
    config: NeuronConfig, client: Chain, hotkey: Hotkey
) -> tuple[MetagraphSnapshot | None, Neuron | None, list[Finding]]:
    """The subnet, our row in it, and what is to be said about it."""
    try:
        snapshot = await client.snapshot(config.netuid)
    except (ChainAway, ChainRejected) as error:
        return None, None, [Finding("subnet", Level.BROKEN, str(error), "btcli subnets list")]
    subnet = Finding("subnet", Level.OK, f"{config.netuid}: {len(snapshot.neurons)} uids, tempo {snapshot.tempo}")
    me = snapshot.by_hotkey(hotkey.ss58_address)
    if me is None:
        missing = Finding("registration", Level.BROKEN, "the hotkey is not registered", config.register_command)
        return snapshot, None, [subnet, missing]
    return snapshot, me, [subnet, Finding("registration", Level.OK, f"uid {me.uid}, stake {me.stake:.3f} alpha")]


async def endpoint(me: Neuron, hotkey: Hotkey, *, miner: bool) -> AsyncIterator[Finding]:
    """The published endpoint, and whether something of ours answers there."""
    if me.axon is None:
        yield Finding("endpoint", Level.BROKEN if miner else Level.WARNING, "none is published", "start the neuron")
        return
    address = ipaddress.ip_address(me.axon.ip)
    if not address.is_global:
        yield Finding(
            "address", Level.WARNING, f"{me.axon} is not a public address: only a local subnet reaches it",
            "--axon.external_ip <public address>",
        )  # fmt: skip
    peer = Peer(public_key(hotkey.ss58_address), me.axon.ip, me.axon.port, me.axon.certificate)
    async with Dendrite(hotkey, allow_private=True) as dendrite:
        outcome = await dendrite.ping(peer, seconds=5)
    if outcome.value == hotkey.ss58_address or (not miner and outcome.status == 404):
        yield Finding("port", Level.OK, f"{me.axon} answers from here; ask somebody outside to try it as well")
    elif outcome.ok:
        yield Finding("port", Level.BROKEN, f"{me.axon} answers as {outcome.value}", "another neuron has that port")
    else:
        yield Finding(
            "port", Level.BROKEN, f"{me.axon} does not answer: {outcome.detail or outcome.result.value}",
            "start the neuron; open the port in firewall and router; check --axon.external_port",
        )  # fmt: skip


async def weights(config: ValidatorConfig, client: Chain, me: Neuron, hotkey: Hotkey) -> AsyncIterator[Finding]:
    """Permit, age of the weights, and a second reading of weights and stake."""
    if not me.validator_permit:
        yield Finding("permit", Level.BROKEN, "no validator permit", "stake more; permits are given at an epoch")
    else:
        yield Finding("permit", Level.OK, "the hotkey has a validator permit")
    try:
        rules = await client.weight_rules(config.netuid, hotkey.ss58_address)
        row = await client.weight_row(config.netuid, me.uid)
    except (ChainAway, ChainRejected) as error:
        yield Finding("weights", Level.BROKEN, str(error), "check the chain endpoint")
        return
    age = rules.block - rules.last_update
    if not row:
        yield Finding("weights", Level.WARNING, "the chain holds none of ours", "wait for the first round, see the log")
    elif age > config.validator.ready_blocks:
        yield Finding("weights", Level.BROKEN, f"set {age} blocks ago", "is the validator running? see /readyz")
    else:
        yield Finding("weights", Level.OK, f"{len(row)} uids, set {age} blocks ago")
    yield await asyncio.to_thread(_second_reading, client.endpoint, config.netuid, me, hotkey.ss58_address, row)


def _second_reading(url: str, netuid: int, me: Neuron, hotkey: str, row: tuple[tuple[int, int], ...]) -> Finding:
    from substrateinterface import SubstrateInterface
    from substrateinterface.exceptions import SubstrateRequestException

    registry: Any = {"types": {"Balance": "u64"}}
    try:
        options = {"timeout": INDEPENDENT_S}
        with SubstrateInterface(url=url, ss58_format=42, type_registry=registry, ws_options=options) as substrate:
            stored = substrate.query("SubtensorModule", "Weights", [netuid, me.uid]).value or []
            stake = substrate.query("SubtensorModule", "TotalHotkeyAlpha", [hotkey, netuid]).value or 0
    except (SubstrateRequestException, ConnectionError, OSError, ValueError, NotImplementedError) as error:
        return Finding("second reading", Level.WARNING, f"substrate-interface: {error}", "try again")
    if row and not same_row(row, stored):
        return Finding(
            "second reading", Level.BROKEN, f"substrate-interface reads other weights: {stored}",
            "the SDK's view is stale: restart, or use another endpoint",
        )  # fmt: skip
    return Finding(
        "second reading", Level.OK, f"substrate-interface agrees: {len(stored)} weights, {stake / 1e9:.3f} alpha"
    )


def endpoint_text(value: Endpoint | None) -> str:
    return str(value) if value is not None else "none"
