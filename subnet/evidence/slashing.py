"""What an accusation costs a miner, as a pure state machine: no clock, no chain, no storage.

An accusation opens a case. Time is counted in blocks, and only events move it:

    OUT ──(out_blocks pass)──► PROBATION ──(probation_blocks pass)──► CLOSED
     │  ▲                          │
     │  └──(limit reached, or a stake majority upholds)── SUSPENDED ◄──(a replay disagrees, once)
     └───────────────(a stake majority disagrees, from any state)──► OVERTURNED

- OUT: the score is zero and the weight with it, from the block of the accusation.
- SUSPENDED: two replays disagree, so nothing irreversible happens and the miner may earn from a score that starts at
  zero, checked at every request. It lasts `suspension_blocks` at most and once per case; then the rest of the
  punishment runs as before, so a false disagreement delays and never spares.
- PROBATION: the miner may earn again from zero, and every request is checked.
- The bond is forfeit `challenge_blocks` after the accusation (suspended time not counted), only for an accusation that
  rests on a portable bundle, and never while suspended or overturned.

Cases of one miner are independent: a second accusation stands even where the first is overturned. But the same offence
is punished once: evidence that ends before an accusation that stands waits behind it, and counts only when that one is
overturned (otherwise one validator accuses anew for ever by trimming one bundle again and again). Nor is an offence
punished whose case would be closed by now: a validator that joins late reads old ledgers.

A standing belongs to a hotkey; a new hotkey on an old uid begins with an empty one, without inherited guilt. Faults of
service appear here only as reasons (`Reason`): they cost score, and no event of this machine can be made of them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from enum import IntEnum, unique
from typing import Any

from subnet.errors import EvidenceError


@unique
class Reason(IntEnum):
    """Why a miner lost something, or got it back. Numbers are history: never change or reuse one."""

    ACCUSED = 100
    CONVICTED_BOND = 101
    PROBATION = 102
    CLEARED = 103
    SUSPENDED = 110
    SUSPENSION_EXPIRED = 111
    UPHELD = 112
    OVERTURNED = 113

    LATE = 200
    OFFLINE = 201
    REFUSED = 202
    MALFORMED = 203
    BAD_SIGNATURE = 204
    BAD_SECRET = 205
    BAD_CHAIN = 206
    BAD_TEXT = 207
    BAD_LENGTH = 208
    WRONG_MODEL = 209
    WRONG_REQUEST = 210
    DROPPED = 211
    SUSPECT_PREFIX = 212

    ABSTAINED = 300
    NOT_ENOUGH = 301

    @property
    def text(self) -> str:
        """One sentence for the miner: what happened and what to do."""
        return _TEXTS[self]

    @property
    def is_service_fault(self) -> bool:
        """Whether it costs score only: never weight for a period, never bond."""
        return 200 <= self < 300


_TEXTS = {
    Reason.ACCUSED: "Replay says that your tokens are not those of the declared model, sampling and seed. "
    "Your score is zero; ask for the bundle and replay it with `python -m subnet.evidence verify`.",
    Reason.CONVICTED_BOND: "The challenge period passed without a successful appeal: the bond is forfeit.",
    Reason.PROBATION: "You are back: every request is checked until the probation ends, and the score starts at zero.",
    Reason.CLEARED: "The probation ended without a new accusation: the case is closed.",
    Reason.SUSPENDED: "Another validator's replay disagrees with the accusation: the punishment pauses, not for ever.",
    Reason.SUSPENSION_EXPIRED: "No stake majority decided in time: the punishment goes on where it paused.",
    Reason.UPHELD: "Validators with more than half of the stake replayed the bundle and agree with the accusation.",
    Reason.OVERTURNED: "Validators with more than half of the stake replayed the bundle and disagree: the "
    "accusation is void and the score is restored.",
    Reason.LATE: "The answer came after its deadline: it counts as zero.",
    Reason.OFFLINE: "Nothing answered at the address on chain: check `axon.external_ip`, the port and the firewall.",
    Reason.REFUSED: "The request was refused: it counts as zero.",
    Reason.MALFORMED: "The answer does not follow the protocol: check the version of your software.",
    Reason.BAD_SIGNATURE: "The signature is not that of your hotkey over the link of this answer.",
    Reason.BAD_SECRET: "The opened secret does not belong to the root in your handshake.",
    Reason.BAD_CHAIN: "The answer does not name your previous answer to this validator.",
    Reason.BAD_TEXT: "The text is not the decoding of the token ids.",
    Reason.BAD_LENGTH: "The number of tokens or the reason to finish contradicts the request.",
    Reason.WRONG_MODEL: "You serve another model id than the one asked for.",
    Reason.WRONG_REQUEST: "The answer is bound to another request.",
    Reason.DROPPED: "The connection ended before the answer was signed: it counts as zero, and what was streamed of it "
    "is replayed.",
    Reason.SUSPECT_PREFIX: "What you streamed before the connection ended is not what the model draws, or the answer "
    "took it back: nobody is accused by that, but all of your answers are checked for a while.",
    Reason.ABSTAINED: "The validator could not check this answer, for a reason of its own. It costs you nothing.",
    Reason.NOT_ENOUGH: "There is too little verified information for a verdict yet. It costs you nothing.",
}


@unique
class CaseState(IntEnum):
    """Where a case stands; see the drawing at the top."""

    OUT = 1
    SUSPENDED = 2
    PROBATION = 3
    CLOSED = 4
    OVERTURNED = 5


@dataclass(frozen=True, slots=True)
class Policy:
    """The periods of the slash ledger, in blocks (12 s on the public chain).

    Attributes:
        out_blocks: how long an accused miner has no weight. Shorter, and cheating between accusations pays.
        challenge_blocks: how long an appeal can save the bond. Shorter, and nobody has time to replay.
        probation_blocks: how long every request is checked after the return.
        suspension_blocks: how long one disagreeing replay can pause a case. Unlimited, and a friend pauses it for ever.
    """

    out_blocks: int = 7200
    challenge_blocks: int = 7200
    probation_blocks: int = 21600
    suspension_blocks: int = 1800

    def __post_init__(self) -> None:
        for name in ("out_blocks", "challenge_blocks", "probation_blocks", "suspension_blocks"):
            if getattr(self, name) < 1:
                raise EvidenceError(f"slashing policy: {name} must be at least 1 block, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Opinion:
    """One validator's replay of a bundle: who, whether it agrees with the accusation, and its stake in rao then."""

    validator: bytes
    agrees: bool
    stake: int


@dataclass(frozen=True, slots=True)
class Accused:
    """A validator's own replay of `bundle` says inconsistent. Only for bundles that the caller verified itself.

    Attributes:
        block: block of the accusation.
        evidence_block: the latest block that the evidence reaches (the selection block of its last answer).
        bundle: digest of the evidence (32 bytes), or of the local verdict where the evidence is not portable.
        accuser: public key of the validator that accuses; its replay is the first opinion.
        stake: the accuser's, in rao.
        portable: whether a stranger can verify it; without that no bond is ever touched.
    """

    block: int
    evidence_block: int
    bundle: bytes
    accuser: bytes
    stake: int
    portable: bool = True


@dataclass(frozen=True, slots=True)
class Replayed:
    """Another validator with a permit replayed `bundle`. An abstention is no opinion: don't make an event of it.

    `stake` is that validator's, `total_stake` that of all validators with a permit at this block, both in rao.
    """

    block: int
    bundle: bytes
    validator: bytes
    agrees: bool
    stake: int
    total_stake: int


@dataclass(frozen=True, slots=True)
class Passed:
    """Time passed up to `block`."""

    block: int


Event = Accused | Replayed | Passed


@dataclass(frozen=True, slots=True)
class Case:
    """One accusation and what became of it. Blocks are absolute.

    Attributes:
        bundle, accuser, portable: as in `Accused`.
        opened: block of the accusation.
        state: see the drawing at the top.
        returns_at: block at which OUT ends (a suspension moves it).
        forfeits_at: block at which the bond is lost; None once it is lost, and where it can't be.
        suspended_from: block at which the running suspension began, else None.
        suspended_until: first block after a running suspension, else None.
        suspended_once: whether its one suspension was used.
        upheld: whether a stake majority agreed: no suspension any more.
        forfeited: whether the bond is lost.
        opinions: the replays so far, one a validator, the accuser's first.
    """

    bundle: bytes
    accuser: bytes
    portable: bool
    opened: int
    state: CaseState
    returns_at: int
    forfeits_at: int | None
    suspended_from: int | None = None
    suspended_until: int | None = None
    suspended_once: bool = False
    upheld: bool = False
    forfeited: bool = False
    opinions: tuple[Opinion, ...] = ()


MAX_WAITING = 8
"""How many accusations may wait behind those that stand: more would let one validator fill the store."""


@dataclass(frozen=True, slots=True)
class Standing:
    """All cases of one miner's hotkey, and the last block that they were brought up to.

    `waiting` are accusations whose offence a standing case already punishes.
    """

    miner: bytes
    block: int = 0
    cases: tuple[Case, ...] = ()
    waiting: tuple[Accused, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that the machine decided, for the ledger and for the miner.

    ACCUSED: set the score to zero and keep the old one aside; OVERTURNED: give it back; CONVICTED_BOND: the bond of the
    miner is forfeit. The others change only what `may_earn` and `check_always` say.
    """

    reason: Reason
    block: int
    bundle: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """The standing after an event, and what was decided on the way, in order."""

    standing: Standing
    decisions: tuple[Decision, ...] = ()


def step(standing: Standing, event: Event, policy: Policy) -> Outcome:
    """The standing after `event`. The same event twice changes nothing the second time.

    Events of an earlier block than the standing's count as of the standing's block: time never runs backwards, whatever
    a fork or a late message says.
    """
    block = max(event.block, standing.block)
    decisions: list[Decision] = []
    cases = tuple(_pass_time(case, block, policy, decisions) for case in standing.cases)
    now = Standing(standing.miner, block, cases, standing.waiting)
    match event:
        case Accused():
            now = _accuse(now, event, policy, decisions)
        case Replayed():
            now = _hear_replay(now, event, policy, decisions)
    return Outcome(now, tuple(decisions))


def may_earn(standing: Standing) -> bool:
    """Whether the miner's weight may differ from zero: no case keeps it out."""
    return all(case.state is not CaseState.OUT for case in standing.cases)


def check_always(standing: Standing) -> bool:
    """Whether every request to the miner is checked: some case is neither closed nor overturned."""
    return any(case.state not in (CaseState.CLOSED, CaseState.OVERTURNED) for case in standing.cases)


def returns_at(standing: Standing) -> int | None:
    """The block at which the last case that keeps the miner out lets it return; None where none does."""
    return max((case.returns_at for case in standing.cases if case.state is CaseState.OUT), default=None)


def _accuse(standing: Standing, event: Accused, policy: Policy, decisions: list[Decision]) -> Standing:
    """Opens a case, or lets the accusation wait where its offence is being punished, or was."""
    known = {case.bundle for case in standing.cases} | {waiting.bundle for waiting in standing.waiting}
    if event.bundle in known:
        return standing
    if event.evidence_block + policy.out_blocks + policy.probation_blocks < standing.block:
        return standing
    if any(case.state is not CaseState.OVERTURNED and event.evidence_block <= case.opened for case in standing.cases):
        return replace(standing, waiting=(*standing.waiting, event)[:MAX_WAITING])
    opened = Case(
        bundle=event.bundle,
        accuser=event.accuser,
        portable=event.portable,
        opened=standing.block,
        state=CaseState.OUT,
        returns_at=standing.block + policy.out_blocks,
        forfeits_at=standing.block + policy.challenge_blocks if event.portable else None,
        opinions=(Opinion(event.accuser, True, event.stake),),
    )
    decisions.append(Decision(Reason.ACCUSED, standing.block, event.bundle))
    return replace(standing, cases=(*standing.cases, opened))


def _hear_replay(standing: Standing, event: Replayed, policy: Policy, decisions: list[Decision]) -> Standing:
    """Lets every case of that bundle hear the opinion; where it overturns one, those that waited behind it count."""
    cases = tuple(
        _hear(case, event, standing.block, policy, decisions) if case.bundle == event.bundle else case
        for case in standing.cases
    )
    if cases == standing.cases:
        return standing
    waiting = standing.waiting
    standing = replace(standing, cases=cases, waiting=())
    for accusation in waiting:
        standing = _accuse(standing, accusation, policy, decisions)
    return standing


def _hear(case: Case, event: Replayed, block: int, policy: Policy, decisions: list[Decision]) -> Case:
    """The case after another opinion. A validator has one opinion a case, its first."""
    if case.state is CaseState.OVERTURNED or any(o.validator == event.validator for o in case.opinions):
        return case
    case = replace(case, opinions=(*case.opinions, Opinion(event.validator, event.agrees, event.stake)))
    against = sum(opinion.stake for opinion in case.opinions if not opinion.agrees)
    agreed = sum(opinion.stake for opinion in case.opinions if opinion.agrees)
    if 2 * against > event.total_stake:
        decisions.append(Decision(Reason.OVERTURNED, block, case.bundle))
        return replace(case, state=CaseState.OVERTURNED, forfeits_at=None, suspended_from=None, suspended_until=None)
    if 2 * agreed > event.total_stake and not case.upheld:
        decisions.append(Decision(Reason.UPHELD, block, case.bundle))
        case = replace(case, upheld=True)
        return _resume(case, block) if case.state is CaseState.SUSPENDED else case
    pausable = case.state is CaseState.OUT or (case.state is CaseState.PROBATION and case.forfeits_at is not None)
    if event.agrees or case.upheld or case.suspended_once or not pausable:
        return case
    decisions.append(Decision(Reason.SUSPENDED, block, case.bundle))
    return replace(
        case,
        state=CaseState.SUSPENDED,
        suspended_from=block,
        suspended_until=block + policy.suspension_blocks,
        suspended_once=True,
    )


def _pass_time(case: Case, block: int, policy: Policy, decisions: list[Decision]) -> Case:
    """The case at `block`: suspensions expire, bonds are lost, punishments end, each at its own block."""
    if case.suspended_until is not None and block >= case.suspended_until:
        decisions.append(Decision(Reason.SUSPENSION_EXPIRED, case.suspended_until, case.bundle))
        case = _resume(case, case.suspended_until)
    if case.state not in (CaseState.OUT, CaseState.PROBATION):
        return case
    due: list[Decision] = []
    if case.forfeits_at is not None and block >= case.forfeits_at:
        due.append(Decision(Reason.CONVICTED_BOND, case.forfeits_at, case.bundle))
        case = replace(case, forfeits_at=None, forfeited=True)
    if case.state is CaseState.OUT and block >= case.returns_at:
        due.append(Decision(Reason.PROBATION, case.returns_at, case.bundle))
        case = replace(case, state=CaseState.PROBATION)
    cleared_at = case.returns_at + policy.probation_blocks
    if case.state is CaseState.PROBATION and case.forfeits_at is None and block >= cleared_at:
        due.append(Decision(Reason.CLEARED, cleared_at, case.bundle))
        case = replace(case, state=CaseState.CLOSED)
    decisions += sorted(due, key=lambda decision: decision.block)
    return case


def _resume(case: Case, block: int) -> Case:
    """The case as it was before its suspension, with everything later by as long as that lasted."""
    assert case.suspended_from is not None, "only a suspended case resumes"
    paused = block - case.suspended_from
    was_out = case.returns_at > case.suspended_from
    return replace(
        case,
        state=CaseState.OUT if was_out else CaseState.PROBATION,
        returns_at=case.returns_at + paused,
        forfeits_at=None if case.forfeits_at is None else case.forfeits_at + paused,
        suspended_from=None,
        suspended_until=None,
    )


def to_json(standing: Standing) -> str:
    """The standing as JSON, for storage. `from_json` reads it back to an equal value."""

    def plain(value: object) -> object:
        if isinstance(value, bytes):
            return value.hex()
        raise TypeError(f"{type(value).__name__} is not stored in a standing")

    return json.dumps(asdict(standing), default=plain, separators=(",", ":"))


def from_json(text: str) -> Standing:
    """The standing that `to_json` wrote; EvidenceError where the text is something else."""
    try:
        raw = json.loads(text)
        return Standing(
            miner=bytes.fromhex(raw["miner"]),
            block=int(raw["block"]),
            cases=tuple(_case_of(case) for case in raw["cases"]),
            waiting=tuple(
                Accused(**{**item, "bundle": bytes.fromhex(item["bundle"]), "accuser": bytes.fromhex(item["accuser"])})
                for item in raw["waiting"]
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"this is not a stored standing: {error}; restore it from the ledger") from error


def _case_of(raw: dict[str, Any]) -> Case:
    opinions = tuple(
        Opinion(bytes.fromhex(o["validator"]), bool(o["agrees"]), int(o["stake"])) for o in raw["opinions"]
    )
    given = {
        **raw,
        "bundle": bytes.fromhex(raw["bundle"]),
        "accuser": bytes.fromhex(raw["accuser"]),
        "state": CaseState(raw["state"]),
        "opinions": opinions,
    }
    return Case(**given)
