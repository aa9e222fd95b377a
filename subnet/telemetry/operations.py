"""The operations endpoint: health, readiness, metrics and whatever a role adds, for this machine's people and tools."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvicorn
from loguru import logger
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from subnet.errors import StateError

STOP_DEADLINE_S = 2.0


class _Quiet(uvicorn.Server):
    """A server that leaves the process's signals to the neuron."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Operations:
    """Serves GET routes on a local port until stopped."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._app = Starlette(routes=list(routes))
        self._server: _Quiet | None = None
        self._task: asyncio.Task | None = None
        self.port = 0

    async def start(self, ip: str, port: int, record: Path) -> None:
        """Listens, and writes {"url", "pid", "ip", "port"} to the file `record`, for whoever started this process.

        Raises OSError where the port is taken, StateError where the file cannot be written.
        """
        listener = socket.create_server((ip, port), family=socket.AF_INET6 if ":" in ip else socket.AF_INET)
        await self.serve(listener)
        draft = record.with_suffix(".tmp")
        host = f"[{ip}]" if ":" in ip else ip
        url = f"http://{host}:{self.port}"
        try:
            record.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps({"url": url, "pid": os.getpid(), "ip": ip, "port": self.port}))
            draft.replace(record)
        except OSError as error:
            raise StateError(f"{record} cannot be written: {error.strerror}; free some room and start again") from error
        logger.info("Operations endpoint: {} (/readyz, /metrics)", url)

    async def serve(self, listener: socket.socket) -> None:
        """Serves on a listening socket."""
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=5, limit_concurrency=64
        )
        self._server = _Quiet(config)
        self._task = asyncio.create_task(self._server.serve([listener]), name="operations")

    async def stop(self) -> None:
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        await asyncio.wait({self._task}, timeout=STOP_DEADLINE_S)
        self._task.cancel()
        self._server = self._task = None
