"""What a validator asks: a completion of token ids, fully determined but for the miner's secret."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from subnet.protocol import canonical, fields, keys, limits, records
from subnet.protocol.canonical import DOMAIN_REQUEST
from subnet.protocol.fields import wire


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One request. A retry asks the identical request again.

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
    """A request as the validator sent it, with the signature that its HTTP call carried: proof that it was asked.

    There is one signature a call, that of `btauth/1`. It covers the request's digest, because the digest stands in the
    path, and the sender and receiver that the request names. `nonce` is the call's, decimal nanoseconds; `body_digest`
    the SHA-256 of its body. A retry carries another nonce and signature over the same request.
    """

    request: CompletionRequest = wire(records.nested(CompletionRequest))
    scheme: int = wire(fields.uint(1, high=keys.SR25519))
    nonce: str = wire(fields.digits(19))
    body_digest: bytes = wire(fields.raw(32, "bytes of the SHA-256 of the call's body"))
    signature: bytes = wire(fields.raw(64, "bytes of the validator's signature"))

    def __post_init__(self) -> None:
        records.check_record(self)

    @property
    def payload(self) -> bytes:
        """The bytes that the validator signed, rebuilt from the request: `btauth/1`'s eight lines."""
        request = self.request
        return "\n".join(
            (
                "btauth/1",
                keys.SCHEME_NAMES[self.scheme],
                "POST",
                completion_path(request.digest),
                self.body_digest.hex(),
                self.nonce,
                keys.ss58_address(request.validator),
                keys.ss58_address(request.miner),
            )
        ).encode()

    def require_valid(self) -> None:
        """Raise SignatureMismatch unless the validator named in the request signed a call with it."""
        if not keys.is_signature(self.payload, self.signature, self.request.validator, self.scheme):
            raise keys.SignatureMismatch(
                f"completion request: {keys.ss58_address(self.request.validator)} did not sign a call with it"
            )


COMPLETION_PREFIX = "/assay/v1/completion/"


def completion_path(digest: bytes) -> str:
    """The path at which the request with this digest is asked. It is signed with the call, and the digest with it."""
    return COMPLETION_PREFIX + digest.hex()
