"""A running chain for the clients' tests, and one without sockets for the rules' tests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bittensor as bt
import bittensor_core as core
import pytest

from subnet.localchain.chain import Chain
from subnet.localchain.defaults import SPEC_VERSION, TRANSACTION_VERSION, Settings, Subnet
from subnet.localchain.errors import PoolRejection
from subnet.localchain.process import RunningChain, running_chain

TEMPO = 10
"""Tempo of the shared chain's subnets, in blocks."""


@pytest.fixture(scope="session")
def chain() -> Iterator[RunningChain]:
    """One chain process at 0.25 s blocks, shared by the session. Tests make their own subnets on it."""
    with running_chain(options=["--tempo", str(TEMPO)]) as running:
        yield running


def keypair(uri: str) -> core.Keypair:
    return core.Keypair.from_uri(uri)


def public(uri: str) -> bytes:
    return bytes(keypair(uri).public_key)


@dataclass(frozen=True)
class Wallet:
    """What the SDK takes for a wallet: two keys and a name."""

    name: str
    coldkey: core.Keypair
    hotkey: core.Keypair

    @property
    def coldkeypub(self) -> core.Keypair:
        return self.coldkey

    @property
    def hotkeypub(self) -> core.Keypair:
        return self.hotkey

    @property
    def cold(self) -> str:
        return self.coldkey.ss58_address

    @property
    def hot(self) -> str:
        return self.hotkey.ss58_address


def wallet(cold: str, hot: str | None = None) -> Wallet:
    return Wallet(cold.strip("/"), keypair(cold), keypair(hot or f"{cold}//hot"))


@dataclass(frozen=True)
class Outcome:
    """What became of one extrinsic: the events it left, and the name of the error if it failed."""

    events: list[dict[str, Any]]
    error: str | None

    @property
    def ok(self) -> bool:
        return self.error is None

    def event(self, name: str) -> Any:
        return next((e["event"]["attributes"] for e in self.events if e["event"]["event_id"] == name), None)


class Bench:
    """A chain in this process, driven block by block through the SDK's own codec.

    Every extrinsic is composed, signed and decoded by `bittensor_core`, so that the node's codec
    is never its own judge.
    """

    def __init__(self, settings: Settings | None = None, directory: Path | None = None) -> None:
        self.chain = Chain(settings or Settings(), directory)
        self.codec = core.Runtime(self.chain.program.metadata.v15, SPEC_VERSION, TRANSACTION_VERSION)
        self.time_ms = 1_700_000_000_000

    def close(self) -> None:
        self.chain.store.close()

    def call(self, pallet: str, name: str, **params: Any) -> bytes:
        return bytes(self.codec.compose_call(pallet, name, params))

    def sign(
        self,
        signer: core.Keypair,
        call: bytes,
        *,
        nonce: int | None = None,
        period: int | None = 64,
        tip: int = 0,
        genesis: bytes | None = None,
        at: int | None = None,
    ) -> bytes:
        """A signed extrinsic, as the SDK would build it."""
        chain = self.chain
        current = chain.head.number if at is None else at
        era: Any = "00" if period is None else {"period": period, "current": current}
        birth = 0 if period is None else core.era_birth(period, current)
        fields: dict[str, Any] = {
            "era": era,
            "nonce": chain.next_nonce(bytes(signer.public_key)) if nonce is None else nonce,
            "tip": tip,
            "tip_asset_id": None,
        }
        payload = self.codec.signature_payload(
            call,
            **fields,
            genesis_hash=genesis or chain.genesis_hash,
            era_block_hash=chain.store.hash_of(birth) or bytes(32),
        )
        data, _ = self.codec.encode_signed_extrinsic(
            call,
            public_key=bytes(signer.public_key),
            signature=bytes(signer.sign(bytes(payload))),
            signature_version=signer.crypto_type,
            **fields,
        )
        return bytes(data)

    def blocks(self, count: int = 1) -> None:
        for _ in range(count):
            self.time_ms += 250
            self.chain.produce(self.time_ms)

    def events(self) -> list[dict[str, Any]]:
        return self.read("System", "Events") or []

    def read(self, pallet: str, item: str, *params: Any) -> Any:
        """A storage value at the head, decoded by the SDK's codec."""
        entry = self.codec.storage_entry(pallet, item)
        raw = self.chain.state.at(
            self.chain.head.number, bytes(self.codec.storage_key(pallet, item, [_param(p) for p in params]))
        )
        if raw is None:
            type_ = entry.value_type if entry.modifier == "Default" else f"Option<{entry.value_type}>"
            return self.codec.decode(type_, bytes(entry.default_bytes))
        return self.codec.decode(entry.value_type, raw)

    def api(self, name: str, *params: Any) -> Any:
        """A runtime API call at the head, encoded and decoded by the SDK's codec."""
        api, _, method = name.partition(".")
        described = self.codec.runtime_api_map()[api][method]
        data = b"".join(
            bytes(self.codec.encode(type_, _param(value)))
            for (_, type_), value in zip(described["inputs"], params, strict=True)
        )
        return self.codec.decode(
            described["output"], self.chain.call_api(f"{api}_{method}", data, self.chain.head.number)
        )

    def send(self, uri: str, pallet: str, name: str, **params: Any) -> Outcome:
        """Sign and include one call; the outcome as its events tell it."""
        return self.include(self.sign(keypair(uri), self.call(pallet, name, **params)))

    def sudo(self, pallet: str, name: str, **params: Any) -> Outcome:
        return self.include(
            self.sign(keypair("//Alice"), self.call("Sudo", "sudo", call=self.call(pallet, name, **params)))
        )

    def include(self, raw: bytes) -> Outcome:
        self.chain.submit(raw)
        self.blocks()
        return self.outcome(raw)

    def outcome(self, raw: bytes) -> Outcome:
        index = self.chain.head.extrinsics.index(raw)
        events = [e for e in self.events() if e["extrinsic_idx"] == index]
        error = None
        for entry in events:
            event = entry["event"]
            attributes = event["attributes"]
            if event["event_id"] == "ExtrinsicFailed":
                error = self._name(attributes["dispatch_error"])
            if event["event_id"] == "Sudid" and "Err" in attributes["sudo_result"]:
                error = self._name(attributes["sudo_result"]["Err"])
        return Outcome(events, error)

    def refused(self, raw: bytes) -> PoolRejection:
        """The pool's reason to refuse an extrinsic."""
        with pytest.raises(PoolRejection) as caught:
            self.chain.submit(raw)
        return caught.value

    def _name(self, error: Any) -> str:
        if isinstance(error, dict) and "Module" in error:
            module = error["Module"]
            return self.codec.module_error(module["index"], int(str(module["error"])[2:4], 16))[0]
        if isinstance(error, dict):
            ((kind, detail),) = error.items()
            return f"{kind}.{detail}"
        return str(error)

    def subnet(self, owner: str = "//Alice", hot: str = "//Alice//hot", started: bool = True) -> int:
        """Register a subnet, and start it; returns its netuid."""
        added = self.send(owner, "SubtensorModule", "register_network", hotkey=keypair(hot).ss58_address)
        netuid = int(added.event("NetworkAdded")[0])
        if started:
            assert self.send(owner, "SubtensorModule", "start_call", netuid=netuid).ok
        return netuid

    def register(self, netuid: int, cold: str, hot: str) -> int:
        """Register a hotkey; returns its uid."""
        done = self.send(cold, "SubtensorModule", "burned_register", netuid=netuid, hotkey=keypair(hot).ss58_address)
        assert done.ok, done.error
        return int(done.event("NeuronRegistered")[1])


def _param(value: Any) -> Any:
    return core.ss58_encode(value, 42) if isinstance(value, bytes) and len(value) == 32 else value


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def quick(**changes: Any) -> Settings:
    """Settings with a changed subnet."""
    return Settings(subnet=replace(Subnet(), **changes))


@asynccontextmanager
async def sdk(endpoint: str) -> AsyncIterator[bt.Client]:
    """An SDK client whose close is bounded: on Python 3.11 it may wait for ever."""
    client = bt.Client(endpoint)
    await client.connect()
    try:
        yield client
    finally:
        await asyncio.wait({asyncio.ensure_future(client.close())}, timeout=2)


@pytest.fixture(scope="session")
def btcli_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of btcli subprocesses: a home of their own."""
    home = tmp_path_factory.mktemp("btcli")
    names = (
        "BITTENSOR_RUNTIME_CACHE_DIR",
        "BTCLI_ADDRESSES_PATH",
        "BTCLI_CONFIG",
        "BTCLI_MULTISIGS_PATH",
        "BTCLI_MULTISIG_CACHE",
        "BTCLI_PROXIES_PATH",
        "BTCLI_SUBNET_NAMES_CACHE",
        "BTCLI_TOKEN_SYMBOLS_CACHE",
    )
    return {**os.environ, "HOME": str(home), **{name: str(home / name.lower()) for name in names}}
