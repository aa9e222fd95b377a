"""The validator's entry point: reads the configuration, prints it, and runs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from loguru import logger

from subnet.config import ValidatorConfig, describe, load
from subnet.config.tree import state_folder
from subnet.errors import AssayError, ConfigError
from subnet.telemetry.logs import start_logging
from subnet.telemetry.process import EXIT_FAILED, EXIT_USAGE

DESCRIPTION = "An Assay validator: asks miners, replays what they answered, and sets weights."


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 after a clean stop, 1 after a failure, 2 for a wrong setting."""
    try:
        given = sys.argv[1:] if argv is None else argv
        loaded = load(ValidatorConfig, given, os.environ, prog="validator.py", description=DESCRIPTION)
    except ConfigError as error:
        sys.stderr.write(f"validator: {error}\n")
        return EXIT_USAGE
    folder = state_folder(loaded.config, "validator")
    start_logging(loaded.config.logging, folder, "validator")
    logger.info("Starting a validator; state in {}", folder)
    for line in describe(loaded):
        logger.debug("setting {}", line)
    from subnet.chain import WalletError
    from subnet.validator.app import ValidatorApp

    try:
        return asyncio.run(ValidatorApp(loaded.config, folder).run())
    except (ConfigError, WalletError) as error:
        logger.critical("{}", error)
        return EXIT_USAGE
    except AssayError as error:
        logger.critical("{}", error)
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
