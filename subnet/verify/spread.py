"""How noisy a context is: the honest numeric noise that is to be expected at a position, from the verifier's own final
hidden state.

Rounding does not shake all contexts alike: in code the logits of a bf16 machine wander a third farther than in
ordinary prose of the same entropy. A linear model of the state's direction and length, the entropy and the temperature
predicts the logarithm of that noise; dividing every distance by the prediction (the *spread*, 1 on the average) makes
contexts comparable. Like all that the bounds look up, it is known before the claimed token is looked at.

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
from subnet.sampling import Sampling
from subnet.verify.records import ORDINARY, UNJUDGED, TokenRecords

if TYPE_CHECKING:
    import torch

    from subnet.verify.pairs import Pairs

SMALLEST, LARGEST = 0.4, 2.5
"""No context is taken for calmer or wilder than this, whatever the model says."""

RIDGE = 300.0
"""Penalty on standardised coefficients, in positions."""

DRAWN = 8
"""A position's measured noise is that between the token that a seed draws and the DRAWN closest behind it."""

_TERMS = 4


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
    """log spread = constant + context . (H, H^2, sqrt H, T) + state . described. H: nats at temperature 1; T: the
    sampling's temperature.

    starts: first tokens of the prompts that it was measured with, rising.
    """

    starts: tuple[int, ...]
    constant: float
    context: tuple[float, ...]
    state: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.context) != _TERMS or len(self.state) < 2:
            raise ConfigError(
                f"a spread model has {_TERMS} numbers for the context and one for every element of a hidden state and "
                f"its length, not {len(self.context)} and {len(self.state)}"
            )
        if not self.starts or list(self.starts) != sorted(set(self.starts)) or self.starts[0] < 0:
            raise ConfigError("a spread model names at least one first token, each once and in rising order")
        if not np.isfinite((self.constant, *self.context, *self.state)).all():
            raise ConfigError("a spread model holds a number that is not finite")

    def __call__(
        self,
        states: NDArray[np.floating],
        entropy: NDArray[np.floating],
        temperature: float,
        starts: NDArray[np.integer],
    ) -> NDArray[np.float64]:
        """Spreads of positions (float64 [n]); UNJUDGED after a first token that was not measured.

        states: as `described` gives them, [n, width + 1]. entropy: [n]. starts: first token of the prompt, [n]. Raises
        EngineError where the states are those of a model of another width.
        """
        if states.shape[1] != len(self.state):
            raise EngineError(f"the profile is for hidden states of {len(self.state) - 1}, not {states.shape[1] - 1}")
        logs = self.constant + _terms(entropy, temperature) @ np.array(self.context)
        logs += states.astype(np.float64) @ np.array(self.state)
        known = np.isin(starts, self.starts)
        return np.where(known, np.clip(np.exp(logs), SMALLEST, LARGEST), UNJUDGED / ORDINARY)

    def applied(
        self, records: TokenRecords, states: NDArray[np.floating], sampling: Sampling, starts: NDArray[np.integer]
    ) -> TokenRecords:
        """The records with the spreads of their positions. states, starts: as for a call, a row for every record."""
        return records.with_spreads(self(states, records.rows["entropy"] / 1000.0, sampling.temperature, starts))


def _terms(entropy: NDArray[np.floating], temperature: float | NDArray[np.float64]) -> NDArray[np.float64]:
    nats = entropy.astype(np.float64)
    return np.stack((nats, nats**2, np.sqrt(nats), np.broadcast_to(temperature, nats.shape)), axis=1)


def measured_noise(pairs: Pairs, sampling: Sampling, random: np.random.Generator) -> NDArray[np.float64]:
    """Root mean square of what an honest miner adds to the gaps between a drawn token and the DRAWN closest behind it,
    all of them among the head (float64 [n], logits).
    """
    found = pairs.head
    if sampling.temperature_milli:
        found = found / np.float32(sampling.temperature) + random.gumbel(size=found.shape).astype(np.float32)
    order = np.argsort(-found, axis=1)[:, : DRAWN + 1]
    drawn = np.take_along_axis(pairs.head_difference, order, 1).astype(np.float64)
    return np.sqrt(np.mean(np.square(drawn[:, 1:] - drawn[:, :1]), axis=1))


def fit_spread(
    states: NDArray[np.floating],
    entropy: NDArray[np.floating],
    temperature: NDArray[np.float64],
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
    features = np.concatenate((_terms(entropy[used], temperature[used]), states[used].astype(np.float64)), axis=1)
    mean, size = features.mean(axis=0), features.std(axis=0) + 1e-6
    features -= mean
    features /= size
    penalty = RIDGE * np.eye(features.shape[1])
    slopes = np.linalg.solve(features.T @ features + penalty, features.T @ (target - target.mean())) / size
    constant = target.mean() - mean @ slopes - unit
    rounded = [float(f"{value:.5g}") for value in slopes]
    known = tuple(int(token) for token in np.unique(starts))
    constant = float(f"{constant:.8g}")
    return SpreadModel(known, constant, tuple(rounded[:_TERMS]), tuple(rounded[_TERMS:]))
