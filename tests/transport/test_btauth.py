import time
from typing import Any

import pytest
from bittensor import http_auth
from hypothesis import given
from hypothesis import strategies as st

from subnet.transport import btauth
from subnet.transport.errors import Refused
from tests.transport.axon_process import MINER, VALIDATOR
from tests.transport.miner_double import keypair

BODY = b'{"x":1}'


def signed(**changes: Any) -> list[tuple[bytes, bytes]]:
    made = btauth.sign(VALIDATOR, method="POST", path="/p", body=BODY, receiver=MINER.ss58_address)
    made.update(changes)
    return [(name.lower().encode(), value.encode()) for name, value in made.items() if value is not None]


def verify(headers: list[tuple[bytes, bytes]], body: bytes = BODY, **where: Any) -> btauth.Claim:
    claim = btauth.gate(headers)
    place = {"method": "POST", "path": "/p", "self_hotkey": MINER.ss58_address, **where}
    btauth.verify(claim, body, **place)
    return claim


@pytest.mark.parametrize("scheme", [0, 1])
def test_both_schemes_pass(scheme: int) -> None:
    signer = keypair("//Both", scheme)
    made = btauth.sign(signer, method="POST", path="/p", body=BODY, receiver=MINER.ss58_address)
    headers = [(name.lower().encode(), value.encode()) for name, value in made.items()]
    claim = verify(headers)
    assert (claim.hotkey, claim.scheme) == (signer.ss58_address, scheme)


@pytest.mark.parametrize(
    "changes",
    [
        {"X-Bittensor-Version": "2"},
        {"X-Bittensor-Version": " 1"},
        {"X-Bittensor-Nonce": "1_790_000_000_000_000"},
        {"X-Bittensor-Nonce": "+1790000000000000000"},
        {"X-Bittensor-Nonce": " 1790000000000000000"},
        {"X-Bittensor-Nonce": "\u0661" * 19},
        {"X-Bittensor-Nonce": "9" * 4_000},
        {"X-Bittensor-Signature": "0x" + "AB" * 64},
        {"X-Bittensor-Signature": "ab" * 64},
        {"X-Bittensor-Signature": "0x" + "ab" * 63 + " a"},
        {"X-Bittensor-Signature": "0x" + "ab" * 100_000},
        {"X-Bittensor-Hotkey": "5" * 100_000},
        {"X-Bittensor-Hotkey": "0" * 48},
        {"X-Bittensor-Crypto": "1"},
        {"X-Bittensor-Crypto": "SR25519"},
        {"X-Bittensor-Crypto": "ecdsa"},
        {"X-Bittensor-More": "x"},
        {"X-Bittensor-Version": None},
        {"X-Bittensor-Hotkey": None},
        {"X-Bittensor-Receiver": None},
        {"X-Bittensor-Nonce": None},
        {"X-Bittensor-Signature": None},
    ],
)
def test_the_gate_lets_only_the_exact_form_through(changes: dict[str, Any]) -> None:
    # The SDK's parser accepts several of these; two parsers that differ are a way around one of them.
    with pytest.raises(Refused):
        btauth.gate(signed(**changes))


def test_the_gate_refuses_a_header_given_twice() -> None:
    for name, value in signed():
        with pytest.raises(Refused, match="twice"):
            btauth.gate([*signed(), (name, value)])


@given(st.lists(st.tuples(st.binary(max_size=30).map(lambda tail: b"x-bittensor-" + tail), st.binary(max_size=60))))
def test_fuzz_the_gate_refuses_and_never_breaks(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Refused):
        btauth.gate(headers)


@given(st.sampled_from(range(6)), st.binary(min_size=1, max_size=50))
def test_fuzz_a_changed_header_is_refused(index: int, value: bytes) -> None:
    headers = signed()
    index %= len(headers)
    if headers[index][1] == value:
        return
    headers[index] = (headers[index][0], value)
    with pytest.raises(Refused):
        verify(headers)


def test_wrong_receiver_path_body_and_time_are_refused_with_their_codes() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"self_hotkey": VALIDATOR.ss58_address}, "wrong_receiver"),
        ({"path": "/q"}, "unauthenticated"),
        ({"method": "PUT"}, "unauthenticated"),
        ({"body": b"other"}, "unauthenticated"),
        ({"now_ns": time.time_ns() + 11 * 10**9}, "stale"),
        ({"now_ns": time.time_ns() - 3 * 10**9}, "stale"),
    ]
    for changes, code in cases:
        with pytest.raises(Refused) as refused:
            verify(signed(), **changes)
        assert refused.value.fault.code == code


def test_a_hotkey_for_which_anybody_can_sign_is_refused() -> None:
    weak = btauth.keys.ss58_address(bytes(32))
    with pytest.raises(Refused, match="anybody"):
        verify(signed(**{"X-Bittensor-Hotkey": weak}))


def test_nonces_are_remembered_for_at_least_twice_the_window() -> None:
    assert btauth.NONCE_RETENTION_SECONDS >= 2 * (btauth.MAX_AGE_SECONDS + btauth.ALLOWED_SKEW_SECONDS)


@pytest.mark.parametrize("scheme", [0, 1])
def test_the_sdk_verifies_what_we_sign_and_we_verify_what_it_signs(scheme: int) -> None:
    signer = keypair("//Parity", scheme)
    where = {"method": "POST", "path": "/p", "body": BODY}
    ours = btauth.sign(signer, receiver=MINER.ss58_address, **where)  # type: ignore[arg-type]
    caller = http_auth.verify(
        ours, BODY, method="POST", path="/p", self_hotkey_ss58=MINER.ss58_address,
        nonce_store=http_auth.InMemoryNonceStore(),
    )  # fmt: skip
    assert (caller.hotkey_ss58, caller.crypto_type) == (signer.ss58_address, scheme)
    theirs = http_auth.sign(signer, receiver_ss58=MINER.ss58_address, **where)  # type: ignore[arg-type]
    assert verify([(name.lower().encode(), value.encode()) for name, value in theirs.items()]).scheme == scheme


@given(st.sampled_from(range(6)), st.binary(min_size=1, max_size=70))
def test_fuzz_whatever_we_admit_the_sdk_admits(index: int, value: bytes) -> None:
    headers = signed()
    headers[index % len(headers)] = (headers[index % len(headers)][0], value)
    try:
        verify(headers)
    except Refused:
        return
    text = {name.decode(): found.decode() for name, found in headers}
    http_auth.verify(
        text, BODY, method="POST", path="/p", self_hotkey_ss58=MINER.ss58_address,
        nonce_store=http_auth.InMemoryNonceStore(),
    )  # fmt: skip
