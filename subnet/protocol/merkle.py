"""Merkle trees over SHA-256, as used for tokens, secrets and the evidence ledger.

leaf = SHA-256(0x00 || data), node = SHA-256(0x01 || left || right); an odd node is promoted unchanged. This is the tree
shape of RFC 6962, and its prefixes keep a node from being presented as a leaf. SHA-256 because contracts on the chain's
EVM can compute it.
"""

import hashlib
from collections.abc import Sequence

from subnet.errors import ProtocolError

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Hash of one leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node over its two 32-byte children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def levels(leaf_hashes: Sequence[bytes]) -> list[list[bytes]]:
    """All levels of the tree, leaves first and the root last; empty for no leaves.

    Keep it where many paths are read from one tree: `path_from_levels` then costs no hashing.
    """
    if not leaf_hashes:
        return []
    rows = [list(leaf_hashes)]
    sha256 = hashlib.sha256
    while len(rows[-1]) > 1:
        row = rows[-1]
        above = [sha256(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row) - 1, 2)]
        if len(row) % 2:
            above.append(row[-1])
        rows.append(above)
    return rows


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Root over leaf hashes, 32 bytes; SHA-256 of nothing for no leaves."""
    if not leaf_hashes:
        return EMPTY_ROOT
    return levels(leaf_hashes)[-1][0]


def path_from_levels(rows: Sequence[Sequence[bytes]], index: int) -> tuple[bytes, ...]:
    """Sibling hashes from leaf `index` up to the root. Levels at which the node is promoted contribute nothing."""
    if not rows or not 0 <= index < len(rows[0]):
        raise ProtocolError(f"no leaf {index} in a tree of {len(rows[0]) if rows else 0}: ask for an existing leaf")
    siblings = []
    for row in rows[:-1]:
        sibling = index ^ 1
        if sibling < len(row):
            siblings.append(row[sibling])
        index //= 2
    return tuple(siblings)


def path(leaf_hashes: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Inclusion path of leaf `index`. Raises ProtocolError if there is no such leaf."""
    return path_from_levels(levels(leaf_hashes), index)


def verify_path(leaf: bytes, index: int, size: int, siblings: Sequence[bytes], expected_root: bytes) -> bool:
    """Whether hash `leaf` is number `index` of the tree of `size` leaves with this root.

    Never raises on wrong input from the network: a path that is too short, too long or of wrong widths is just false.
    """
    if not 0 <= index < size or len(leaf) != 32 or any(len(sibling) != 32 for sibling in siblings):
        return False
    node, used, last, sha256 = leaf, 0, size - 1, hashlib.sha256
    while last > 0:
        if index % 2 or index < last:
            if used == len(siblings):
                return False
            sibling = siblings[used]
            used += 1
            node = sha256(b"\x01" + sibling + node if index % 2 else b"\x01" + node + sibling).digest()
        index //= 2
        last //= 2
    return used == len(siblings) and node == expected_root
