"""The miner's entry point: `[run] | doctor | standing`, with the same flags."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from loguru import logger

from subnet.config import Loaded, MinerConfig, describe, load
from subnet.config.load import split_command
from subnet.config.tree import state_folder
from subnet.errors import AssayError, ConfigError
from subnet.telemetry.logs import start_logging
from subnet.telemetry.process import EXIT_FAILED, EXIT_USAGE

COMMANDS = ("run", "doctor", "standing")
DESCRIPTION = (
    "An Assay miner: answers completions with a declared model and signs what it answers. Commands before the flags: "
    "run (default), doctor, standing."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 after a clean stop, 1 after a failure, 2 for a wrong setting."""
    try:
        command, words, flags = split_command(sys.argv[1:] if argv is None else argv, COMMANDS)
        loaded = load(MinerConfig, flags, os.environ, prog="miner.py", description=DESCRIPTION)
    except ConfigError as error:
        sys.stderr.write(f"miner: {error}\n")
        return EXIT_USAGE
    folder = state_folder(loaded.config, "miner")
    from subnet.chain import WalletError

    try:
        if command != "run":
            from subnet.miner.commands import run_command

            logger.remove()
            return asyncio.run(run_command(command, words, loaded.config, folder))
        return _run(loaded, folder)
    except (ConfigError, WalletError) as error:
        _fail(command, error)
        return EXIT_USAGE
    except AssayError as error:
        _fail(command, error)
        return EXIT_FAILED


def _run(loaded: Loaded[MinerConfig], folder: Path) -> int:
    start_logging(loaded.config.logging, folder, "miner")
    logger.info("Starting a miner; state in {}", folder)
    for line in describe(loaded):
        logger.debug("setting {}", line)
    from subnet.miner.app import MinerApp

    return asyncio.run(MinerApp(loaded.config, folder).run())


def _fail(command: str, error: Exception) -> None:
    if command == "run":
        logger.critical("{}", error)
    else:
        sys.stderr.write(f"miner {command}: {error}\n")


if __name__ == "__main__":
    sys.exit(main())
