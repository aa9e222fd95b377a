"""What a miner answers: tokens, their text, the opened secret, a link to its previous answer, and a signature."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from subnet.errors import ProtocolError
from subnet.protocol import canonical, fields, keys, limits, records, seed
from subnet.protocol.canonical import DOMAIN_LINK, DOMAIN_RESPONSE
from subnet.protocol.fields import wire
from subnet.protocol.handshake import SecretsCommitment
from subnet.protocol.request import CompletionRequest

FINISH_EOS = "eos"
FINISH_LENGTH = "length"
FIRST_PREVIOUS = canonical.ZERO32
"""`previous` of the first response of an epoch."""


class ResponseMismatch(ProtocolError):
    """A well-formed response that does not answer this request. Malformed work, never evidence of cheating."""


@dataclass(frozen=True, slots=True)
class CompletionResponse:
    """The body of a response.

    `tokens` end with the end-of-sequence token if `finish` is eos, and number exactly max_tokens if it is length.
    `text` is their decoding, for readers; verification uses the ids. `previous` is the link of the response which
    this miner signed before this one, to this validator in this epoch.
    """

    version: int = wire(fields.uint(2, low=1))
    request_digest: bytes = wire(fields.raw(32, "bytes of the request's digest"))
    tokens: tuple[int, ...] = wire(fields.tokens(1, limits.MAX_COMPLETION_TOKENS))
    text: str = wire(fields.text(limits.MAX_TEXT_BYTES))
    finish: str = wire(fields.choice(FINISH_EOS, FINISH_LENGTH))
    secret: bytes = wire(fields.raw(32, "bytes of the opened secret"))
    secret_path: tuple[bytes, ...] = wire(fields.items(fields.raw(32, "bytes of a hash"), limits.MAX_SECRET_PATH))
    previous: bytes = wire(fields.raw(32, "bytes of the previous response's link"))
    extensions: Mapping[str, bytes] = wire(fields.extensions(), default_factory=dict)
    _digest: list[bytes] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        records.check_record(self)

    @property
    def digest(self) -> bytes:
        """SHA-256(domain || canonical bytes): the body digest that the link covers."""
        if not self._digest:
            self._digest.append(canonical.sha256(DOMAIN_RESPONSE, records.canonical_bytes(self)))
        return self._digest[0]


def link(counter: int, request_digest: bytes, body_digest: bytes, previous: bytes) -> bytes:
    """SHA-256(domain || counter u64 || request digest || body digest || previous link): what the miner signs.

    A response that is not shown in full still takes its place in the chain as (counter, request digest, body digest).
    """
    return canonical.sha256(DOMAIN_LINK, canonical.uint(counter, 8), request_digest, body_digest, previous)


@dataclass(frozen=True, slots=True)
class SignedResponse:
    """A response body with the counter it answers and the miner's signature over the link."""

    body: CompletionResponse = wire(records.nested(CompletionResponse))
    counter: int = wire(fields.uint(8))
    scheme: int = wire(fields.uint(1, high=keys.SR25519))
    signature: bytes = wire(fields.raw(64, "bytes of the miner's signature"))

    def __post_init__(self) -> None:
        records.check_record(self)

    @property
    def link(self) -> bytes:
        """The signed link, and the next response's `previous`."""
        return link(self.counter, self.body.request_digest, self.body.digest, self.body.previous)

    def require_valid(self, miner: bytes) -> None:
        """Raise SignatureMismatch unless the miner with this 32-byte key signed the link."""
        keys.require_signed(self.link, self.signature, miner, self.scheme, "completion response")


def sign_response(body: CompletionResponse, request: CompletionRequest, signer: keys.Signer) -> SignedResponse:
    """Sign as the miner named in the request."""
    if bytes(signer.public_key) != request.miner:
        raise ProtocolError(
            f"the request names miner {keys.ss58_address(request.miner)} but {signer.ss58_address} signs"
        )
    if body.request_digest != request.digest:
        raise ProtocolError("the response body carries the digest of another request")
    signed = link(request.counter, request.digest, body.digest, body.previous)
    return SignedResponse(
        body=body, counter=request.counter, scheme=signer.crypto_type, signature=keys.sign(signer, signed)
    )


def check_response(request: CompletionRequest, response: SignedResponse, commitment: SecretsCommitment) -> bytes:
    """Check everything about a response that needs no model; returns the 32-byte seed of its sampling.

    `commitment` is the miner's for the request's epoch, already checked for its own signature. Raises ResponseMismatch
    (or SignatureMismatch) with the first thing that is wrong. Not checked here: `previous` (compare it with the link
    that you last saw), the end-of-sequence token and the text (they need the manifest's tokenizer).
    """
    body = response.body
    if body.version != request.version:
        raise ResponseMismatch(f"the response is of version {body.version}, the request of {request.version}")
    if body.request_digest != request.digest or response.counter != request.counter:
        raise ResponseMismatch("the response answers another request")
    if len(body.tokens) > request.max_tokens:
        raise ResponseMismatch(f"{len(body.tokens)} tokens were sent, {request.max_tokens} were asked for")
    if body.finish == FINISH_LENGTH and len(body.tokens) != request.max_tokens:
        raise ResponseMismatch(f"it ended by length after {len(body.tokens)} of {request.max_tokens} tokens")
    expected = (request.validator, request.miner, request.epoch)
    if (commitment.validator, commitment.miner, commitment.epoch) != expected:
        raise ResponseMismatch("the secrets commitment is of another validator, miner or epoch")
    if not seed.opens(body.secret, body.secret_path, request.counter, commitment.size, commitment.root):
        raise ResponseMismatch(f"the opened secret is not number {request.counter} of the committed ones")
    response.require_valid(request.miner)
    return seed.derive_seed(request.digest, body.secret)
