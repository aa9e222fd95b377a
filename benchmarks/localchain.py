"""What the local chain does on this machine: `python benchmarks/localchain.py [--quick]`.

Every number is measured against a node process through the unmodified SDK or a bare websocket,
save the epoch, which is timed in this process. Writes benchmarks/results/localchain.{json,md}.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["BITTENSOR_RUNTIME_CACHE_DIR"] = tempfile.mkdtemp(prefix="assay-bench-")

import bittensor as bt
import bittensor_core as core
from bittensor._transport.codec import strip_option_opaque_metadata
from websockets.asyncio.client import ClientConnection, connect

from subnet.localchain.chain import Chain
from subnet.localchain.defaults import RAO, SPEC_VERSION, TRANSACTION_VERSION, Settings
from subnet.localchain.pallets.subtensor import epoch
from subnet.localchain.process import RunningChain, start_chain

RESULTS = Path(__file__).parent / "results"
PROTOTYPE = {
    "connect_ms": 17.0,
    "reads_per_s": 800.0,
    "extrinsics_per_s": 264.0,
    "metagraph_ms": 28.0,
    "idle_cpu_percent": 7.0,
    "idle_memory_mb": 75.0,
}
"""A throw-away prototype on a busy 2-core machine (metagraph of 65 uids), the numbers to beat."""
AIMS = {"reads_per_s": 2_000.0, "extrinsics_per_s": 600.0, "metagraph_ms": 30.0, "epoch_ms": 50.0}
UNITS = {
    "connect_ms": "connect and first read, ms",
    "reads_per_s": "storage reads a second, SDK client",
    "raw_reads_per_s": "storage reads a second, bare websocket, pipelined",
    "extrinsics_per_s": "signed extrinsics a second, submit to finalized",
    "metagraph_ms": "metagraph of 256 uids through the SDK, ms",
    "metagraph_node_ms": "the node's part of it, ms",
    "epoch_ms": "epoch of 256 neurons with 64 validators, ms",
    "idle_cpu_percent": "CPU of one core when idle, 0.25 s blocks, 4 subscribers, %",
    "idle_memory_mb": "memory when idle, MB",
    "block_time_p50_ms": "block time under load, median, ms (0.25 s asked)",
    "block_time_max_ms": "block time under load, longest, ms",
}


class Raw:
    """A bare JSON-RPC client, so that the client does not limit what is measured."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def ask(self, method: str, *params: Any) -> Any:
        await self.socket.send(_request(0, method, *params))
        while True:
            reply = json.loads(await self.socket.recv())
            if "id" in reply:
                return reply["result"]

    async def codec(self) -> core.Runtime:
        blob = await self.ask("state_call", "Metadata_metadata_at_version", "0x0f000000", None)
        metadata = strip_option_opaque_metadata(bytes.fromhex(blob[2:]))
        return core.Runtime(metadata, SPEC_VERSION, TRANSACTION_VERSION)


def _request(ident: int, method: str, *params: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": ident, "method": method, "params": list(params)})


def sign(codec: core.Runtime, signer: core.Keypair, call: bytes, nonce: int, genesis: bytes) -> bytes:
    fields: dict[str, Any] = {"era": "00", "nonce": nonce, "tip": 0, "tip_asset_id": None}
    payload = codec.signature_payload(call, **fields, genesis_hash=genesis, era_block_hash=genesis)
    data, _ = codec.encode_signed_extrinsic(
        call,
        public_key=bytes(signer.public_key),
        signature=bytes(signer.sign(bytes(payload))),
        signature_version=1,
        **fields,
    )
    return bytes(data)


async def connect_ms(node: RunningChain, rounds: int) -> float:
    """A new client with a warm metadata cache, to its first balance. Median."""
    times = []
    alice = core.Keypair.from_uri("//Alice").ss58_address
    for _ in range(rounds):
        started = time.perf_counter()
        client = bt.Client(node.endpoint)
        await client.connect()
        await client.balances.balance(alice)
        times.append(1000 * (time.perf_counter() - started))
        await asyncio.wait({asyncio.ensure_future(client.close())}, timeout=2)
    return statistics.median(times[1:])


async def reads_per_s(client: bt.Client, count: int) -> float:
    """`System.Account` through the SDK, 50 at a time."""
    alice = core.Keypair.from_uri("//Alice").ss58_address
    started = time.perf_counter()
    for _ in range(count // 50):
        await asyncio.gather(*(client.query(bt.storage.System.Account, [alice]) for _ in range(50)))
    return count / (time.perf_counter() - started)


async def raw_reads_per_s(raw: Raw, codec: core.Runtime, count: int) -> float:
    alice = core.Keypair.from_uri("//Alice").ss58_address
    key = "0x" + bytes(codec.storage_key("System", "Account", [alice])).hex()
    message = _request(1, "state_getStorageAt", key, None)

    async def drain() -> None:
        for _ in range(count):
            await raw.socket.recv()

    started = time.perf_counter()
    reader = asyncio.create_task(drain())
    for _ in range(count):
        await raw.socket.send(message)
    await reader
    return count / (time.perf_counter() - started)


async def extrinsics(raw: Raw, codec: core.Runtime, node: RunningChain, count: int) -> dict[str, float]:
    """Submit-and-watch transfers from 16 accounts; the clock stops at the last finalized. Block times meanwhile."""
    genesis = bytes.fromhex((await raw.ask("chain_getBlockHash", 0))[2:])
    senders = [core.Keypair.from_uri(f"//bench//{i}") for i in range(16)]
    alice = core.Keypair.from_uri("//Alice")
    fund = [
        bytes(codec.compose_call("Balances", "transfer_keep_alive", {"dest": s.ss58_address, "value": 10 * RAO}))
        for s in senders
    ]
    nonce = await raw.ask("account_nextIndex", alice.ss58_address)
    batch = bytes(codec.compose_call("Utility", "batch_all", {"calls": fund}))
    await submit_all(raw, [sign(codec, alice, batch, nonce, genesis)])
    call = bytes(codec.compose_call("Balances", "transfer_keep_alive", {"dest": alice.ss58_address, "value": 1_000}))
    signed = [sign(codec, senders[i % 16], call, i // 16, genesis) for i in range(count)]
    gaps: list[float] = []
    watcher = asyncio.create_task(watch_blocks(node, gaps))
    while not gaps:
        await asyncio.sleep(0.05)
    gaps.clear()
    started = time.perf_counter()
    await submit_all(raw, signed)
    rate = count / (time.perf_counter() - started)
    await asyncio.sleep(0.6)
    watcher.cancel()
    return {
        "extrinsics_per_s": rate,
        "block_time_p50_ms": 1000 * statistics.median(gaps),
        "block_time_max_ms": 1000 * max(gaps),
    }


async def submit_all(raw: Raw, signed: list[bytes]) -> None:
    """Submit and watch; returns once every one is finalized. Raises RuntimeError where one is refused."""

    async def settle() -> None:
        left = len(signed)
        while left:
            message = json.loads(await raw.socket.recv())
            if "error" in message:
                raise RuntimeError(str(message["error"]))
            status = message.get("params", {}).get("result")
            left -= isinstance(status, dict) and "finalized" in status

    waiter = asyncio.create_task(settle())
    for i, extrinsic in enumerate(signed):
        await raw.socket.send(_request(i, "author_submitAndWatchExtrinsic", "0x" + extrinsic.hex()))
    await waiter


async def watch_blocks(node: RunningChain, gaps: list[float]) -> None:
    async with connect(node.endpoint, compression=None) as socket:
        await socket.send(_request(1, "chain_subscribeNewHeads"))
        last: float | None = None
        while True:
            message = json.loads(await socket.recv())
            if "params" in message:
                now = time.perf_counter()
                if last is not None:
                    gaps.append(now - last)
                last = now


def populate(codec: core.Runtime, netuid: int, neurons: int, validators: int) -> tuple[list[bytes], list[bytes]]:
    """Calls that fill a subnet: registrations and stakes by a coldkey, and each validator's weights call."""
    hotkeys = [core.Keypair.from_uri(f"//bench//hot//{i}") for i in range(neurons - 1)]

    def compose(name: str, **params: Any) -> bytes:
        return bytes(codec.compose_call("SubtensorModule", name, {"netuid": netuid, **params}))

    calls = [compose("burned_register", hotkey=h.ss58_address) for h in hotkeys]
    calls += [compose("add_stake", hotkey=h.ss58_address, amount_staked=RAO) for h in hotkeys[:validators]]
    targets = list(range(validators + 1, neurons))
    weights = [
        compose("set_weights", dests=targets, weights=[1 + (i * 37 + t * 11) % 65535 for t in targets], version_key=0)
        for i in range(validators)
    ]
    return calls, weights


async def fill(raw: Raw, codec: core.Runtime, neurons: int, validators: int) -> int:
    """A started subnet of that many neurons with all validators' weights set; returns its netuid."""
    genesis = bytes.fromhex((await raw.ask("chain_getBlockHash", 0))[2:])
    alice, bob = core.Keypair.from_uri("//Alice"), core.Keypair.from_uri("//Bob")

    async def send(signer: core.Keypair, call: bytes) -> None:
        nonce = await raw.ask("account_nextIndex", signer.ss58_address)
        await submit_all(raw, [sign(codec, signer, call, nonce, genesis)])

    hotkey = core.Keypair.from_uri("//bench//owner").ss58_address
    await send(alice, bytes(codec.compose_call("SubtensorModule", "register_network", {"hotkey": hotkey})))
    netuid = 2
    await send(alice, bytes(codec.compose_call("SubtensorModule", "start_call", {"netuid": netuid})))
    calls, weights = populate(codec, netuid, neurons, validators)
    for at in range(0, len(calls), 64):
        await send(bob, bytes(codec.compose_call("Utility", "batch_all", {"calls": calls[at : at + 64]})))
    await asyncio.sleep(21 * 0.25)
    signers = [core.Keypair.from_uri(f"//bench//hot//{i}") for i in range(validators)]
    await submit_all(raw, [sign(codec, s, w, 0, genesis) for s, w in zip(signers, weights, strict=True)])
    await asyncio.sleep(21 * 0.25)
    return netuid


async def metagraph_ms(client: bt.Client, netuid: int, neurons: int, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        graph = await client.subnets.metagraph(netuid, commitments=False)
        times.append(1000 * (time.perf_counter() - started))
        assert len(graph) == neurons
    return statistics.median(times)


async def metagraph_node_ms(raw: Raw, codec: core.Runtime, netuid: int, rounds: int) -> float:
    params = "0x" + netuid.to_bytes(2, "little").hex()
    times = []
    for _ in range(rounds):
        await raw.socket.send(_request(1, "state_call", "SubnetInfoRuntimeApi_get_metagraph", params, None))
        started = time.perf_counter()
        await raw.socket.recv()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def epoch_ms(neurons: int, validators: int, rounds: int) -> float:
    """A whole epoch step in this process: reading the state, consensus, payout, writing. Median."""
    chain = Chain(Settings())
    codec = core.Runtime(chain.program.metadata.v15, SPEC_VERSION, TRANSACTION_VERSION)
    clock = 1_700_000_000_000

    def run(signer: core.Keypair, call: bytes) -> None:
        nonce = chain.next_nonce(bytes(signer.public_key))
        chain.submit(sign(codec, signer, call, nonce, chain.genesis_hash))

    def blocks(count: int) -> None:
        for _ in range(count):
            chain.produce(clock)

    alice, bob = core.Keypair.from_uri("//Alice"), core.Keypair.from_uri("//Bob")
    hotkey = core.Keypair.from_uri("//bench//owner").ss58_address
    run(alice, bytes(codec.compose_call("SubtensorModule", "register_network", {"hotkey": hotkey})))
    run(alice, bytes(codec.compose_call("SubtensorModule", "start_call", {"netuid": 2})))
    calls, weights = populate(codec, 2, neurons, validators)
    for at in range(0, len(calls), 64):
        run(bob, bytes(codec.compose_call("Utility", "batch_all", {"calls": calls[at : at + 64]})))
    blocks(25)
    for i, call in enumerate(weights):
        run(core.Keypair.from_uri(f"//bench//hot//{i}"), call)
    blocks(25)
    times = []
    for _ in range(rounds):
        chain.runtime.open_block(chain.head.number + 1, chain.head.hash, clock)
        started = time.perf_counter()
        epoch.step(chain.runtime, 2)
        times.append(1000 * (time.perf_counter() - started))
        chain.state.abandon()
    return statistics.median(times)


async def idle(node: RunningChain, seconds: float) -> dict[str, float]:
    """CPU share and memory of the node with four clients on its heads."""
    sockets = [await connect(node.endpoint, compression=None) for _ in range(4)]
    for socket in sockets:
        await socket.send(_request(1, "chain_subscribeNewHeads"))
    await asyncio.sleep(1)
    before, started = cpu_seconds(node.process.pid), time.perf_counter()
    await asyncio.sleep(seconds)
    share = 100 * (cpu_seconds(node.process.pid) - before) / (time.perf_counter() - started)
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    memory = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))
    for socket in sockets:
        await socket.close()
    return {"idle_cpu_percent": share, "idle_memory_mb": memory}


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(quick: bool) -> dict[str, float]:
    scale = 1 if quick else 4
    out: dict[str, float] = {}
    node = start_chain()
    try:
        out |= await idle(node, 5.0 * scale)
        out["connect_ms"] = await connect_ms(node, 5 * scale)
        async with connect(node.endpoint, compression=None, max_size=None) as socket:
            raw = Raw(socket)
            codec = await raw.codec()
            client = bt.Client(node.endpoint)
            await client.connect()
            out["reads_per_s"] = await reads_per_s(client, 1_000 * scale)
            out["raw_reads_per_s"] = await raw_reads_per_s(raw, codec, 2_000 * scale)
            out |= await extrinsics(raw, codec, node, 640 * scale)
            netuid = await fill(raw, codec, 256, 64)
            out["metagraph_ms"] = await metagraph_ms(client, netuid, 256, 8 * scale)
            out["metagraph_node_ms"] = await metagraph_node_ms(raw, codec, netuid, 8 * scale)
            await asyncio.wait({asyncio.ensure_future(client.close())}, timeout=2)
    finally:
        node.stop()
    out["epoch_ms"] = epoch_ms(256, 64, 5 * scale)
    return out


def table(values: dict[str, float], load: float, quick: bool) -> str:
    rows = [
        f"Measured {time.strftime('%Y-%m-%d')} with `python benchmarks/localchain.py{' --quick' * quick}` "
        f"on {os.cpu_count()} cores ({platform.machine()}, Python {platform.python_version()}); "
        f"load average at the start {load:.1f}.",
        "",
        "| what | measured | aim | prototype |",
        "|---|---:|---:|---:|",
    ]
    for name, text in UNITS.items():
        aim, proto = AIMS.get(name), PROTOTYPE.get(name)
        cells = [f"{values[name]:,.1f}", *(f"{x:,.0f}" if x is not None else "" for x in (aim, proto))]
        rows.append(f"| {text} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of the work")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    values = asyncio.run(measure(args.quick))
    text = table(values, load, args.quick)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "localchain.json").write_text(json.dumps({"load": load, **values}, indent=2) + "\n")
    (RESULTS / "localchain.md").write_text(text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
