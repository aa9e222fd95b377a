"""The live table and the closing report, as rich renderables. No I/O beyond what rich does with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from subnet.localnet.outcome import MinerOutcome, Outcome, peak, strongest
from subnet.localnet.plan import Participant, Plan
from subnet.status.snapshot import MinerStatus, StatusSnapshot

BAR_CELLS = 8


def live_table(
    plan: Plan,
    hotkeys: Mapping[str, str],
    uids: Mapping[str, int],
    snapshots: Sequence[StatusSnapshot],
    headline: str,
) -> RenderableType:
    """One row a miner: what it is, what it did, how much evidence stands against it, what it gets.

    hotkeys: participant name -> ss58; uids: hotkey -> uid, for those that the chain lists.
    """
    table = Table(title=headline, title_justify="left", title_style="bold", expand=False)
    for name, justify in (
        ("uid", "right"),
        ("what it is", "left"),
        ("answers", "right"),
        ("tok/s", "right"),
        ("reward", "right"),
        ("checked", "right"),
        ("evidence", "left"),
        ("verdict", "left"),
        ("weight", "right"),
        ("incentive", "right"),
        ("stake", "right"),
    ):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for miner in plan.miners:
        hotkey = hotkeys[miner.name]
        table.add_row(*_row(miner, uids.get(hotkey), strongest(hotkey, snapshots)))
    return table


def _row(miner: Participant, uid: int | None, seen: MinerStatus | None) -> list[RenderableType]:
    what = Text(miner.kind, style="red" if miner.cheats else "green")
    number = "" if uid is None else str(uid)
    if seen is None:
        return [number, what, *[""] * 5, Text("no round yet", style="dim"), *[""] * 3]
    return [
        number,
        what,
        f"{seen.answered}/{seen.requests}",
        "" if seen.tokens_per_second is None else f"{seen.tokens_per_second:.1f}",
        f"{seen.score:.3f}",
        str(seen.checked_tokens),
        _evidence(seen),
        Text(_verdict(seen), style="bold red" if seen.verdict == "inconsistent" else ""),
        f"{seen.weight:.3f}",
        f"{seen.incentive:.3f}",
        f"{seen.stake:.3f}",
    ]


def _verdict(seen: MinerStatus) -> str:
    return seen.verdict if seen.standing == "good" else f"{seen.verdict}, {seen.standing}"


def _evidence(seen: MinerStatus) -> Text:
    """A bar from nothing to the threshold, then the number: log10 of the test's statistic."""
    evidence = peak(seen)[1]
    share = min(max(evidence / seen.threshold, 0.0), 1.0)
    filled = round(share * BAR_CELLS)
    text = Text("█" * filled, style="red" if share >= 1 else "yellow")
    text.append("░" * (BAR_CELLS - filled), style="dim")
    text.append(f" {evidence:4.1f}/{seen.threshold:.0f}", style="")
    return text


def report(outcome: Outcome, folder: Path) -> RenderableType:
    """What happened: one line a miner, where the evidence lies and how to verify it, then the judgement."""
    lines: list[RenderableType] = [Text("What happened", style="bold")]
    lines += [Text("  " + _sentence(miner)) for miner in outcome.miners]
    evidence = [miner for miner in outcome.miners if miner.bundle]
    if evidence:
        lines.append(Text("Verify the evidence yourself (needs only the model and the file):", style="bold"))
        lines += [
            Text(f"  .venv/bin/python -m subnet.evidence verify {bundle_path(folder, miner.bundle)}")
            for miner in evidence
            if miner.bundle
        ]
    lines.append(Text(f"Logs, wallets, ledgers and bundles: {folder}"))
    if outcome.kept_the_promise:
        lines.append(Text("Every cheat has zero incentive and every honest miner has some.", style="bold green"))
    else:
        lines += [Text(f"NOT KEPT: {problem}", style="bold red") for problem in outcome.problems]
    return Group(*lines)


def bundle_path(folder: Path, digest: str | None) -> Path:
    """Where the localnet stores a copy of a bundle."""
    return folder / "evidence" / f"{digest}.bundle"


def _sentence(miner: MinerOutcome) -> str:
    who = f"{miner.participant.name} (uid {miner.uid}, {miner.participant.kind})"
    if miner.accused_by:
        return (
            f"{who} was caught by {' and '.join(miner.accused_by)} after {miner.checked_tokens} checked tokens "
            f"(evidence 10^{miner.evidence:.1f}); incentive {miner.incentive:.4f}, earned {miner.earned:.4f} alpha"
        )
    return (
        f"{who}: {miner.checked_tokens} tokens checked, never accused; incentive {miner.incentive:.4f}, "
        f"earned {miner.earned:.4f} alpha" + (f" ({miner.reason})" if miner.reason else "")
    )
