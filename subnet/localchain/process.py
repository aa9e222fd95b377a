"""The local chain as a child process, for tests and for the localnet script."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import subnet
from subnet.errors import ChainError

READY = "LOCALCHAIN READY "


@dataclass(frozen=True, slots=True)
class RunningChain:
    """A chain that answers at `endpoint` (ws://host:port)."""

    endpoint: str
    process: subprocess.Popen[str]

    def kill(self) -> None:
        """End it the hard way, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout: float = 5.0) -> None:
        """End it cleanly, by force once `timeout` seconds have passed."""
        self.process.terminate()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()


def start_chain(
    *,
    port: int = 0,
    block_time: float = 0.25,
    state_dir: Path | None = None,
    log: Path | None = None,
    options: Sequence[str] = (),
    timeout: float = 30.0,
) -> RunningChain:
    """Start a chain process and wait until it serves. The caller stops it.

    Args:
        port: 0 takes a free one.
        block_time: seconds.
        state_dir: folder of a chain that lasts; None for one that ends with its process.
        log: file for its log; None discards it.
        options: further command-line options.
        timeout: seconds it may take to serve.

    Raises:
        ChainError: it did not start.
    """
    command = [
        sys.executable,
        "-m",
        "subnet.localchain",
        "--port",
        str(port),
        "--block-time",
        str(block_time),
        *options,
    ]
    if state_dir is not None:
        command += ["--state-dir", str(state_dir)]
    stderr = subprocess.DEVNULL if log is None else log.open("ab")
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=_environment())
    finally:
        if not isinstance(stderr, int):
            stderr.close()
    timer = threading.Timer(timeout, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
    finally:
        timer.cancel()
    if not line.startswith(READY):
        process.kill()
        process.wait()
        where = f"see {log}" if log is not None else "start it with a log file to see why"
        raise ChainError(f"the local chain did not start (exit code {process.returncode}); {where}")
    return RunningChain(line.removeprefix(READY).strip(), process)


def _environment() -> dict[str, str]:
    """The child must import this same package, wherever the parent was started."""
    root = str(Path(subnet.__file__ or ".").resolve().parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}


@contextmanager
def running_chain(**arguments: object) -> Iterator[RunningChain]:
    """`start_chain` as a context: the chain is stopped at the end."""
    chain = start_chain(**arguments)  # type: ignore[arg-type]
    try:
        yield chain
    finally:
        chain.stop()
