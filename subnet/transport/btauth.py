"""`btauth/1`: signed HTTP requests, with a strict gate in place of the SDK's parser.

The SDK accepts what Python's parsers accept (nonces with underscores or spaces, both cases of hexadecimal, the last of
duplicate headers, base58 of any length). The gate lets through only the one exact form of each header, once, so that
nothing is parsed twice in different ways and nothing large reaches base58.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from bittensor import http_auth

from subnet.errors import ProtocolError
from subnet.protocol import keys
from subnet.transport.errors import Refused

MAX_AGE_SECONDS = 10.0
"""How old a request may be. Larger lets a captured request wait longer, and the nonce store must remember more."""

ALLOWED_SKEW_SECONDS = 2.0
"""How far ahead the caller's clock may be."""

NONCE_RETENTION_SECONDS = 2 * (MAX_AGE_SECONDS + ALLOWED_SKEW_SECONDS)
"""How long nonces are remembered: twice the window, so that a step of the clock cannot reopen it."""

_PREFIX = b"x-bittensor-"
_VERSION = b"x-bittensor-version"
_HOTKEY = b"x-bittensor-hotkey"
_RECEIVER = b"x-bittensor-receiver"
_NONCE = b"x-bittensor-nonce"
_CRYPTO = b"x-bittensor-crypto"
_SIGNATURE = b"x-bittensor-signature"

_SHAPES = {
    _VERSION: re.compile(rb"1").fullmatch,
    _HOTKEY: re.compile(rb"[1-9A-HJ-NP-Za-km-z]{46,48}").fullmatch,
    _RECEIVER: re.compile(rb"[1-9A-HJ-NP-Za-km-z]{46,48}").fullmatch,
    _NONCE: re.compile(rb"[1-9][0-9]{18}").fullmatch,
    _CRYPTO: re.compile(rb"sr25519|ed25519").fullmatch,
    _SIGNATURE: re.compile(rb"0x[0-9a-f]{128}").fullmatch,
}
_REQUIRED = frozenset(_SHAPES) - {_CRYPTO}


@dataclass(frozen=True, slots=True)
class Claim:
    """The authentication headers of a request in their exact form; nothing of it is proven yet."""

    hotkey: str
    receiver: str
    nonce_ns: int
    scheme: int
    signature: bytes


def gate(headers: Iterable[tuple[bytes, bytes]]) -> Claim:
    """The claim in a request's headers (names in lower case). Raises Refused for any other form of them."""
    given = [(name, value) for name, value in headers if name.startswith(_PREFIX)]
    found = dict(given)
    if len(found) != len(given):
        raise Refused("unauthenticated", "a btauth header is given twice")
    for name, value in given:
        shape = _SHAPES.get(name)
        if shape is None:
            raise Refused("unauthenticated", f"unknown header {name[:64].decode('latin-1')}")
        if not shape(value):
            raise Refused("unauthenticated", f"header {name.decode()} has not the exact form that btauth/1 asks for")
    if not found.keys() >= _REQUIRED:
        missing = sorted(_REQUIRED - found.keys())
        code = "wrong_receiver" if missing == [_RECEIVER] else "unauthenticated"
        raise Refused(code, f"header {missing[0].decode()} is missing")
    return Claim(
        hotkey=found[_HOTKEY].decode(),
        receiver=found[_RECEIVER].decode(),
        nonce_ns=int(found[_NONCE]),
        scheme=keys.ED25519 if found.get(_CRYPTO) == b"ed25519" else keys.SR25519,
        signature=bytes.fromhex(found[_SIGNATURE][2:].decode()),
    )


def verify(claim: Claim, body: bytes, *, method: str, path: str, self_hotkey: str, now_ns: int | None = None) -> None:
    """Prove a claim: receiver, freshness, and the signature under the declared scheme only. Raises Refused.

    The checks are those of the SDK's `verify`, over the SDK's payload, on headers that were read once. Nonces are not
    looked at: the axon does that after the caller policy, so that a caller without admission cannot fill the store.
    """
    if claim.receiver != self_hotkey:
        raise Refused("wrong_receiver", "the request was signed for another hotkey")
    age = (time.time_ns() if now_ns is None else now_ns) - claim.nonce_ns
    if not -ALLOWED_SKEW_SECONDS * 1e9 <= age <= MAX_AGE_SECONDS * 1e9:
        raise Refused("stale", f"signed {age / 1e9:.1f} s ago by this machine's clock; check both clocks")
    try:
        key = keys.public_key(claim.hotkey)
    except ProtocolError as error:
        raise Refused("unauthenticated", str(error)) from None
    payload = http_auth.build_payload(
        scheme=keys.SCHEME_NAMES[claim.scheme],
        method=method,
        path=path,
        body=body,
        nonce_ns=claim.nonce_ns,
        sender_ss58=claim.hotkey,
        receiver_ss58=claim.receiver,
    )
    if not keys.is_signature(payload, claim.signature, key, claim.scheme):
        raise Refused("unauthenticated", "the signature is not by this hotkey, or anybody can sign for it")


def sign(signer: keys.Signer, *, method: str, path: str, body: bytes, receiver: str) -> dict[str, str]:
    """Headers that prove this request is by `signer`, for `receiver`, with this body, now.

    The SDK's `sign` over its own payload, without its search for a key in wallets and vaults, which costs as much as
    the signature.
    """
    scheme, nonce = keys.SCHEME_NAMES[signer.crypto_type], time.time_ns()
    payload = http_auth.build_payload(
        scheme=scheme,
        method=method,
        path=path,
        body=body,
        nonce_ns=nonce,
        sender_ss58=signer.ss58_address,
        receiver_ss58=receiver,
    )
    headers = {
        http_auth.HEADER_VERSION: http_auth.VERSION,
        http_auth.HEADER_HOTKEY: signer.ss58_address,
        http_auth.HEADER_RECEIVER: receiver,
        http_auth.HEADER_NONCE: str(nonce),
        http_auth.HEADER_SIGNATURE: "0x" + bytes(signer.sign(payload)).hex(),
    }
    if signer.crypto_type != keys.SR25519:
        headers[http_auth.HEADER_CRYPTO] = scheme
    return headers
