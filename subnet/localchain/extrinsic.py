"""Extrinsics: version-4 wire format, signature payload, eras, fees."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import sr25519
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from subnet.localchain.defaults import FEE_BASE, FEE_PER_BYTE, SPEC_VERSION, TRANSACTION_VERSION
from subnet.localchain.errors import DecodeError, PoolRejection
from subnet.localchain.scale import Codec, compact, read_compact

_SIGNED_V4 = 0x84
_BARE_V4 = 0x04
_BARE_V5 = 0x05
MAX_LENGTH = 1 << 20
"""The longest extrinsic accepted, in bytes."""


@dataclass(frozen=True, slots=True)
class Extrinsic:
    """A decoded extrinsic. `signer` is None for a bare one."""

    raw: bytes
    hash: bytes
    signer: bytes | None
    scheme: str
    signature: bytes
    era: tuple[int, int] | None
    """(period, phase) of a mortal one, None for an immortal one."""
    nonce: int
    tip: int
    call: Any
    call_bytes: bytes
    extra: bytes
    checks_metadata: bool

    def birth(self, block: int) -> int:
        """The block that a mortal era began in, seen from `block`; 0 for an immortal one."""
        if self.era is None:
            return 0
        period, phase = self.era
        return (max(block, phase) - phase) // period * period + phase

    def death(self, birth: int) -> int | None:
        """First block in which it is no longer valid."""
        return None if self.era is None else birth + self.era[0]

    @property
    def fee(self) -> int:
        """What it costs, in rao, without the tip."""
        return fee_for(len(self.raw))


def fee_for(length: int) -> int:
    """The fee of an extrinsic of `length` bytes: a base and a price per byte (weights are not metered)."""
    return FEE_BASE + FEE_PER_BYTE * length


def hash_of(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=32).digest()


def bare(call_bytes: bytes) -> bytes:
    """A bare extrinsic (an inherent) with its length prefix."""
    return compact(len(call_bytes) + 1) + bytes((_BARE_V4,)) + call_bytes


def _era(data: bytes, at: int) -> tuple[tuple[int, int] | None, int]:
    if data[at] == 0:
        return None, at + 1
    encoded = int.from_bytes(data[at : at + 2], "little")
    period = 2 << (encoded % 16)
    quantize = max(period >> 12, 1)
    phase = (encoded >> 4) * quantize
    if period < 4 or period > 65_536 or phase >= period:
        raise DecodeError(f"era bytes {data[at : at + 2].hex()} are not a mortal era")
    return (period, phase), at + 2


def parse(raw: bytes, codec: Codec) -> Extrinsic:
    """Decode an extrinsic with its length prefix. Raises DecodeError for anything else than exactly one."""
    if len(raw) > MAX_LENGTH:
        raise DecodeError(f"extrinsic of {len(raw)} bytes; at most {MAX_LENGTH} are accepted")
    length, at = read_compact(raw, 0)
    if at + length != len(raw):
        raise DecodeError(f"length prefix says {length} bytes, {len(raw) - at} follow")
    if length == 0:
        raise DecodeError("the extrinsic is empty")
    try:
        if raw[at] in (_BARE_V4, _BARE_V5):
            call_bytes = raw[at + 1 :]
            call = codec.decode("RuntimeCall", call_bytes)
            return Extrinsic(raw, hash_of(raw), None, "", b"", None, 0, 0, call, call_bytes, b"", False)
        if raw[at] != _SIGNED_V4:
            raise DecodeError(f"extrinsic version byte {raw[at]:#04x}; this chain speaks version 4")
        return _signed(raw, at + 1, codec)
    except IndexError:
        raise DecodeError("the extrinsic ends too early") from None
    except RecursionError:
        raise DecodeError("the call is nested too deeply") from None


def _signed(raw: bytes, at: int, codec: Codec) -> Extrinsic:
    address, at = codec.decoder("MultiAddress")(raw, at)
    if address[0] != "Id":
        raise DecodeError(f"signer address of kind {address[0]}; an account id is needed")
    (scheme, signature), at = codec.decoder("MultiSignature")(raw, at)
    start = at
    era, at = _era(raw, at)
    nonce, at = read_compact(raw, at)
    tip, at = read_compact(raw, at)
    mode = raw[at]
    if mode > 1:
        raise DecodeError(f"metadata hash mode {mode}")
    extra = raw[start : at + 1]
    call_bytes = raw[at + 1 :]
    call = codec.decode("RuntimeCall", call_bytes)
    return Extrinsic(
        raw, hash_of(raw), address[1], scheme, signature, era, nonce, tip, call, call_bytes, extra, mode == 1
    )


def payload(extrinsic: Extrinsic, genesis: bytes, birth_hash: bytes) -> bytes:
    """The bytes that were signed."""
    signed = (
        extrinsic.call_bytes
        + extrinsic.extra
        + SPEC_VERSION.to_bytes(4, "little")
        + TRANSACTION_VERSION.to_bytes(4, "little")
        + genesis
        + birth_hash
        + b"\x00"
    )
    return hash_of(signed) if len(signed) > 256 else signed


def check_signature(extrinsic: Extrinsic, genesis: bytes, birth_hash: bytes) -> None:
    """Raise PoolRejection unless the signature is over exactly this extrinsic on this chain.

    Wallets' `<Bytes>`-wrapped signatures are refused: the chain signs transactions, not messages.
    """
    assert extrinsic.signer is not None
    message = payload(extrinsic, genesis, birth_hash)
    try:
        if extrinsic.scheme == "Sr25519":
            good = sr25519.verify(extrinsic.signature, message, extrinsic.signer)
        elif extrinsic.scheme == "Ed25519":
            Ed25519PublicKey.from_public_bytes(extrinsic.signer).verify(extrinsic.signature, message)
            good = True
        else:
            good = False
    except (ValueError, TypeError, InvalidSignature):
        good = False
    if not good or extrinsic.checks_metadata:
        raise PoolRejection("Transaction has a bad signature")
