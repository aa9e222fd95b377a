"""Three-valued verdicts. An abstention is our failure, or a question that could not tell: it never accuses."""

from __future__ import annotations

import enum

from subnet.verify.detector import TestState
from subnet.verify.profile import ToleranceProfile


class Verdict(enum.Enum):
    """What a validator holds about a miner."""

    CONSISTENT = "consistent"
    INCONSISTENT = "inconsistent"
    ABSTAIN = "abstain"


def verdict(state: TestState, profile: ToleranceProfile) -> Verdict:
    """INCONSISTENT once accused; CONSISTENT once the verified tokens could have told a cheat; ABSTAIN before that."""
    if state.accused_at is not None:
        return Verdict.INCONSISTENT
    return Verdict.CONSISTENT if state.information >= profile.min_information else Verdict.ABSTAIN
