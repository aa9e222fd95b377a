"""The protocol's HTTP paths: what is sent there, and what comes back. The version is part of the path."""

from dataclasses import dataclass

from subnet.protocol.handshake import Hello, SignedCapabilities
from subnet.protocol.request import SignedRequest
from subnet.protocol.response import SignedResponse
from subnet.protocol.standing import SignedStanding

PING = "/assay/v1/ping"
HELLO = "/assay/v1/hello"
COMPLETION = "/assay/v1/completion"
STREAM = "/assay/v1/completion/stream"
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
    answer_type: str = JSON_TYPE


OPERATIONS = (
    Operation(HELLO, "Shake hands: capabilities and the commitment to secrets", Hello, SignedCapabilities),
    Operation(COMPLETION, "Ask for a completion", SignedRequest, SignedResponse),
    Operation(
        STREAM, "Ask for a streamed completion, signed in its trailer", SignedRequest, SignedResponse, STREAM_TYPE
    ),
    Operation(STANDING, "A validator tells this miner how it sees it", SignedStanding, None),
)
