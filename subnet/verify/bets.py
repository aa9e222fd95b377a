"""Likelihood ratios: what one token says for or against every alternative.

For a token, let `b_k` be the profile's bound of outcome k under honesty and `q_k >= b_k` its probability under an
alternative. The factor is `q_k / b_k` where outcome k happened, and `(1 - Q) / (1 - B)` where the token matched (Q and
B are the sums). Whatever the true honest probabilities p_k <= b_k are, its honest expectation is at most 1: it is
linear and rising in every p_k, and 1 at p = b. Both q and b depend only on the context and on the seed, never on what
was claimed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from subnet.verify.profile import ARBITRARY, NOISE, Alternative, Null, ToleranceProfile, null
from subnet.verify.records import COMPETITORS, MATCH, SUSPECTS, TokenRecords

LARGEST_BET = 0.97
"""A miss is never believed to be more likely than this, so that a match never ends an alternative."""

FAR_CROWD = 4.0
FAR_FLOOR = 1e-4


def factors(records: TokenRecords, profile: ToleranceProfile) -> NDArray[np.float64]:
    """The factor of every token for every alternative of the profile (float64 [tokens, alternatives], positive)."""
    honest = null(records, profile)
    outcome = records.rows["outcome"].astype(np.intp)
    token, place = np.arange(len(records)), np.maximum(outcome - 1, 0)
    bound = honest.probability[token, place]
    missed = (outcome != MATCH) & (bound > 0)
    bound = np.where(missed, bound, 1.0)
    matched = 1.0 - honest.probability.sum(axis=1)
    out = np.empty((len(records), len(profile.alternatives)))
    for column, alternative in enumerate(profile.alternatives):
        expected = _admissible(_expected(records, honest, alternative), honest.probability)
        out[:, column] = np.where(missed, expected[token, place] / bound, (1.0 - expected.sum(axis=1)) / matched)
    return out


def expectation(
    records: TokenRecords, profile: ToleranceProfile, alternative: Alternative
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The honest bounds and the alternative's probabilities of every outcome but the match ([tokens, COMPETITORS +
    1]).
    """
    honest = null(records, profile)
    return honest.probability, _admissible(_expected(records, honest, alternative), honest.probability)


def _admissible(expected: NDArray[np.float64], honest: NDArray[np.float64]) -> NDArray[np.float64]:
    """At least the honest bound where there is one, nothing elsewhere, and a sum of at most LARGEST_BET."""
    expected = np.where(honest > 0, np.maximum(expected, honest), 0.0)
    total, floor = expected.sum(axis=1), honest.sum(axis=1)
    excess = total > LARGEST_BET
    if excess.any():
        kept = (LARGEST_BET - floor[excess]) / (total - floor)[excess]
        expected[excess] = honest[excess] + (expected[excess] - honest[excess]) * kept[:, None]
    return expected


def _expected(records: TokenRecords, honest: Null, alternative: Alternative) -> NDArray[np.float64]:
    """Probability of every outcome (float64 [tokens, COMPETITORS + 1]) under the alternative."""
    if alternative.kind == NOISE:
        return _noise(honest, alternative.strength)
    expected = np.zeros_like(honest.probability)
    if alternative.kind == ARBITRARY:
        expected[:, COMPETITORS] = alternative.strength
        return expected
    predicted = records.rows["predicted"][:, SUSPECTS.index(alternative.kind)].astype(np.intp)
    strength = np.where(predicted == MATCH, 0.0, alternative.strength)
    expected[np.arange(len(predicted)), np.maximum(predicted - 1, 0)] = strength
    return expected


def _noise(honest: Null, strength: float) -> NDArray[np.float64]:
    """Independent logistic noise on every competitor: each overtakes with 1 / (1 + exp(1.7 d / noise))."""
    overtakes = 1.0 / (1.0 + np.exp(np.minimum(1.7 * honest.ratio / strength, 700.0)))
    overtakes[:, COMPETITORS] = np.minimum(FAR_CROWD * overtakes[:, COMPETITORS] + FAR_FLOOR, 0.5)
    some = 1.0 - np.prod(1.0 - overtakes, axis=1)
    shares = overtakes / np.maximum(overtakes.sum(axis=1), 1e-300)[:, None]
    return shares * some[:, None]
