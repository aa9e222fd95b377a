"""The miner's entry point: reads the configuration, prints it, and runs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from loguru import logger

from subnet.config import MinerConfig, describe, load
from subnet.config.tree import state_folder
from subnet.errors import AssayError, ConfigError
from subnet.telemetry.logs import start_logging
from subnet.telemetry.process import EXIT_FAILED, EXIT_USAGE

DESCRIPTION = "An Assay miner: answers completions with a declared model and signs what it answers."


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 after a clean stop, 1 after a failure, 2 for a wrong setting."""
    try:
        loaded = load(
            MinerConfig, sys.argv[1:] if argv is None else argv, os.environ, prog="miner.py", description=DESCRIPTION
        )
    except ConfigError as error:
        sys.stderr.write(f"miner: {error}\n")
        return EXIT_USAGE
    folder = state_folder(loaded.config, "miner")
    start_logging(loaded.config.logging, folder, "miner")
    logger.info("Starting a miner; state in {}", folder)
    for line in describe(loaded):
        logger.debug("setting {}", line)
    from subnet.chain import WalletError
    from subnet.miner.app import MinerApp

    try:
        return asyncio.run(MinerApp(loaded.config, folder).run())
    except (ConfigError, WalletError) as error:
        logger.critical("{}", error)
        return EXIT_USAGE
    except AssayError as error:
        logger.critical("{}", error)
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
