"""The detection benchmark's table and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from detection_data import AT_BF16
from detection_power import quantile

from subnet.verify.matrix import MEMBERS
from subnet.verify.profile import ToleranceProfile

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HONEST_NAMES = ("fp32", "fp32-math", "fp32-threads2", "fp16", "bf16h", "bf16")
NUMERICS = {
    "fp32": "fp32 KV-cache decode",
    "fp32-math": "fp32, unfused attention",
    "fp32-threads2": "fp32, 2 threads",
    "fp16": "fp16 throughout",
    "bf16h": "bf16 layers, fp32 head",
    "bf16": "bf16 throughout",
}
GROSS = ("smaller_model", "smaller_then_prefill", "int4", "layer_skipped", "wrong_seed", "copies")
SAMPLING = ("temperature_high", "temperature_low", "greedy", "top_p", "top_k")
INT8 = ("int8", "int8_activations", "int8_dynamic")
AIMS = {
    "fp32": {
        **dict.fromkeys(GROSS, 10),
        **dict.fromkeys((*SAMPLING, "fp8"), 50),
        **dict.fromkeys((*INT8, "int8_kv", "fine_tuned", "fine_tuned_light", "fp8_kv"), 120),
    },
    "bf16": {
        **dict.fromkeys(GROSS, 15),
        "fp8": 150,
        **dict.fromkeys(("fp8_kv", "fine_tuned", "fine_tuned_light"), 1_000),
        **dict.fromkeys((*INT8, "int8_kv"), 3_000),
    },
}
"""Median tokens that were aimed for."""

RULES = ("exact match", "mean margin", "z > 1")


HEADING = """\
Verified tokens until accusation at A = {threshold:.0e}; the verifier is one fp32 prefill. **Ours**: median (90 %) over
random orders of completions that the adversary really decoded; *fresh*: fresh seeds on its logits. *Floor*: ln A over
the nats a token that the best bet of our kind, chosen in hindsight, earns against the profile's bounds. The last four
columns are the rules of others on the same tokens: exact match and mean margin (Token-DiFR) with thresholds fixed on
honest tokens, in windows of 300; z > 1 after every 128; TOPLOC at its paper's thresholds, in proofs of 32."""
POWER = """\
**Power**: for each median above its aim, the nats a token that the best bet earns against the profile's bounds, and
against bounds at the measured honest rates with no headroom; ln A = 20.7 over these is a floor in tokens."""
HONEST = """\
**Honest tokens.** *Held-out halves*: every completion is judged by bounds that were fitted to the other half's prompts
alone (the fp32 profile's bounds are its floor, fitted to nothing). *New contexts*: prompts that no fit has seen, judged
by the profile that is shipped. *Exponent*: evidence of A comes by chance about once in A to this power in that
workload; 1 is the promise."""

SUMMARY = """\
Ours: median (90 %). The others: fp32 / bf16 class, medians on the same tokens; exact match and mean margin
(Token-DiFR) in windows of 300 with thresholds from honest tokens, z > 1 after every 128, TOPLOC at its paper's
thresholds in proofs of 32. `none`: not within the tokens there are. Cheats of the bf16 class compute in bf16 where that
was run."""


def table(found: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [HEADING.format(threshold=found["threshold"])]
    for name in ("fp32", "bf16"):
        lines += ["", f"**{name} class**", "", *_class_table(found, name)]
    lines += ["", "`none`: not within the tokens there are. Bold: misses its aim.", "", *_misses(found), ""]
    return "\n".join([*lines, *_honest(found)]) + "\n"


def summary(found: dict[str, Any]) -> str:
    """A line a miner: both classes beside the rules of others, as Markdown."""
    titles = ["miner", "**ours**, fp32 class", "**ours**, bf16 class", *RULES, "TOPLOC"]
    lines = _head(titles)
    agreement = found["agreement"]["fp32"]
    for miner in sorted((m for m in found["delays"]["fp32"] if m not in HONEST_NAMES), key=lambda m: agreement[m]):
        own = {"fp32": miner, "bf16": miner + AT_BF16 if miner + AT_BF16 in found["delays"]["bf16"] else miner}
        cells = [miner, *(_cell(found["delays"][name][m]) for name, m in own.items())]
        for rule in RULES:
            cells.append(" / ".join(_number(found["baselines"][name][rule].get(m, "–")) for name, m in own.items()))
        cells.append(" / ".join(_number(_toploc(found, name, m)) or "–" for name, m in own.items()))
        lines.append(_line(cells))
    wrong = [" / ".join(f"{found['baselines'][n][rule]['honest accused']:.2f}" for n in AIMS) for rule in RULES]
    shares = [*(_share(found, name) for name in AIMS), *wrong, " / ".join(_toploc_honest(found, name) for name in AIMS)]
    lines.append(_line(["honest, share accused", *shares]))
    return "\n".join([*lines, "", SUMMARY]) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _head(titles: Sequence[str]) -> list[str]:
    return [_line(titles), "|" + "---|" * len(titles)]


def _class_table(found: dict[str, Any], name: str) -> list[str]:
    titles = ["miner", "numerics", "tokens", "agreement", "**ours**", "fresh", "aim", "floor", *RULES, "TOPLOC"]
    lines = _head(titles)
    rows, agreement = found["delays"][name], found["agreement"][name]
    for miner in sorted(rows, key=lambda m: (m in HONEST_NAMES, agreement[m])):
        cheat, honest = miner.removesuffix(AT_BF16), miner in HONEST_NAMES
        aim = None if honest else AIMS[name].get(cheat)
        ours = _cell(rows[miner])
        if aim and quantile(rows[miner], 0.5) > aim:
            ours = f"**{ours}**"
        cells = [f"honest: {NUMERICS[miner]}" if honest else cheat]
        cells.append("" if honest else "bf16 + change" if miner.endswith(AT_BF16) else "fp32 + change")
        cells += [f"{found['tokens'][name][miner]:,}", f"{agreement[miner]:.4f}", ours]
        cells += [_cell(found["fresh_delays"][name][miner]), f"{aim:,}" if aim else "–"]
        cells.append(_number(found["floor"][name][miner]))
        others = [found["baselines"][name][rule].get(miner, "") for rule in RULES] + [_toploc(found, name, miner)]
        lines.append(_line([*cells, *map(_number, others)]))
    wrong = [f"{found['baselines'][name][rule]['honest accused']:.2f}" for rule in RULES]
    lines.append(
        "| honest of the class, share accused | | | "
        + _line([_share(found, name), "", "", "", *wrong, _toploc_honest(found, name)])
    )
    return lines


def _share(found: dict[str, Any], name: str) -> str:
    parts = [part for part in (found["honest"][name]["halves"], found["honest"][name]["new"]) if part]
    return "0" if not sum(part["accusations"] for part in parts) else "some"


def _toploc(found: dict[str, Any], name: str, miner: str) -> Any:
    if not found["toploc"]:
        return ""
    own = "bf16" if miner.endswith(AT_BF16) or miner in MEMBERS["bf16"] else "fp32"
    row = found["toploc"][own].get(miner.removesuffix(AT_BF16))
    return row["median_tokens"] if row else ""


def _toploc_honest(found: dict[str, Any], name: str) -> str:
    row = (found["toploc"] or {}).get(name, {}).get(MEMBERS[name][0])
    return f"{row['completions_rejected']:.2f}" if row else ""


def _number(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else f"{value:,.0f}"


def _cell(found: Sequence[int | None] | None) -> str:
    if not found:
        return "–"
    parts = ["none" if np.isinf(value) else f"{value:,.0f}" for value in (quantile(found, 0.5), quantile(found, 0.9))]
    return f"{parts[0]} ({parts[1]})"


def _misses(found: dict[str, Any]) -> list[str]:
    """For every median above its aim what honest noise leaves to earn."""
    lines = [
        POWER,
        "",
        *_head(["class", "miner", "numerics", "median", "aim", "nats", "floor", "nats, no headroom", "floor"]),
    ]
    for name in ("fp32", "bf16"):
        for miner, hits in found["delays"][name].items():
            aim = AIMS[name].get(miner.removesuffix(AT_BF16)) if miner not in HONEST_NAMES else None
            if not aim or quantile(hits, 0.5) <= aim:
                continue
            floors = [found["floor"][name][miner], found["tight_floor"][name][miner] if name == "bf16" else None]
            power = []
            for value in floors:
                power += ["–", "none" if name == "bf16" else "–"] if value is None else [
                    f"{np.log(found['threshold']) / value:.2g}", f"{value:,.0f}"
                ]  # fmt: skip
            median = quantile(hits, 0.5)
            shown = "none" if np.isinf(median) else f"{median:,.0f}"
            numerics = "bf16 + change" if miner.endswith(AT_BF16) else "fp32 + change"
            cells = [name, miner.removesuffix(AT_BF16), numerics, shown, f"{aim:,}", *power]
            lines.append(_line(cells))
    return lines


def _honest(found: dict[str, Any]) -> list[str]:
    lines = [
        HONEST,
        "",
        *_head([
            "class", "tokens", "real", "misses", "accused", "fresh", "misses", "accused", "longest life",
            "exponent, least",
        ]),
    ]  # fmt: skip
    for name in ("fp32", "bf16"):
        row = found["honest"][name]
        for label, key in (("held-out halves", "halves"), ("new contexts", "new")):
            if not row[key]:
                continue
            own = {w: v for w, v in row["workloads"].items() if w.startswith("held_") == (key == "new")}
            lives = [life for parts in own.values() for life in parts]
            total = [sum(life[field] for life in lives) for field in ("fresh_tokens", "misses", "accusations")]
            real = [row[key][field] for field in ("tokens", "misses", "accusations")]
            least = min(((life["exponent"], w) for w, parts in own.items() for life in parts), default=(0.0, ""))
            cells = [name, label, *(f"{n:,}" for n in (*real, *total))]
            cells += [f"{max((life['life'] for life in lives), default=0):,}", f"{least[0]:.2f} ({least[1]})"]
            lines.append(_line(cells))
    return lines


def draw(found: dict[str, Any], path: Path) -> None:
    """Power curves of both classes, and the null: largest evidence of honest lives against the bound n/A."""
    figure, axes = plt.subplots(1, 3, figsize=(21, 8))
    for axis, name in zip(axes[:2], ("fp32", "bf16"), strict=True):
        _power(axis, found, name)
    axes[0].set_ylabel("share of orders accused")
    _null(axes[2], found)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _power(axis: Any, found: dict[str, Any], name: str) -> None:
    chosen = {m: h for m, h in found["delays"][name].items() if m in MEMBERS[name] or m not in HONEST_NAMES}
    ordered = sorted(chosen, key=lambda m: (m in HONEST_NAMES, quantile(chosen[m], 0.5)))
    colours = plt.get_cmap("turbo")(np.linspace(0.02, 0.98, max(2, len(ordered))))
    for colour, miner in zip(colours, ordered, strict=False):
        times = np.sort([np.inf if hit is None else hit for hit in chosen[miner]])
        share = np.arange(1, len(times) + 1) / len(times)
        reached = share[np.isfinite(times)].max(initial=0)
        honest = miner in HONEST_NAMES
        label = f"honest: {NUMERICS[miner]}" if honest else miner
        axis.step(
            np.r_[1, times, 2e4], np.r_[0, share, reached], "-", where="post",
            lw=2 if honest else 1.1, color="black" if honest else colour, label=label,
        )  # fmt: skip
    axis.set(xscale="log", xlim=(1, 2e4), xlabel="verified tokens", title=f"{name} class, A = 1e9: power")
    axis.legend(fontsize=6.5, loc="upper left", ncols=1)


def _null(axis: Any, found: dict[str, Any]) -> None:
    for name, colour in (("fp32", "tab:blue"), ("bf16", "tab:red")):
        lives = [life for parts in found["honest"][name]["workloads"].values() for life in parts]
        for longest in (True, False):
            own = [life for life in lives if (life["life"] > 6_000) == longest]
            peaks = np.sort(np.concatenate([life["peaks"] for life in own])) if own else np.array([])
            if len(peaks):
                length = int(np.median([life["life"] for life in own]))
                share = 1.0 - np.arange(len(peaks)) / len(peaks)
                style = "-" if longest else ":"
                axis.step(np.maximum(peaks, 1), share, style, color=colour, label=f"{name}, honest lives of {length:,}")
    levels = np.geomspace(1, 1e10, 50)
    axis.plot(levels, np.minimum(1.0, 10_000 / levels), "k--", lw=1, label="bound n/a, n = 10,000")
    axis.axvline(found["threshold"], color="grey", lw=1)
    axis.set(
        xscale="log", yscale="log", xlim=(1, 1e10), ylim=(1e-4, 1.2), xlabel="largest evidence a in a life",
        ylabel="share of lives that reach a", title="the null: honest lives of fresh tokens",
    )  # fmt: skip
    axis.legend(fontsize=8)


def noise_left(profile: ToleranceProfile) -> str:
    """The mean logarithm of honest noise by workload, before and after its prediction, as the profile states it."""
    lines = _head(["workload", "noise", "left after the prediction"])
    for workload, values in sorted(profile.measured["noise_left"].items()):
        lines.append(_line([workload, *(f"{value:+.2f}" for value in values)]))
    return "\n".join(lines) + "\n"
