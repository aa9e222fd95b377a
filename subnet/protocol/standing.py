"""What a validator tells a miner about itself: score, verdicts and the reasons, so that nobody has to guess."""

from dataclasses import dataclass

from subnet.errors import ProtocolError
from subnet.protocol import canonical, fields, keys, limits, records
from subnet.protocol.canonical import DOMAIN_STANDING
from subnet.protocol.fields import wire

STATES = ("active", "probation", "accused", "unverified")


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason code and how often it applied in the window."""

    code: str = wire(fields.label())
    count: int = wire(fields.uint(4, low=1))

    def __post_init__(self) -> None:
        records.check_record(self)


@dataclass(frozen=True, slots=True)
class Standing:
    """A miner's standing as one validator sees it at a block.

    `score_ppm` and `weight_ppm` are millionths; verified counts cover the validator's current window;
    `evidence_milli` is 1000 * ln of the running test statistic, and `threshold_milli` where it accuses (floored at 0).
    """

    version: int = wire(fields.uint(2, low=1))
    genesis: bytes = wire(fields.raw(32, "bytes of the chain's genesis hash"))
    netuid: int = wire(fields.uint(2))
    validator: bytes = wire(fields.raw(32, "bytes of the validator's hotkey"))
    miner: bytes = wire(fields.raw(32, "bytes of the miner's hotkey"))
    block: int = wire(fields.uint(8))
    state: str = wire(fields.choice(*STATES))
    score_ppm: int = wire(fields.uint(4, high=1_000_000))
    weight_ppm: int = wire(fields.uint(4, high=1_000_000))
    requests: int = wire(fields.uint(8))
    verified: int = wire(fields.uint(8))
    verified_tokens: int = wire(fields.uint(8))
    evidence_milli: int = wire(fields.uint(8))
    threshold_milli: int = wire(fields.uint(8))
    reasons: tuple[Reason, ...] = wire(fields.items(records.nested(Reason), limits.MAX_REASONS))

    def __post_init__(self) -> None:
        records.check_record(self)

    @property
    def digest(self) -> bytes:
        """SHA-256(domain || canonical bytes)."""
        return canonical.sha256(DOMAIN_STANDING, records.canonical_bytes(self))


@dataclass(frozen=True, slots=True)
class SignedStanding:
    """A standing with the validator's signature over its digest."""

    standing: Standing = wire(records.nested(Standing))
    scheme: int = wire(fields.uint(1, high=keys.SR25519))
    signature: bytes = wire(fields.raw(64, "bytes of the validator's signature"))

    def __post_init__(self) -> None:
        records.check_record(self)

    def require_valid(self) -> None:
        """Raise SignatureMismatch unless the validator named in the standing signed it."""
        standing = self.standing
        keys.require_signed(standing.digest, self.signature, standing.validator, self.scheme, "standing")


def sign_standing(standing: Standing, signer: keys.Signer) -> SignedStanding:
    """Sign as the validator named in the standing."""
    if bytes(signer.public_key) != standing.validator:
        raise ProtocolError(f"the standing is by {keys.ss58_address(standing.validator)}, not by {signer.ss58_address}")
    return SignedStanding(standing=standing, scheme=signer.crypto_type, signature=keys.sign(signer, standing.digest))
