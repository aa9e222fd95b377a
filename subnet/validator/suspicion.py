"""What a streamed and dropped prefix says about its miner: nothing that is evidence, but enough to look closer. Pure.

A prefix is not signed, so nobody else could check it, and a connection is not the miner's alone: it never accuses. It
is replayed like an answer, and judged by a test of its own with a low threshold. Where that fires, every answer of
the miner is checked for a while; where it does not, the prefix costs the missing answer and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from subnet.validator.values import Miner
from subnet.verify import detector
from subnet.verify.profile import ToleranceProfile
from subnet.verify.records import TokenRecords

SUSPECT = 1e4
"""Evidence that makes a miner suspect: an honest one is at most once in so many tokens, streamed and dropped."""


def profile_of_prefixes(profile: ToleranceProfile) -> ToleranceProfile:
    """The profile of the miners' running test, with the threshold of suspicion where that is lower."""
    return replace(profile, threshold=min(SUSPECT, profile.threshold))


def after_prefix(miner: Miner, records: TokenRecords, profile: ToleranceProfile) -> tuple[Miner, bool]:
    """The miner after a replayed prefix, and whether that makes it suspect; then its test of prefixes starts anew.

    Its test of answers is left alone.
    """
    narrow = profile_of_prefixes(profile)
    state = detector.start(narrow)
    if miner.prefix_test is not None:
        kept = detector.TestState.from_json(miner.prefix_test)
        state = kept if kept.profile == narrow.digest() else state
    state = detector.update(state, records, narrow)
    if state.accused_at is not None:
        return replace(miner, prefix_test=None), True
    return replace(miner, prefix_test=state.to_json()), False


def suspect(miner: Miner, block: int, watch_blocks: int) -> Miner:
    """The miner under suspicion from this block on."""
    return replace(miner, suspected_until=max(miner.suspected_until, block + watch_blocks))


def contradicts(prefix: Sequence[int], tokens: Sequence[int]) -> bool:
    """Whether an answer does not begin with what was streamed before, for the same request and secret."""
    return tuple(tokens[: len(prefix)]) != tuple(prefix)
