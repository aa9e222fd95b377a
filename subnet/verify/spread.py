"""How noisy a context is: the honest numeric noise that is to be expected at a position, from the verifier's own final
hidden state.

Rounding does not shake all contexts alike: in code the logits of a bf16 machine wander a third farther than in
ordinary prose of the same entropy. A linear model of the state's direction and length, the entropy and the temperature
predicts the logarithm of that noise; dividing every distance by the prediction (the *spread*, 1 on the average) makes
contexts comparable. Like all that the bounds look up, it is known before the claimed token is looked at.

What it can't see: all tokens rest part of their attention on the first ones, whose states have enormous elements, and
behind some beginnings the narrow arithmetic arrives at other states altogether. And a position whose own state is of
that kind is like nothing that was measured. So a model speaks only of prompts that begin as measured ones do (with a
chat template's first tokens) and of states of a measured length; all others are not judged, and nobody can be framed by
a prompt that is made to break an honest machine in this way.
"""

from __future__ import annotations

from collections.abc import Sequence
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

RARE = 0.0005
"""Share of the measured positions, at either end, whose states are too short or too long to be judged."""

LARGEST_NUMBER = 1e6
"""No coefficient of a fit comes near; larger ones could add up to what is no number."""

RIDGE = 300.0
"""Penalty on standardised coefficients, in positions."""

DRAWN = 8
"""A position's measured noise is that between the token that a seed draws and the DRAWN closest behind it."""

BEGINNING = 3
"""Tokens of a prompt that have to be those of a measured one."""

_TERMS = 4


def beginning(prompt: Sequence[int]) -> tuple[int, ...]:
    """The first tokens of a prompt; -1 where it has fewer."""
    return (*prompt[:BEGINNING], *(-1,) * (BEGINNING - len(prompt)))


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

    starts: beginnings of the prompts that it was measured with, rising. lengths: between which logarithms of the length
    of a state the measured ones lie, but for a RARE share at either end.
    """

    starts: tuple[tuple[int, ...], ...]
    lengths: tuple[float, float]
    constant: float
    context: tuple[float, ...]
    state: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.context) != _TERMS or len(self.state) < 2:
            raise ConfigError(
                f"a spread model has {_TERMS} numbers for the context and one for every element of a hidden state and "
                f"its length, not {len(self.context)} and {len(self.state)}"
            )
        if not self.starts or list(self.starts) != sorted(set(self.starts)):
            raise ConfigError("a spread model names at least one beginning of a prompt, each once and in rising order")
        if any(len(start) != BEGINNING for start in self.starts):
            raise ConfigError(f"a beginning of a prompt has {BEGINNING} tokens")
        if len(self.lengths) != 2 or not self.lengths[0] <= self.lengths[1]:
            raise ConfigError("a spread model has a least and a largest length of a state")
        if not np.abs((*self.lengths, self.constant, *self.context, *self.state)).max() < LARGEST_NUMBER:
            raise ConfigError(f"a spread model holds a number that is not finite, or not below {LARGEST_NUMBER:.0e}")

    def __call__(
        self,
        states: NDArray[np.floating],
        entropy: NDArray[np.floating],
        temperature: float,
        starts: NDArray[np.integer],
    ) -> NDArray[np.float64]:
        """Spreads of positions (float64 [n]); UNJUDGED behind a beginning, or at a length, that was not measured.

        states: as `described` gives them, [n, width + 1]. entropy: [n]. starts: beginning of the prompt, [n,
        BEGINNING]. Raises EngineError where the states are those of a model of another width.
        """
        if states.shape[1] != len(self.state):
            raise EngineError(f"the profile is for hidden states of {len(self.state) - 1}, not {states.shape[1] - 1}")
        logs = self.constant + _terms(entropy, temperature) @ np.array(self.context)
        logs += states.astype(np.float64) @ np.array(self.state)
        low, high = self.lengths
        length = states[:, -1].astype(np.float64)
        begun = (starts[:, None, :] == np.array(self.starts)[None, :, :]).all(axis=2).any(axis=1)
        known = begun & (length >= low) & (length <= high)
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
    known = tuple(tuple(int(token) for token in start) for start in np.unique(starts, axis=0))
    length = states[:, -1].astype(np.float64)
    low, high = np.quantile(length, (RARE, 1 - RARE))
    lengths = (float(f"{low:.6g}"), float(f"{high:.6g}"))
    constant = float(f"{constant:.8g}")
    return SpreadModel(known, lengths, constant, tuple(rounded[:_TERMS]), tuple(rounded[_TERMS:]))
