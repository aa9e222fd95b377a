"""What the two roles' entry points share: settings, logs, commands and exit codes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from loguru import logger

from subnet.config import Loaded, MinerConfig, ValidatorConfig, describe, load
from subnet.config.load import split_command
from subnet.config.tree import state_folder
from subnet.errors import AssayError, ConfigError
from subnet.telemetry.logs import start_logging
from subnet.telemetry.process import EXIT_FAILED, EXIT_USAGE

RUN = "run"
"""The command that starts the role, and what runs without a command."""

C = TypeVar("C", MinerConfig, ValidatorConfig)


@dataclass(frozen=True, slots=True)
class Role(Generic[C]):
    """One role's command line. `run` and `command` import what they need when called, so that bad flags fail at once.

    run: the process, from its settings and state folder to its exit code. command: one of the other commands, from
    its name, words, settings and state folder to its exit code.
    """

    name: str
    settings: type[C]
    commands: tuple[str, ...]
    description: str
    run: Callable[[C, Path], Coroutine[Any, Any, int]]
    command: Callable[[str, list[str], C, Path], Coroutine[Any, Any, int]]


def enter(role: Role[C], argv: Sequence[str] | None) -> int:
    """Runs what the command line asks for; the exit code: 0 clean stop, 1 failure, 2 wrong setting."""
    try:
        command, words, flags = split_command(sys.argv[1:] if argv is None else argv, (RUN, *role.commands))
        loaded = load(role.settings, flags, os.environ, prog=f"{role.name}.py", description=role.description)
    except ConfigError as error:
        sys.stderr.write(f"{role.name}: {error}\n")
        return EXIT_USAGE
    folder = state_folder(loaded.config, role.name)
    from subnet.chain import WalletError

    try:
        if command != RUN:
            logger.remove()
            return asyncio.run(role.command(command, words, loaded.config, folder))
        return _run(role, loaded, folder)
    except (ConfigError, WalletError) as error:
        _fail(role.name, command, error)
        return EXIT_USAGE
    except AssayError as error:
        _fail(role.name, command, error)
        return EXIT_FAILED


def _run(role: Role[C], loaded: Loaded[C], folder: Path) -> int:
    start_logging(loaded.config.logging, folder, role.name)
    logger.info("Starting a {}; state in {}", role.name, folder)
    for line in describe(loaded):
        logger.debug("setting {}", line)
    return asyncio.run(role.run(loaded.config, folder))


def _fail(name: str, command: str, error: Exception) -> None:
    if command == RUN:
        logger.critical("{}", error)
    else:
        sys.stderr.write(f"{name} {command}: {error}\n")
