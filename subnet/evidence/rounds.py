"""A round's answers, fixed by a Merkle root before it is known which of them will be checked.

Without it a validator looks at the answers of its friends first and leaves out what would convict them. The signed
commitment goes into the ledger, whose root is committed on chain, so that its time can be checked by others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from subnet.errors import EvidenceError
from subnet.protocol import SignedResponse, canonical, fields, keys, merkle, records
from subnet.protocol.fields import wire

DOMAIN_ROUND = b"assay/round/1\0"
MAX_ROUND_ANSWERS = 1 << 20
MAX_ROUND_PATH = 20


@dataclass(frozen=True, slots=True)
class RoundCommitment:
    """What a validator fixes at the end of a round: the Merkle root over the links of all answers that arrived.

    `block` is the newest block that the validator knew. `count` is how many answers there are, over all miners.
    """

    version: int = wire(fields.uint(2, low=1))
    genesis: bytes = wire(fields.raw(32, "bytes of the chain's genesis hash"))
    netuid: int = wire(fields.uint(2))
    validator: bytes = wire(fields.raw(32, "bytes of the validator's hotkey"))
    round: int = wire(fields.uint(8))
    root: bytes = wire(fields.raw(32, "bytes of the answers' Merkle root"))
    count: int = wire(fields.uint(4, high=MAX_ROUND_ANSWERS))
    block: int = wire(fields.uint(8))

    def __post_init__(self) -> None:
        records.check_record(self)

    @property
    def digest(self) -> bytes:
        """SHA-256(domain || canonical bytes)."""
        return canonical.sha256(DOMAIN_ROUND, records.canonical_bytes(self))


@dataclass(frozen=True, slots=True)
class SignedRound:
    """A round's commitment with the validator's signature over its digest."""

    commitment: RoundCommitment = wire(records.nested(RoundCommitment))
    scheme: int = wire(fields.uint(1, high=keys.SR25519))
    signature: bytes = wire(fields.raw(64, "bytes of the validator's signature"))

    def __post_init__(self) -> None:
        records.check_record(self)

    def require_valid(self) -> None:
        """Raise SignatureMismatch unless the validator named in the commitment signed it."""
        commitment = self.commitment
        keys.require_signed(commitment.digest, self.signature, commitment.validator, self.scheme, "round commitment")


def sign_round(commitment: RoundCommitment, signer: keys.Signer) -> SignedRound:
    """Sign as the validator named in the commitment."""
    if bytes(signer.public_key) != commitment.validator:
        raise EvidenceError(f"the round is of {keys.ss58_address(commitment.validator)}, not of {signer.ss58_address}")
    return SignedRound(commitment, signer.crypto_type, keys.sign(signer, commitment.digest))


def round_leaf(link: bytes) -> bytes:
    """The leaf hash of an answer in its round: SHA-256(0x00 || link)."""
    return merkle.leaf_hash(link)


def in_round(link: bytes, index: int, path: Sequence[bytes], commitment: RoundCommitment) -> bool:
    """Whether `path` shows that the answer with this link is number `index` of the round."""
    return merkle.verify_path(round_leaf(link), index, commitment.count, path, commitment.root)


def chain_order(last: bytes, responses: Sequence[SignedResponse]) -> tuple[list[SignedResponse], list[SignedResponse]]:
    """The responses of one miner in the order in which it signed them, and those that do not belong to the chain.

    `last` is the link of the newest answer that is already in the chain (32 zero bytes at the start of an epoch).
    Concurrent answers may arrive in any order; each names the one signed before it. What is left over answers nothing
    that can be placed: a lost answer before it, or a fork by the miner (`Reason.BAD_CHAIN`: no score, no evidence).
    """
    following: dict[bytes, SignedResponse] = {}
    for response in responses:
        following.setdefault(response.body.previous, response)
    ordered: list[SignedResponse] = []
    while last in following:
        ordered.append(following.pop(last))
        last = ordered[-1].link
    taken = {id(response) for response in ordered}
    return ordered, [response for response in responses if id(response) not in taken]
