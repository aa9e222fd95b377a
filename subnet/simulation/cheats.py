"""What a cheat saves, how soon it shows, and how a cheat goes about it.

Two kinds of number meet here. Detection delays and miss rates are measured: from the detection benchmark's results
where they are there, else from the table of the design study (SmolLM2-135M, fp32 class, accusation at A = 10**9).
Savings are derived, not measured: decoding is bound by memory traffic, so a cheat saves the traffic that it avoids,
which is the most that it can save.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from subnet.errors import ConfigError

HONEST_MISS_RATE = 2e-4
"""mu0 of the fp32 class: what misses no more often than this cannot be told from honest noise, nor need it be."""

LAYERS = 30
KV_SHARE = 0.23
"""Share of decode traffic that is KV cache: SmolLM2-135M in fp32 at batch 32 and about 110 positions."""

_RANGE_SIGMAS = 2 * 1.87
"""The range of 20 normal draws spans this many standard deviations on average."""


@dataclass(frozen=True, slots=True)
class Delays:
    """Verified tokens until one validator accuses.

    `samples` are measured delays; where there are none, a log-normal with `median` and the observed range of 20 orders.
    """

    median: float
    low: float
    high: float
    samples: tuple[float, ...] = ()

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Independent delays in tokens, at least 1."""
        if self.samples:
            return rng.choice(np.array(self.samples), shape)
        sigma = math.log(self.high / self.low) / _RANGE_SIGMAS
        return np.maximum(self.median * np.exp(sigma * rng.standard_normal(shape)), 1.0)


@dataclass(frozen=True, slots=True)
class Cheat:
    """One way of not running the model.

    Attributes:
        name: for people.
        zoo: the name of the adversary in the zoo and in the detection benchmark.
        saving: share of an honest miner's compute that it avoids.
        miss_rate: share of its tokens whose margin exceeds 0.01 logit (honest: none).
        delays: verified tokens to accusation.
    """

    name: str
    zoo: str
    saving: float
    miss_rate: float
    delays: Delays


def traffic_saving(bits: int, share: float = 1.0, honest_bits: int = 32) -> float:
    """Saving of keeping `share` of the decode traffic in `bits` instead of `honest_bits`."""
    return share * (1 - bits / honest_bits)


TABLE: tuple[Cheat, ...] = (
    Cheat("copied answers", "copies", 0.98, 0.5156, Delays(5, 3, 9)),
    Cheat("int4 weights", "int4", traffic_saving(4), 0.3360, Delays(12, 3, 21)),
    Cheat("int8 dynamic", "int8_dynamic", traffic_saving(8), 0.3561, Delays(4, 3, 7)),
    Cheat("fp8 weights", "fp8", traffic_saving(8), 0.0743, Delays(45, 21, 144)),
    Cheat("int8 weights", "int8", traffic_saving(8), 0.0331, Delays(144, 53, 343)),
    Cheat("int8 activations", "int8_activations", traffic_saving(8), 0.0277, Delays(162, 30, 357)),
    Cheat("bf16 for fp32", "bf16", traffic_saving(16), 0.0193, Delays(274, 163, 484)),
    Cheat("fp8 KV cache", "fp8_kv", traffic_saving(8, KV_SHARE), 0.0395, Delays(56, 12, 355)),
    Cheat("int8 KV cache", "int8_kv", traffic_saving(8, KV_SHARE), 0.0200, Delays(262, 18, 651)),
    Cheat("one layer skipped", "layer_skipped", 1 / LAYERS, 0.2937, Delays(6, 3, 23)),
)


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a cheat goes about it.

    Attributes:
        name: for people.
        share: share of its answers that it cheats on.
        honest_epochs: epochs of honest work after each registration before it starts.
        rejoins: once accused it registers a new hotkey at once, instead of waiting until the old one may return.
    """

    name: str
    share: float = 1.0
    honest_epochs: int = 0
    rejoins: bool = False


STRATEGIES: tuple[Strategy, ...] = (
    Strategy("waits out the slash"),
    Strategy("new hotkey each time", rejoins=True),
    Strategy("one answer in ten", share=0.1),
    Strategy("honest first, then cheats", honest_epochs=30, rejoins=True),
)


def slower(cheat: Cheat, share: float) -> float:
    """By what factor detection takes longer in tokens when only `share` of the answers is cheated on.

    The log of the best bet's wealth grows by KL(p, mu0) a token when misses come at rate p; infinite where what is left
    misses no more often than honest noise.
    """
    diluted = cheat.miss_rate * share
    if diluted <= HONEST_MISS_RATE:
        return math.inf
    return _divergence(cheat.miss_rate) / _divergence(diluted)


def _divergence(p: float, q: float = HONEST_MISS_RATE) -> float:
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def measured(path: Path, cheats: Sequence[Cheat] = TABLE, profile: str = "fp32") -> tuple[Cheat, ...]:
    """The cheats with delays from the detection benchmark's results; those that it doesn't name keep the table's.

    A null in the results (not accused within the data) counts as twice the longest delay seen: it isn't dropped.

    Raises:
        ConfigError: the file is not such a result.
    """
    try:
        results = json.loads(path.read_text())
        delays: Mapping[str, Sequence[float | None]] = results["delays"][profile]
        rates: Mapping[str, float] = results.get("miss_rate", {}).get(profile, {})
        return tuple(_measured(cheat, delays.get(cheat.zoo), rates.get(cheat.zoo)) for cheat in cheats)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} has no detection delays of the {profile} class: {error!r}") from error


def _measured(cheat: Cheat, delays: Sequence[float | None] | None, miss_rate: float | None) -> Cheat:
    seen = [float(delay) for delay in delays or () if delay is not None]
    if not seen:
        return cheat
    samples = tuple(seen + [2 * max(seen)] * (len(delays or ()) - len(seen)))
    known = Delays(float(np.median(samples)), min(samples), max(samples), samples)
    return Cheat(cheat.name, cheat.zoo, cheat.saving, miss_rate or cheat.miss_rate, known)
