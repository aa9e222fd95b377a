"""Which vector goes to the chain, and when."""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from reward import ScoreBook, WeightRules
from reward.scores import Standing
from subnet.chain import ChainAway, Head, MetagraphSnapshot, WeightsOutcome, WeightsReason
from subnet.chain import WeightRules as Rules
from subnet.errors import StateError
from subnet.validator.state import Store
from subnet.validator.values import Miner
from subnet.validator.weighing import WeightSetter
from tests.validator.answers import FakeMiner
from tests.validator.test_judge import accused_miner, neuron

OWNER, CHEAT = "owner", FakeMiner("Cheat").hotkey
SNAPSHOT = MetagraphSnapshot(2, 1, 10, OWNER, 256, (neuron(0, OWNER), neuron(1, CHEAT)))


@dataclass
class RecordingChain:
    """Takes every vector and says what it was told to say."""

    reason: WeightsReason = WeightsReason.SET
    vectors: list[dict[int, float]] = field(default_factory=list)
    last_update: int = 0
    row: tuple[tuple[int, int], ...] = ()
    sealed: frozenset[int] = frozenset()
    commit_reveal: bool = False
    away: bool = False
    looked: int = 0

    async def sealed_weights(self, netuid: int, hotkey: str) -> frozenset[int]:
        return self.sealed

    async def weight_rules(self, netuid: int, hotkey: str) -> Rules:
        self.looked += 1
        return Rules(9, 0, True, self.last_update, 0, 1, 1.0, 0, self.commit_reveal)

    async def weight_row(self, netuid: int, uid: int) -> tuple[tuple[int, int], ...]:
        return self.row

    async def set_weights(self, netuid: int, shares: dict[int, float], hotkey: object, version: int) -> WeightsOutcome:
        self.vectors.append({uid: share for uid, share in shares.items() if share > 0})
        planned = tuple((uid, round(share * 65535)) for uid, share in shares.items() if share > 0)
        if self.away:
            raise ChainAway("the connection was lost")
        return WeightsOutcome(self.reason if planned else WeightsReason.NOTHING_TO_SET, planned, 7)


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path)
    yield store
    store.close()


async def submit(setter: WeightSetter, block: int, book: ScoreBook, snapshot: MetagraphSnapshot = SNAPSHOT) -> None:
    setter.on_head(Head(block, bytes(32)), snapshot, book)
    await setter.settle(5)
    await asyncio.sleep(0)


def setter_for(chain: RecordingChain, store: Store, **options: bool) -> WeightSetter:
    hotkey = SimpleNamespace(ss58_address=OWNER)
    return WeightSetter(chain, store, 2, hotkey, every_blocks=5, version_key=0, rules=WeightRules(), **options)


async def test_a_slashed_miner_that_earned_alone_loses_its_weight_to_the_owner(store: Store) -> None:
    """Setting nothing would leave its old weight on the chain, and its incentive with it."""
    chain, book = RecordingChain(), ScoreBook({CHEAT: Standing(0.5, 1, 1)})
    store.update_miners([Miner(CHEAT)])
    setter = setter_for(chain, store)
    await submit(setter, 10, book)
    store.update_miners([accused_miner(CHEAT)[0]])
    await submit(setter, 11, book)
    assert chain.vectors == [{1: 1.0}, {0: 1.0}]
    await submit(setter, 30, book)
    assert chain.vectors[2:] == [{}], "once it holds no weight of ours, nothing is given away"


async def test_where_nobody_earned_anything_nothing_is_set(store: Store) -> None:
    chain = RecordingChain()
    await submit(setter_for(chain, store), 10, ScoreBook({}))
    assert chain.vectors == [{}]


async def test_where_nobody_earned_anything_the_owner_gets_all_if_asked_for(store: Store) -> None:
    chain = RecordingChain()
    await submit(setter_for(chain, store, to_owner=True), 10, ScoreBook({}))
    assert chain.vectors == [{0: 1.0}]


async def test_a_failure_of_ours_while_setting_weights_is_not_swallowed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StateError("the disk is full")

    monkeypatch.setattr(store, "record_weights", full)
    setter = setter_for(RecordingChain(), store)
    await submit(setter, 10, ScoreBook({}))
    with pytest.raises(StateError, match="full"):
        setter.on_head(Head(11, bytes(32)), SNAPSHOT, ScoreBook({}))


async def test_a_vector_that_the_chain_took_while_we_were_away_is_kept_and_not_set_again(store: Store) -> None:
    """The attack is our own crash between setting weights and writing so."""
    chain = RecordingChain(last_update=20, row=((1, 65535),))
    setter = setter_for(chain, store)
    await submit(setter, 21, ScoreBook({CHEAT: Standing(0.5, 1, 1)}))
    assert chain.vectors == [] and setter.shares == {1: 1.0} and setter.last_block == 20
    assert store.last_weights() == (20, "set", ((1, 65535),), "found on the chain")
    await submit(setter, 24, ScoreBook({CHEAT: Standing(0.5, 1, 1)}))
    assert chain.vectors == []


async def test_a_uid_that_changed_hands_loses_its_share_at_once(store: Store) -> None:
    """The attack: register onto the uid of somebody who earned."""
    chain, heir = RecordingChain(), FakeMiner("Heir").hotkey
    setter = setter_for(chain, store)
    await submit(setter, 10, ScoreBook({CHEAT: Standing(0.5, 1, 1)}))
    assert setter.shares == {1: 1.0}
    after = replace(SNAPSHOT, neurons=(neuron(0, OWNER), neuron(1, heir)))
    setter.on_head(Head(11, bytes(32)), after, ScoreBook({CHEAT: Standing(0.5, 1, 1)}))
    assert setter.shares == {}
    await setter.settle(5)
    assert chain.vectors == [{1: 1.0}, {0: 1.0}]


@pytest.mark.parametrize(("row", "said"), [(((1, 65535),), "revealed"), (((0, 65535),), "not revealed")])
async def test_a_commit_is_followed_until_it_is_open_and_read_back(store: Store, row, said: str) -> None:
    chain = RecordingChain(WeightsReason.COMMITTED, sealed=frozenset({7}))
    book = ScoreBook({CHEAT: Standing(0.5, 1, 1)})
    setter = setter_for(chain, store)
    await submit(setter, 10, book)
    await submit(setter, 11, book)
    assert store.last_weights()[1] == "committed", "it is sealed still"
    chain.sealed, chain.row = frozenset(), row
    await submit(setter, 12, book)
    assert store.last_weights()[1] == "committed", "the chain is not asked at every block"
    await submit(setter, 14, book)
    assert store.last_weights()[1] == said
    assert store.last_weights()[3] == ("" if said == "revealed" else f"the chain holds {row}")
    await submit(setter, 15, book)
    assert len(chain.vectors) == (1 if said == "revealed" else 2), "what was not opened is followed by another"


@pytest.mark.parametrize("reason", [WeightsReason.CHAIN_AWAY, WeightsReason.NOT_READ_BACK, WeightsReason.REJECTED])
async def test_after_an_attempt_that_may_have_worked_the_chain_is_looked_at_first(store: Store, reason) -> None:
    chain, book = RecordingChain(reason), ScoreBook({CHEAT: Standing(0.5, 1, 1)})
    setter = setter_for(chain, store)
    await submit(setter, 10, book)
    chain.last_update, chain.row = 11, ((1, 65535),)
    await submit(setter, 13, book)
    assert len(chain.vectors) == 1 and setter.last_block == 11 and setter.shares == {1: 1.0}
