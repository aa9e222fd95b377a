"""Hotkeys and signatures over raw 32-byte digests, sr25519 and ed25519.

The digest is signed as it is, without the `<Bytes>` wrapping of browser wallets: miners in other languages sign 32
bytes and nothing else. Verification needs no secret and does no I/O.
"""

import functools
from typing import Protocol, runtime_checkable

import bittensor_core

from subnet.errors import ProtocolError

ED25519 = 0
SR25519 = 1
SCHEMES = (ED25519, SR25519)
SCHEME_NAMES = {ED25519: "ed25519", SR25519: "sr25519"}
SIGNATURE_BYTES = 64
SS58_FORMAT = 42


_P = 2**255 - 19
_ORDER_EIGHT = (
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)
# Edwards points of small order (y = 0, 1, -1 and the two of order eight), their non-canonical encodings included, and
# with y = 0 the identity of sr25519's group. The sign bit is ignored in the comparison.
_WEAK_KEYS = frozenset(
    [value.to_bytes(32, "little") for value in (0, 1, _P - 1, _P, _P + 1)] + [bytes.fromhex(y) for y in _ORDER_EIGHT]
)


class SignatureMismatch(ProtocolError):
    """A signature does not belong to this digest and key."""


@runtime_checkable
class Signer(Protocol):
    """What signs: a bittensor keypair or a wallet's hotkey already has this shape."""

    @property
    def ss58_address(self) -> str: ...

    @property
    def public_key(self) -> bytes: ...

    @property
    def crypto_type(self) -> int: ...

    def sign(self, payload: bytes, /) -> bytes: ...


@functools.lru_cache(maxsize=16_384)
def ss58_address(public_key: bytes) -> str:
    """The ss58 address (format 42) of a 32-byte public key."""
    if len(public_key) != 32:
        raise ProtocolError(f"a public key has 32 bytes, got {len(public_key)}")
    return bittensor_core.ss58_encode(public_key, SS58_FORMAT)


@functools.lru_cache(maxsize=16_384)
def public_key(address: str) -> bytes:
    """The 32-byte public key of an ss58 address of format 42. Raises ProtocolError for anything else."""
    if not 46 <= len(address) <= 48 or not address.isascii() or not address.isalnum():
        raise ProtocolError("not an ss58 address: expected 46 to 48 base58 characters")
    try:
        key = bytes(bittensor_core.ss58_decode(address))
    except ValueError as error:
        raise ProtocolError(f"not an ss58 address: {address!r} ({error})") from None
    if ss58_address(key) != address:
        raise ProtocolError(f"{address!r} is not of ss58 format {SS58_FORMAT}: use the Bittensor address of the key")
    return key


def sign(signer: Signer, digest: bytes) -> bytes:
    """64-byte signature of a 32-byte digest."""
    if len(digest) != 32:
        raise ProtocolError(f"only 32-byte digests are signed, got {len(digest)} bytes")
    signature = bytes(signer.sign(digest))
    if len(signature) != SIGNATURE_BYTES:
        raise ProtocolError(f"the signer returned {len(signature)} bytes for a signature, expected {SIGNATURE_BYTES}")
    return signature


@functools.lru_cache(maxsize=16_384)
def is_weak(key: bytes) -> bool:
    """Whether anybody can sign for this public key: it is a point of small order, and no private key made it."""
    return key[:31] + bytes([key[31] & 0x7F]) in _WEAK_KEYS


def is_signed(digest: bytes, signature: bytes, key: bytes, scheme: int) -> bool:
    """Whether `signature` over `digest` is by 32-byte public key `key` under `scheme`.

    False for wrong widths, and for keys for which anybody can sign.
    """
    return len(digest) == 32 and is_signature(digest, signature, key, scheme)


def is_signature(message: bytes, signature: bytes, key: bytes, scheme: int) -> bool:
    """As `is_signed`, over a message of any length: only `btauth/1` signs other than digests."""
    if len(signature) != SIGNATURE_BYTES or len(key) != 32 or scheme not in SCHEMES or is_weak(key):
        return False
    try:
        return bool(bittensor_core.verify(message, signature, ss58_address(key), scheme))
    except ValueError:
        # 32 bytes that are no point of the curve, or a signature outside the scheme's encoding.
        return False


def require_signed(digest: bytes, signature: bytes, key: bytes, scheme: int, what: str) -> None:
    """Raise SignatureMismatch unless `is_signed`; `what` names the message for the reader."""
    if not is_signed(digest, signature, key, scheme):
        name = SCHEME_NAMES.get(scheme, f"scheme {scheme}")
        raise SignatureMismatch(f"{what}: the {name} signature is not by {ss58_address(key)} over {digest.hex()}")
