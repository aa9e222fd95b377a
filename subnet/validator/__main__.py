"""The validator's entry point: `[run] | explain <uid> | doctor | ledger list|export|verify`, with the same flags."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from loguru import logger

from subnet.config import Loaded, ValidatorConfig, describe, load
from subnet.config.load import split_command
from subnet.config.tree import state_folder
from subnet.errors import AssayError, ConfigError
from subnet.telemetry.logs import start_logging
from subnet.telemetry.process import EXIT_FAILED, EXIT_USAGE

COMMANDS = ("run", "explain", "doctor", "ledger")
DESCRIPTION = (
    "An Assay validator: asks miners, replays what they answered, and sets weights. Commands before the flags: "
    "run (default), explain <uid>, doctor, ledger list | export <folder> | verify."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 after a clean stop, 1 after a failure, 2 for a wrong setting."""
    try:
        command, words, flags = split_command(sys.argv[1:] if argv is None else argv, COMMANDS)
        loaded = load(ValidatorConfig, flags, os.environ, prog="validator.py", description=DESCRIPTION)
    except ConfigError as error:
        sys.stderr.write(f"validator: {error}\n")
        return EXIT_USAGE
    folder = state_folder(loaded.config, "validator")
    from subnet.chain import WalletError

    try:
        if command != "run":
            from subnet.validator.commands import run_command

            logger.remove()
            return asyncio.run(run_command(command, words, loaded.config, folder))
        return _run(loaded, folder)
    except (ConfigError, WalletError) as error:
        _fail(command, error)
        return EXIT_USAGE
    except AssayError as error:
        _fail(command, error)
        return EXIT_FAILED


def _run(loaded: Loaded[ValidatorConfig], folder: Path) -> int:
    start_logging(loaded.config.logging, folder, "validator")
    logger.info("Starting a validator; state in {}", folder)
    for line in describe(loaded):
        logger.debug("setting {}", line)
    from subnet.validator.app import ValidatorApp

    return asyncio.run(ValidatorApp(loaded.config, folder).run())


def _fail(command: str, error: Exception) -> None:
    if command == "run":
        logger.critical("{}", error)
    else:
        sys.stderr.write(f"validator {command}: {error}\n")


if __name__ == "__main__":
    sys.exit(main())
