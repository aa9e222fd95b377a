"""Who signed for a request: the signature of the HTTP call is the only one, and it holds offline."""

import dataclasses
from typing import Any

import pytest
from bittensor import http_auth

from subnet.protocol import SignatureMismatch, SignedRequest, completion_path, decode, encode, keys
from tests.protocol.examples import ASKED, MINER, REQUEST, STRANGER, VALIDATOR, asked, signed_call


@pytest.mark.parametrize("signer", [VALIDATOR, MINER])
def test_a_call_that_the_sdk_signed_proves_the_request_offline(signer: Any) -> None:
    request = dataclasses.replace(REQUEST, validator=bytes(signer.public_key))
    proof = decode(SignedRequest, encode(signed_call(request, signer)))
    proof.require_valid()
    body = encode(request)
    assert proof.payload == http_auth.build_payload(
        scheme=keys.SCHEME_NAMES[signer.crypto_type],
        method="POST",
        path=completion_path(request.digest),
        body=body,
        nonce_ns=int(proof.nonce),
        sender_ss58=signer.ss58_address,
        receiver_ss58=keys.ss58_address(request.miner),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"request": dataclasses.replace(REQUEST, counter=REQUEST.counter + 1)},
        {"request": dataclasses.replace(REQUEST, miner=bytes(STRANGER.public_key))},
        {"request": dataclasses.replace(REQUEST, validator=bytes(STRANGER.public_key))},
        {"nonce": "1" + "0" * 18},
        {"body_digest": bytes(32)},
        {"signature": bytes(64)},
        {"scheme": keys.ED25519},
    ],
    ids=str,
)
def test_a_proof_of_anything_else_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SignatureMismatch):
        dataclasses.replace(ASKED, **changes).require_valid()


def test_nobody_signs_in_the_validators_name() -> None:
    with pytest.raises(SignatureMismatch):
        signed_call(REQUEST, STRANGER).require_valid()


def test_a_key_for_which_anybody_can_sign_proves_nothing() -> None:
    weak = bytes([1]) + bytes(31)
    forged = dataclasses.replace(
        asked(), request=dataclasses.replace(REQUEST, validator=weak), scheme=0, signature=weak + bytes(32)
    )
    with pytest.raises(SignatureMismatch):
        forged.require_valid()
