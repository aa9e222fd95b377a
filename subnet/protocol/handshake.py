"""What a miner says about itself before it is asked: versions, models, limits, and its secrets commitment."""

from dataclasses import dataclass

from subnet.errors import ProtocolError
from subnet.protocol import canonical, fields, keys, limits, records, seed
from subnet.protocol.canonical import DOMAIN_CAPABILITIES, DOMAIN_SECRETS
from subnet.protocol.fields import wire


class NoCommonVersion(ProtocolError):
    """Two peers speak no version of the protocol in common."""


@dataclass(frozen=True, slots=True)
class SecretsCommitment:
    """A miner's commitment to its secrets for one validator and epoch, made before any request of that epoch.

    `beacon_block` is the newest block that the miner knew: it dates the commitment. `size` is a power of two; when the
    counter reaches it the miner answers `epoch_exhausted`, and the next handshake opens a new epoch.
    """

    version: int = wire(fields.uint(2, low=1))
    genesis: bytes = wire(fields.raw(32, "bytes of the chain's genesis hash"))
    netuid: int = wire(fields.uint(2))
    miner: bytes = wire(fields.raw(32, "bytes of the miner's hotkey"))
    validator: bytes = wire(fields.raw(32, "bytes of the validator's hotkey"))
    epoch: int = wire(fields.uint(8))
    size: int = wire(fields.uint(4, low=limits.MIN_SECRETS, high=limits.MAX_SECRETS))
    root: bytes = wire(fields.raw(32, "bytes of the secrets' Merkle root"))
    beacon_block: int = wire(fields.uint(8))

    def __post_init__(self) -> None:
        records.check_record(self)
        seed.check_size(self.size)

    @property
    def digest(self) -> bytes:
        """SHA-256(domain || canonical bytes)."""
        return canonical.sha256(DOMAIN_SECRETS, records.canonical_bytes(self))


@dataclass(frozen=True, slots=True)
class SignedCommitment:
    """A secrets commitment with the miner's signature over its digest."""

    commitment: SecretsCommitment = wire(records.nested(SecretsCommitment))
    scheme: int = wire(fields.uint(1, high=keys.SR25519))
    signature: bytes = wire(fields.raw(64, "bytes of the miner's signature"))

    def __post_init__(self) -> None:
        records.check_record(self)

    def require_valid(self) -> None:
        """Raise SignatureMismatch unless the miner named in the commitment signed it."""
        commitment = self.commitment
        keys.require_signed(commitment.digest, self.signature, commitment.miner, self.scheme, "secrets commitment")


def sign_commitment(commitment: SecretsCommitment, signer: keys.Signer) -> SignedCommitment:
    """Sign as the miner named in the commitment."""
    if bytes(signer.public_key) != commitment.miner:
        raise ProtocolError(f"the commitment is of {keys.ss58_address(commitment.miner)}, not of {signer.ss58_address}")
    return SignedCommitment(
        commitment=commitment, scheme=signer.crypto_type, signature=keys.sign(signer, commitment.digest)
    )


@dataclass(frozen=True, slots=True)
class Hello:
    """What a validator sends to shake hands: where it thinks it is, and what it speaks."""

    versions: tuple[int, ...] = wire(fields.items(fields.uint(2, low=1), limits.MAX_VERSIONS, low=1))
    genesis: bytes = wire(fields.raw(32, "bytes of the chain's genesis hash"))
    netuid: int = wire(fields.uint(2))

    def __post_init__(self) -> None:
        records.check_record(self)


@dataclass(frozen=True, slots=True)
class ModelOffer:
    """One model that a miner serves. `context_tokens` bounds prompt and completion together."""

    model_id: bytes = wire(fields.raw(32, "bytes of the model manifest's digest"))
    name: str = wire(fields.label())
    context_tokens: int = wire(fields.uint(4, low=1))

    def __post_init__(self) -> None:
        records.check_record(self)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """A miner's answer to Hello.

    `concurrency` is how many requests it works on at once; more wait, or are answered with `overloaded`.
    """

    versions: tuple[int, ...] = wire(fields.items(fields.uint(2, low=1), limits.MAX_VERSIONS, low=1))
    software: str = wire(fields.label())
    models: tuple[ModelOffer, ...] = wire(fields.items(records.nested(ModelOffer), limits.MAX_MODELS))
    max_tokens: int = wire(fields.uint(4, low=1, high=limits.MAX_COMPLETION_TOKENS))
    concurrency: int = wire(fields.uint(4, low=1))
    handshake: SignedCommitment = wire(records.nested(SignedCommitment))

    def __post_init__(self) -> None:
        records.check_record(self)

    @property
    def digest(self) -> bytes:
        """SHA-256(domain || canonical bytes)."""
        return canonical.sha256(DOMAIN_CAPABILITIES, records.canonical_bytes(self))


@dataclass(frozen=True, slots=True)
class SignedCapabilities:
    """Capabilities with the miner's signature over their digest."""

    capabilities: Capabilities = wire(records.nested(Capabilities))
    scheme: int = wire(fields.uint(1, high=keys.SR25519))
    signature: bytes = wire(fields.raw(64, "bytes of the miner's signature"))

    def __post_init__(self) -> None:
        records.check_record(self)

    def require_valid(self, miner: bytes) -> None:
        """Raise SignatureMismatch unless the miner with this key signed both the capabilities and the commitment."""
        commitment = self.capabilities.handshake.commitment
        if commitment.miner != miner:
            raise keys.SignatureMismatch(
                f"the handshake is of {keys.ss58_address(commitment.miner)}, asked was {keys.ss58_address(miner)}"
            )
        keys.require_signed(self.capabilities.digest, self.signature, miner, self.scheme, "capabilities")
        self.capabilities.handshake.require_valid()


def sign_capabilities(capabilities: Capabilities, signer: keys.Signer) -> SignedCapabilities:
    """Sign as the miner named in the handshake."""
    if bytes(signer.public_key) != capabilities.handshake.commitment.miner:
        raise ProtocolError(f"the handshake inside is not of {signer.ss58_address}")
    return SignedCapabilities(
        capabilities=capabilities, scheme=signer.crypto_type, signature=keys.sign(signer, capabilities.digest)
    )


def negotiate(ours: tuple[int, ...], theirs: tuple[int, ...]) -> int:
    """The newest version that both speak. Raises NoCommonVersion."""
    common = set(ours) & set(theirs)
    if not common:
        raise NoCommonVersion(f"we speak versions {sorted(ours)}, the peer {sorted(theirs)}: one side must be updated")
    return max(common)
