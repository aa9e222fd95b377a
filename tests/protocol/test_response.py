import dataclasses

import pytest

from subnet.errors import ProtocolError
from subnet.protocol import (
    ResponseMismatch,
    SignatureMismatch,
    SignedResponse,
    check_response,
    derive_seed,
    link,
    sign_response,
)
from tests.protocol.examples import COMMITMENT, MINER, REQUEST, STRANGER, TREE, answered


def test_an_honest_answer_passes_and_gives_its_seed() -> None:
    assert check_response(REQUEST, answered(), COMMITMENT) == derive_seed(REQUEST.digest, TREE.secrets[2])


@pytest.mark.parametrize(
    ("attack", "response", "message"),
    [
        ("too many tokens", answered(tokens=(1, 2, 3, 4, 5)), "were asked for"),
        ("stops early by length", answered(tokens=(1, 2)), "ended by length"),
        ("other version", answered(version=2), "version"),
        ("secret of another request", answered(secret=TREE.secrets[3]), "opened secret"),
        ("path of another secret", answered(secret_path=TREE.open(3)[1]), "opened secret"),
        ("no path", answered(secret_path=()), "opened secret"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_answers_that_do_not_fit_are_refused(attack: str, response: SignedResponse, message: str) -> None:
    with pytest.raises(ResponseMismatch, match=message):
        check_response(REQUEST, response, COMMITMENT)


def test_copies_an_answer_to_another_request_or_by_another_miner_is_refused() -> None:
    with pytest.raises(ResponseMismatch, match="another request"):
        check_response(dataclasses.replace(REQUEST, nonce=b"o" * 32), answered(), COMMITMENT)
    stolen = dataclasses.replace(answered(), scheme=1, signature=STRANGER.sign(answered().link))
    with pytest.raises(SignatureMismatch):
        check_response(REQUEST, stolen, COMMITMENT)


def test_frames_miner_an_honest_answer_attached_to_a_different_request_has_no_signature() -> None:
    # The attack: ask something else, show the honest answer with the other request's digest in it.
    framed = dataclasses.replace(REQUEST, temperature_milli=0)
    moved = dataclasses.replace(answered(), body=dataclasses.replace(answered().body, request_digest=framed.digest))
    with pytest.raises(SignatureMismatch):
        check_response(framed, moved, COMMITMENT)


@pytest.mark.parametrize("field", ["tokens", "text", "finish", "secret", "previous", "extensions", "request_digest"])
def test_tampers_every_field_of_the_body_is_signed(field: str) -> None:
    other = {
        "tokens": (1, 2, 3, 5),
        "text": "one too",
        "finish": "eos",
        "secret": bytes(32),
        "previous": b"p" * 32,
        "extensions": {"x": b""},
        "request_digest": bytes(32),
    }
    changed = dataclasses.replace(
        answered(),
        body=dataclasses.replace(answered().body, **{field: other[field]}),  # type: ignore[arg-type]
    )
    with pytest.raises(SignatureMismatch):
        changed.require_valid(REQUEST.miner)


def test_a_changed_counter_breaks_the_signature() -> None:
    with pytest.raises(SignatureMismatch):
        dataclasses.replace(answered(), counter=3).require_valid(REQUEST.miner)


def test_commitment_of_another_validator_or_epoch_is_refused() -> None:
    for change in ({"validator": bytes(32)}, {"epoch": 1}, {"miner": bytes(32)}):
        with pytest.raises(ResponseMismatch, match="commitment"):
            check_response(REQUEST, answered(), dataclasses.replace(COMMITMENT, **change))


def test_the_chain_shows_a_left_out_response() -> None:
    first = answered()
    second_request = dataclasses.replace(REQUEST, counter=3)
    second = answered(second_request, previous=first.link)
    third = answered(dataclasses.replace(REQUEST, counter=4), previous=second.link)
    # Compact form of the second: it need not be shown in full, but it cannot be skipped.
    compact = link(3, second_request.digest, second.body.digest, first.link)
    assert third.body.previous == compact != first.link


def test_only_the_named_parties_sign() -> None:
    with pytest.raises(ProtocolError, match="names miner"):
        sign_response(answered().body, REQUEST, STRANGER)
    with pytest.raises(ProtocolError, match="another request"):
        sign_response(answered().body, dataclasses.replace(REQUEST, counter=9), MINER)
