"""The node: a websocket server and a clock around one chain."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loguru import logger
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from subnet.errors import ChainError
from subnet.localchain.chain import Chain
from subnet.localchain.rpc import INTERNAL, INVALID_REQUEST, PARSE_ERROR, Connection, Rpc
from subnet.localchain.store import Block

MAX_FRAME = 16 << 20
"""The longest message accepted, in bytes; a longer one closes its connection."""
MAX_BATCH = 256
MAX_TURN = 0.005
"""Seconds for which one client may be served before everything else gets its turn."""
MAX_BACKLOG = 4_096
"""Messages that may wait for a client that does not read; one more closes its connection."""


@dataclass(slots=True, eq=False)
class _Client:
    connection: Connection
    outbox: asyncio.Queue[str]
    dropped: bool = False


class Node:
    """Serves one chain on one port and makes its blocks. Use as `await node.run(...)`."""

    def __init__(self, chain: Chain, host: str, port: int) -> None:
        self.chain = chain
        self.rpc = Rpc(chain)
        self._host, self._port = host, port
        self._clients: set[_Client] = set()
        self._stop = asyncio.Event()
        self.failure: ChainError | None = None

    def stop(self) -> None:
        """Ask the node to end; `run` returns soon after."""
        self._stop.set()

    async def run(self, ready: Callable[[str], None] | None = None) -> None:
        """Serve and make blocks until `stop` or a signal. Raises ChainError where a block cannot be stored."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        async with serve(
            self._serve,
            self._host,
            self._port,
            max_size=MAX_FRAME,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            server_header=None,
        ) as server:
            endpoint = self._endpoint(server)
            logger.info(
                "local chain at {}, block {}, genesis 0x{}",
                endpoint,
                self.chain.head.number,
                self.chain.genesis_hash.hex(),
            )
            if ready is not None:
                ready(endpoint)
            maker = asyncio.create_task(self._make_blocks())
            await self._stop.wait()
            maker.cancel()
            await asyncio.wait({maker})
        self.chain.store.close()
        if self.failure is not None:
            raise self.failure

    def _endpoint(self, server: Server) -> str:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        return f"ws://{host}:{port}"

    async def _make_blocks(self) -> None:
        interval = self.chain.settings.block_time
        due = time.monotonic() + interval
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            try:
                block = self.chain.produce(int(time.time() * 1000))
            except ChainError as error:
                logger.critical("the chain stops: {}", error)
                self.failure = error
                self.stop()
                return
            except Exception:
                # A task boundary: a block that cannot be built is given up, the next one is tried.
                logger.exception("block {} could not be built", self.chain.head.number + 1)
                self.chain.state.abandon()
            else:
                self._announce(block)
            # A block that came late does not make the next ones come early.
            due = max(due + interval, time.monotonic())

    def _announce(self, block: Block) -> None:
        for client in list(self._clients):
            if client.connection.heads:
                self.rpc.publish(client.connection, block)

    async def _serve(self, socket: ServerConnection) -> None:
        outbox: asyncio.Queue[str] = asyncio.Queue()

        def send(message: dict[str, Any]) -> None:
            if outbox.qsize() >= MAX_BACKLOG:
                if not client.dropped:
                    client.dropped = True
                    logger.warning("a client does not read its subscription; closing it")
                    socket.transport.abort()
                return
            outbox.put_nowait(json.dumps(message, separators=(",", ":")))

        client = _Client(Connection(send), outbox)
        self._clients.add(client)
        writer = asyncio.create_task(_write(socket, outbox))
        turn = time.perf_counter()
        try:
            async for message in socket:
                if time.perf_counter() - turn > MAX_TURN:
                    # Buffered messages never yield by themselves: one busy client would delay the blocks.
                    await asyncio.sleep(0)
                    turn = time.perf_counter()
                reply = self._reply(client.connection, message)
                # What follows the reply is queued first, and written after it: the queue's writer
                # cannot run before the reply's own frame is out.
                for follow_up in client.connection.after_reply:
                    follow_up()
                client.connection.after_reply.clear()
                if reply is not None:
                    await socket.send(json.dumps(reply, separators=(",", ":")))
        except ConnectionClosed:
            pass
        finally:
            self._clients.discard(client)
            client.connection.heads.clear()
            client.connection.watches.clear()
            writer.cancel()

    def _reply(self, connection: Connection, message: str | bytes) -> Any:
        try:
            request = json.loads(message)
        except (ValueError, RecursionError):
            return {"jsonrpc": "2.0", "id": None, "error": {"code": PARSE_ERROR, "message": "Parse error"}}
        if not isinstance(request, list):
            return self._answer(connection, request)
        if not request or len(request) > MAX_BATCH:
            return {"jsonrpc": "2.0", "id": None, "error": {"code": INVALID_REQUEST, "message": "Invalid request"}}
        replies = [reply for item in request if (reply := self._answer(connection, item)) is not None]
        return replies or None

    def _answer(self, connection: Connection, request: Any) -> dict[str, Any] | None:
        """One reply. This is a task boundary: a fault of ours is one client's error, not the chain's end."""
        try:
            return self.rpc.answer(connection, request)
        except Exception:
            logger.exception("request failed: {}", str(request)[:300])
            ident = request.get("id") if isinstance(request, dict) else None
            return {"jsonrpc": "2.0", "id": ident, "error": {"code": INTERNAL, "message": "Internal error"}}


async def _write(socket: ServerConnection, outbox: asyncio.Queue[str]) -> None:
    try:
        while True:
            await socket.send(await outbox.get())
    except ConnectionClosed:
        return
