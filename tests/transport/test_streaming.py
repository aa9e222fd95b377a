"""What a client keeps of a stream while it comes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.protocol import MalformedMessage, ResponseMismatch
from subnet.protocol.handshake import SecretsCommitment
from subnet.protocol.seed import SecretTree
from subnet.protocol.stream import Chunk, Opening
from subnet.transport.streaming import MARKS, Streamed
from tests.transport.axon_process import MINER_KEY, VALIDATOR
from tests.transport.miner_double import GENESIS, NETUID, SIZE, MinerDouble, make_request

TREE = SecretTree.derive(b"m" * 32, bytes(VALIDATOR.public_key), MinerDouble.epoch, SIZE)
COMMITMENT = SecretsCommitment(
    1, GENESIS, NETUID, MINER_KEY, bytes(VALIDATOR.public_key), MinerDouble.epoch, SIZE, TREE.root, 1
)


def opened(**changes: int) -> Streamed:
    streamed = Streamed(make_request(VALIDATOR, MINER_KEY, 0, **changes), COMMITMENT)
    streamed.open(Opening(*TREE.open(0)))
    return streamed


@given(st.lists(st.integers(1, 5), min_size=1, max_size=60))
def test_arrivals_are_few_ascending_and_never_sooner_than_the_tokens_came(sizes: list[int]) -> None:
    streamed = opened(max_tokens=1_000)
    came: list[float] = []
    for moment, size in enumerate(sizes):
        streamed.take(Chunk((7,) * size, "x"), float(moment))
        came += [float(moment)] * size
    marks = streamed.arrivals()
    assert len(marks) <= MARKS and list(marks) == sorted(set(marks)) and marks[-1][1] == len(came)
    assert marks[0] == (0.0, sizes[0])
    for number, moment in enumerate(came, start=1):
        assert next(at for at, count in marks if count >= number) >= moment


def test_the_secret_must_be_the_committed_one_and_comes_before_the_tokens() -> None:
    streamed = Streamed(make_request(VALIDATOR, MINER_KEY, 0), COMMITMENT)
    with pytest.raises(MalformedMessage, match="before the opening"):
        streamed.take(Chunk((1,), "a"), 0.0)
    with pytest.raises(ResponseMismatch, match="not number 0"):
        streamed.open(Opening(*TREE.open(3)))
    assert streamed.opened is None
    streamed.open(Opening(*TREE.open(0)))
    with pytest.raises(MalformedMessage, match="once"):
        streamed.open(Opening(*TREE.open(0)))
    assert streamed.unconfirmed() == {"prefix": (), "opened": TREE.secrets[0], "arrivals": ()}


def test_a_secret_of_another_miners_epoch_opens_nothing() -> None:
    other = make_request(VALIDATOR, bytes(VALIDATOR.public_key), 0)
    with pytest.raises(ResponseMismatch, match="another validator, miner or epoch"):
        Streamed(other, COMMITMENT).open(Opening(*TREE.open(0)))
