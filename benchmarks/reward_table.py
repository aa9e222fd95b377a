"""The tables of `benchmarks/reward.py` as markdown."""

from __future__ import annotations

import statistics
from typing import Any

from reward.training.spoil import TRAINED

VERSIONS = {
    "whole": "as it is",
    "int4": "decoder weights in int4",
    "skipped": "one of 30 decoder layers left out",
    "skipped_two": "two left out",
    "hot": "sampled at temperature 1.3 instead of 0.6",
}
"""Versions of the reference model, in the order of the table."""


def markdown(result: dict[str, Any]) -> str:
    """All tables of a result."""
    parts = [_auc(result), _panel(result), _versions(result), _model_answers(result), _costs(result)]
    return "\n".join(line for part in parts for line in part) + "\n"


def summary(result: dict[str, Any]) -> str:
    """The short table for the front page: the hand panel, and what a worse model earns."""
    head = {**result["panel_means"]["head"]}
    agreed = result["panel"]["head"]
    lines = ["| answer | mean score | a good answer scores above it |", "|---|---|---|"]
    lines += [_row(f"{kind} (written by hand)", [f"{head[kind]:.2f}", ""]) for kind in ("good, short", "good, long")]
    for kind, rows in (
        ("wrong, short", ("wrong, both short", "short wrong one against long good one")),
        ("wrong, long", ("wrong, both long", "long wrong one against short good one")),
    ):
        share = statistics.mean(agreed[row] for row in rows)
        lines.append(_row(f"{kind}, as fluent as the good one", [f"{head[kind]:.2f}", f"{share:.0%}"]))
    lines += [_row(kind, [f"{head[kind]:.2f}", f"{agreed[kind]:.0%}"]) for kind in agreed if kind in head]
    return "\n".join(lines) + "\n"


def _row(name: str, cells: list[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def _auc(result: dict[str, Any]) -> list[str]:
    refits, auc = result.get("auc_kind_unseen", {}), result["auc"]
    held = result["held_out"]
    lines = [
        "AUC: how often a good answer to a held-out prompt scores above a bad one of a kind "
        f"({held['prompts']} prompts, {held['completions']} completions, short and long).",
        "",
        _row("kind", ["trained on", *auc, "head, kind unseen"]),
        "|---|---|" + "---|" * (len(auc) + 1),
    ]
    for kind in auc["head"]:
        trained = kind in TRAINED
        unseen = f"{refits[kind]:.3f}" if kind in refits else "" if trained else f"{auc['head'][kind]:.3f}"
        lines.append(_row(kind, ["yes" if trained else "no", *(f"{auc[name][kind]:.3f}" for name in auc), unseen]))
    means = [f"**{statistics.mean(values.values()):.3f}**" for values in auc.values()]
    return [*lines, _row("**mean**", ["", *means, ""]), ""]


def _panel(result: dict[str, Any]) -> list[str]:
    panel, means = result["panel"], result["panel_means"]
    lines = [
        f"The hand panel: share of {result['panel_prompts']} prompts, none of them trained on, on which the good "
        "answer scores above the bad one.",
        "",
        _row("bad answer", list(panel)),
        "|---|" + "---|" * len(panel),
    ]
    lines += [_row(kind, [f"{panel[name][kind]:.3f}" for name in panel]) for kind in panel["head"]]
    lines += ["", _row("mean score on the panel", list(means)), "|---|" + "---|" * len(means)]
    lines += [_row(kind, [f"{means[name][kind]:.3f}" for name in means]) for kind in means["head"]]
    return [*lines, ""]


def _versions(result: dict[str, Any]) -> list[str]:
    rows = result["versions"]
    if not rows:
        return []
    lines = [
        "What serving a worse model costs: mean reward of the answers of SmolLM2-135M to "
        f"{rows['prompts']} held-out prompts, at most 96 tokens each.",
        "",
        "| version | handmade | head | whole model scores higher (head) |",
        "|---|---|---|---|",
    ]
    for name, text in VERSIONS.items():
        if name in rows["head"]:
            wins = "" if name == "whole" else f"{rows['wins'][name]:.0%}"
            lines.append(_row(text, [f"{rows['handmade'][name]:.3f}", f"{rows['head'][name]:.3f}", wins]))
    return [*lines, ""]


def _model_answers(result: dict[str, Any]) -> list[str]:
    auc = result["auc_model_answers"]
    if not auc:
        return []
    lines = ["AUC with the reference model's own answers to held-out prompts as the good ones:", ""]
    lines += [_row("kind", list(auc)), "|---|" + "---|" * len(auc)]
    return [*lines, *(_row(kind, [f"{auc[name][kind]:.3f}" for name in auc]) for kind in auc["head"]), ""]


def _costs(result: dict[str, Any]) -> list[str]:
    seconds, machine = result["seconds"], result["machine"]
    threads = f"{machine['threads']} thread{'s' if machine['threads'] > 1 else ''}"
    return [
        f"Time a completion of {seconds['words a completion']:.0f} words takes, {threads} on {machine['processor']}: "
        f"{seconds['alone']:.3f} s alone, {seconds['in a batch of 8']:.3f} s in a batch of 8; of this the embeddings "
        f"take {seconds['embeddings alone'] * 1000:.1f} ms and the head {seconds['head alone'] * 1e6:.0f} µs.",
        "",
        "Largest difference of a score between runs: "
        + ", ".join(f"{name} {value:.1e}" for name, value in result["reproducibility"].items())
        + f" ({result['compared']} completions; instruction sets in processes of their own).",
        "",
        f"Head: {result['head']['parameters']} parameters, SHA-256 `{result['head']['sha256']}`.",
    ]
