"""The miner's commands beside `run`: doctor, and standing, which shows what validators said."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from subnet.config.tree import MinerConfig
from subnet.doctor.findings import plain_console
from subnet.errors import StateError
from subnet.miner.answers import FILE, AnswerStore


async def run_command(command: str, words: list[str], config: MinerConfig, folder: Path) -> int:
    """The exit status of one command: 0 in order, 1 something is broken."""
    console = plain_console()
    if command == "doctor":
        from subnet.doctor.run import doctor

        return await doctor(config, folder, console)
    if not (folder / FILE).is_file():
        raise StateError(f"there is no miner's state in {folder}: give the miner's --state.dir, or its other flags")
    answers = AnswerStore(folder)
    try:
        show_standings(answers, console)
    finally:
        answers.close()
    return 0


def show_standings(answers: AnswerStore, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("validator", "state", "score", "weight", "requests", "verified", "evidence", "heard", "reasons"):
        table.add_column(column)
    for row in standing_rows(answers):
        reasons = ", ".join(f"{code} x{count}" for code, count in row["reasons"].items())
        table.add_row(
            row["validator"], row["state"], f"{row['score']:.3f}", f"{row['weight']:.3f}", str(row["requests"]),
            str(row["verified"]), f"{row['evidence_ln']:.1f} of {row['threshold_ln']:.1f}",
            f"{time.time() - row['heard_at']:.0f} s ago", reasons,
        )  # fmt: skip
    console.print(table)
    console.print(f"{answers.count()} signed answers are kept in {FILE}", highlight=False)
    if any(row["state"] == "accused" for row in standing_rows(answers)):
        console.print(
            "An accusation's bundle is named in the validator's ledger (entries with this hotkey as subject): "
            "GET http://<validator's axon>/assay/v1/ledger?from=0, then /assay/v1/bundle/<digest>, "
            "then python -m subnet.evidence verify <file>", highlight=False,
        )  # fmt: skip


def standing_rows(answers: AnswerStore) -> list[dict[str, Any]]:
    """What each validator last told this miner about itself, as plain values."""
    rows = []
    for validator, at, signed in answers.standings():
        seen = signed.standing
        rows.append(
            {
                "validator": validator, "heard_at": at, "block": seen.block, "state": seen.state,
                "score": seen.score_ppm / 1e6, "weight": seen.weight_ppm / 1e6, "requests": seen.requests,
                "verified": seen.verified, "verified_tokens": seen.verified_tokens,
                "evidence_ln": seen.evidence_milli / 1e3, "threshold_ln": seen.threshold_milli / 1e3,
                "reasons": {reason.code: reason.count for reason in seen.reasons},
            }
        )  # fmt: skip
    return rows
