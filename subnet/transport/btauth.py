"""`btauth/1`: signed HTTP requests, with a strict gate in front of the SDK's parser.

The SDK accepts what Python's parsers accept (nonces with underscores or spaces, both cases of hexadecimal, the last of
duplicate headers, base58 of any length). The gate lets through only the one exact form of each header, once, so that
nothing is parsed twice in different ways and nothing large reaches base58.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
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
    _VERSION: re.compile(rb"1"),
    _HOTKEY: re.compile(rb"[1-9A-HJ-NP-Za-km-z]{46,48}"),
    _RECEIVER: re.compile(rb"[1-9A-HJ-NP-Za-km-z]{46,48}"),
    _NONCE: re.compile(rb"[1-9][0-9]{18}"),
    _CRYPTO: re.compile(rb"sr25519|ed25519"),
    _SIGNATURE: re.compile(rb"0x[0-9a-f]{128}"),
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
    headers: Mapping[str, str]


def gate(headers: Iterable[tuple[bytes, bytes]]) -> Claim:
    """The claim in a request's headers (names in lower case). Raises Refused for any other form of them."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if not name.startswith(_PREFIX):
            continue
        shape = _SHAPES.get(name)
        if shape is None:
            raise Refused("unauthenticated", f"unknown header {name[:64].decode('latin-1')}")
        if name in found:
            raise Refused("unauthenticated", f"header {name.decode()} is given twice")
        if not shape.fullmatch(value):
            raise Refused("unauthenticated", f"header {name.decode()} has not the exact form that btauth/1 asks for")
        found[name] = value
    for name in _REQUIRED:
        if name not in found:
            code = "wrong_receiver" if name == _RECEIVER else "unauthenticated"
            raise Refused(code, f"header {name.decode()} is missing")
    scheme = keys.ED25519 if found.get(_CRYPTO) == b"ed25519" else keys.SR25519
    return Claim(
        hotkey=found[_HOTKEY].decode(),
        receiver=found[_RECEIVER].decode(),
        nonce_ns=int(found[_NONCE]),
        scheme=scheme,
        signature=bytes.fromhex(found[_SIGNATURE][2:].decode()),
        headers={name.decode(): value.decode() for name, value in found.items()},
    )


class _AcceptAny:
    """A store that remembers nothing: the axon consults its own after the caller policy, so that a caller without
    admission cannot fill it."""

    def check_and_store(self, hotkey_ss58: str, nonce_ns: int) -> bool:
        return True


_ACCEPT_ANY = _AcceptAny()


def scheme_parameter(verifier: Callable[..., object]) -> str | None:
    """The parameter by which the SDK's `verify` is told the sender's scheme; None where the SDK has none (11.3.0)."""
    names = inspect.signature(verifier).parameters
    return next((name for name in names if "crypto" in name or "scheme" in name), None)


_SCHEME_PARAMETER = scheme_parameter(http_auth.verify)


def verify(claim: Claim, body: bytes, *, method: str, path: str, self_hotkey: str, now_ns: int | None = None) -> None:
    """Prove a claim: receiver, freshness and signature. Raises Refused. Does not look at earlier nonces."""
    try:
        weak = keys.is_weak(keys.public_key(claim.hotkey))
    except ProtocolError as error:
        raise Refused("unauthenticated", str(error)) from None
    if weak:
        raise Refused("unauthenticated", "anybody can sign for this hotkey")
    extra: dict[str, object] = {}
    if _SCHEME_PARAMETER is not None:
        by_number = "crypto" in _SCHEME_PARAMETER
        extra[_SCHEME_PARAMETER] = claim.scheme if by_number else keys.SCHEME_NAMES[claim.scheme]
    try:
        http_auth.verify(
            claim.headers,
            body,
            method=method,
            path=path,
            self_hotkey_ss58=self_hotkey,
            max_age=MAX_AGE_SECONDS,
            allowed_skew=ALLOWED_SKEW_SECONDS,
            require_receiver=True,
            nonce_store=_ACCEPT_ANY,
            now_ns=now_ns,
            **extra,
        )
    except http_auth.WrongReceiver as error:
        raise Refused("wrong_receiver", str(error)) from None
    except http_auth.StaleRequest as error:
        raise Refused("stale", f"{error}; check this machine's clock") from None
    except http_auth.AuthError as error:
        raise Refused("unauthenticated", str(error)) from None


def sign(signer: keys.Signer, *, method: str, path: str, body: bytes, receiver: str) -> dict[str, str]:
    """Headers that prove this request is by `signer`, for `receiver`, with this body, now."""
    return http_auth.sign(signer, method=method, path=path, body=body, receiver_ss58=receiver)
