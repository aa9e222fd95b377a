"""Serves the status page over one or more validators: python -m subnet.status --source URL."""

from __future__ import annotations

import argparse
import contextlib
import socket
import sys
from collections.abc import Sequence

import uvicorn

from subnet.errors import ConfigError
from subnet.status.page import LOCAL_HOSTS, app


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGINT or SIGTERM. Returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        labels = dict(_label(text) for text in options.label)
        listener = _listen(options.host, options.port)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    host, port = listener.getsockname()[:2]
    page = app(options.source, labels, allowed_hosts=("*",) if options.any_host else (*LOCAL_HOSTS, host))
    sys.stdout.write(f"status page: http://{host}:{port}/\n")
    sys.stdout.flush()
    config = uvicorn.Config(page, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    # The server shuts down cleanly first and then raises the signal that ended it again.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listener])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m subnet.status", description=__doc__)
    parser.add_argument("--port", type=int, default=8092, help="port to listen on; 0 takes a free one (default: 8092)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine)")
    parser.add_argument(
        "--source",
        action="append",
        required=True,
        metavar="URL",
        help="base URL of a validator's operations endpoint (it writes it to <state.dir>/endpoint.json); repeatable",
    )
    parser.add_argument(
        "--label", action="append", default=[], metavar="HOTKEY=TEXT", help="what to call a hotkey; repeatable"
    )
    parser.add_argument(
        "--any-host",
        action="store_true",
        help="serve whatever Host header comes, e.g. behind a reverse proxy; otherwise only names of this machine",
    )
    return parser


def _label(text: str) -> tuple[str, str]:
    hotkey, found, label = text.partition("=")
    if not (hotkey and found and label):
        raise ConfigError(f"--label {text!r} is not HOTKEY=TEXT")
    return hotkey, label


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from error


if __name__ == "__main__":
    raise SystemExit(main())
