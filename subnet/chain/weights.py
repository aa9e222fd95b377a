"""Weights as the chain stores them: shares become u16 values within the subnet's rules. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from subnet.chain.values import WeightRules, WeightsReason
from subnet.errors import ChainError

U16_MAX = 65535


def cap_shares(shares: Mapping[int, float], max_share: float) -> dict[int, float]:
    """Shares that sum to 1 with none above `max_share`; what is cut goes to the others in proportion.

    Where no distribution can satisfy the cap (n * max_share <= 1) the shares are equal.
    """
    for uid, share in shares.items():
        if not math.isfinite(share) or share < 0 or not 0 <= uid <= U16_MAX:
            raise ChainError(f"the weight {share!r} of uid {uid} is not a finite share of a u16 uid")
    positive = {uid: share for uid, share in shares.items() if share > 0}
    if not positive:
        return {}
    if len(positive) * max_share <= 1:
        return dict.fromkeys(positive, 1 / len(positive))
    free, capped = dict(positive), set[int]()
    while True:
        room = 1 - max_share * len(capped)
        total = math.fsum(free.values())
        over = {uid for uid, share in free.items() if share / total * room > max_share}
        if not over:
            scaled = {uid: share / total * room for uid, share in free.items()}
            return {uid: max_share if uid in capped else scaled[uid] for uid in positive}
        capped |= over
        free = {uid: share for uid, share in free.items() if uid not in over}


def quantise(shares: Mapping[int, float], max_share: float = 1.0) -> tuple[tuple[int, int], ...]:
    """(uid, u16) pairs in uid order, the largest at 65535, zeros left out."""
    capped = cap_shares(shares, max_share)
    if not capped:
        return ()
    top = max(capped.values())
    pairs = ((uid, round(share / top * U16_MAX)) for uid, share in sorted(capped.items()))
    return tuple((uid, value) for uid, value in pairs if value)


def same_row(planned: Iterable[tuple[int, int]], stored: Iterable[tuple[int, int]]) -> bool:
    """Whether two rows give every uid the same share, to within the chain's rescaling to u16."""
    left, right = _fractions(planned), _fractions(stored)
    return left.keys() == right.keys() and all(abs(left[uid] - right[uid]) < 4 / U16_MAX for uid in left)


def _fractions(row: Iterable[tuple[int, int]]) -> dict[int, float]:
    values = {uid: value for uid, value in row if value}
    total = sum(values.values())
    return {uid: value / total for uid, value in values.items()}


def refusal(rules: WeightRules, planned: tuple[tuple[int, int], ...], version_key: int) -> WeightsReason | None:
    """Why the chain would refuse this row, or None where nothing speaks against it."""
    if not planned:
        return WeightsReason.NOTHING_TO_SET
    if rules.uid is None:
        return WeightsReason.NOT_REGISTERED
    if rules.block < rules.allowed_at:
        return WeightsReason.RATE_LIMITED
    if version_key < rules.version_key:
        return WeightsReason.VERSION_KEY
    if planned == ((rules.uid, U16_MAX),):
        return None
    if not rules.permit:
        return WeightsReason.NO_PERMIT
    return WeightsReason.TOO_FEW if len(planned) < rules.min_allowed else None


_BY_ERROR = {
    "SettingWeightsTooFast": WeightsReason.RATE_LIMITED,
    "CommittingWeightsTooFast": WeightsReason.RATE_LIMITED,
    "HotKeyNotRegisteredInSubNet": WeightsReason.NOT_REGISTERED,
    "HotKeyNotRegisteredInNetwork": WeightsReason.NOT_REGISTERED,
    "NeuronNoValidatorPermit": WeightsReason.NO_PERMIT,
    "NotEnoughStakeToSetWeights": WeightsReason.TOO_LITTLE_STAKE,
    "IncorrectWeightVersionKey": WeightsReason.VERSION_KEY,
    "WeightVecLengthIsLow": WeightsReason.TOO_FEW,
}


def reason_of(error_name: str | None) -> WeightsReason:
    """The reason behind the runtime's error name."""
    return _BY_ERROR.get(error_name or "", WeightsReason.REJECTED)
