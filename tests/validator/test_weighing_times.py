"""When a vector is due: after a restart, after a failure, for the slashed, and what of the chain is taken for ours."""

from dataclasses import replace

import pytest

from reward import ScoreBook
from reward.scores import Standing
from subnet.chain import ChainAway, WeightsReason
from subnet.validator.values import Miner
from tests.validator.answers import FakeMiner
from tests.validator.test_judge import accused_miner, neuron
from tests.validator.test_weighing import CHEAT, OWNER, SNAPSHOT, RecordingChain, setter_for, store, submit

__all__ = ["store"]
GOOD = FakeMiner("Good").hotkey
EARNED = ScoreBook({CHEAT: Standing(0.5, 1, 1)})
THREE = replace(SNAPSHOT, neurons=(*SNAPSHOT.neurons, neuron(2, GOOD), neuron(3, "third")))
CHANGED = ScoreBook({CHEAT: Standing(0.1, 1, 1), GOOD: Standing(0.5, 1, 1)})
"""RecordingChain says that it took each vector at block 7, and a setter is due every 5 blocks: next at block 12."""


async def test_a_fresh_validator_sets_at_the_first_block_of_a_chain(store) -> None:
    chain = RecordingChain()
    await submit(setter_for(chain, store), 0, EARNED)
    assert chain.vectors == [{1: 1.0}]


async def test_after_a_restart_the_next_vector_is_due_when_it_was_before(store) -> None:
    chain = RecordingChain()
    await submit(setter_for(chain, store), 7, EARNED)
    again = setter_for(chain, store)
    assert again.last_block == 7 and again.shares == {1: 1.0}
    await submit(again, 11, CHANGED, THREE)
    assert len(chain.vectors) == 1
    await submit(again, 12, CHANGED, THREE)
    assert len(chain.vectors) == 2 and set(chain.vectors[1]) == {1, 2}


async def test_after_a_restart_a_slashed_miner_loses_its_weight_at_once(store) -> None:
    chain = RecordingChain()
    await submit(setter_for(chain, store), 7, EARNED)
    store.update_miners([accused_miner(CHEAT)[0]])
    await submit(setter_for(chain, store), 8, EARNED)
    assert chain.vectors == [{1: 1.0}, {0: 1.0}]


async def test_after_a_restart_the_same_weights_are_not_set_again(store) -> None:
    chain = RecordingChain()
    await submit(setter_for(chain, store), 7, EARNED)
    await submit(setter_for(chain, store), 12, EARNED)
    assert len(chain.vectors) == 1


async def test_a_slashed_miner_that_the_chain_gives_nothing_hurries_nobody(store) -> None:
    chain = RecordingChain(last_update=20, row=((0, 65535), (1, 0)))
    setter = setter_for(chain, store)
    await submit(setter, 21, EARNED)
    assert setter.shares == {0: 1.0, 1: 0.0}
    store.update_miners([accused_miner(CHEAT)[0]])
    await submit(setter, 22, EARNED)
    assert chain.vectors == []


async def test_a_refused_vector_is_tried_again_after_three_blocks(store) -> None:
    chain = RecordingChain(WeightsReason.RATE_LIMITED)
    setter = setter_for(chain, store)
    tried = []
    for block in range(10, 17):
        await submit(setter, block, EARNED)
        tried.append(len(chain.vectors))
    assert tried == [1, 1, 1, 2, 2, 2, 3]


async def test_after_a_lost_connection_the_chain_is_looked_at_before_another_vector(store) -> None:
    chain = RecordingChain(away=True)
    setter = setter_for(chain, store)
    await submit(setter, 10, EARNED)
    chain.away, chain.last_update, chain.row = False, 10, ((1, 65535),)
    with pytest.raises(ChainAway):
        await submit(setter, 11, EARNED)
    await submit(setter, 13, EARNED)
    assert len(chain.vectors) == 1 and setter.last_block == 10 and setter.shares == {1: 1.0}


async def test_unchanged_weights_are_set_again_once_a_tempo_has_passed(store) -> None:
    """The snapshot's tempo is 10 blocks, and the last vector is of block 7."""
    chain = RecordingChain()
    setter = setter_for(chain, store)
    await submit(setter, 7, EARNED)
    counts = []
    for block in (13, 16):
        await submit(setter, block, EARNED)
        counts.append(len(chain.vectors))
    assert counts == [1, 1]
    again = setter_for(chain, store)
    await submit(again, 17, EARNED)
    assert len(chain.vectors) == 2


async def test_a_vector_in_which_some_shares_changed_is_not_taken_for_the_old_one(store) -> None:
    chain = RecordingChain()
    setter = setter_for(chain, store)
    before = ScoreBook({CHEAT: Standing(0.5, 1, 1), GOOD: Standing(0.3, 1, 1), "third": Standing(0.2, 1, 1)})
    after = ScoreBook({CHEAT: Standing(0.5, 1, 1), GOOD: Standing(0.2, 1, 1), "third": Standing(0.3, 1, 1)})
    await submit(setter, 7, before, THREE)
    await submit(setter, 12, after, THREE)
    assert len(chain.vectors) == 2
    first, second = chain.vectors
    assert second[1] == pytest.approx(first[1]) and second[2] == pytest.approx(first[3])


async def test_a_vector_found_on_the_chain_counts_from_its_block_and_is_not_replaced_before_its_time(store) -> None:
    chain = RecordingChain(last_update=20, row=((0, 65535),))
    setter = setter_for(chain, store)
    for block in (21, 22, 23, 24):
        await submit(setter, block, EARNED)
    assert chain.vectors == [] and setter.shares == {0: 1.0} and chain.looked == 1
    await submit(setter, 25, EARNED)
    assert chain.vectors == [{1: 1.0}] and chain.looked == 1, "what is known is not looked up again"


async def test_a_hidden_vector_found_on_the_chain_is_recorded_as_committed(store) -> None:
    chain = RecordingChain(last_update=20, commit_reveal=True)
    await submit(setter_for(chain, store), 21, EARNED)
    assert chain.vectors == [] and store.last_weights() == (20, "committed", (), "found on the chain")


async def test_an_update_without_weights_is_not_taken_for_a_vector(store) -> None:
    chain = RecordingChain(last_update=20)
    await submit(setter_for(chain, store), 21, EARNED)
    assert chain.vectors == [{1: 1.0}]


async def test_a_vector_that_is_known_already_is_not_found_a_second_time(store) -> None:
    chain = RecordingChain()
    await submit(setter_for(chain, store), 7, EARNED)
    chain.last_update, chain.row = 7, ((0, 65535),)
    again = setter_for(chain, store)
    await submit(again, 12, CHANGED, THREE)
    assert len(chain.vectors) == 2


async def test_a_vector_of_the_uids_owner_before_us_is_not_taken_for_ours(store) -> None:
    chain = RecordingChain(last_update=20, row=((1, 65535),))
    ours = replace(SNAPSHOT, neurons=(replace(neuron(0, OWNER), registered_at=30), neuron(1, CHEAT)))
    await submit(setter_for(chain, store), 31, EARNED, ours)
    assert chain.vectors == [{1: 1.0}] and store.last_weights()[3] == ""


async def test_a_validator_without_a_uid_takes_no_vector_for_its_own(store) -> None:
    chain = RecordingChain(last_update=20, row=((1, 65535),))
    others = replace(SNAPSHOT, neurons=(neuron(1, CHEAT),))
    await submit(setter_for(chain, store), 21, EARNED, others)
    assert chain.vectors == [{1: 1.0}]


async def test_a_share_of_a_uid_that_nobody_has_is_nobodys(store) -> None:
    chain = RecordingChain(last_update=20, row=((1, 30000), (9, 10000)))
    setter = setter_for(chain, store)
    await submit(setter, 21, EARNED)
    assert setter.shares == {1: 0.75}


async def test_weights_that_the_chain_shows_at_once_are_not_followed_like_a_commit(store) -> None:
    chain = RecordingChain()
    setter = setter_for(chain, store)
    for block in (7, 8, 11):
        await submit(setter, block, EARNED)
    assert written(store) == ["set"]


async def test_a_commit_that_was_opened_is_followed_no_more(store) -> None:
    chain = RecordingChain(WeightsReason.COMMITTED, row=((1, 65535),))
    setter = setter_for(chain, store)
    for block in (7, 8):
        await submit(setter, block, EARNED)
    assert store.last_weights()[1] == "revealed"
    chain.row = ((0, 65535),)
    for block in (11, 12, 13, 14):
        await submit(setter, block, EARNED)
    assert store.last_weights()[1] == "revealed" and len(chain.vectors) == 1


async def test_a_refusal_is_recorded_once_and_every_vector_anew(store) -> None:
    chain = RecordingChain(WeightsReason.NO_PERMIT)
    setter = setter_for(chain, store)
    for block in (10, 13, 16):
        await submit(setter, block, EARNED)
    assert len(chain.vectors) == 3 and written(store) == ["no validator permit"]
    chain.reason = WeightsReason.SET
    await submit(setter, 19, EARNED)
    await submit(setter, 30, EARNED)
    assert written(store) == ["no validator permit", "set", "set"]


def written(store) -> list[str]:
    return [row["reason"] for row in store._db.rows("SELECT reason FROM weights ORDER BY id")]


async def test_a_miner_whose_score_the_book_still_holds_gets_nothing_while_it_is_out(store) -> None:
    chain = RecordingChain()
    store.update_miners([accused_miner(CHEAT)[0], Miner(GOOD)])
    await submit(setter_for(chain, store), 7, CHANGED, THREE)
    assert chain.vectors == [{2: 1.0}]
