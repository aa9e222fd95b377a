"""A TCP proxy in front of the chain, in a thread: what the road to the chain does to a neuron."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from urllib.parse import urlsplit


class Proxy:
    """Passes connections to `target` (ws://host:port) until told to stall, refuse, drop or delay. Use as a context."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._host, self._port = parts.hostname, parts.port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._open: asyncio.Event | None = None
        self._refusing = False
        self._delay = self._each = 0.0
        self.connections = 0
        self.endpoint = ""

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def stall(self) -> None:
        """Connections stay open, new ones are accepted, and nothing passes."""
        self._loop.call_soon_threadsafe(self._gate().clear)

    def refuse(self) -> None:
        """Every connection is cut, and new ones are closed at once."""
        self._refusing = True
        self._call(self._cut())

    def drop(self) -> None:
        """Cuts every connection now; new ones pass."""
        self._call(self._cut())

    def delay(self, seconds: float) -> None:
        """What the chain says arrives so many seconds later."""
        self._delay = seconds

    def narrow(self, seconds: float) -> None:
        """What the chain says takes so many seconds a piece: it waits in line and gets older and older."""
        self._each = seconds

    def mend(self) -> None:
        """Everything passes again."""
        self._refusing, self._delay, self._each = False, 0.0, 0.0
        self._loop.call_soon_threadsafe(self._gate().set)

    def _gate(self) -> asyncio.Event:
        assert self._open is not None
        return self._open

    def _call(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.endpoint = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        self.connections += 1
        try:
            chain_reader, chain_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, chain_writer}
        self._writers |= pair
        try:
            await asyncio.gather(self._pass(reader, chain_writer, False), self._pass(chain_reader, writer, True))
        finally:
            self._writers -= pair
            for one in pair:
                one.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late: bool) -> None:
        line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        with contextlib.suppress(ConnectionError):
            async with asyncio.TaskGroup() as both:
                both.create_task(self._read(reader, line, late))
                both.create_task(self._write(writer, line, late))
        with contextlib.suppress(ConnectionError, OSError):
            writer.write_eof()

    async def _read(self, reader: asyncio.StreamReader, line: asyncio.Queue, late: bool) -> None:
        data = b"?"
        while data:
            try:
                data = await reader.read(1 << 16)
            except ConnectionError:
                data = b""
            line.put_nowait((self._loop.time() + (self._delay if late else 0.0), data))

    async def _write(self, writer: asyncio.StreamWriter, line: asyncio.Queue, late: bool) -> None:
        while True:
            at, data = await line.get()
            await asyncio.sleep(max(0.0, at - self._loop.time()) + (self._each if late else 0.0))
            await self._gate().wait()
            if not data:
                return
            writer.write(data)
            await writer.drain()
