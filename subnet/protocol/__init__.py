"""The synapse protocol: messages, canonical bytes, seeds, signatures, versions. Pure: no sockets, chain, disk or clock.

`docs/protocol.md` describes it for implementers in other languages; `vectors/` holds frozen golden vectors, which are
history and never edited.
"""

from subnet.protocol.faults import Fault
from subnet.protocol.handshake import (
    Capabilities,
    Hello,
    ModelOffer,
    NoCommonVersion,
    SecretsCommitment,
    SignedCapabilities,
    SignedCommitment,
    negotiate,
    sign_capabilities,
    sign_commitment,
)
from subnet.protocol.keys import SignatureMismatch, Signer, public_key, ss58_address
from subnet.protocol.limits import PROTOCOL_VERSION
from subnet.protocol.records import MalformedMessage, decode, encode
from subnet.protocol.request import CompletionRequest, SignedRequest, completion_path
from subnet.protocol.response import (
    CompletionResponse,
    ResponseMismatch,
    SignedResponse,
    check_response,
    link,
    sign_response,
)
from subnet.protocol.seed import SecretTree, derive_seed
from subnet.protocol.standing import Reason, SignedStanding, Standing, sign_standing

__all__ = [
    "PROTOCOL_VERSION",
    "Capabilities",
    "CompletionRequest",
    "CompletionResponse",
    "Fault",
    "Hello",
    "MalformedMessage",
    "ModelOffer",
    "NoCommonVersion",
    "Reason",
    "ResponseMismatch",
    "SecretTree",
    "SecretsCommitment",
    "SignatureMismatch",
    "SignedCapabilities",
    "SignedCommitment",
    "SignedRequest",
    "SignedResponse",
    "SignedStanding",
    "Signer",
    "Standing",
    "check_response",
    "completion_path",
    "decode",
    "derive_seed",
    "encode",
    "link",
    "negotiate",
    "public_key",
    "sign_capabilities",
    "sign_commitment",
    "sign_response",
    "sign_standing",
    "ss58_address",
]
