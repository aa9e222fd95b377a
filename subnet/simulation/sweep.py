"""Plays worlds over check rates and slash durations, and finds where each cheat stops paying."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from subnet.errors import ConfigError
from subnet.simulation.cheats import Cheat, Strategy
from subnet.simulation.subnet import Miner, Outcome, World, run

DEFAULT_RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0)
DEFAULT_SLASHES = (2, 20, 80)
DEFAULT_SIZES = (2, 8, 64)
BLOCK_S = 12.0


@dataclass(frozen=True, slots=True)
class Price:
    """What replay costs: seconds of a 2-core machine for an answer of 128 tokens to a 46-token prompt.

    Measured on the embedded model in fp32: decoding at batch 32, and one batched prefill over prompt and answer.
    """

    decode_s: float = 1.0
    replay_s: float = 0.37


@dataclass(frozen=True, slots=True)
class Curve:
    """What one group gains at each check rate, as a share of an honest miner's revenue (mean over seeds)."""

    miner: Miner
    rates: tuple[float, ...]
    gains: tuple[float, ...]
    epochs_to_accusation: tuple[float, ...]

    @property
    def break_even(self) -> float:
        """The check rate from which on cheating doesn't pay.

        Interpolated in the logarithm of the rate; 0 where it pays at none of the rates, infinite where it pays at the
        highest of them.
        """
        paying = [index for index, gain in enumerate(self.gains) if gain > 0]
        if not paying:
            return 0.0
        last = paying[-1]
        if last == len(self.rates) - 1:
            return math.inf
        low, high = self.gains[last], self.gains[last + 1]
        low_rate, high_rate = math.log(self.rates[last]), math.log(self.rates[last + 1])
        return math.exp(low_rate + (high_rate - low_rate) * low / (low - high))


@dataclass(frozen=True, slots=True)
class Work:
    """A validator's checking at one rate: answers replayed an epoch, and how much of a 2-core machine that takes."""

    rate: float
    answers: float
    machine: float
    of_mining: float
    false_accusations: float


@dataclass(frozen=True, slots=True)
class Sweep:
    """All rates in one world."""

    world: World
    curves: tuple[Curve, ...]
    work: tuple[Work, ...]

    def curve(self, cheat: str, strategy: str) -> Curve:
        """The curve of a cheat by names. Raises ConfigError where the sweep hasn't got it."""
        for curve in self.curves:
            miner = curve.miner
            if miner.cheat and miner.strategy and (miner.cheat.name, miner.strategy.name) == (cheat, strategy):
                return curve
        raise ConfigError(f"no {cheat!r} that goes about it as {strategy!r} in this sweep")

    def hardest(self, cheat: str) -> Curve:
        """The curve of the strategy that takes the highest check rate to make a cheat unprofitable."""
        return max(
            (c for c in self.curves if c.miner.cheat and c.miner.cheat.name == cheat), key=lambda c: c.break_even
        )

    @property
    def sufficient(self) -> float:
        """The check rate from which no cheat of the sweep pays, whatever its strategy."""
        return max(curve.break_even for curve in self.curves)


@dataclass(frozen=True, slots=True)
class Played:
    """The main sweep, and what it is compared with: other slash durations, numbers of validators, no sharing."""

    main: Sweep
    slashes: dict[int, Sweep]
    sizes: dict[int, Sweep]
    alone: Sweep | None = None


def population(world: World, cheats: Sequence[Cheat], strategies: Sequence[Strategy], each: int = 1) -> list[Miner]:
    """`each` miners of every cheat and strategy, all others honest.

    Raises ConfigError where fewer than half of the miners would be honest: the world would not be the one to tune for.
    """
    cheating = [Miner(cheat, strategy) for cheat in cheats for strategy in strategies for _ in range(each)]
    honest = world.miners - len(cheating)
    if honest < world.miners / 2:
        raise ConfigError(
            f"{len(cheating)} cheats among {world.miners} miners leave too few honest ones; name fewer cheats"
        )
    return [Miner()] * honest + cheating


def sweep(
    world: World,
    miners: Sequence[Miner],
    rates: Sequence[float] = DEFAULT_RATES,
    seeds: int = 1,
    price: Price | None = None,
    on_epoch: Callable[[int], None] | None = None,
) -> Sweep:
    """Plays a world at each check rate, with `seeds` seeds each.

    Raises ConfigError where a rate is not above 0 and at most 1.
    """
    ordered = sorted(rates)
    if not ordered or not 0 < ordered[0] <= ordered[-1] <= 1:
        raise ConfigError(f"check rates are shares above 0 and at most 1; got {', '.join(map(str, rates)) or 'none'}")
    outcomes = [
        [run(replace(world, check_rate=rate, seed=world.seed + seed), miners, on_epoch) for seed in range(seeds)]
        for rate in ordered
    ]
    kinds = [group.miner for group in outcomes[0][0].groups if group.miner.cheat is not None]
    curves = tuple(_curve(kind, ordered, outcomes) for kind in kinds)
    work = tuple(_work(rate, runs, price or Price()) for rate, runs in zip(ordered, outcomes, strict=True))
    return Sweep(world, curves, work)


def _curve(kind: Miner, rates: Sequence[float], outcomes: Sequence[Sequence[Outcome]]) -> Curve:
    gains, epochs = [], []
    for runs in outcomes:
        groups = [(outcome, next(g for g in outcome.groups if g.miner == kind)) for outcome in runs]
        gains.append(float(np.mean([outcome.gain(group) for outcome, group in groups])))
        caught = [group.epochs_to_accusation for _, group in groups if not math.isnan(group.epochs_to_accusation)]
        epochs.append(float(np.mean(caught)) if caught else math.inf)
    return Curve(kind, tuple(rates), tuple(gains), tuple(epochs))


def _work(rate: float, runs: Sequence[Outcome], price: Price) -> Work:
    world = runs[0].world
    answers = float(np.mean([outcome.checks for outcome in runs]))
    seconds = answers * price.replay_s * world.tokens / 128
    mined = world.requests * world.miners * world.validators * price.decode_s * world.tokens / 128
    return Work(
        rate=rate,
        answers=answers,
        machine=seconds / (world.tempo * BLOCK_S),
        of_mining=seconds * world.validators / mined,
        false_accusations=float(np.mean([outcome.false_accusations for outcome in runs])),
    )
