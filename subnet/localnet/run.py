"""One localnet run from an empty folder to its verdict. Everything that it starts ends with it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
from rich.console import Console
from rich.live import Live

from subnet.chain.client import Chain
from subnet.chain.owner import connected, development_key
from subnet.errors import AssayError, ChainError
from subnet.localnet.bootstrap import fill_subnet, found_subnet
from subnet.localnet.commands import Setting
from subnet.localnet.fleet import Fleet
from subnet.localnet.outcome import Outcome, judge
from subnet.localnet.plan import Plan
from subnet.localnet.table import live_table, report
from subnet.localnet.watch import OnChain, Watch, read_chain
from subnet.models.provenance import locate
from subnet.models.registry import DEFAULT_MODEL, find_model
from subnet.status.snapshot import StatusSnapshot

ROOT = Path(__file__).resolve().parents[2]
USUAL_PORT = 9944
CHAIN_READY = "LOCALCHAIN READY"
"""What the embedded chain prints when it serves."""
REFRESH_S = 1.0
READ_DEADLINE_S = 5.0
START_DEADLINE_S = 120.0
"""A process that is not ready in this time has failed: loading the weights takes seconds, even on a busy machine."""
WEIGHTS_DEADLINE_S = 600.0
LINES_WITHOUT_TERMINAL_S = 20.0
WORTH_TELLING_S = 2.0
LEAST_EPOCHS = 2
"""Epochs that even a settled run shows, so that the honest are seen to go on earning and the cheats not to."""


@dataclass(slots=True)
class Clock:
    """Seconds since the run began, and the block at which the first weights were seen."""

    started: float = field(default_factory=time.monotonic)
    first_weights_s: float | None = None
    first_weights_block: int | None = None

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def epochs(self, block: int, tempo: int) -> int:
        """Whole tempos since the first weights were on the chain."""
        return 0 if self.first_weights_block is None else (block - self.first_weights_block) // tempo


async def run(plan: Plan, console: Console) -> Outcome:
    """Runs the plan to its end. Raises AssayError when something could not start or died on the way."""
    clock = Clock()

    def say(line: str) -> None:
        console.print(f"[dim]{clock.elapsed:6.1f} s[/dim]  {line}", highlight=False)

    async with (
        Fleet(plan.folder / "logs", environment(plan)) as fleet,
        httpx.AsyncClient(timeout=READ_DEADLINE_S, trust_env=False) as session,
    ):
        ready = asyncio.create_task(asyncio.to_thread(prepare_model, plan.model, say))
        endpoint = plan.endpoint or await start_chain(plan, fleet, say)
        async with connected(endpoint, development_key("Alice")) as owner:
            opened = await found_subnet(owner, plan, say)
            await ready
            setting = Setting(plan, opened, endpoint)
            # they load for some seconds, in which the chain registers them
            for participant in (*plan.miners, *plan.validators):
                await fleet.start(participant.name, setting.arguments(participant), ROOT)
            say(f"started {len(plan.participants)} neurons; logs in {plan.folder / 'logs'}")
            await fill_subnet(owner, opened, plan, say)
        watch = Watch({v.name: setting.state(v) for v in plan.validators}, session)
        await start_page(setting, fleet, watch, say)
        chain = Chain(endpoint)
        try:
            outcome = await follow(setting, fleet, watch, chain, clock, console)
            record(plan.folder / "outcome.json", outcome, clock)
            console.print(report(outcome, plan.folder), soft_wrap=True)
            if plan.keep:
                await stay(setting, fleet, console)
        finally:
            await chain.close()
    return outcome


def environment(plan: Plan) -> dict[str, str]:
    """The children's environment: no model hub, few threads, and the SDK's caches inside the run's folder."""
    threads = str(plan.threads)
    return {
        **os.environ,
        "HF_HUB_OFFLINE": "1" if plan.model == DEFAULT_MODEL else os.environ.get("HF_HUB_OFFLINE", "0"),
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": threads,
        "PYTHONUNBUFFERED": "1",
        "BITTENSOR_RUNTIME_CACHE_DIR": str(plan.folder / "sdk-cache"),
    }


def prepare_model(name: str, say: Callable[[str], None]) -> None:
    """Converts and checks the weights once, so that eight processes do not wait for it or do it again.

    Raises ModelError for a model that is not there or is not what its manifest says.
    """
    named, began = find_model(name), time.monotonic()
    locate(named.manifest, named.base, None)
    if (took := time.monotonic() - began) > WORTH_TELLING_S:
        say(f"converted and checked {named.manifest.name} in {took:.0f} s (only the first run does)")


async def start_chain(plan: Plan, fleet: Fleet, say: Callable[[str], None]) -> str:
    """Starts the embedded chain, on the usual port where it is free, and waits until it answers."""
    port = free_port(USUAL_PORT)
    endpoint = f"ws://127.0.0.1:{port}"
    arguments = ["-m", "subnet.localchain", "--port", str(port), "--block-time", f"{plan.block_time:g}"]
    chain = await fleet.start("chain", arguments, ROOT)
    deadline = time.monotonic() + START_DEADLINE_S
    while CHAIN_READY not in chain.log.read_text(errors="replace"):
        fleet.check()
        if time.monotonic() > deadline:
            raise ChainError(f"the local chain was not ready in {START_DEADLINE_S:.0f} s; see {chain.log}")
        await asyncio.sleep(0.05)
    say(f"local chain at {endpoint}, a block every {plan.block_time:g} s")
    return endpoint


def free_port(wanted: int) -> int:
    """`wanted` where nothing listens on it, another free port otherwise."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise AssayError("this machine has no free port on 127.0.0.1")


async def start_page(setting: Setting, fleet: Fleet, watch: Watch, say: Callable[[str], None]) -> None:
    """Waits for the validators' endpoints, then serves the status page over them."""
    deadline = time.monotonic() + START_DEADLINE_S
    validators = setting.plan.validators
    while len(endpoints := watch.endpoints()) < len(validators):
        fleet.check()
        if time.monotonic() > deadline:
            missing = ", ".join(sorted({v.name for v in validators} - set(endpoints)))
            raise AssayError(f"{missing} did not open an endpoint in {START_DEADLINE_S:.0f} s; see {fleet.folder}")
        await asyncio.sleep(0.1)
    port = free_port(setting.plan.page_port)
    arguments = ["-m", "subnet.status", "--port", str(port)]
    for url in endpoints.values():
        arguments += ["--source", url]
    for participant in setting.plan.miners:
        arguments += ["--label", f"{setting.opened.hotkeys[participant.name]}={participant.kind}"]
    await fleet.start("page", arguments, ROOT)
    say(f"status page at http://127.0.0.1:{port}/")


async def follow(setting: Setting, fleet: Fleet, watch: Watch, chain: Chain, clock: Clock, console: Console) -> Outcome:
    """Shows the table until the run is settled or its epochs have passed since the first weights, then judges."""
    plan, opened = setting.plan, setting.opened
    keys = frozenset(opened.hotkeys[v.name] for v in plan.validators)
    last_line = 0.0
    with Live(console=console, refresh_per_second=4, transient=False, auto_refresh=console.is_terminal) as live:
        while True:
            fleet.check()
            snapshots = await watch.snapshots()
            seen = await read_chain(chain, opened.netuid, keys)
            note_weights(clock, seen)
            title = headline(plan, clock, seen, snapshots)
            table = live_table(plan, opened.hotkeys, seen.uids, list(snapshots.values()), title)
            if console.is_terminal:
                live.update(table)
            elif clock.elapsed - last_line > LINES_WITHOUT_TERMINAL_S:
                last_line = clock.elapsed
                console.print(table)
            outcome = judge(plan, opened.hotkeys, snapshots, seen.incentives, seen.stakes)
            epochs = clock.epochs(seen.block, plan.tempo)
            if epochs >= plan.epochs or (epochs >= LEAST_EPOCHS and outcome.settled(len(plan.validators))):
                break
            if clock.first_weights_s is None and clock.elapsed > WEIGHTS_DEADLINE_S:
                raise AssayError(f"no validator set weights in {WEIGHTS_DEADLINE_S:.0f} s; see {fleet.folder}")
            await asyncio.sleep(REFRESH_S)
    await watch.copy_bundles(snapshots, plan.folder)
    return outcome


def record(path: Path, outcome: Outcome, clock: Clock) -> None:
    """Writes what the run came to as JSON, for programs: see benchmarks/localnet.py."""
    values = {
        "kept_the_promise": outcome.kept_the_promise,
        "problems": outcome.problems,
        "first_weights_s": clock.first_weights_s,
        "seconds": clock.elapsed,
        "miners": [{**asdict(miner), "participant": asdict(miner.participant)} for miner in outcome.miners],
    }
    path.write_text(json.dumps(values, indent=1) + "\n")


def note_weights(clock: Clock, seen: OnChain) -> None:
    """Remembers when the first weights were on the chain."""
    if clock.first_weights_s is None and seen.weights_set:
        clock.first_weights_s, clock.first_weights_block = clock.elapsed, seen.block


def headline(plan: Plan, clock: Clock, seen: OnChain, snapshots: Mapping[str, StatusSnapshot]) -> str:
    rounds = [snapshot.round_s for snapshot in snapshots.values() if snapshot.round_s is not None]
    parts = [f"block {seen.block}", f"{clock.elapsed:.0f} s"]
    if rounds:
        parts.append(f"a round takes {sum(rounds) / len(rounds):.1f} s")
    if clock.first_weights_s is None:
        parts.append("no weights yet")
    else:
        parts.append(f"first weights after {clock.first_weights_s:.0f} s")
        parts.append(f"epoch {min(clock.epochs(seen.block, plan.tempo), plan.epochs)} of {plan.epochs}")
    return ", ".join(parts)


async def stay(setting: Setting, fleet: Fleet, console: Console) -> None:
    """Keeps everything up until the person ends it, and says how to join in."""
    console.print("\nStill running; Ctrl-C ends it. To attach a miner of your own, in another terminal:")
    for command in setting.attach():
        console.print(f"  {command}", soft_wrap=True, highlight=False)
    while True:
        fleet.check()
        await asyncio.sleep(REFRESH_S)
