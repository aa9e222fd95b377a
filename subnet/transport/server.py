"""Runs an axon on uvicorn, inside the caller's event loop or on sockets shared by several processes."""

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Iterator

import uvicorn

from subnet.errors import TransportError
from subnet.transport.axon import Axon
from subnet.transport.connections import ConnectionLimits, Gatekeeper, GuardedProtocol


class _Embedded(uvicorn.Server):
    """Leaves signals to the program that embeds it, and says when it accepts connections."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one. Processes of a group share it by inheriting it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, because event loops turn off Nagle's algorithm only where they see TCP by name.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise TransportError(f"cannot listen on {host} port {port}: {error.strerror}; choose another port") from None
    made.listen(2048)
    made.setblocking(False)
    made.set_inheritable(True)
    return made


class AxonServer:
    """Serves an axon. `await start()`, then `port`; `await stop()` finishes open requests within `grace_seconds`."""

    def __init__(
        self,
        axon: Axon,
        listener: socket.socket,
        bounds: ConnectionLimits | None = None,
        tls: ssl.SSLContext | None = None,
        grace_seconds: float = 10.0,
    ) -> None:
        self.axon = axon
        self.gatekeeper = Gatekeeper(bounds or ConnectionLimits())
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        config = uvicorn.Config(
            axon,
            http=functools.partial(GuardedProtocol, self.gatekeeper),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            log_level="critical",
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=int(self.gatekeeper.limits.idle_seconds),
            timeout_graceful_shutdown=max(1, int(grace_seconds)),
        )
        config.load()
        if tls is not None:
            config.ssl = tls
        self._server = _Embedded(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to accept connections."""
        if self._task is not None:
            raise TransportError("the axon is already running")
        serving = asyncio.create_task(self._server.serve(sockets=[self._listener]), name=f"axon:{self.port}")
        accepting = asyncio.create_task(self._server.accepting.wait())
        await asyncio.wait({serving, accepting}, return_when=asyncio.FIRST_COMPLETED)
        accepting.cancel()
        if serving.done():
            serving.result()
        self._task = serving

    async def stop(self) -> None:
        """Stop accepting, let open requests finish, then close."""
        if self._task is None:
            return
        self._server.should_exit = True
        task, self._task = self._task, None
        await task

    async def __aenter__(self) -> "AxonServer":
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()
