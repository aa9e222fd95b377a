import dataclasses

import pytest

from subnet.errors import ProtocolError
from subnet.protocol import Reason, SignatureMismatch, SignedStanding, Standing, decode, encode, sign_standing
from tests.protocol.examples import MINER, STRANGER, VALIDATOR

STANDING = Standing(
    version=1,
    genesis=b"g" * 32,
    netuid=3,
    validator=bytes(VALIDATOR.public_key),
    miner=bytes(MINER.public_key),
    block=1_000,
    state="accused",
    score_ppm=0,
    weight_ppm=0,
    requests=100,
    verified=20,
    verified_tokens=2_000,
    evidence_milli=21_000,
    threshold_milli=20_723,
    reasons=(Reason("accused", 1), Reason("late", 4)),
)


def test_a_standing_survives_the_wire_and_is_by_its_validator() -> None:
    signed = decode(SignedStanding, encode(sign_standing(STANDING, VALIDATOR)))
    signed.require_valid()
    with pytest.raises(SignatureMismatch):
        dataclasses.replace(signed, standing=dataclasses.replace(STANDING, score_ppm=1)).require_valid()
    with pytest.raises(ProtocolError, match="not by"):
        sign_standing(STANDING, STRANGER)


def test_reasons_are_labels_and_scores_are_shares() -> None:
    for label in ("", "Late", "a b", "x" * 65, "_x"):
        with pytest.raises(ProtocolError):
            Reason(label, 1)
    with pytest.raises(ProtocolError):
        dataclasses.replace(STANDING, score_ppm=1_000_001)
