"""Fitting the head: preferences between a good answer and its spoilt versions.

The loss is the mean of two parts. Within a prompt, log(1 + exp(z_bad - z_good)): each good
answer, short or long, must beat each bad one. Across prompts, the logistic loss of good against bad, so that
one threshold fits all. Every kind of badness weighs the same, whatever its number of examples, but for those that
are named. Everything runs in float64 on one thread from a fixed seed, so a rerun gives the same head.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reward.composite import RAMPS
from reward.head import ONE, WEIGHT_LIMIT, WIDTHS, Head, Layer
from reward.signals import SCALAR_NAMES
from reward.training.dataset import GOOD


@dataclass(frozen=True, slots=True)
class FitOptions:
    """Hyperparameters.

    The head is an ensemble in one network: `members` nets of one hidden layer of `hidden` units each are
    fitted from different seeds and laid side by side; the output is their mean.
    """

    blocks: tuple[str, ...] = ("scalars", "components", "state")
    hidden: int = 8
    members: int = 4
    steps: int = 250
    rate: float = 8e-3
    decay: float = 0.1
    noise: float = 0.2
    """standard deviation of the uniform noise on the standardised inputs while fitting"""
    pairwise: float = 0.5
    """Share of the part within pairs in the loss."""
    embedding_scale: float = 0.3
    """Weight of the embedding blocks' inputs relative to the readable signals', after standardising."""
    emphasis: tuple[tuple[str, float], ...] = (("wrong", 6.0),)
    """Kinds that weigh more than the others."""
    blind: tuple[str, ...] = ()
    """Signals that the head must not see."""
    seed: int = 5


@dataclass(frozen=True)
class Table:
    """Examples as arrays: features float64 [n, inputs], pair numbers int64 [n], kinds [n]."""

    features: np.ndarray
    pairs: np.ndarray
    kinds: tuple[str, ...]

    def without(self, kinds: Sequence[str]) -> Table:
        """The table without some kinds."""
        keep = np.array([kind not in kinds for kind in self.kinds])
        left = tuple(kind for kind, kept in zip(self.kinds, keep, strict=True) if kept)
        return Table(self.features[keep], self.pairs[keep], left)


def fit(table: Table, options: FitOptions, record: Mapping[str, Any]) -> Head:
    """A head trained on the table."""
    plain = sum(WIDTHS[name] for name in options.blocks if name in WIDTHS)
    shift, scale = standardise(table.features, plain, options.embedding_scale)
    hidden = [index for index, name in enumerate(readable(options.blocks)) if name in options.blind]
    scale[hidden] = 0.0
    x = torch.from_numpy(np.clip((table.features - shift) * scale, -4.0, 4.0))
    good, bad, weight = _preferences(table, dict(options.emphasis))
    spread = options.noise * math.sqrt(12.0)
    nets = []
    for member in range(options.members):
        torch.manual_seed(options.seed + member)
        first = nn.Linear(x.shape[1], options.hidden, dtype=torch.float64)
        last = nn.Linear(options.hidden, 1, dtype=torch.float64)
        net = nn.Sequential(first, nn.ReLU(), last)
        optimiser = torch.optim.AdamW(net.parameters(), lr=options.rate, weight_decay=options.decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.steps)
        for _ in range(options.steps):
            optimiser.zero_grad()
            z = net(x + spread * (torch.rand_like(x) - 0.5)).squeeze(1)
            within = (F.softplus(z[bad] - z[good]) * weight).sum()
            across = 0.5 * F.softplus(-z[torch.unique(good)]).mean() + 0.5 * (F.softplus(z[bad]) * weight).sum()
            (options.pairwise * within + (1.0 - options.pairwise) * across).backward()
            optimiser.step()
            schedule.step()
        nets.append((first, last))
    return Head(options.blocks, shift, scale, side_by_side(nets), dict(record))


def readable(blocks: Sequence[str]) -> list[str]:
    """Names of the inputs in front of the embeddings."""
    parts = {"scalars": SCALAR_NAMES, "components": tuple(f"component.{name}" for name in (*RAMPS, "product"))}
    return [name for block in blocks for name in parts.get(block, ())]


def standardise(features: np.ndarray, plain: int, embedding_scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Shift and scale of each input, the mean and one over the spread. The first `plain` are readable signals."""
    shift, spread = features.mean(axis=0), features.std(axis=0)
    scale = 1.0 / np.maximum(spread, 1e-3)
    scale[plain:] *= embedding_scale
    # Rounded, so that the last bits of a sum do not depend on the machine that trains.
    return np.round(shift, 6), np.round(scale, 4)


def side_by_side(nets: Sequence[tuple[nn.Linear, nn.Linear]]) -> tuple[Layer, Layer]:
    """One network in units of 2^-12 that computes the mean of several."""
    rows, biases = torch.cat([first.weight for first, _ in nets]), torch.cat([first.bias for first, _ in nets])
    mean = torch.cat([last.weight for _, last in nets], dim=1) / len(nets)
    return Layer(_fixed(rows), _fixed(biases)), Layer(
        _fixed(mean), _fixed(torch.stack([last.bias for _, last in nets]).mean(dim=0))
    )


def _fixed(value: Tensor) -> np.ndarray:
    return np.clip(np.rint(value.detach().numpy() * ONE), -WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int64)


def _preferences(table: Table, emphasis: Mapping[str, float]) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of the good and the bad example of every preference, and weights: each kind's sum to its emphasis.

    Every good answer to a prompt, short or long, is preferred to every bad one.
    """
    goods: dict[int, list[int]] = {}
    for index, (pair, kind) in enumerate(zip(table.pairs, table.kinds, strict=True)):
        if kind == GOOD:
            goods.setdefault(int(pair), []).append(index)
    rows = [
        (good, bad, kind)
        for bad, (pair, kind) in enumerate(zip(table.pairs, table.kinds, strict=True))
        if kind != GOOD
        for good in goods.get(int(pair), ())
    ]
    counts = Counter(kind for _, _, kind in rows)
    total = sum(emphasis.get(kind, 1.0) for kind in counts)
    weight = [emphasis.get(kind, 1.0) / (counts[kind] * total) for _, _, kind in rows]
    good, bad = ([row[side] for row in rows] for side in (0, 1))
    return torch.tensor(good), torch.tensor(bad), torch.tensor(weight, dtype=torch.float64)


def auc(good: np.ndarray, bad: np.ndarray) -> float:
    """Probability that a good answer scores above a bad one, ties counting half; 0.5 of nothing."""
    if not len(good) or not len(bad):
        return 0.5
    ordered = np.sort(bad)
    below = np.searchsorted(ordered, good, side="left")
    equal = np.searchsorted(ordered, good, side="right") - below
    return float((below + 0.5 * equal).sum() / (len(good) * len(bad)))


def auc_by_kind(scores: np.ndarray, kinds: Sequence[str], pairs: np.ndarray) -> dict[str, float]:
    """AUC of each kind against the good answers to the same prompts."""
    names = np.array(kinds)
    result = {}
    for kind in dict.fromkeys(kinds):
        if kind == GOOD:
            continue
        chosen = names == kind
        base = (names == GOOD) & np.isin(pairs, pairs[chosen])
        result[kind] = auc(scores[base], scores[chosen])
    return result
