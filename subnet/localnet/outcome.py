"""What a run came to, and whether it kept the subnet's promise: cheats earn nothing, honest miners earn. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from subnet.localnet.plan import Participant, Plan
from subnet.status.snapshot import MinerStatus, StatusSnapshot


@dataclass(frozen=True, slots=True)
class MinerOutcome:
    """One miner at the end, as the validator with most evidence (log10) saw it.

    checked_tokens is the number at which it was accused, for one that was, and all that were checked otherwise.

    accused_by names the validators that accused it; bundle is the hex digest of the first portable evidence.
    earned is TAO of stake gained since registration.
    """

    participant: Participant
    uid: int | None
    accused_by: tuple[str, ...]
    checked_tokens: int
    evidence: float
    bundle: str | None
    reason: str
    incentive: float
    earned: float


@dataclass(frozen=True, slots=True)
class Outcome:
    miners: tuple[MinerOutcome, ...]
    problems: tuple[str, ...]

    @property
    def kept_the_promise(self) -> bool:
        return not self.problems

    def settled(self, validators: int) -> bool:
        """Whether more epochs could only repeat it: the promise is kept, and every cheat accused by all, with evidence.

        A cheat that nobody accuses (one that is slow, say) can have no incentive now and some in the next epoch.
        """
        cheats = [miner for miner in self.miners if miner.participant.cheats]
        return self.kept_the_promise and all(c.bundle and len(c.accused_by) == validators for c in cheats)


def peak(miner: MinerStatus) -> tuple[int, float]:
    """Verified tokens and evidence (log10) where the threshold was first reached; the most evidence seen where not.

    An accusation starts the test anew, so the present value says nothing about what led to it. Counted in whole
    answers: the token itself is in the bundle.
    """
    points = [*miner.history, (miner.checked_tokens, miner.evidence)]
    return next((point for point in points if point[1] >= miner.threshold), max(points, key=lambda point: point[1]))


def strongest(hotkey: str, snapshots: Sequence[StatusSnapshot]) -> MinerStatus | None:
    """The miner as seen by the validator that holds most evidence about it; None when no validator knows it."""
    seen = [miner for snapshot in snapshots for miner in snapshot.miners if miner.hotkey == hotkey]
    return max(seen, key=lambda miner: peak(miner)[1], default=None)


def judge(
    plan: Plan,
    hotkeys: Mapping[str, str],
    snapshots: Mapping[str, StatusSnapshot],
    incentives: Mapping[str, float],
    stakes: Mapping[str, float],
) -> Outcome:
    """Compares the plan with what happened.

    hotkeys: participant name -> ss58; snapshots: validator name -> its snapshot; incentives (in [0, 1]) and stakes
    (TAO): hotkey -> value read from the chain itself, not from a validator. A hotkey that the chain does not list
    counts as zero.
    """
    outcomes, problems = [], []
    for miner in plan.miners:
        hotkey = hotkeys[miner.name]
        seen = strongest(hotkey, list(snapshots.values()))
        accused_by = tuple(
            name for name, snapshot in snapshots.items() if any(_accused(m, hotkey) for m in snapshot.miners)
        )
        incentive = incentives.get(hotkey, 0.0)
        bundles = [
            entry.bundle
            for snapshot in snapshots.values()
            for entry in snapshot.ledger
            if entry.miner == hotkey and entry.bundle
        ]
        outcomes.append(
            MinerOutcome(
                participant=miner,
                uid=seen.uid if seen else None,
                accused_by=accused_by,
                checked_tokens=0 if seen is None else peak(seen)[0] if accused_by else seen.checked_tokens,
                evidence=peak(seen)[1] if seen else 0.0,
                bundle=bundles[0] if bundles else None,
                reason=seen.reason if seen else "no validator has seen it",
                incentive=incentive,
                earned=stakes.get(hotkey, 0.0),
            )
        )
        if miner.cheats and incentive > 0:
            problems.append(f"{miner.name} cheats ({miner.kind}) and still has incentive {incentive:.4f}")
        if not miner.cheats and incentive <= 0:
            problems.append(f"{miner.name} is honest and has no incentive")
        if not miner.cheats and accused_by:
            problems.append(f"{miner.name} is honest and was accused by {', '.join(accused_by)}")
    return Outcome(tuple(outcomes), tuple(problems))


def _accused(miner: MinerStatus, hotkey: str) -> bool:
    return miner.hotkey == hotkey and miner.verdict == "inconsistent"
