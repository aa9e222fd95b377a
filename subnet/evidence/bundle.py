"""The bundle: one file that convinces a stranger that a miner's answers are not those of the declared model.

A bundle is a contiguous piece of the chain of one miner's answers to one validator within one secrets epoch. Every
answer of the piece has its link; those that the public selection picked are shown in full, the others only by what
their link and their selection need, so that nobody's unchecked prompts are published. Leaving one out breaks the chain.

The piece may begin anywhere: the test restarts at every token, so a later beginning can only weaken the evidence.

The file is the JSON of `SignedBundle` in the one form that `subnet.protocol.encode` gives it; any other bytes are
refused. The digest that the validator signs goes over canonical bytes, in which every list enters as a digest and every
token's record as a fixed-width Merkle leaf: SHA-256(0x00 ‖ index u32 ‖ record).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from subnet.errors import EvidenceError, ProtocolError
from subnet.evidence.rounds import MAX_ROUND_PATH, SignedRound
from subnet.protocol import (
    CompletionRequest,
    SignedCommitment,
    SignedResponse,
    canonical,
    decode,
    encode,
    fields,
    keys,
    limits,
    link,
    merkle,
    records,
)
from subnet.protocol.fields import Kind, wire

DOMAIN_BUNDLE = b"assay/bundle/1\0"
BUNDLE_VERSION = 1

MAX_BUNDLE_BYTES = 64 * 1024 * 1024
"""Largest file that is read. Evidence against a subtle cheat is a few megabytes."""

RECORD_BYTES = 50
"""Width of one token's record (`subnet.verify.records.RECORD`)."""

HEAD_BYTES = 300
"""Width of a request's canonical bytes: everything that its digest covers, with the prompt as its commitment."""

_HEAD = struct.Struct(">H32sH32s36sIII32s32sQ32s32sQQ32s")

MAX_LINKS = limits.MAX_SECRETS
MAX_ROUNDS = limits.MAX_SECRETS
MAX_BLOCKS = 2 * limits.MAX_SECRETS
MAX_SOFTWARE = 32
MAX_JSON_TEXT_BYTES = 1 << 20

VERDICTS = ("consistent", "inconsistent", "abstain")


def _rows(width: int, most: int) -> Kind:
    """Bytes in rows of one width, in hexadecimal; enter as their number (u32) and the Merkle root over their leaves."""

    def check(value: Any, where: str) -> None:
        if type(value) is not bytes or len(value) % width or len(value) > width * most:
            raise ProtocolError(f"{where}: expected at most {most} rows of {width} bytes")

    def from_json(value: Any, where: str) -> bytes:
        if type(value) is not str or not re.fullmatch(r"(?:[0-9a-f]{2})*", value):
            raise ProtocolError(f"{where}: expected lower-case hexadecimal")
        return bytes.fromhex(value)

    return Kind(
        check=check,
        to_json=bytes.hex,
        from_json=from_json,
        canonical=lambda value: canonical.uint(len(value) // width, 4) + merkle.root(row_leaves(value, width)),
        schema={"type": "string", "pattern": f"^([0-9a-f]{{{2 * width}}})*$"},
    )


def row_leaves(rows: bytes, width: int = RECORD_BYTES) -> list[bytes]:
    """Leaf hashes of fixed-width rows: SHA-256(0x00 || index u32 || row)."""
    return [
        merkle.leaf_hash(canonical.uint(index, 4) + rows[index * width : (index + 1) * width])
        for index in range(len(rows) // width)
    ]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an answer is in its validator's rounds: which of the bundle's rounds, which leaf, and its path."""

    round: int = wire(fields.uint(4, high=MAX_ROUNDS))
    index: int = wire(fields.uint(4))
    path: tuple[bytes, ...] = wire(fields.items(fields.raw(32, "bytes of a hash"), MAX_ROUND_PATH))

    def __post_init__(self) -> None:
        records.check_record(self)


class RequestHead(NamedTuple):
    """A request's fields in the order of its canonical bytes; `prompt` and `extensions` only as their commitments."""

    version: int
    genesis: bytes
    netuid: int
    model_id: bytes
    prompt: bytes
    temperature_milli: int
    min_p_ppm: int
    max_tokens: int
    validator: bytes
    miner: bytes
    beacon_block: int
    beacon_hash: bytes
    nonce: bytes
    epoch: int
    counter: int
    extensions: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """One answer of the chain, by what its place and its selection need.

    `head` is the request's canonical bytes: their digest is the request's. `rate_ppm` and `salt` open the plan that the
    request committed to. `placement` is empty where the answer came after its round was fixed.
    """

    head: bytes = wire(fields.raw(HEAD_BYTES, "canonical bytes of the request"))
    extensions: Mapping[str, bytes] = wire(fields.extensions())
    body: bytes = wire(fields.raw(32, "bytes of the response body's digest"))
    rate_ppm: int = wire(fields.uint(4, high=1_000_000))
    salt: bytes = wire(fields.raw(32, "bytes of the plan's salt"))
    placement: tuple[Placement, ...] = wire(fields.items(records.nested(Placement), 1))

    def __post_init__(self) -> None:
        records.check_record(self)
        if canonical.extensions_digest(self.extensions) != self.read().extensions:
            raise ProtocolError("a link's extensions are not those of its request: the bundle was altered")

    @property
    def request_digest(self) -> bytes:
        """SHA-256(domain || head), as for the request in full."""
        return canonical.sha256(canonical.DOMAIN_REQUEST, self.head)

    def read(self) -> RequestHead:
        """The fields of the head."""
        return RequestHead(*_HEAD.unpack(self.head))


@dataclass(frozen=True, slots=True)
class Answer:
    """A selected answer in full, with the records of its tokens (empty where the validator could not replay it)."""

    request: CompletionRequest = wire(records.nested(CompletionRequest))
    response: SignedResponse = wire(records.nested(SignedResponse))
    records: bytes = wire(_rows(RECORD_BYTES, limits.MAX_COMPLETION_TOKENS))

    def __post_init__(self) -> None:
        records.check_record(self)


@dataclass(frozen=True, slots=True)
class BlockHash:
    """A block of the chain, as the validator saw it."""

    number: int = wire(fields.uint(8))
    hash: bytes = wire(fields.raw(32, "bytes of the block's hash"))

    def __post_init__(self) -> None:
        records.check_record(self)


@dataclass(frozen=True, slots=True)
class Bundle:
    """All of the evidence; see the module.

    Attributes:
        version, genesis, netuid, validator, miner, model_id: who, where and what.
        handshake: the miner's commitment to the secrets of this epoch.
        manifest: the model's manifest as canonical JSON; its digest is `model_id`.
        profile: the parameters of the test as canonical JSON.
        software: what produced the bundle, as "name version".
        blocks: hashes of the beacon blocks and of the blocks that decide selection, ascending.
        rounds: the validator's commitments to its rounds.
        previous: link of the answer before the first (32 zero bytes at the start of an epoch).
        links: every answer, in the order in which the miner signed them.
        answers: the selected ones, in the same order.
        verdict: what follows, according to the validator.
        accused_at: number of verified tokens at which the test accuses, 0 where it does not.
    """

    version: int = wire(fields.uint(2, low=1))
    genesis: bytes = wire(fields.raw(32, "bytes of the chain's genesis hash"))
    netuid: int = wire(fields.uint(2))
    validator: bytes = wire(fields.raw(32, "bytes of the validator's hotkey"))
    miner: bytes = wire(fields.raw(32, "bytes of the miner's hotkey"))
    model_id: bytes = wire(fields.raw(32, "bytes of the model manifest's digest"))
    handshake: SignedCommitment = wire(records.nested(SignedCommitment))
    manifest: str = wire(fields.text(MAX_JSON_TEXT_BYTES))
    profile: str = wire(fields.text(MAX_JSON_TEXT_BYTES))
    software: tuple[str, ...] = wire(fields.items(fields.text(limits.MAX_DETAIL_BYTES), MAX_SOFTWARE))
    blocks: tuple[BlockHash, ...] = wire(fields.items(records.nested(BlockHash), MAX_BLOCKS))
    rounds: tuple[SignedRound, ...] = wire(fields.items(records.nested(SignedRound), MAX_ROUNDS))
    previous: bytes = wire(fields.raw(32, "bytes of the link before the first"))
    links: tuple[Link, ...] = wire(fields.items(records.nested(Link), MAX_LINKS, low=1))
    answers: tuple[Answer, ...] = wire(fields.items(records.nested(Answer), MAX_LINKS))
    verdict: str = wire(fields.choice(*VERDICTS))
    accused_at: int = wire(fields.uint(8))

    def __post_init__(self) -> None:
        records.check_record(self)
        if self.version != BUNDLE_VERSION:
            raise ProtocolError(f"bundle version {self.version} is not known here: update the software")

    @property
    def digest(self) -> bytes:
        """SHA-256(domain || canonical bytes): the bundle's name everywhere."""
        return canonical.sha256(DOMAIN_BUNDLE, records.canonical_bytes(self))

    @property
    def last_block(self) -> int:
        """The newest block that the evidence reaches (`slashing.Accused.evidence_block`)."""
        return max((block.number for block in self.blocks), default=0)


@dataclass(frozen=True, slots=True)
class SignedBundle:
    """A bundle with the validator's signature over its digest: what the file holds."""

    bundle: Bundle = wire(records.nested(Bundle))
    scheme: int = wire(fields.uint(1, high=keys.SR25519))
    signature: bytes = wire(fields.raw(64, "bytes of the validator's signature"))

    def __post_init__(self) -> None:
        records.check_record(self)

    def require_valid(self) -> None:
        """Raise SignatureMismatch unless the validator named in the bundle signed it."""
        bundle = self.bundle
        keys.require_signed(bundle.digest, self.signature, bundle.validator, self.scheme, "evidence bundle")

    def to_bytes(self) -> bytes:
        """The file."""
        return encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> SignedBundle:
        """Reads a file. Raises EvidenceError for anything but the one form in which a bundle is written."""
        try:
            read = decode(cls, data, MAX_BUNDLE_BYTES)
        except ProtocolError as error:
            raise EvidenceError(f"this is not a bundle: {error}") from error
        if encode(read) != data:
            raise EvidenceError("the bundle is not in canonical form: it was written by something else, or altered")
        return read


def sign_bundle(bundle: Bundle, signer: keys.Signer) -> SignedBundle:
    """Sign as the validator named in the bundle."""
    if bytes(signer.public_key) != bundle.validator:
        raise EvidenceError(f"the bundle is of {keys.ss58_address(bundle.validator)}, not of {signer.ss58_address}")
    return SignedBundle(bundle, signer.crypto_type, keys.sign(signer, bundle.digest))


def chain_links(previous: bytes, links: Sequence[Link]) -> list[bytes]:
    """The 32-byte link of every answer, each over the one before it."""
    found: list[bytes] = []
    for item in links:
        previous = link(item.read().counter, item.request_digest, item.body, previous)
        found.append(previous)
    return found
