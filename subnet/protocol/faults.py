"""Reason-coded errors on the wire. They explain; they are unsigned, and never evidence against anybody."""

from dataclasses import dataclass

from subnet.protocol import fields, limits, records
from subnet.protocol.fields import wire

CODES = (
    "malformed",
    "unauthenticated",
    "wrong_receiver",
    "stale",
    "replayed",
    "forbidden",
    "rate_limited",
    "overloaded",
    "too_large",
    "timeout",
    "unsupported_version",
    "wrong_network",
    "unknown_model",
    "unknown_epoch",
    "epoch_exhausted",
    "counter_used",
    "stale_beacon",
    "too_many_tokens",
    "internal",
    "not_found",
    "unsupported_media_type",
    "method_not_allowed",
)

STATUS = {
    "malformed": 400,
    "unauthenticated": 401,
    "wrong_receiver": 403,
    "stale": 401,
    "replayed": 409,
    "forbidden": 403,
    "rate_limited": 429,
    "overloaded": 503,
    "too_large": 413,
    "timeout": 408,
    "unsupported_version": 400,
    "wrong_network": 400,
    "unknown_model": 404,
    "unknown_epoch": 409,
    "epoch_exhausted": 409,
    "counter_used": 409,
    "stale_beacon": 409,
    "too_many_tokens": 400,
    "internal": 500,
    "not_found": 404,
    "unsupported_media_type": 415,
    "method_not_allowed": 405,
}
"""HTTP status for each code. Clients decide by the code; the status is for proxies and people."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request was not answered. `retry_after_ms` is 0 where a retry cannot help."""

    code: str = wire(fields.choice(*CODES))
    detail: str = wire(fields.text(limits.MAX_DETAIL_BYTES))
    retry_after_ms: int = wire(fields.uint(4, high=limits.MAX_RETRY_AFTER_MS), default=0)

    def __post_init__(self) -> None:
        records.check_record(self)

    @property
    def status(self) -> int:
        """HTTP status code."""
        return STATUS[self.code]
