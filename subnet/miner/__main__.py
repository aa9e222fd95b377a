"""The miner's entry point: `[run] | doctor | standing`, with the same flags."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from subnet.config import MinerConfig
from subnet.telemetry.entry import Role, enter

DESCRIPTION = (
    "An Assay miner: answers completions with a declared model and signs what it answers. Commands before the flags: "
    "run (default), doctor, standing."
)


async def _run(config: MinerConfig, folder: Path) -> int:
    from subnet.miner.app import MinerApp

    return await MinerApp(config, folder).run()


async def _command(command: str, words: list[str], config: MinerConfig, folder: Path) -> int:
    from subnet.miner.commands import run_command

    return await run_command(command, words, config, folder)


ROLE = Role("miner", MinerConfig, ("doctor", "standing"), DESCRIPTION, _run, _command)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 after a clean stop, 1 after a failure, 2 for a wrong setting."""
    return enter(ROLE, argv)


if __name__ == "__main__":
    sys.exit(main())
