"""The axon and dendrite of bittensor 10, for `benchmarks/transport.py`; runs in a virtual environment of its own.

python transport_sdk10.py serve KEYS               prints its port, ends when stdin closes
python transport_sdk10.py call KEYS PORT CONCURRENCY REQUESTS BODY_BYTES     prints one JSON line
"""

import asyncio
import json
import logging
import socket
import sys
import time
from pathlib import Path

import bittensor as bt
from bittensor.utils import networking

# Its dendrite asks web services for its own address when it is made; this benchmark stays on the machine.
networking.get_external_ip = lambda: "127.0.0.1"


class Completion(bt.Synapse):
    """A prompt of some bytes, and an answer of as many as ours has."""

    prompt: str = ""
    completion: str = ""


ANSWER = "t" * 600


def wallet(folder: Path, name: str) -> bt.Wallet:
    made = bt.Wallet(name=name, hotkey="default", path=str(folder))
    if not made.hotkey_file.exists_on_device():
        made.create_new_coldkey(n_words=12, use_password=False, overwrite=True, suppress=True)
        made.create_new_hotkey(n_words=12, use_password=False, overwrite=True, suppress=True)
    return made


def forward(synapse: Completion) -> Completion:
    synapse.completion = ANSWER
    return synapse


def serve(folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    wallet(folder, "validator")
    axon = bt.Axon(wallet=wallet(folder, "miner"), ip="127.0.0.1", port=port, external_ip="127.0.0.1")
    axon.attach(forward_fn=forward)
    axon.start()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    axon.stop()


async def call(folder: Path, port: int, concurrency: int, requests: int, body: int) -> None:
    miner = wallet(folder, "miner")
    target = bt.AxonInfo(
        version=1, ip="127.0.0.1", port=port, ip_type=4, hotkey=miner.hotkey.ss58_address, coldkey="", protocol=4
    )
    latencies: list[float] = []
    async with bt.Dendrite(wallet=wallet(folder, "validator")) as dendrite:

        async def one() -> None:
            started = time.perf_counter()
            synapse = Completion(prompt="p" * body)
            answer = await dendrite.forward(axons=target, synapse=synapse, deserialize=False, timeout=30)
            if answer.completion != ANSWER:
                raise SystemExit(f"the axon answered {answer.dendrite.status_code} {answer.dendrite.status_message}")
            latencies.append(time.perf_counter() - started)

        async def worker(count: int) -> None:
            for _ in range(count):
                await one()

        await worker(5)
        latencies.clear()
        cpu, wall = time.process_time(), time.perf_counter()
        shares = [requests // concurrency + (index < requests % concurrency) for index in range(concurrency)]
        await asyncio.gather(*(worker(share) for share in shares))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    sys.stdout.write(json.dumps({"wall": wall, "cpu": cpu, "latencies": latencies}) + "\n")


def main() -> None:
    logging.disable(logging.CRITICAL)
    role, folder = sys.argv[1], Path(sys.argv[2])
    if role == "serve":
        serve(folder)
    else:
        asyncio.run(call(folder, *(int(value) for value in sys.argv[3:7])))


if __name__ == "__main__":
    main()
