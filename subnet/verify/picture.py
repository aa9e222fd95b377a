"""The pictures of a calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from subnet.verify.fitting import DISTANCE_EDGES, Counts
from subnet.verify.measure import Measured
from subnet.verify.profile import ToleranceProfile

matplotlib.use("Agg")

import matplotlib.pyplot as plt


def draw_calibration(
    profile: ToleranceProfile, counts: Sequence[Counts], stored: dict[str, list[Measured]], path: Path
) -> None:
    """Left: how far honest logits lie apart. Right: how often a competitor is drawn at a distance, and its bound."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    for workload, measured in sorted(stored.items()):
        widest = np.concatenate([m.widest for m in measured if m.widest is not None])
        ordered = np.sort(widest[widest > 0])
        if len(ordered):
            left.plot(ordered, 1.0 - np.arange(len(ordered)) / len(ordered), label=workload, lw=1)
    left.set(xscale="log", yscale="log", xlabel="largest difference of any logit", ylabel="share of positions above")
    left.legend(fontsize=6)
    middle = np.array((0.001, *DISTANCE_EDGES))
    for c in counts:
        seen, flipped = c.seen.sum(axis=(0, 1)), c.flipped.sum(axis=(0, 1))
        enough = (seen > 100) & (flipped > 0)
        right.plot(middle[enough], flipped[enough] / seen[enough], ".", ms=3, label=c.workload)
    for row in profile.bound:
        right.step(middle, row, where="post", color="black", lw=1)
    right.axvline(profile.tolerance, color="grey", lw=0.6)
    unit = "logits over the spread" if profile.spread else "logits"
    right.set(xscale="log", yscale="log", xlabel=f"distance of the competitor ({unit})", ylabel="share drawn")
    figure.suptitle(f"{profile.name}: {profile.numerics}", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
