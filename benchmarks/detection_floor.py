"""How fast any bet of our kind could be: ln A over the nats that a token carries, against what honest miners do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from subnet.verify.bets import factors
from subnet.verify.profile import ARBITRARY, NOISE, Alternative, ToleranceProfile
from subnet.verify.records import SUSPECTS, TokenRecords

SCALES = np.geomspace(1.3, 40.0, 24)
RATES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.2, 0.5)
SHARES = (0.5, 0.7, 0.9, 0.99, 0.9999)


def nats(answers: Sequence[TokenRecords], profile: ToleranceProfile) -> float:
    """The most that one bet, chosen in hindsight, earns on these tokens: mean log of its factor, nats a token.

    For the right bet that is the Kullback-Leibler divergence of what the adversary does from the profile's bounds.
    """
    bets = [Alternative(NOISE, float(scale)) for scale in SCALES] + [Alternative(ARBITRARY, r) for r in RATES]
    bets += [Alternative(kind, share) for kind in SUSPECTS for share in SHARES]
    every = replace(profile, alternatives=tuple(bets), reference=0)
    return float(np.log(factors(TokenRecords.join(answers), every)).mean(axis=0).max())


def floor(answers: Sequence[TokenRecords], profile: ToleranceProfile) -> float | None:
    """ln A over `nats`, in tokens; None where no bet earns anything."""
    earned = nats(answers, profile)
    return math.log(profile.threshold) / earned if earned > 1e-5 else None
