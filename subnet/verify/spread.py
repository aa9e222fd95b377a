"""How noisy a context is: the honest numeric noise that is to be expected at a position, from the verifier's own final
hidden state.

Rounding does not shake all contexts alike: in code the logits of a bf16 machine wander half as far again as in
ordinary prose of the same entropy. A linear model of the state's direction, its length and the entropy predicts the
logarithm of that noise; dividing every distance by the prediction (the *spread*, 1 on the average) makes contexts
comparable. Like all that the bounds look up, it is known before the claimed token is looked at.

One thing it can't see: the first token, on which all others rest part of their attention, has a state of enormous
elements, and after some first tokens the narrow arithmetic arrives at quite another one. So a model speaks only of
prompts that begin with a token that it was measured with (a chat template's first), and all others are not judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from subnet.errors import ConfigError, EngineError
from subnet.verify.records import ORDINARY, UNJUDGED, TokenRecords

if TYPE_CHECKING:
    import torch

SMALLEST, LARGEST = 0.4, 2.5
"""No context is taken for calmer or wilder than this, whatever the model says."""

RIDGE = 300.0
"""Penalty on standardised coefficients, in positions."""

NEAREST, WITHIN = 16, 8.0
"""A position's measured noise is that of its NEAREST competitors WITHIN so many logits of the largest."""

_ENTROPY_TERMS = 3


def described(hidden: torch.Tensor) -> NDArray[np.float32]:
    """What is kept of final hidden states [n, width]: direction times sqrt(width), then the log of the length
    (float32 [n, width + 1]). Raises EngineError where a state is not finite or zero.
    """
    state: NDArray[np.float32] = hidden.float().cpu().numpy()
    length = np.linalg.norm(state, axis=1, keepdims=True)
    if not np.isfinite(length).all() or not (length > 0).all():
        raise EngineError("a replayed hidden state is zero or not finite; the replay is broken, nobody is judged")
    width = np.float32(state.shape[1])
    return np.concatenate((state / length * np.sqrt(width), np.log(length)), axis=1)


@dataclass(frozen=True, slots=True)
class SpreadModel:
    """log spread = constant + entropy . (H, H^2, sqrt H) + state . described. H in nats at temperature 1.

    starts: first tokens of the prompts that it was measured with, rising.
    """

    starts: tuple[int, ...]
    constant: float
    entropy: tuple[float, ...]
    state: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.entropy) != _ENTROPY_TERMS or len(self.state) < 2:
            raise ConfigError(
                f"a spread model has {_ENTROPY_TERMS} numbers for entropy and one for every element of a hidden state "
                f"and its length, not {len(self.entropy)} and {len(self.state)}"
            )
        if not self.starts or list(self.starts) != sorted(set(self.starts)) or self.starts[0] < 0:
            raise ConfigError("a spread model names at least one first token, each once and in rising order")
        if not np.isfinite((self.constant, *self.entropy, *self.state)).all():
            raise ConfigError("a spread model holds a number that is not finite")

    def __call__(
        self, states: NDArray[np.floating], entropy: NDArray[np.floating], starts: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Spreads of positions (float64 [n]); UNJUDGED after a first token that was not measured.

        states: as `described` gives them, [n, width + 1]. entropy: [n]. starts: first token of the prompt, [n]. Raises
        EngineError where the states are those of a model of another width.
        """
        if states.shape[1] != len(self.state):
            raise EngineError(f"the profile is for hidden states of {len(self.state) - 1}, not {states.shape[1] - 1}")
        logs = self.constant + _entropy_terms(entropy) @ np.array(self.entropy)
        logs += states.astype(np.float64) @ np.array(self.state)
        known = np.isin(starts, self.starts)
        return np.where(known, np.clip(np.exp(logs), SMALLEST, LARGEST), UNJUDGED / ORDINARY)

    def applied(self, records: TokenRecords, states: NDArray[np.floating], starts: NDArray[np.integer]) -> TokenRecords:
        """The records with the spreads of their positions. states, starts: as for a call, a row for every record."""
        return records.with_spreads(self(states, records.rows["entropy"] / 1000.0, starts))


def _entropy_terms(entropy: NDArray[np.floating]) -> NDArray[np.float64]:
    nats = entropy.astype(np.float64)
    return np.stack((nats, nats**2, np.sqrt(nats)), axis=1)


def measured_noise(head: NDArray[np.float32], difference: NDArray[np.float32]) -> NDArray[np.float64]:
    """Root mean square of what an honest miner adds to the gaps between the largest logit and its near competitors
    (float64 [n], logits; 0 where there are fewer than three). head, difference: as in `Pairs`.
    """
    near = head[:, :1] - head[:, 1 : NEAREST + 1] < WITHIN
    gaps = (difference[:, 1 : NEAREST + 1] - difference[:, :1]).astype(np.float64)
    count = near.sum(axis=1)
    found = np.sqrt((np.square(gaps) * near).sum(axis=1) / np.maximum(count, 1))
    return np.where(count >= 3, found, 0.0)


def fit_spread(
    states: NDArray[np.floating],
    entropy: NDArray[np.floating],
    starts: NDArray[np.integer],
    noise: NDArray[np.float64],
    unit: float,
) -> SpreadModel:
    """The model that predicts `noise` (logits; positions with 0 are left out) best: ridge regression of its logarithm.

    unit: log of the noise that is a spread of 1. Raises ConfigError without noise to fit.
    """
    used = np.flatnonzero(noise > 0)
    if not len(used):
        raise ConfigError("no position shows any noise; there is nothing to fit a spread model to")
    target = np.log(noise[used])
    features = np.concatenate((_entropy_terms(entropy[used]), states[used].astype(np.float64)), axis=1)
    mean, size = features.mean(axis=0), features.std(axis=0) + 1e-6
    features -= mean
    features /= size
    penalty = RIDGE * np.eye(features.shape[1])
    slopes = np.linalg.solve(features.T @ features + penalty, features.T @ (target - target.mean())) / size
    constant = target.mean() - mean @ slopes - unit
    rounded = [float(f"{value:.5g}") for value in slopes]
    known = tuple(int(token) for token in np.unique(starts))
    constant = float(f"{constant:.8g}")
    return SpreadModel(known, constant, tuple(rounded[:_ENTROPY_TERMS]), tuple(rounded[_ENTROPY_TERMS:]))
