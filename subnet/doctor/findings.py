"""What a check says."""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


class Level(enum.IntEnum):
    OK, WARNING, BROKEN = 0, 1, 2


SIGNS = {Level.OK: "[green]ok[/green]", Level.WARNING: "[yellow]warning[/yellow]", Level.BROKEN: "[red]broken[/red]"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's: what was looked at, how it is, and what to do about it ("" where nothing)."""

    subject: str
    level: Level
    detail: str
    remedy: str = ""


PIPED_WIDTH = 200


def plain_console() -> Console:
    """A console as wide as the terminal, and wide enough not to break lines where the output goes into a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=PIPED_WIDTH)


def show(findings: Sequence[Finding], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("", "what", "how it is", "what to do"):
        table.add_column(title, overflow="fold")
    for finding in findings:
        table.add_row(SIGNS[finding.level], finding.subject, finding.detail, finding.remedy)
    console.print(table)


def worst(findings: Sequence[Finding]) -> Level:
    return max((finding.level for finding in findings), default=Level.OK)
