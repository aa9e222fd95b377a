"""An axon in its own process, or in several that share one socket and one nonce store.

python -m tests.transport.axon_process --nonces FILE [--processes N] [...]; prints its port, ends when stdin closes.
"""

import argparse
import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from subnet.transport.axon import Axon, AxonLimits, Identity
from subnet.transport.connections import ConnectionLimits
from subnet.transport.nonces import SharedNonceStore
from subnet.transport.policy import Caller, CallerPolicy
from subnet.transport.rates import Rate
from subnet.transport.server import AxonServer, listen
from tests.transport.miner_double import GENESIS, NETUID, MinerDouble, keypair

MINER = keypair("//AxonMiner")
VALIDATOR = keypair("//AxonValidator")
RIVAL = keypair("//AxonRival")
POOR = keypair("//AxonPoor")
DENIED = keypair("//AxonDenied")
STRANGER = keypair("//AxonStranger")
MINER_KEY = bytes(MINER.public_key)

CALLERS = {
    VALIDATOR.ss58_address: Caller(stake_rao=10**15, validator_permit=True),
    RIVAL.ss58_address: Caller(stake_rao=10**15, validator_permit=True),
    POOR.ss58_address: Caller(stake_rao=1, validator_permit=False),
    DENIED.ss58_address: Caller(stake_rao=10**15, validator_permit=True),
}
POLICY = CallerPolicy(minimum_stake_rao=10**12, denied=frozenset({DENIED.ss58_address}))


async def serve(listener: socket.socket, options: argparse.Namespace, stop: asyncio.Event) -> None:
    miner = MinerDouble(MINER, delay=options.delay, size=options.secrets)
    bounds = AxonLimits(
        address_rate=Rate(options.address_rate, options.address_burst),
        hotkey_rate=Rate(options.hotkey_rate, int(options.hotkey_rate * 2)),
        in_flight=options.in_flight,
        in_flight_per_hotkey=options.in_flight,
    )
    connections = ConnectionLimits(
        total=options.connections,
        per_address=options.per_address,
        head_seconds=options.head_seconds,
        body_seconds=options.body_seconds,
    )
    with SharedNonceStore(options.nonces) as nonces:
        axon = Axon(
            Identity(MINER_KEY, GENESIS, NETUID), miner, lambda hotkey: POLICY.refusal(hotkey, CALLERS), nonces, bounds
        )
        async with AxonServer(axon, listener, connections, grace_seconds=1):
            await stop.wait()
        facts = {"outcomes": axon.outcomes, "calls": miner.calls, "cancelled": miner.cancelled}
        facts["memory_mib"] = peak_memory_mib()
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()


def peak_memory_mib() -> int:
    """Peak resident memory since this program began; getrusage would count what the parent had before it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nonces", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--secrets", type=int, default=16_384)
    parser.add_argument("--address_rate", type=float, default=100_000.0)
    parser.add_argument("--address_burst", type=int, default=200_000)
    parser.add_argument("--hotkey_rate", type=float, default=100_000.0)
    parser.add_argument("--in_flight", type=int, default=256)
    parser.add_argument("--connections", type=int, default=6_000)
    parser.add_argument("--per_address", type=int, default=256)
    parser.add_argument("--head_seconds", type=float, default=1.0)
    parser.add_argument("--body_seconds", type=float, default=2.0)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listener = listen("127.0.0.1", 0)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    children = []
    for _ in range(options.processes - 1):
        child = os.fork()
        if child == 0:
            children = []
            break
        children.append(child)

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        # Not the loop's own reader: several processes share this stdin, and each must see its end.
        threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(stop.set)), daemon=True).start()
        await serve(listener, options, stop)

    uvloop.run(run())
    for child in children:
        os.waitpid(child, 0)


@dataclass
class AxonProcess:
    """A running axon process group. `facts` (one a process) are there after the context has ended."""

    port: int
    process: "subprocess.Popen[str]"
    facts: list[dict[str, object]]

    def total(self, outcome: str) -> int:
        return sum(facts["outcomes"].get(outcome, 0) for facts in self.facts)  # type: ignore[attr-defined]


@contextmanager
def axon_process(nonces: Path, **options: object) -> Iterator[AxonProcess]:
    """Start one with these options; stop it at the end, and collect what it counted."""
    flags = [f"--{name}={value}" for name, value in options.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.transport.axon_process", f"--nonces={nonces}", *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None and process.stdout is not None
    line = process.stdout.readline()
    assert line, "the axon process did not start"
    running = AxonProcess(port=int(line), process=process, facts=[])
    try:
        yield running
    finally:
        process.stdin.close()
        rest = process.stdout.read()
        process.wait(30)
        process.stdout.close()
        running.facts.extend(json.loads(fact) for fact in rest.splitlines() if fact.startswith("{"))


if __name__ == "__main__":
    main()
