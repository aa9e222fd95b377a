import random

from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.protocol.response import FIRST_PREVIOUS
from subnet.validator.chains import place
from subnet.validator.values import MinerChain
from tests.validator.answers import FakeMiner


def chain_of(miner):
    return MinerChain(miner.hotkey, miner.epoch, miner.handshake, miner.counter, FIRST_PREVIOUS)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 8), st.randoms(use_true_random=False))
def test_answers_in_any_order_find_their_places(count, shuffled: random.Random):
    miner = FakeMiner("Chain")
    exchanges = [miner.exchange(number) for number in range(count)]
    mixed = list(exchanges)
    shuffled.shuffle(mixed)
    chain, placed, broken = place(chain_of(miner), mixed, some_lost=False)
    assert [p.exchange for p in placed] == list(range(count))
    assert [p.position for p in placed] == list(range(count))
    assert (chain.length, chain.piece, chain.last_link, broken) == (count, 0, miner.last, ())


def test_a_lost_answer_starts_a_new_piece_and_blames_nobody():
    miner = FakeMiner("Gap")
    exchanges = [miner.exchange(number) for number in range(4)]
    chain, placed, broken = place(chain_of(miner), [exchanges[0], exchanges[2], exchanges[3]], some_lost=True)
    assert broken == ()
    assert [(p.exchange, p.piece) for p in placed] == [(0, 0), (2, 1), (3, 1)]
    assert chain.piece == 1 and chain.last_link == miner.last


def test_a_fork_by_the_miner_is_a_broken_chain_and_the_next_answers_count_again():
    miner = FakeMiner("Fork")
    first = miner.exchange(0)
    asked = miner.asked()
    forked = type(first)(1, asked, first.status, response=miner.answer(asked, previous=b"\7" * 32))
    chain, placed, broken = place(chain_of(miner), [first, forked], some_lost=False)
    assert [p.exchange for p in placed] == [0] and [e.id for e in broken] == [1]
    after = miner.exchange(2)
    chain, placed, broken = place(chain, [after], some_lost=False)
    assert [(p.exchange, p.piece) for p in placed] == [(2, 1)] and broken == ()


def test_nothing_new_changes_nothing():
    miner = FakeMiner("Still")
    chain = chain_of(miner)
    assert place(chain, [], some_lost=True) == (chain, (), ())
