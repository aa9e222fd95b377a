"""The validator's entry point: `[run] | explain <uid> | doctor | ledger list|export|verify`, with the same flags."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from subnet.config import ValidatorConfig
from subnet.telemetry.entry import Role, enter

DESCRIPTION = (
    "An Assay validator: asks miners, replays what they answered, and sets weights. Commands before the flags: "
    "run (default), explain <uid>, doctor, ledger list | export <folder> | verify."
)


async def _run(config: ValidatorConfig, folder: Path) -> int:
    from subnet.validator.app import ValidatorApp

    return await ValidatorApp(config, folder).run()


async def _command(command: str, words: list[str], config: ValidatorConfig, folder: Path) -> int:
    from subnet.validator.commands import run_command

    return await run_command(command, words, config, folder)


ROLE = Role("validator", ValidatorConfig, ("explain", "doctor", "ledger"), DESCRIPTION, _run, _command)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 after a clean stop, 1 after a failure, 2 for a wrong setting."""
    return enter(ROLE, argv)


if __name__ == "__main__":
    sys.exit(main())
