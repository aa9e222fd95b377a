import dataclasses

import pytest

from subnet.errors import ProtocolError
from subnet.protocol import (
    Capabilities,
    ModelOffer,
    NoCommonVersion,
    SignatureMismatch,
    decode,
    encode,
    negotiate,
    sign_capabilities,
    sign_commitment,
)
from subnet.protocol.handshake import SignedCapabilities
from tests.protocol.examples import COMMITMENT, MINER, STRANGER


def capabilities() -> Capabilities:
    return Capabilities(
        versions=(1,),
        software="assay-0.1.0",
        models=(ModelOffer(b"m" * 32, "small", 2_048),),
        max_tokens=256,
        concurrency=4,
        handshake=sign_commitment(COMMITMENT, MINER),
    )


def test_signed_capabilities_survive_the_wire() -> None:
    signed = sign_capabilities(capabilities(), MINER)
    back = decode(SignedCapabilities, encode(signed))
    assert back == signed
    back.require_valid(COMMITMENT.miner)


def test_capabilities_of_another_miner_are_refused() -> None:
    signed = sign_capabilities(capabilities(), MINER)
    with pytest.raises(SignatureMismatch, match="asked was"):
        signed.require_valid(bytes(STRANGER.public_key))
    with pytest.raises(ProtocolError, match="not of"):
        sign_capabilities(capabilities(), STRANGER)


def test_every_part_of_capabilities_is_signed() -> None:
    signed = sign_capabilities(capabilities(), MINER)
    for change in ({"versions": (1, 2)}, {"max_tokens": 9}, {"models": ()}, {"concurrency": 9}, {"software": "x"}):
        other = dataclasses.replace(signed, capabilities=dataclasses.replace(signed.capabilities, **change))
        with pytest.raises(SignatureMismatch):
            other.require_valid(COMMITMENT.miner)


def test_a_commitment_changed_after_signing_is_refused() -> None:
    signed = sign_commitment(COMMITMENT, MINER)
    with pytest.raises(SignatureMismatch):
        dataclasses.replace(signed, commitment=dataclasses.replace(COMMITMENT, root=bytes(32))).require_valid()


def test_the_newest_common_version_is_chosen() -> None:
    assert negotiate((1, 2, 3), (2, 1, 9)) == 2
    with pytest.raises(NoCommonVersion, match="must be updated"):
        negotiate((1,), (2, 3))
