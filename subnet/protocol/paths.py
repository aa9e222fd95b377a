"""The protocol's HTTP paths: what is sent there, and what comes back. The version is part of the path."""

from dataclasses import dataclass

from subnet.protocol.handshake import Hello, SignedCapabilities
from subnet.protocol.request import COMPLETION_PREFIX, CompletionRequest, completion_path
from subnet.protocol.response import SignedResponse
from subnet.protocol.standing import SignedStanding

PING = "/assay/v1/ping"
HELLO = "/assay/v1/hello"
COMPLETION = COMPLETION_PREFIX + "{request_digest}"
"""`completion_path` makes it. The answer is streamed where the request's `accept` header is STREAM_TYPE."""
STANDING = "/assay/v1/standing"

JSON_TYPE = "application/json"
STREAM_TYPE = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Operation:
    """One POST path: the record in its body and the record in its answer (None: an empty object)."""

    path: str
    summary: str
    body: type
    answer: type | None
    streamed: bool = False
    """Whether the answer may also come as a stream."""


OPERATIONS = (
    Operation(HELLO, "Shake hands: capabilities and the commitment to secrets", Hello, SignedCapabilities),
    Operation(
        COMPLETION,
        "Ask for a completion, signed in its trailer where streamed",
        CompletionRequest,
        SignedResponse,
        streamed=True,
    ),
    Operation(STANDING, "A validator tells this miner how it sees it", SignedStanding, None),
)

__all__ = [
    "COMPLETION",
    "COMPLETION_PREFIX",
    "HELLO",
    "JSON_TYPE",
    "OPERATIONS",
    "PING",
    "STANDING",
    "STREAM_TYPE",
    "Operation",
    "completion_path",
]
