"""Child processes: each in a session of its own with a log file, all of them gone when the fleet closes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from subnet.errors import AssayError

STOP_DEADLINE_S = 10.0
"""Seconds a process gets to drain after SIGTERM before its whole group is killed."""

LOG_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class Member:
    """A started process and where it logs."""

    name: str
    process: asyncio.subprocess.Process
    log: Path


class Fleet:
    """Starts and stops processes. Use as an async context manager: leaving it leaves nothing behind.

    Every child gets its own process group, so that a Ctrl-C in the terminal reaches only the parent, which then
    stops the children in order, and so that grandchildren (model workers) cannot outlive a killed child.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._members: list[Member] = []

    async def __aenter__(self) -> Fleet:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def folder(self) -> Path:
        """Where the log files are."""
        return self._folder

    @property
    def members(self) -> tuple[Member, ...]:
        return tuple(self._members)

    async def start(self, name: str, arguments: Sequence[str], cwd: Path) -> Member:
        """Starts `python arguments...`; standard output and error go to `<folder>/<name>.log`."""
        log = self._folder / f"{name}.log"
        with log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                cwd=cwd,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        member = Member(name, process, log)
        self._members.append(member)
        return member

    def check(self) -> None:
        """Raises AssayError, with the end of its log, when a process has ended that should be running."""
        for member in self._members:
            if member.process.returncode is not None:
                raise AssayError(
                    f"{member.name} ended with exit code {member.process.returncode}; the end of {member.log}:\n"
                    + tail(member.log)
                )

    async def stop(self) -> None:
        """SIGTERM to every process in reverse order of start, then SIGKILL to the groups that did not end in time."""
        members, self._members = self._members[::-1], []
        for member in members:
            if member.process.returncode is None:
                member.process.terminate()
        if members:
            waits = [asyncio.create_task(member.process.wait()) for member in members]
            await asyncio.wait(waits, timeout=STOP_DEADLINE_S)
        for member in members:
            try:
                os.killpg(member.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            await member.process.wait()


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log file, or a note that there is none."""
    if not log.exists():
        return f"({log} was never written)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
