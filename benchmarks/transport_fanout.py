"""256 miners on loopback for the fan-out part of `benchmarks/transport.py`.

python -m benchmarks.transport_fanout serve FOLDER MINERS      prints the ports as JSON, ends when stdin closes
"""

import asyncio
import json
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from benchmarks.transport_ours import VALIDATOR, Handlers, axon_over
from benchmarks.transport_roles import announce
from subnet.protocol import Hello
from subnet.protocol.handshake import SecretsCommitment
from subnet.transport.dendrite import Dendrite, Peer
from subnet.transport.nonces import SharedNonceStore
from subnet.transport.server import AxonServer, listen
from tests.transport.miner_double import GENESIS, NETUID, keypair, make_request

ROOT = Path(__file__).resolve().parents[1]


async def serve(folder: Path, miners: int) -> None:
    """All axons in one process, each with a hotkey, port and nonce store of its own."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        ports = []
        for number in range(miners):
            nonces = stack.enter_context(SharedNonceStore(folder / f"fanout-{number}", slots=1_024))
            axon = axon_over(Handlers(keypair(f"//Fanout{number}"), size=64), nonces)
            ports.append((await stack.enter_async_context(AxonServer(axon, listen("127.0.0.1", 0)))).port)
        announce(0, lambda: loop.call_soon_threadsafe(stop.set))
        sys.stdout.write(json.dumps(ports) + "\n")
        sys.stdout.flush()
        await stop.wait()


async def ask_all(folder: Path, miners: int, rounds: int) -> list[float]:
    """Seconds of each round: from the signed requests to the last checked answer."""
    command = [sys.executable, "-m", "benchmarks.transport_fanout", "serve", str(folder), str(miners)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdin is not None and process.stdout is not None
    try:
        ports = next(json.loads(line) for line in process.stdout if line.startswith("["))
        peers = [
            Peer(bytes(keypair(f"//Fanout{number}").public_key), "127.0.0.1", port) for number, port in enumerate(ports)
        ]
        async with Dendrite(VALIDATOR, allow_private=True) as dendrite:
            hello = Hello((1,), GENESIS, NETUID)
            commitments: list[SecretsCommitment] = []
            for peer in peers:
                greeted = await dendrite.hello(peer, hello, seconds=10)
                assert greeted.value is not None, greeted
                commitments.append(greeted.value.capabilities.handshake.commitment)
            seconds = []
            for counter in range(rounds):
                started = time.perf_counter()
                asks = [
                    (peer, make_request(VALIDATOR, peer.hotkey, counter), commitment)
                    for peer, commitment in zip(peers, commitments, strict=True)
                ]
                outcomes = await dendrite.complete_many(asks, seconds=10)
                seconds.append(time.perf_counter() - started)
                failed = [outcome for outcome in outcomes if not outcome.ok]
                assert not failed, failed[0]
        return [round(value, 4) for value in seconds]
    finally:
        # 256 servers that each finish politely take a minute; nothing is left to finish.
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[2]), int(sys.argv[3])))
