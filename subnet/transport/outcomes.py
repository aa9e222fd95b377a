"""What came of a call: a value, or exactly one named failure. Nothing here accuses anybody."""

import enum
from dataclasses import dataclass
from typing import Generic, TypeVar

from subnet.protocol.faults import Fault

T = TypeVar("T")


class Result(enum.StrEnum):
    """How a call ended."""

    OK = "ok"
    FAULT = "fault"
    """The peer answered with a reason-coded fault."""
    TIMEOUT = "timeout"
    """The deadline passed."""
    UNREACHABLE = "unreachable"
    """No connection: refused, no route, name not found, TLS key not the published one."""
    DROPPED = "dropped"
    """The connection ended before the answer did."""
    ADDRESS_REFUSED = "address_refused"
    """We do not call that address."""
    REDIRECTED = "redirected"
    """The peer wants to send us elsewhere."""
    TOO_LARGE = "too_large"
    """The answer exceeds its size limit."""
    MALFORMED = "malformed"
    """The answer is no message of the protocol."""
    BAD_SIGNATURE = "bad_signature"
    """The answer is not signed by the peer."""
    MISMATCH = "mismatch"
    """The answer is well formed and signed, but answers something else."""
    OUR_FAILURE = "our_failure"
    """We failed, not the peer: it must not count against it."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one call, on its own clock which starts when the request's last byte is handed to its socket.

    `waited` is what passed before that (connecting, our own queue) and is never the peer's. None: not reached.
    """

    waited: float | None = None
    first_byte: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """The end of one call.

    `value` is set exactly for OK, `fault` exactly for FAULT. `prefix` holds streamed tokens of a completion that did
    not reach its signed trailer, and `opened` the secret that they were drawn with. `arrivals` are (moment, tokens so
    far) of a stream, ascending. `status` is the HTTP status, where there was one. Moments are monotonic seconds.
    """

    result: Result
    value: T | None = None
    fault: Fault | None = None
    detail: str = ""
    prefix: tuple[int, ...] = ()
    opened: bytes | None = None
    arrivals: tuple[tuple[float, int], ...] = ()
    status: int | None = None
    sent_at: float | None = None
    timing: Timing = Timing()

    @property
    def ok(self) -> bool:
        return self.result is Result.OK
