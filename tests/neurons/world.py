"""A small subnet of real processes on the embedded chain: what the end-to-end and survival tests act in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bittensor as bt
import httpx

from subnet.chain import Chain, MetagraphSnapshot, Neuron
from subnet.chain.owner import Hyperparameters, connected, development_key, open_wallet

ROOT = Path(__file__).resolve().parents[2]
READY = re.compile(r"LOCALCHAIN READY (ws://\S+)")


@dataclass
class Process:
    """A child in its own process group, with its output in a file."""

    name: str
    args: list[str]
    log: Path
    env: dict[str, str] = field(default_factory=dict)
    popen: subprocess.Popen | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.popen = subprocess.Popen(
                [sys.executable, *self.args], stdout=output, stderr=subprocess.STDOUT, cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1", **self.env}, start_new_session=True,
            )  # fmt: skip

    def signal(self, number: int) -> None:
        assert self.popen is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.popen.pid, number)

    def kill(self) -> None:
        """kill -9 of the process alone: what it started must end by itself."""
        self.signal(signal.SIGKILL)
        assert self.popen is not None
        self.popen.wait(10)

    def terminate(self, seconds: float = 20) -> int:
        """SIGTERM; the exit code, within the time given."""
        self.signal(signal.SIGTERM)
        assert self.popen is not None
        return self.popen.wait(seconds)

    @property
    def alive(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def end(self) -> None:
        if self.popen is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait(10)


@dataclass
class World:
    """The chain, the wallets and the neurons of a test."""

    folder: Path
    block_time: float = 1.0
    tempo: int = 10
    model: str = ""
    request_s: float = 15.0
    chain: Process | None = None
    endpoint: str = ""
    road: str = ""
    """Endpoint that neurons are given where it is not the chain's own (a proxy in front of it)."""
    netuid: int = 0
    disks: dict[str, Path] = field(default_factory=dict)
    """Folders that hold the state of some neurons, in place of one in this world's own."""
    hotkeys: dict[str, str] = field(default_factory=dict)
    neurons: dict[str, Process] = field(default_factory=dict)

    async def open(self, validators: Sequence[str], miners: Sequence[str], rate_limit: int = 2) -> None:
        """Starts the chain and registers a subnet with these wallets; validators are staked."""
        await self.start_chain(port=0)
        path = self.folder / "wallets"
        wallets = {name: open_wallet(path, name, "default") for name in ("owner", *validators, *miners)}
        async with connected(self.endpoint, development_key("Alice")) as owner:
            await owner.fund([w.coldkeypub.ss58_address for w in wallets.values()], 5000.0)
            self.netuid = await owner.register_subnet(wallets["owner"])
            values = Hyperparameters(
                tempo=self.tempo, weights_rate_limit=rate_limit, immunity_period=1000, commit_reveal=False
            )
            await owner.set_hyperparameters(self.netuid, values)
            await owner.start(self.netuid, wallets["owner"])
            await asyncio.gather(*(owner.register(self.netuid, wallets[n]) for n in (*validators, *miners)))
            await asyncio.gather(*(owner.stake(self.netuid, wallets[name], 20.0) for name in validators))
        self.hotkeys = {name: wallet.hotkey.ss58_address for name, wallet in wallets.items()}

    async def register(self, name: str) -> None:
        """Makes a wallet and registers its hotkey on the running subnet, or one that lost its uid again."""
        wallet = open_wallet(self.folder / "wallets", name, "default")
        async with connected(self.endpoint, development_key("Alice")) as owner:
            await owner.fund([wallet.coldkeypub.ss58_address], 100.0)
            await owner.register(self.netuid, wallet)
        self.hotkeys[name] = wallet.hotkey.ss58_address

    async def stake(self, name: str, tao: float) -> None:
        async with connected(self.endpoint, development_key("Alice")) as owner:
            await owner.stake(self.netuid, open_wallet(self.folder / "wallets", name, "default"), tao)

    async def sudo(self, **settings: int | bool | str) -> None:
        """Sets hyperparameters of the subnet by their names in AdminUtils, as the chain's owner."""
        keys = {"commit_reveal_weights_enabled": "enabled", "sn_owner_hotkey": "hotkey"}
        calls = [
            getattr(bt.calls.AdminUtils, f"sudo_set_{name}")(netuid=self.netuid, **{keys.get(name, name): value})
            for name, value in settings.items()
        ]
        async with connected(self.endpoint, development_key("Alice")) as owner:
            await owner.sudo(calls, f"set {settings}")

    async def start_chain(self, port: int, *extra: str) -> None:
        args = [
            "-m", "subnet.localchain", "--port", str(port), "--block-time", str(self.block_time),
            "--state-dir", str(self.folder / "chain"), *extra,
        ]  # fmt: skip
        self.chain = Process("chain", args, self.folder / "chain.log")
        before = len(self.chain.text())
        self.chain.start()

        def ready() -> bool:
            assert self.chain is not None
            found = READY.search(self.chain.text()[before:])
            if found:
                self.endpoint = found.group(1)
            return bool(found)

        await until(ready, 60, "the chain is ready")

    def add(self, role: str, name: str, *extra: str, env: dict[str, str] | None = None) -> Process:
        """Defines a neuron without starting it. A later flag overrides an earlier one. With ALTERED_… in `env` it runs
        through altered.py."""
        altered = any(name.startswith("ALTERED_") for name in env or {})
        program = ["tests/neurons/altered.py", role] if altered else [f"neurons/{role}.py"]
        common = [
            *program, "--netuid", str(self.netuid), "--subtensor.chain_endpoint", self.road or self.endpoint,
            "--subtensor.timeout_s", "10", "--wallet.path", str(self.folder / "wallets"), "--wallet.name", name,
            "--state.dir", str(self.state(name)), "--threads", "1", "--wandb.off", "--http.port", "0",
            "--axon.ip", "127.0.0.2", "--axon.external_ip", "127.0.0.2", "--axon.port", "0", "--logging.debug",
        ]  # fmt: skip
        if role == "validator":
            common += [
                "--validator.allow_private", "--validator.requests", "2", "--validator.max_requests", "2",
                "--validator.max_tokens", "24",
                "--validator.prompt_tokens", "700", "--validator.round_blocks", "4", "--validator.check_rate", "1.0",
                "--validator.weights_blocks", "4", "--validator.commit_blocks", "10",
                "--validator.request_timeout_s", str(self.request_s), "--validator.drain_s", "15",
                "--validator.reward", "text" if self.model else "handmade",
            ]  # fmt: skip
        if role == "miner":
            common += ["--miner.self_test", "0"]
        if self.model:
            common += ["--model.path", self.model]
        process = Process(name, [*common, *extra], self.folder / f"{name}.log", env or {})
        self.neurons[name] = process
        return process

    def state(self, name: str) -> Path:
        return self.disks.get(name, self.folder / "state") / name

    def url(self, name: str) -> str | None:
        file = self.state(name) / "endpoint.json"
        return json.loads(file.read_text())["url"] if file.exists() else None

    async def get(self, name: str, path: str) -> httpx.Response | None:
        """The page of a neuron's operations endpoint, or None where nobody answers."""
        url = self.url(name)
        if url is None:
            return None
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
                return await client.get(url + path)
        except httpx.TransportError:
            return None

    async def snapshot(self, name: str) -> dict | None:
        page = await self.get(name, "/snapshot.json")
        return page.json() if page is not None and page.status_code == 200 else None

    async def miner_row(self, validator: str, miner: str) -> dict | None:
        snapshot = await self.snapshot(validator)
        rows = snapshot["miners"] if snapshot else []
        return next((row for row in rows if row["hotkey"] == self.hotkeys[miner]), None)

    def rows(self, validator: str, sql: str) -> list[tuple]:
        """Rows of a validator's database, read while it may be running or dead."""
        file = self.state(validator) / "validator.sqlite"
        if not file.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as db:
            try:
                return db.execute(sql).fetchall()
            except sqlite3.OperationalError:
                return []

    def settled(self, validator: str) -> int:
        """How many rounds of a validator are settled."""
        found = self.rows(validator, "SELECT COUNT(*) FROM rounds WHERE phase = 3")
        return found[0][0] if found else 0

    async def neuron(self, name: str) -> Neuron | None:
        """A hotkey's row of the metagraph."""
        return (await self.metagraph()).by_hotkey(self.hotkeys[name])

    async def metagraph(self) -> MetagraphSnapshot:
        chain = Chain(self.endpoint, timeout_s=10)
        try:
            return await chain.snapshot(self.netuid)
        finally:
            await chain.close()

    async def weights_of(self, validator: str) -> tuple[int, tuple[tuple[int, int], ...]]:
        """The block of a validator's newest weights, and the (uid, u16) row that the chain holds."""
        chain = Chain(self.endpoint, timeout_s=10)
        try:
            rules = await chain.weight_rules(self.netuid, self.hotkeys[validator])
            assert rules.uid is not None
            return rules.last_update, await chain.weight_row(self.netuid, rules.uid)
        finally:
            await chain.close()

    async def weight_updates(self, validator: str) -> list[int]:
        """Every block at which the chain took weights of this validator, from the chain's past states."""
        neuron = await self.neuron(validator)
        assert neuron is not None
        item: Any = ("SubtensorModule", "LastUpdate")
        async with bt.Client(self.endpoint) as client:
            head = await client.block()
            blocks = range(neuron.registered_at, head + 1)
            seen = {(await client.query(item, [self.netuid], block=number))[neuron.uid] for number in blocks}
        return sorted(int(block) for block in seen if block > neuron.registered_at)

    async def incentives(self) -> dict[str, float]:
        """Incentive on the chain by name."""
        snapshot = await self.metagraph()
        names = {hotkey: name for name, hotkey in self.hotkeys.items()}
        return {names[n.hotkey]: n.incentive for n in snapshot.neurons if n.hotkey in names}

    def close(self) -> None:
        for process in (*self.neurons.values(), self.chain):
            if process is not None:
                process.end()


def tiny_model(folder: Path) -> str:
    """A two-layer random Llama with a byte tokenizer: the path of its manifest. Its replay takes milliseconds."""
    from subnet.models.describe import describe
    from subnet.models.manifest import Source
    from subnet.verify.profile import load_profile
    from tests.models.tiny import save_tiny

    folder.mkdir()
    save_tiny(folder, max_position_embeddings=1024)
    made = describe(folder, name="tiny", source=Source("folder", "tiny", ""), licence="mit", store=folder / "store")
    profile = json.loads(load_profile("smollm2-135m-instruct-fp32").to_json())
    path = folder / "assay.json"
    path.write_text(made.with_profile(profile).dumps())
    return str(path)


async def until(condition, seconds: float, what: str, every: float = 0.2):
    """Waits for a condition (plain or awaitable) to give something true, and gives it back."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(every)
