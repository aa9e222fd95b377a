"""The detection benchmark: `python benchmarks/detection.py [--quick] [--collect]`.
 For every adversary the verified tokens until accusation, for every honest configuration the accusations, in both
tolerance classes, at A = 1e9, beside what others do on the same tokens. Reads the chunks that `detection_collect.py`
stores (about two core-hours for all of them; `--collect` fills in what is missing first) and writes
benchmarks/results/detection.{json,md,png}.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from detection_baselines import honest_threshold, scores, window_rule, z_rule  # noqa: E402
from detection_collect import DEFAULT_DATA  # noqa: E402
from detection_power import Chunk, accusations, completions, delays, fresh_delays, load_chunks, quantile  # noqa: E402

from subnet.verify.bets import factors  # noqa: E402
from subnet.verify.matrix import MEMBERS  # noqa: E402
from subnet.verify.pairs import fresh_records  # noqa: E402
from subnet.verify.profile import ToleranceProfile, load_profile  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

HONEST_NAMES = ("fp32", "fp32-math", "fp32-threads2", "bf16h", "bf16")
NUMERICS = {
    "fp32": "fp32 KV-cache decode",
    "fp32-math": "fp32, unfused attention",
    "fp32-threads2": "fp32, 2 threads",
    "bf16h": "bf16 layers, fp32 head",
    "bf16": "bf16 throughout",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of stored chunks")
    parser.add_argument("--collect", action="store_true", help="collect what is missing first")
    parser.add_argument("--quick", action="store_true", help="fewer orders and fresh tokens")
    parser.add_argument("--fresh", type=int, default=10_000_000, help="honest tokens with fresh seeds, per class")
    parser.add_argument("--orders", type=int, default=100)
    options = parser.parse_args()
    if options.collect:
        subprocess.run([sys.executable, HERE / "detection_collect.py", "--data", options.data], check=True)
    chunks = load_chunks(options.data)
    if not chunks:
        sys.exit(f"{options.data} holds no chunks: run with --collect")
    fresh, orders = (200_000, 20) if options.quick else (options.fresh, options.orders)
    found = evaluate(chunks, orders, fresh)
    results = HERE / "results"
    (results / "detection.json").write_text(json.dumps(found, indent=1) + "\n")
    (results / "detection.md").write_text(table(found))
    draw(found, results / "detection.png")
    sys.stdout.write(table(found))


def evaluate(chunks: Sequence[Chunk], orders: int, fresh: int) -> dict[str, Any]:
    """Everything that is reported, as JSON values."""
    profiles = {name: load_profile(f"smollm2-135m-instruct-{name}") for name in ("fp32", "bf16")}
    miners = sorted({c.miner for c in chunks} - set(HONEST_NAMES))
    out: dict[str, Any] = {
        "threshold": 1e9, "tokens": {}, "agreement": {}, "miss_rate": {"fp32": {}, "bf16": {}},
        "delays": {"fp32": {}, "bf16": {}}, "fresh_delays": {"fp32": {}, "bf16": {}}, "baselines": {}, "honest": {},
    }  # fmt: skip
    for miner in [*miners, *HONEST_NAMES]:
        own = [c for c in chunks if c.miner == miner and c.workload == "general"]
        answers = completions(own)
        margins = np.concatenate([a.margins for a in answers])
        out["tokens"][miner] = len(margins)
        out["agreement"][miner] = float(np.mean(np.concatenate([a.matches for a in answers])))
        for name, profile in profiles.items():
            out["miss_rate"][name][miner] = float(np.mean(margins > profile.tolerance))
            random = np.random.default_rng(7)
            out["delays"][name][miner] = delays(answers, profile, orders, random)
            pairs = [c.data for c in own if c.data.pairs is not None]
            if pairs and miner not in HONEST_NAMES:
                longest = 3_000 if name == "fp32" else 12_000
                out["fresh_delays"][name][miner] = fresh_delays(
                    pairs[0].pairs, pairs[0].sampling, profile, 40, longest, random
                )
        sys.stderr.write(f"{miner}\n")
    for name in profiles:
        out["baselines"][name] = baselines(chunks, miners, name, orders)
    for name, profile in profiles.items():
        out["honest"][name] = honest(chunks, name, profile, fresh)
    return out


def honest(chunks: Sequence[Chunk], name: str, profile: ToleranceProfile, fresh: int) -> dict[str, Any]:
    """Accusations in all honest tokens of a class: as they were decoded, and with fresh seeds on their pairs."""
    members = [c for c in chunks if c.miner in MEMBERS[name]]
    real = accusations(np.concatenate([factors(a, profile) for a in completions(members)])[None], profile)
    by_workload: dict[str, dict[str, float]] = {}
    random = np.random.default_rng(11)
    paired = [c for c in members if c.data.pairs is not None]
    for chunk in paired:
        row = by_workload.setdefault(
            chunk.workload, {"positions": 0, "fresh_tokens": 0, "misses": 0, "accusations": 0, "largest_evidence": 0.0}
        )
        _fresh_honest(chunk, profile, fresh // len(paired), random, row)
    widest = np.concatenate([c.data.widest for c in members if c.data.widest is not None])
    return {
        "tokens": int(sum(len(c.data.tokens) for c in members)),
        "misses": int(sum(np.count_nonzero(c.data.records.margins > profile.tolerance) for c in members)),
        "accusations": sum(value is not None for value in real),
        "configurations": sorted({f"{c.miner} {c.workload} {c.batch}" for c in members}),
        "widest_difference": float(widest.max()),
        "fresh_tokens": int(sum(row["fresh_tokens"] for row in by_workload.values())),
        "fresh_misses": int(sum(row["misses"] for row in by_workload.values())),
        "fresh_accusations": int(sum(row["accusations"] for row in by_workload.values())),
        "workloads": by_workload,
    }


def _fresh_honest(
    chunk: Chunk, profile: ToleranceProfile, tokens: int, random: np.random.Generator, row: dict[str, float]
) -> None:
    """As many streams as the chunk has positions, each walking over the contexts of this one workload."""
    pairs, weights = chunk.data.pairs, np.array([a.weight for a in profile.alternatives])
    weights = weights / weights.sum()
    current = np.zeros((len(pairs), len(weights)))
    for _ in range(max(1, tokens // len(pairs))):
        records = fresh_records(pairs, chunk.data.sampling, random)
        shuffled = random.permutation(len(pairs))
        current = (current + 1.0) * factors(records, profile)[shuffled]
        evidence = current @ weights
        accused = evidence >= profile.threshold
        row["largest_evidence"] = max(row["largest_evidence"], float(evidence.max()))
        row["accusations"] += int(accused.sum())
        row["misses"] += int(np.count_nonzero(records.margins > profile.tolerance))
        row["fresh_tokens"] += len(pairs)
        current[accused] = 0.0
    row["positions"] += len(pairs)


def baselines(chunks: Sequence[Chunk], miners: Sequence[str], name: str, orders: int) -> dict[str, Any]:
    """Median delays of the rules of others, and how often they accuse an honest miner of the class."""
    random = np.random.default_rng(3)
    members = [c for c in chunks if c.miner in MEMBERS[name]]
    general = completions([c for c in members if c.workload == "general"])
    half, rest = general[::2], general[1::2] + completions([c for c in members if c.workload != "general"])
    rules = {}
    for label, kind in (("exact match, fixed threshold", "mismatch"), ("mean margin, fixed threshold", "margin")):
        values = scores(half, np.arange(len(half)), kind)
        rules[label] = (kind, window_rule(honest_threshold(values)))
    values = scores(half, np.arange(len(half)), "margin")
    rules["z > 1 after each check"] = ("margin", z_rule(float(values.mean()), float(values.std())))
    out: dict[str, Any] = {}
    for label, (kind, rule) in rules.items():
        row: dict[str, Any] = {}
        for miner in miners:
            answers = completions([c for c in chunks if c.miner == miner and c.workload == "general"])
            hits = [rule(scores(answers, random.permutation(len(answers)), kind)) for _ in range(orders)]
            median = quantile(hits, 0.5)
            row[miner] = None if np.isinf(median) else median
        hits = [rule(scores(rest, random.permutation(len(rest)), kind)) for _ in range(orders)]
        row["honest accused"] = float(np.mean([hit is not None for hit in hits]))
        out[label] = row
    return out


def _cell(found: Sequence[int | None] | None) -> str:
    if not found:
        return "–"
    parts = ["none" if np.isinf(value) else f"{value:,.0f}" for value in (quantile(found, 0.5), quantile(found, 0.9))]
    return f"{parts[0]} ({parts[1]})"


def table(found: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [f"Verified tokens until accusation at A = {found['threshold']:.0e}: median (90 %). "]
    lines[-1] += "*Real*: orders of completions that the adversary really decoded. *Fresh*: fresh seeds on its logits."
    lines += ["The verifier is one fp32 prefill; adversaries compute in fp32 but for the change named.", ""]
    head = "| miner | tokens | agreement | fp32 class, real | fresh | bf16 class, real | fresh |"
    lines += [head, "|" + "---|" * 7]
    for miner in sorted(found["agreement"], key=lambda m: (m in HONEST_NAMES, found["agreement"][m])):
        kinds = [(name, kind) for name in ("fp32", "bf16") for kind in ("delays", "fresh_delays")]
        cells = " | ".join(_cell(found[kind][name].get(miner)) for name, kind in kinds)
        label = f"honest: {NUMERICS[miner]}" if miner in HONEST_NAMES else miner
        lines.append(f"| {label} | {found['tokens'][miner]:,} | {found['agreement'][miner]:.4f} | {cells} |")
    lines += ["", "`none`: not within the tokens there are. bf16 miners are outside the fp32 class, by design.", ""]
    lines += ["**Honest tokens**", "", "| class | real tokens | misses | accused | fresh tokens | misses | accused |"]
    lines.append("|" + "---|" * 7)
    for name, row in found["honest"].items():
        real = [row[key] for key in ("tokens", "misses", "accusations")]
        numbers = [*real, *(row[key] for key in ("fresh_tokens", "fresh_misses", "fresh_accusations"))]
        lines.append(f"| {name} | " + " | ".join(f"{number:,}" for number in numbers) + " |")
    lines += ["", "**Rules of others on the same tokens, median delay**", ""]
    rules = [(name, label) for name in found["baselines"] for label in found["baselines"][name]]
    lines += ["| miner | " + " | ".join(f"{n}: {label}" for n, label in rules) + " |", "|" + "---|" * (1 + len(rules))]
    for miner in found["baselines"]["fp32"]["z > 1 after each check"]:
        values = [found["baselines"][n][label][miner] for n, label in rules]
        shown = [f"{v:.2f}" if miner == "honest accused" else "none" if v is None else f"{v:,.0f}" for v in values]
        lines.append(f"| {miner} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def draw(found: dict[str, Any], path: Path) -> None:
    """Power curves: share accused against verified tokens, in both classes."""
    figure, axes = plt.subplots(1, 2, figsize=(15, 6), sharey=True)
    for axis, name in zip(axes, ("fp32", "bf16"), strict=True):
        for miner, hits in found["delays"][name].items():
            times = np.sort([np.inf if hit is None else hit for hit in hits])
            style = "k-" if miner in MEMBERS[name] else "-"
            share = np.arange(1, len(times) + 1) / len(times)
            reached = share[np.isfinite(times)].max(initial=0)
            axis.step(np.r_[1, times, 2e4], np.r_[0, share, reached], style, where="post", lw=1, label=miner)
        axis.set(xscale="log", xlim=(1, 2e4), xlabel="verified tokens", title=f"{name} class, A = 1e9")
    axes[0].set_ylabel("share of orders accused")
    axes[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
