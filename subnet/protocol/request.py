"""What a validator asks: a completion of token ids, fully determined but for the miner's secret."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from subnet.errors import ProtocolError
from subnet.protocol import canonical, fields, keys, limits, records
from subnet.protocol.canonical import DOMAIN_REQUEST
from subnet.protocol.fields import wire


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One request. A retry is the byte-identical signed request.

    `temperature_milli` is T * 1000 (0: greedy), `min_p_ppm` is min_p * 1e6 (0: off). `beacon_block` and `beacon_hash`
    name a block at most MAX_BEACON_AGE_BLOCKS old; the miner checks it. `epoch` is the miner's secrets epoch and
    `counter` the request's number in it, from 0: it is also the index of the secret that the answer opens.
    """

    version: int = wire(fields.uint(2, low=1))
    genesis: bytes = wire(fields.raw(32, "bytes of the chain's genesis hash"))
    netuid: int = wire(fields.uint(2))
    model_id: bytes = wire(fields.raw(32, "bytes of the model manifest's digest"))
    prompt: tuple[int, ...] = wire(fields.tokens(1, limits.MAX_PROMPT_TOKENS))
    temperature_milli: int = wire(fields.uint(4, high=limits.MAX_TEMPERATURE_MILLI))
    min_p_ppm: int = wire(fields.uint(4, high=limits.MAX_MIN_P_PPM))
    max_tokens: int = wire(fields.uint(4, low=1, high=limits.MAX_COMPLETION_TOKENS))
    validator: bytes = wire(fields.raw(32, "bytes of the validator's hotkey"))
    miner: bytes = wire(fields.raw(32, "bytes of the miner's hotkey"))
    beacon_block: int = wire(fields.uint(8))
    beacon_hash: bytes = wire(fields.raw(32, "bytes of the beacon block's hash"))
    nonce: bytes = wire(fields.raw(32, "bytes of the requester's nonce"))
    epoch: int = wire(fields.uint(8))
    counter: int = wire(fields.uint(8))
    extensions: Mapping[str, bytes] = wire(fields.extensions(), default_factory=dict)
    # A prompt's Merkle root is worth computing once.
    _digest: list[bytes] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        records.check_record(self)

    @property
    def digest(self) -> bytes:
        """SHA-256(domain || canonical bytes)."""
        if not self._digest:
            self._digest.append(canonical.sha256(DOMAIN_REQUEST, records.canonical_bytes(self)))
        return self._digest[0]


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request with the validator's signature over its digest: what is sent, kept and shown as evidence."""

    request: CompletionRequest = wire(records.nested(CompletionRequest))
    scheme: int = wire(fields.uint(1, high=keys.SR25519))
    signature: bytes = wire(fields.raw(64, "bytes of the validator's signature"))

    def __post_init__(self) -> None:
        records.check_record(self)

    def require_valid(self) -> None:
        """Raise SignatureMismatch unless the validator named in the request signed it."""
        request = self.request
        keys.require_signed(request.digest, self.signature, request.validator, self.scheme, "completion request")


def sign_request(request: CompletionRequest, signer: keys.Signer) -> SignedRequest:
    """Sign as the validator named in the request."""
    if bytes(signer.public_key) != request.validator:
        raise ProtocolError(
            f"the request names validator {keys.ss58_address(request.validator)} but {signer.ss58_address} signs"
        )
    return SignedRequest(request=request, scheme=signer.crypto_type, signature=keys.sign(signer, request.digest))
