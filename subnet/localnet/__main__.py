"""`python -m subnet.localnet`, as scripts/localnet.sh runs it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path

from loguru import logger
from rich.console import Console

from subnet.errors import AssayError, ConfigError
from subnet.localnet.plan import parse
from subnet.localnet.run import ROOT, run

PLAIN_WIDTH = 140
"""Columns where the output is no terminal: the table is not folded in a log file."""

EXIT_KEPT, EXIT_BROKEN, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 64, 130


def default_folder() -> Path:
    """A new folder for every run, inside the checkout."""
    return ROOT / ".localnet" / time.strftime("%Y%m%d-%H%M%S")


async def _run(argv: list[str] | None, console: Console) -> int:
    # the zoo is test code that lives in the checkout, as the localnet does
    from tests.zoo import descriptions

    plan = parse(argv, descriptions(), default_folder())
    plan.folder.mkdir(parents=True, exist_ok=True)
    work = asyncio.current_task()
    assert work is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    outcome = await run(plan, console)
    return EXIT_KEPT if outcome.kept_the_promise else EXIT_BROKEN


def main(argv: list[str] | None = None) -> int:
    """Exit codes: 0 the promise was kept, 1 it was not, 2 something failed, 64 bad flags, 130 interrupted."""
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    with contextlib.suppress(asyncio.CancelledError):
        try:
            return asyncio.run(_run(argv, console))
        except ConfigError as error:
            console.print(f"[red]{error}[/red]", highlight=False)
            return EXIT_USAGE
        except AssayError as error:
            console.print(f"[red]{error}[/red]", highlight=False)
            return EXIT_FAILED
    console.print("stopped; nothing is left running")
    return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
