"""The subnet as a neuron follows it: the newest snapshot, its own row in it, and its published endpoint."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit

from loguru import logger

from subnet.chain.client import Chain
from subnet.chain.errors import ChainAway, ChainRejected
from subnet.chain.values import Endpoint, Head, MetagraphSnapshot, Neuron
from subnet.errors import ConfigError

REMIND_BLOCKS = 25
"""How often a missing registration or a refused endpoint is mentioned again, in blocks."""


class Membership:
    """Refreshes the snapshot as blocks come. Feed it heads; read `snapshot` and `me`."""

    def __init__(self, chain: Chain, netuid: int, hotkey: str, register_command: str, every_blocks: int = 1) -> None:
        self._chain, self._netuid, self._hotkey = chain, netuid, hotkey
        self._command, self._every = register_command, every_blocks
        self._changed = asyncio.Condition()
        self._reminded = -REMIND_BLOCKS
        self.snapshot: MetagraphSnapshot | None = None

    @property
    def me(self) -> Neuron | None:
        return self.snapshot.by_hotkey(self._hotkey) if self.snapshot is not None else None

    async def on_head(self, head: Head) -> bool:
        """Refreshes when it is time to; True where there is a new snapshot. ChainAway passes through."""
        if self.snapshot is not None and head.number < self.snapshot.block + self._every:
            return False
        before = self.me
        snapshot = await self._chain.snapshot(self._netuid)
        async with self._changed:
            self.snapshot = snapshot
            self._changed.notify_all()
        self._tell(before, head.number)
        return True

    def _tell(self, before: Neuron | None, block: int) -> None:
        me = self.me
        if me is None:
            if block >= self._reminded + REMIND_BLOCKS:
                self._reminded = block
                logger.error(
                    "Hotkey {} is not registered on subnet {}. Register it: {} (this process carries on then)",
                    self._hotkey, self._netuid, self._command,
                )  # fmt: skip
        elif before is None or before.uid != me.uid:
            self._reminded = -REMIND_BLOCKS
            logger.info("Registered on subnet {} as uid {}", self._netuid, me.uid)

    async def registered(self) -> Neuron:
        """This neuron's row, as soon as there is one."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.me is not None)
        assert self.me is not None
        return self.me


class Publisher:
    """Keeps the endpoint on the chain equal to the one that we listen on."""

    def __init__(self, chain: Chain, netuid: int, hotkey, endpoint: Endpoint) -> None:
        self._chain, self._netuid, self._hotkey, self.endpoint = chain, netuid, hotkey, endpoint
        self._next_try = 0
        self.published = False

    async def on_snapshot(self, me: Neuron | None, block: int) -> None:
        if me is None:
            self.published = False
            return
        self.published = me.axon == self.endpoint
        if self.published or block < self._next_try:
            return
        self._next_try = block + REMIND_BLOCKS
        try:
            withdraw = me.axon is not None and me.axon.certificate is not None
            await self._chain.serve_axon(self._netuid, self.endpoint, self._hotkey, withdraw=withdraw)
        except ChainRejected as error:
            logger.error("The chain refuses the endpoint {}: {}; trying again in {} blocks", self.endpoint, error,
                         REMIND_BLOCKS)  # fmt: skip
        except ChainAway as error:
            logger.warning("Publishing the endpoint {}: {}", self.endpoint, error)
            self._next_try = block + 1
        else:
            logger.info("Published {} on subnet {}", self.endpoint, self._netuid)
            self.published = True


def external_endpoint(ip: str, port: int, listening_port: int, chain_endpoint: str) -> Endpoint:
    """The endpoint to publish: what was configured, else this machine's address towards the chain."""
    address = ip or _address_towards(urlsplit(chain_endpoint).hostname or "")
    if ipaddress.ip_address(address).is_loopback and not ip:
        raise ConfigError(
            f"the chain at {chain_endpoint} is reached from {address}, where nobody else can reach us: "
            "give --axon.external_ip"
        )
    return Endpoint(address, port or listening_port)


def _address_towards(host: str) -> str:
    """The local address of a route to `host`. Nothing is sent."""
    try:
        family, kind, _, _, target = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise ConfigError(f"cannot tell this machine's address ({error}): give --axon.external_ip") from error
