import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.errors import ProtocolError
from subnet.verify.selection import EVERYTHING, checking_rate, selected

HASH, VALIDATOR, MINER = (hashlib.sha256(bytes([i])).digest() for i in range(3))


@given(counter=st.integers(0, 2**64 - 1), epoch=st.integers(0, 2**64 - 1))
def test_rate_zero_checks_nothing_and_one_everything(counter, epoch):
    assert not selected(HASH, VALIDATOR, MINER, epoch, counter, 0)
    assert selected(HASH, VALIDATOR, MINER, epoch, counter, EVERYTHING)


@given(counter=st.integers(0, 2**20), low=st.integers(0, EVERYTHING), high=st.integers(0, EVERYTHING))
def test_a_higher_rate_only_adds(counter, low, high):
    low, high = sorted((low, high))
    if selected(HASH, VALIDATOR, MINER, 1, counter, low):
        assert selected(HASH, VALIDATOR, MINER, 1, counter, high)


def test_the_rate_is_the_share():
    hits = sum(selected(HASH, VALIDATOR, MINER, 7, counter, 150_000) for counter in range(20_000))
    assert abs(hits / 20_000 - 0.15) < 0.011


def test_every_input_matters():
    def drawn(*arguments):
        return [selected(*arguments, counter, EVERYTHING // 2) for counter in range(64)]

    base = drawn(HASH, VALIDATOR, MINER, 1)
    others = [(MINER, VALIDATOR, MINER, 1), (HASH, MINER, MINER, 1), (HASH, VALIDATOR, HASH, 1)]
    others.append((HASH, VALIDATOR, MINER, 2))
    assert all(drawn(*other) != base for other in others)


def test_golden_selection():
    assert [c for c in range(40) if selected(HASH, VALIDATOR, MINER, 3, c, 200_000)] == [1, 14, 27, 29, 34, 35, 37]


@pytest.mark.parametrize(
    "arguments",
    [
        (b"", VALIDATOR, MINER, 0, 0, 5),
        (HASH, VALIDATOR[:31], MINER, 0, 0, 5),
        (HASH, VALIDATOR, MINER, 0, 0, EVERYTHING + 1),
        (HASH, VALIDATOR, MINER, -1, 0, 5),
        (HASH, VALIDATOR, MINER, 0, 2**64, 5),
    ],
)
def test_forged_inputs_are_refused(arguments):
    with pytest.raises(ProtocolError):
        selected(*arguments)


def test_new_accused_and_rich_miners_are_checked_more():
    base = 50_000
    assert checking_rate(base, 0, None, 1.0) == EVERYTHING
    assert checking_rate(base, 100_000, None, 1.0) == base
    assert base < checking_rate(base, 4_000, None, 1.0) < EVERYTHING
    assert checking_rate(base, 100_000, 100, 1.0) == EVERYTHING
    assert checking_rate(base, 100_000, 10_000_000, 1.0) == base
    assert checking_rate(base, 100_000, None, 4.0) == 4 * base
    assert checking_rate(base, 100_000, None, 0.1) == base
