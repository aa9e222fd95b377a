"""What the contenders of `benchmarks/transport.py` share: roles, and how requests are timed.

MODULE serve VARIANT FOLDER                                     prints its port, ends when stdin closes
MODULE call VARIANT FOLDER PORT CONCURRENCY REQUESTS BODY_BYTES     prints one JSON line
"""

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

ANSWER = "t" * 600
WARM_UP = 20


async def run_server(application: Any) -> None:
    """Serve an ASGI application with uvicorn's fastest loop and parser until stdin closes."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2_048)
    config = uvicorn.Config(application, http="httptools", access_log=False, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    announce(listener.getsockname()[1], lambda: setattr(server, "should_exit", True))
    await server.serve(sockets=[listener])


def announce(port: int, stop: Callable[[], object]) -> None:
    """Print the port, and call `stop` from a thread when stdin closes."""
    threading.Thread(target=lambda: (sys.stdin.read(), stop()), daemon=True).start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


async def timed(client: Any, concurrency: int, requests: int) -> dict[str, Any]:
    """Call `client.ask` that many times over that many workers. Seconds; CPU is this process's."""
    latencies: list[float] = []

    async def worker(count: int) -> None:
        for _ in range(count):
            started = time.perf_counter()
            await client.ask()
            latencies.append(time.perf_counter() - started)

    async with client:
        await asyncio.gather(*(worker(WARM_UP) for _ in range(min(concurrency, 4))))
        latencies.clear()
        cpu, wall = time.process_time(), time.perf_counter()
        shares = [requests // concurrency + (index < requests % concurrency) for index in range(concurrency)]
        await asyncio.gather(*(worker(share) for share in shares))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu, "latencies": latencies}


def main(serve: Callable[[Path], Awaitable[None]], client: Callable[[Path, int, int], Any], folder: Path) -> None:
    """Entry point of a contender."""
    if sys.argv[1] == "serve":
        uvloop.run(serve(folder))
        return
    port, concurrency, requests, body = (int(value) for value in sys.argv[4:8])
    result = uvloop.run(timed(client(folder, port, body), concurrency, requests))
    sys.stdout.write(json.dumps(result) + "\n")
