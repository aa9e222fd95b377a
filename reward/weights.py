"""From scores to the weights that a validator sets.

    share_i = score_i^power / sum_j score_j^power

over the hotkeys that are registered now and have earned something, then no share above
`max_share`: what is over goes to the others in proportion. The exponent is above 1 so that a
better model earns more than in proportion, and so that splitting a score over two hotkeys loses.
Shares sum to 1. When nobody earned anything there is no vector to send, unless `owner_uid` is
given: then everything goes there (burning, off by default).

Turning shares into the chain's u16 numbers is left to the SDK's SetWeights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reward.scores import ScoreBook
from subnet.errors import RewardError


@dataclass(frozen=True, slots=True)
class WeightRules:
    """`power` at least 1; `max_share` in (0, 1]; `owner_uid` takes all when nobody earned, None for off."""

    power: float = 1.5
    max_share: float = 1.0
    owner_uid: int | None = None

    def __post_init__(self) -> None:
        if not 1.0 <= self.power <= 8.0:
            raise RewardError(f"weight power {self.power!r} is outside [1, 8]")
        if not 0.0 < self.max_share <= 1.0:
            raise RewardError(f"max_share {self.max_share!r} is outside (0, 1]")


@dataclass(frozen=True, slots=True)
class WeightVector:
    """Shares by uid: both tuples of one length, uids ascending, shares >= 0 and summing to 1, or both empty."""

    uids: tuple[int, ...]
    shares: tuple[float, ...]

    def __bool__(self) -> bool:
        return bool(self.uids)


def limit_shares(shares: Sequence[float], limit: float) -> list[float]:
    """Shares with none above `limit`, the excess spread over the rest in proportion; the sum stays 1.

    Where too few hold anything for the limit to be met, they get equal shares.
    """
    holders = [index for index, share in enumerate(shares) if share > 0.0]
    if not holders:
        return list(shares)
    if len(holders) * limit <= 1.0:
        return [1.0 / len(holders) if share > 0.0 else 0.0 for share in shares]
    capped: set[int] = set()
    result = list(shares)
    while True:
        over = {index for index in holders if index not in capped and result[index] > limit}
        if not over:
            return result
        capped |= over
        free = math.fsum(shares[index] for index in holders if index not in capped)
        room = 1.0 - limit * len(capped)
        for index in holders:
            result[index] = limit if index in capped else shares[index] * room / free


def weights(book: ScoreBook, uids: Mapping[str, int], rules: WeightRules) -> WeightVector:
    """The vector to set: one entry for every registered hotkey, zero where nothing was earned.

    `uids` maps the hotkeys registered now to their uids. Empty when nobody earned anything and
    burning is off: then the validator sets nothing and keeps what it set before.
    """
    if len(set(uids.values())) != len(uids):
        raise RewardError("two hotkeys share one uid; take hotkeys and uids from one metagraph snapshot")
    ordered = sorted(uids.items(), key=lambda item: item[1])
    earned = [
        book.standings[hotkey].payable ** rules.power if hotkey in book.standings else 0.0 for hotkey, _ in ordered
    ]
    total = math.fsum(earned)
    all_uids = tuple(uid for _, uid in ordered)
    if total > 0.0:
        return WeightVector(all_uids, tuple(limit_shares([value / total for value in earned], rules.max_share)))
    if rules.owner_uid is None:
        return WeightVector((), ())
    if rules.owner_uid not in all_uids:
        raise RewardError(f"the owner's uid {rules.owner_uid} is not registered; set owner_uid to a registered uid")
    return WeightVector(all_uids, tuple(1.0 if uid == rules.owner_uid else 0.0 for uid in all_uids))
