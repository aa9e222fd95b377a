"""Canonical bytes: what is hashed and signed, independent of the wire's JSON.

Every record has one fixed width: integers are big-endian and unsigned, keys and hashes are 32 raw bytes, and whatever
varies in length enters as a digest. Two different records can therefore never share canonical bytes, and a contract can
find any field at a constant offset.
"""

import functools
import hashlib
import struct
from collections.abc import Mapping, Sequence

from subnet.errors import ProtocolError
from subnet.protocol import merkle
from subnet.protocol.limits import TOKENS_PER_LEAF

DOMAIN_REQUEST = b"assay/request/1\0"
DOMAIN_SEED = b"assay/seed/1\0"
DOMAIN_SECRET = b"assay/secret/1\0"
DOMAIN_SECRETS = b"assay/secrets/1\0"
DOMAIN_RESPONSE = b"assay/response/1\0"
DOMAIN_LINK = b"assay/link/1\0"
DOMAIN_CAPABILITIES = b"assay/capabilities/1\0"
DOMAIN_STANDING = b"assay/standing/1\0"
DOMAIN_EXTENSIONS = b"assay/extensions/1\0"
DOMAIN_LIST = b"assay/list/1\0"

ZERO32 = bytes(32)


def sha256(*parts: bytes) -> bytes:
    """SHA-256 over the concatenation of the parts."""
    return hashlib.sha256(b"".join(parts)).digest()


def uint(value: int, width: int) -> bytes:
    """Big-endian unsigned integer of `width` bytes. Raises ProtocolError where it does not fit."""
    try:
        return value.to_bytes(width, "big")
    except OverflowError:
        raise ProtocolError(f"{value} does not fit {width} bytes: send an unsigned integer of that width") from None


@functools.lru_cache(maxsize=1024)
def _packer(count: int) -> struct.Struct:
    return struct.Struct(f">{count}I")


def pack_tokens(tokens: Sequence[int]) -> bytes:
    """Four bytes a token. Raises struct.error for what is no integer of 32 bits."""
    return _packer(len(tokens)).pack(*tokens)


def token_leaves(tokens: Sequence[int]) -> list[bytes]:
    """Leaf hashes of a token list.

    Leaf i covers tokens 64i to 64i+63: SHA-256(0x00 || i as u32 || 64 token ids as u32), the last leaf padded with
    zeros. The list's length is committed beside the root, so padding cannot be mistaken for tokens.
    """
    leaves = -(-len(tokens) // TOKENS_PER_LEAF)
    width = 4 * TOKENS_PER_LEAF
    raw = pack_tokens(tokens).ljust(leaves * width, b"\x00")
    digest = hashlib.sha256
    return [
        digest(b"\x00" + index.to_bytes(4, "big") + raw[index * width : (index + 1) * width]).digest()
        for index in range(leaves)
    ]


def token_commitment(tokens: Sequence[int]) -> bytes:
    """36 bytes: the count as u32, then the Merkle root over `token_leaves`."""
    return uint(len(tokens), 4) + merkle.root(token_leaves(tokens))


def text_digest(text: str) -> bytes:
    """SHA-256 of the UTF-8 bytes."""
    return hashlib.sha256(text.encode("utf-8")).digest()


def extensions_digest(extensions: Mapping[str, bytes]) -> bytes:
    """SHA-256(domain || count u32 || for each entry in order of its key's bytes: SHA-256(key) || SHA-256(value))."""
    if not extensions:
        return NO_EXTENSIONS
    entries = sorted((key.encode("utf-8"), value) for key, value in extensions.items())
    leaves = b"".join(sha256(key) + sha256(value) for key, value in entries)
    return sha256(DOMAIN_EXTENSIONS, uint(len(entries), 4), leaves)


NO_EXTENSIONS = sha256(DOMAIN_EXTENSIONS, bytes(4))


def list_digest(items: Sequence[bytes]) -> bytes:
    """SHA-256(domain || count u32 || SHA-256 of each item), for short lists of records or labels."""
    digest = hashlib.sha256
    return sha256(DOMAIN_LIST, uint(len(items), 4), *[digest(item).digest() for item in items])
