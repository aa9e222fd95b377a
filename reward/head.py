"""The learned reward: a small network of linear layers and ReLU, defined in whole numbers.

The input is quantised once; from there on every step is exact integer arithmetic, so that the
score is the same on every machine and can be proved in zero knowledge:

    x      = clip(round((feature - shift) * scale * 2^18), -4 * 2^18, 4 * 2^18)      int64 [inputs]
    layer  : y = (W x + b * 2^18 + 2^11) >> 12, W and b in units of 2^-12, y of 2^-18     int64 [outputs]
    hidden : y = max(0, y)
    score  = sum_k slope_k * max(0, z - knot_k), clipped to [0, 2^16], in units of 2^-16

The last line is a logistic curve in straight pieces. Sums stay far below 2^63: 1,000 inputs of at most
2^20 times weights of at most 2^15 are below 2^45.

Machines whose float32 sums differ in the last bits may round an input to neighbouring steps of the grid. The grid is
so fine that one step moves a score by less than 1e-6, so no threshold stands between equal scores.

The features are the scalar signals of `reward.signals` and products of frozen embeddings; the file
names them, and carries the record of the training and its own hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from reward.composite import EMPTY, FLOOR, RAMPS, components
from reward.model import Component, Conversation, RewardScore
from reward.signals import SCALAR_NAMES, SignalReader, Signals, scalars
from subnet.errors import RewardError

DEFAULT_HEAD = "head.json"
PINNED_HEAD = "fc7e49e678d45a29298487e232fbad75f7b4e968b411473a2602e696f38ac7af"
"""SHA-256 of the canonical form of the shipped head; `scripts/train_reward.py` prints it."""

ONE = 1 << 12
"""One, in units of weights and biases."""
GRID = 1 << 18
"""One, in units of inputs, hidden values and logits."""
CLIP = 4 * GRID
WEIGHT_LIMIT = 1 << 15
SCORE_ONE = 1 << 16
MOST_PARAMETERS = 25_000

KNOTS = (-8.0, -5.0, -3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 5.0, 8.0)
"""Where the pieces of the logistic curve meet."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights int64 [outputs, inputs] and biases int64 [outputs], in units of 2^-12."""

    weights: np.ndarray
    biases: np.ndarray

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or self.biases.shape != self.weights.shape[:1]:
            raise RewardError(f"layer shapes {self.weights.shape} and {self.biases.shape} do not fit")
        largest = max(int(np.abs(self.weights).max()), int(np.abs(self.biases).max()))
        if largest > WEIGHT_LIMIT:
            raise RewardError(f"a weight of {largest} is above the limit of {WEIGHT_LIMIT}; the sums might overflow")

    @property
    def parameters(self) -> int:
        return int(self.weights.size + self.biases.size)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """int64 [n, inputs] to int64 [n, outputs]; rounds half up."""
        return (x @ self.weights.T + self.biases * GRID + ONE // 2) >> 12


def logistic_pieces() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Knots (2^-18) and changes of slope (2^-16 of score for 2^-18 of input, times 2^18) of the logistic curve.

    Computed from the rational values in the table below, not from exp(), whose last bit differs between machines.
    """
    values = (0, 440, 1_922, 4_972, 11_956, 24_743, 40_793, 53_580, 60_564, 63_614, 65_096, 65_536)
    knots = tuple(round(knot * GRID) for knot in KNOTS)
    slopes = [((right - left) * GRID) // (knots[i + 1] - knots[i]) for i, (left, right) in enumerate(pairwise(values))]
    changes = [slopes[0], *(b - a for a, b in pairwise(slopes)), -slopes[-1]]
    return knots, tuple(changes)


def squash(z: np.ndarray) -> np.ndarray:
    """Scores int64 [n] in [0, 2^16] from logits int64 [n] in units of 2^-18: sums of ReLUs. Monotone."""
    knots, changes = logistic_pieces()
    total = np.zeros_like(z)
    for knot, change in zip(knots, changes, strict=True):
        total += change * np.maximum(0, z - knot)
    return np.clip(total >> 18, 0, SCORE_ONE)


@dataclass(frozen=True)
class Head:
    """The network: names of the input blocks, shift and scale of each input, and the layers."""

    blocks: tuple[str, ...]
    shift: np.ndarray
    scale: np.ndarray
    layers: tuple[Layer, ...]
    record: Mapping[str, Any]

    def __post_init__(self) -> None:
        widths = [len(self.shift), *(len(layer.biases) for layer in self.layers)]
        shapes = [layer.weights.shape for layer in self.layers]
        if shapes != [(after, before) for before, after in pairwise(widths)] or widths[-1] != 1:
            raise RewardError(f"the layers {shapes} do not fit {widths[0]} inputs and one output")
        if self.parameters > MOST_PARAMETERS:
            raise RewardError(f"the head has {self.parameters} parameters, more than {MOST_PARAMETERS}")

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    def quantise(self, features: np.ndarray) -> np.ndarray:
        """int64 [n, inputs] from float64 [n, inputs]: the only step with floating point."""
        scaled = np.rint((features - self.shift) * self.scale * GRID)
        return np.clip(scaled, -CLIP, CLIP).astype(np.int64)

    def logits(self, quantised: np.ndarray) -> np.ndarray:
        """int64 [n] in units of 2^-18 from int64 [n, inputs]. Exact."""
        x = quantised
        for layer in self.layers[:-1]:
            x = np.maximum(0, layer(x))
        return self.layers[-1](x)[:, 0]

    def scores(self, quantised: np.ndarray) -> np.ndarray:
        """int64 [n] in [0, 2^16] from int64 [n, inputs]. Exact."""
        return squash(self.logits(quantised))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values. Shifts and scales are written as exact decimal texts of float64."""
        return {
            "format": 2,
            "blocks": list(self.blocks),
            "scalars": list(SCALAR_NAMES),
            "shift": [repr(float(value)) for value in self.shift],
            "scale": [repr(float(value)) for value in self.scale],
            "layers": [{"weights": layer.weights.tolist(), "biases": layer.biases.tolist()} for layer in self.layers],
            "record": dict(self.record),
        }

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON: what decides the score, and the record of where it comes from."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    @classmethod
    def from_json(cls, raw: Any) -> Head:
        """Read plain JSON values; RewardError where they are not a head for these signals."""
        try:
            if raw["format"] != 2 or tuple(raw["scalars"]) != SCALAR_NAMES:
                raise RewardError("the head was trained on other signals than this version reads; train it again")
            layers = tuple(
                Layer(np.array(layer["weights"], dtype=np.int64), np.array(layer["biases"], dtype=np.int64))
                for layer in raw["layers"]
            )
            shift, scale = (np.array([float(text) for text in raw[key]]) for key in ("shift", "scale"))
            return cls(tuple(raw["blocks"]), shift, scale, layers, raw["record"])
        except (KeyError, TypeError, ValueError) as error:
            raise RewardError(f"not a head: {type(error).__name__}: {error}") from error


def features(signals: Sequence[Signals], blocks: Sequence[str]) -> np.ndarray:
    """float64 [n, inputs]: the named blocks side by side."""
    return np.stack([np.concatenate([BLOCKS[name](item) for name in blocks]) for item in signals])


def _components(signals: Signals) -> np.ndarray:
    values = np.array([part.value for part in components(signals)])
    return np.array([*values, np.log(np.maximum(FLOOR, values)).mean()])


BLOCKS = {
    "scalars": scalars,
    "components": _components,
    "product": lambda signals: signals.question.astype(np.float64) * signals.answer,
    "answer": lambda signals: signals.answer.astype(np.float64),
    "question": lambda signals: signals.question.astype(np.float64),
    "state": lambda signals: signals.view.asked.state.astype(np.float64),
    "mean": lambda signals: signals.view.asked.mean.astype(np.float64),
}
"""Blocks of inputs: the scalar signals; the components of the hand-made reward and the logarithm of their
product; the product of both embeddings, the embeddings; the last hidden state, and the mean of them."""
WIDTHS = {"scalars": len(SCALAR_NAMES), "components": len(RAMPS) + 1}
"""Inputs of the blocks that are readable signals; the others are embeddings."""


def load_head(path: Path | None = None, pinned: str | None = PINNED_HEAD) -> Head:
    """The shipped head, or one from a file. RewardError if its hash is not the pinned one (None: any)."""
    if path is None:
        text = (resources.files("reward") / "data" / DEFAULT_HEAD).read_text(encoding="utf-8")
    else:
        text = path.read_text(encoding="utf-8")
    try:
        head = Head.from_json(json.loads(text))
    except json.JSONDecodeError as error:
        raise RewardError(f"the head {path or DEFAULT_HEAD} is not JSON: {error}") from error
    if pinned is not None and head.digest != pinned:
        raise RewardError(f"the head has the hash {head.digest}, not {pinned}; install this version again")
    return head


@dataclass(frozen=True)
class LearnedReward:
    """The head on top of the frozen models; the hand-made components are shown as the reasons."""

    reader: SignalReader
    head: Head

    @property
    def name(self) -> str:
        return "default"

    @property
    def identity(self) -> str:
        return hashlib.sha256(f"head/2 {self.head.digest} {self.reader.identity}".encode()).hexdigest()

    def score(self, prompts: Sequence[Conversation], completions: Sequence[str]) -> list[RewardScore]:
        """Scores of n pairs; see `RewardModel.score`."""
        read = self.reader.read(prompts, completions)
        present = [signals for signals in read if signals is not None]
        if not present:
            return [EMPTY] * len(read)
        values = iter(self.head.scores(self.head.quantise(features(present, self.head.blocks))))
        return [EMPTY if signals is None else self._score(signals, int(next(values))) for signals in read]

    def _score(self, signals: Signals, value: int) -> RewardScore:
        score = value / SCORE_ONE
        return RewardScore(score, (Component("head", score), *components(signals)))
