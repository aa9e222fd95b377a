import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.errors import EvidenceError
from subnet.evidence.rounds import chain_order, in_round, round_leaf, sign_round
from subnet.protocol import SignatureMismatch, SignedResponse, merkle
from tests.evidence.world import World, key
from tests.zoo.engines import HONEST

WORLD = World()
KEPT = WORLD.answers(HONEST, count=6, tokens=2)
RESPONSES = [answer.response for answer in KEPT]


@given(st.permutations(range(6)))
@settings(max_examples=60, deadline=None)
def test_answers_that_arrive_in_any_order_have_one_order(order: list[int]) -> None:
    ordered, strays = chain_order(bytes(32), [RESPONSES[index] for index in order])
    assert ordered == RESPONSES
    assert strays == []


@given(st.integers(0, 5), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_what_follows_a_lost_answer_has_no_place(lost: int, dice: int) -> None:
    arrived = [response for index, response in enumerate(RESPONSES) if index != lost]
    random.Random(dice).shuffle(arrived)
    ordered, strays = chain_order(bytes(32), arrived)
    assert ordered == RESPONSES[:lost]
    assert {stray.counter for stray in strays} == {response.counter for response in RESPONSES[lost + 1 :]}


def test_the_order_goes_on_from_the_newest_known_answer() -> None:
    ordered, strays = chain_order(RESPONSES[2].link, RESPONSES[5:2:-1])
    assert ordered == RESPONSES[3:]
    assert strays == []
    assert chain_order(RESPONSES[5].link, []) == ([], [])


def test_forges_chain_a_fork_counts_once() -> None:
    """Two answers that name the same one before them: a miner that tells two stories keeps one of them."""
    body = replace(RESPONSES[1].body, previous=RESPONSES[1].body.previous, text="another story")
    fork: SignedResponse = replace(RESPONSES[1], body=body)
    ordered, strays = chain_order(bytes(32), [*RESPONSES, fork])
    assert ordered == RESPONSES
    assert strays == [fork]


def test_a_circle_of_answers_ends() -> None:
    assert chain_order(b"x" * 32, RESPONSES) == ([], RESPONSES)


def test_an_answer_is_in_its_round_and_in_no_other_place() -> None:
    signed, index, path = KEPT[1].placement
    said = signed.commitment
    assert in_round(RESPONSES[1].link, index, path, said)
    assert not in_round(RESPONSES[0].link, index, path, said)
    assert not in_round(RESPONSES[1].link, index + 1, path, said)
    assert not in_round(RESPONSES[1].link, index, path[:-1], said)
    assert not in_round(RESPONSES[1].link, index, path, replace(said, count=said.count - 3))


def test_a_round_is_signed_by_its_own_validator() -> None:
    commitment = KEPT[0].placement[0].commitment
    with pytest.raises(EvidenceError):
        sign_round(commitment, key("Somebody else"))
    signed = sign_round(commitment, WORLD.validator)
    signed.require_valid()
    with pytest.raises(SignatureMismatch):
        replace(signed, commitment=replace(commitment, count=commitment.count + 1)).require_valid()


def test_every_field_of_a_round_is_in_its_digest() -> None:
    commitment = KEPT[0].placement[0].commitment
    others = [
        replace(commitment, **{name: value})
        for name, value in {
            "version": 2, "genesis": b"g" * 32, "netuid": 8, "validator": b"v" * 32, "round": 99, "root": b"r" * 32,
            "count": 99, "block": 99,
        }.items()
    ]  # fmt: skip
    assert len({commitment.digest, *(other.digest for other in others)}) == 9
    assert round_leaf(b"l" * 32) == merkle.leaf_hash(b"l" * 32)
