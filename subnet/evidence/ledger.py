"""An append-only Merkle log of bundles and decisions. Values only: who stores the entries is not known here.

The tree is the one of certificate transparency (RFC 6962, section 2): the hash of a leaf is SHA-256(0x00 ‖ bytes), of
a node SHA-256(0x01 ‖ left ‖ right), and a tree of n leaves splits at the largest power of two below n. The root that a
validator commits on chain therefore fixes every entry and their order: `consistency_proof` shows that an older root is
a prefix of a newer one, so that nothing was removed, changed or slipped in between.

Entries are fixed-width (`ENTRY_BYTES`), so that a contract can check one of them with SHA-256 alone.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from subnet.errors import EvidenceError

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of a log without entries, as in RFC 6962."""

ENTRY_VERSION = 1
_ENTRY = struct.Struct(">HBQ32s32s32sH")
ENTRY_BYTES = _ENTRY.size
"""Width of an entry's canonical bytes: version, kind, block, subject, author, digest, reason."""

NOBODY = bytes(32)
"""The subject of an entry that concerns no single miner (the commitment of a round, or of its prompts)."""


class EntryKind(IntEnum):
    """What an entry of the ledger records. Numbers are history: never change or reuse one."""

    ROUND = 1
    """A round's answers were fixed: the digest is the round's Merkle root."""
    ACCUSATION = 2
    """A bundle accuses the subject: the digest is the bundle's."""
    OPINION = 3
    """A validator replayed a bundle: the digest is the opinion's, the reason its verdict."""
    DECISION = 4
    """The slash ledger decided something: the digest is the bundle's, the reason says what."""
    PROMPTS = 5
    """The prompts of coming rounds were fixed: the digest is the commitment of a prompt series."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger.

    Attributes:
        kind: what happened.
        block: chain block at which it was written.
        subject: 32-byte public key of the miner that it concerns, `NOBODY` for a round.
        author: 32-byte public key of the validator whose act it records.
        digest: 32 bytes; see `EntryKind`.
        reason: code of `subnet.evidence.slashing.Reason`, or 0.
    """

    kind: EntryKind
    block: int
    subject: bytes
    author: bytes
    digest: bytes
    reason: int = 0

    def __post_init__(self) -> None:
        for name in ("subject", "author", "digest"):
            value = getattr(self, name)
            if not isinstance(value, bytes) or len(value) != 32:
                raise EvidenceError(f"ledger entry: {name} must be 32 bytes, got {value!r}")
        if not 0 <= self.block < 1 << 64:
            raise EvidenceError(f"ledger entry: block must fit 64 bits, got {self.block}")
        if not 0 <= self.reason < 1 << 16:
            raise EvidenceError(f"ledger entry: reason must fit 16 bits, got {self.reason}")

    def to_bytes(self) -> bytes:
        """Canonical bytes, `ENTRY_BYTES` long."""
        return _ENTRY.pack(ENTRY_VERSION, self.kind, self.block, self.subject, self.author, self.digest, self.reason)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Entry:
        """Reads canonical bytes; EvidenceError where they are of another length, version or kind."""
        if len(raw) != ENTRY_BYTES:
            raise EvidenceError(f"ledger entry: expected {ENTRY_BYTES} bytes, got {len(raw)}")
        version, kind, block, subject, author, digest, reason = _ENTRY.unpack(raw)
        if version != ENTRY_VERSION:
            raise EvidenceError(f"ledger entry: version {version} is not known; update the software")
        try:
            known = EntryKind(kind)
        except ValueError:
            raise EvidenceError(f"ledger entry: kind {kind} is not known; update the software") from None
        return cls(known, block, subject, author, digest, reason)


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Log:
    """The log in brief: how many entries, and the roots of its perfect subtrees from left to right.

    Appending costs a logarithm of the size, and needs nothing but this value.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or self.size.bit_count() != len(self.peaks):
            raise EvidenceError(f"log of {self.size} entries cannot have {len(self.peaks)} peaks")

    def append(self, entry: bytes) -> Log:
        """The log with one more entry (its canonical bytes)."""
        return self.append_hash(leaf_hash(entry))

    def append_hash(self, leaf: bytes) -> Log:
        """The log with one more entry, given by its leaf hash."""
        peaks = list(self.peaks)
        carried = self.size
        while carried & 1:
            leaf = _node(peaks.pop(), leaf)
            carried >>= 1
        return Log(self.size + 1, (*peaks, leaf))

    @property
    def root(self) -> bytes:
        """The 32-byte root over all entries, in order."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = _node(peak, root)
        return root


def log_of(leaves: Sequence[bytes]) -> Log:
    """The log whose entries have these leaf hashes."""
    log = Log()
    for leaf in leaves:
        log = log.append_hash(leaf)
    return log


def _split(size: int) -> int:
    """The largest power of two below `size` (size >= 2)."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_proof(leaves: Sequence[bytes], index: int, size: int | None = None) -> tuple[bytes, ...]:
    """The sibling hashes, from the leaf up, which show that leaf `index` is in the log of the first `size` leaves."""
    size = len(leaves) if size is None else size
    if not 0 <= index < size <= len(leaves):
        raise EvidenceError(f"no entry {index} in the first {size} of {len(leaves)} entries")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(log_of(leaves[middle:end]).root)
            end = middle
        else:
            path.append(log_of(leaves[start:middle]).root)
            start = middle
    return tuple(reversed(path))


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` shows that the leaf with this hash is entry `index` of the log of `size` entries with `root`."""
    if not 0 <= index < size:
        return False
    sides: list[bool] = []  # from the top: is the sibling on the right?
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        sides.append(index < middle)
        start, end = (start, middle) if index < middle else (middle, end)
    if len(path) != len(sides):
        return False
    for sibling, on_right in zip(path, reversed(sides), strict=True):
        leaf = _node(leaf, sibling) if on_right else _node(sibling, leaf)
    return leaf == root


def consistency_proof(leaves: Sequence[bytes], old: int, new: int | None = None) -> tuple[bytes, ...]:
    """The hashes which show that the log of the first `old` leaves is a prefix of that of the first `new`.

    They are the roots of the perfect subtrees of the old log, then those of the pieces that complete it: everything
    that either root can be computed from.
    """
    new = len(leaves) if new is None else new
    if not 0 <= old <= new <= len(leaves):
        raise EvidenceError(f"no consistency proof from {old} to {new} entries in a log of {len(leaves)}")
    return tuple(log_of(leaves[start:end]).root for start, end in _pieces(old, new))


def _pieces(old: int, new: int) -> list[tuple[int, int]]:
    """The fewest aligned ranges that tile both the old tree and the rest of the new one, in order."""

    def cover(start: int, end: int) -> list[tuple[int, int]]:
        # A subtree of the new tree: whole when it lies on one side of the old size and is perfect or all new.
        inside, outside = end <= old, start >= old
        if outside or (inside and (end - start).bit_count() == 1):
            return [(start, end)]
        middle = start + _split(end - start)
        return cover(start, middle) + cover(middle, end)

    return cover(0, new) if new else []


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the log with `old_root` (`old` entries) is a prefix of that with `new_root`."""
    if not 0 <= old <= new:
        return False
    pieces = _pieces(old, new)
    if len(pieces) != len(proof):
        return False
    if not new:
        return old_root == new_root == EMPTY_ROOT
    known = dict(zip(pieces, proof, strict=True))

    def root(start: int, end: int) -> bytes:
        if (start, end) in known:
            return known[start, end]
        middle = start + _split(end - start)
        return _node(root(start, middle), root(middle, end))

    old_peaks = tuple(known[piece] for piece in pieces if piece[1] <= old)
    if Log(old, old_peaks).root != old_root:
        return False
    return root(0, new) == new_root
