"""What the validator remembers, as frozen values. Miners are named by their ss58 hotkeys."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from reward import Conversation
from subnet.config.gates import Mode
from subnet.evidence.ledger import Entry
from subnet.evidence.rounds import SignedRound
from subnet.evidence.selection import CheckPlan
from subnet.evidence.slashing import Reason
from subnet.protocol import CompletionRequest, SignedCommitment, SignedResponse
from subnet.verify.verdict import Verdict


class Phase(enum.IntEnum):
    """A round's life. A crash leaves it in one of these, and the next start carries on from there."""

    ASKING = 1
    """Requests are signed and stored; answers come in."""
    CLOSED = 2
    """The answers are fixed by their root; the block that selects is awaited, then the replay."""
    SETTLED = 3
    """Verdicts, tests and scores are stored, all in one transaction."""


class Status(enum.IntEnum):
    """What became of one request."""

    ASKED = 1
    ANSWERED = 2
    FAULTY = 3
    """The miner's fault of service: `reason` says which."""
    OURS = 4
    """It failed on our side: counts for nothing."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds on the monotonic clock of this process: socket write, first token, last byte.

    `arrivals` are (moment, tokens so far), ascending.
    """

    sent: float
    first: float | None
    finished: float
    arrivals: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, stored before it is sent. `label` names the prompt: equal labels were asked the same."""

    round: int
    miner: str
    label: str
    conversation: Conversation
    request: CompletionRequest
    plan: CheckPlan
    organic: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what became of it.

    `timed` is False where this process did not see the whole exchange (it was resumed after a restart), so that its
    times are ours and not the miner's. `prefix` are tokens that were streamed and not confirmed by a signed answer, and
    `opened` is the secret that they were drawn with.
    """

    id: int
    asked: Asked
    status: Status = Status.ASKED
    timed: bool = True
    response: SignedResponse | None = None
    prefix: tuple[int, ...] = ()
    opened: bytes | None = None
    times: Times | None = None
    reason: Reason | None = None
    detail: str = ""
    leaf: int | None = None
    position: int | None = None
    piece: int | None = None

    @property
    def miner(self) -> str:
        return self.asked.miner

    @property
    def tokens(self) -> tuple[int, ...]:
        return self.response.body.tokens if self.response is not None else ()


@dataclass(frozen=True, slots=True)
class Round:
    """A round. `check_block` is the block whose hash, `select_hash`, selects what is checked."""

    id: int
    phase: Phase
    opened_block: int
    check_block: int
    secret: bytes
    opened_at: float
    commitment: SignedRound | None = None
    select_hash: bytes | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class MinerChain:
    """A miner's answers to us in one of its secrets epochs, as a chain.

    `last_link` is the newest answer's link; `length` how many are in order; `piece` counts the gaps that were our
    fault, or breaks that were the miner's: portable evidence never crosses one.
    """

    miner: str
    epoch: int
    handshake: SignedCommitment
    next_counter: int
    last_link: bytes
    length: int = 0
    piece: int = 0


@dataclass(frozen=True, slots=True)
class Miner:
    """Everything about one miner that must last. JSON texts are owned by the modules that write them."""

    hotkey: str
    test: str | None = None
    standing: str | None = None
    score: str | None = None
    aside: str | None = None
    requests: int = 0
    answered: int = 0
    checks: int = 0
    history: tuple[tuple[int, float], ...] = ()
    reason: Reason | None = None
    first_block: int = 0
    prefix_test: str | None = None
    """The test of prefixes that it streamed and dropped; it accuses nobody."""
    suspected_until: int = 0
    """Every answer is checked before this block."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The outcome of one exchange in a settled round. `verdict` is of this answer: ABSTAIN where it has none.

    `selected` is None without an answer: one may still come on asking again, and is judged then.
    """

    exchange: int
    selected: bool | None
    verdict: Verdict | None = None
    checked: int = 0
    misses: int = 0
    margin: float | None = None
    records: bytes | None = None
    quality: float | None = None
    reason: Reason | None = None
    detail: str | None = None
    status: Status | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an answer stands in its miner's chain."""

    exchange: int
    position: int
    piece: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that is kept as a file; `verdict` is what our own replay said of it."""

    digest: bytes
    miner: str
    author: str
    block: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class GateEvent:
    """A gate decided against a miner: acted on where the mode was enforce, only recorded in shadow."""

    block: int
    gate: str
    miner: str
    mode: Mode


@dataclass(frozen=True, slots=True)
class Settlement:
    """All that a settled round changes; it is stored as one."""

    round: int
    select_hash: bytes
    seconds: float
    judged: tuple[Judged, ...]
    miners: tuple[Miner, ...]
    chains: tuple[MinerChain, ...]
    placed: tuple[Placed, ...] = ()
    entries: tuple[Entry, ...] = ()
    bundles: tuple[Bundle, ...] = ()
    gates: tuple[GateEvent, ...] = ()
    meta: dict[str, str] = field(default_factory=dict)
