"""Reads what runs: the validators' snapshots and evidence over their local endpoints, and the chain itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from loguru import logger

from subnet.chain.client import Chain
from subnet.errors import AssayError
from subnet.localnet.table import bundle_path
from subnet.status.snapshot import StatusSnapshot


@dataclass(frozen=True, slots=True)
class OnChain:
    """What the chain says: uid, incentive in [0, 1] and stake (alpha) by hotkey, and how many have set weights."""

    block: int
    uids: Mapping[str, int]
    incentives: Mapping[str, float]
    stakes: Mapping[str, float]
    weights_set: int


class Watch:
    """Polls the validators named in `states` (name -> state folder, where each writes its endpoint.json)."""

    def __init__(self, states: Mapping[str, Path], session: httpx.AsyncClient) -> None:
        self._states = states
        self._session = session

    def endpoints(self) -> dict[str, str]:
        """Base URL of each validator that has published one so far."""
        found = {}
        for name, folder in self._states.items():
            path = folder / "endpoint.json"
            if path.exists():
                found[name] = str(json.loads(path.read_text())["url"]).rstrip("/")
        return found

    async def snapshots(self) -> dict[str, StatusSnapshot]:
        """The snapshots of the validators that answer; one that does not answer yet is left out."""
        names = self.endpoints()
        bodies = await asyncio.gather(*(self._get(f"{url}/snapshot.json") for url in names.values()))
        return {
            name: StatusSnapshot.from_json(body) for name, body in zip(names, bodies, strict=True) if body is not None
        }

    async def copy_bundles(self, snapshots: Mapping[str, StatusSnapshot], folder: Path) -> dict[str, Path]:
        """Stores every bundle that the validators' ledgers name under `folder`; returns digest -> file."""
        copies = {}
        endpoints = self.endpoints()
        for name, snapshot in snapshots.items():
            for entry in snapshot.ledger:
                if entry.bundle is None or entry.bundle in copies or name not in endpoints:
                    continue
                body = await self._get(f"{endpoints[name]}/bundle/{entry.bundle}")
                if body is None:
                    continue
                path = bundle_path(folder, entry.bundle)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(body)
                copies[entry.bundle] = path
        return copies

    async def _get(self, url: str) -> bytes | None:
        try:
            response = await self._session.get(url)
        except httpx.HTTPError as error:
            logger.debug("{} did not answer: {!r}", url, error)
            return None
        return response.content if response.status_code == httpx.codes.OK else None


async def read_chain(chain: Chain, netuid: int, validators: frozenset[str]) -> OnChain:
    """Incentives and stakes as the chain holds them. Raises ChainError when it does not answer."""
    graph = await chain.snapshot(netuid)
    rows = [(n, await chain.weight_row(netuid, n.uid)) for n in graph.neurons if n.hotkey in validators]
    if not graph.neurons:
        raise AssayError(f"subnet {netuid} has no neurons")
    return OnChain(
        block=graph.block,
        uids={neuron.hotkey: neuron.uid for neuron in graph.neurons},
        incentives={neuron.hotkey: neuron.incentive for neuron in graph.neurons},
        stakes={neuron.hotkey: neuron.stake for neuron in graph.neurons},
        weights_set=sum(1 for _, row in rows if row),
    )
