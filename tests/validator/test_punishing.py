"""From a test that accuses to the ledger, the score and the weight, and what a gate in shadow leaves alone."""

from dataclasses import replace

import pytest

from reward import Standing
from subnet.config.gates import GateModes, Mode
from subnet.evidence.ledger import EntryKind
from subnet.evidence.slashing import Accused, Reason, Replayed
from subnet.models.registry import find_model
from subnet.validator.accuse import Accuser, Maker
from subnet.validator.judge import is_out, standing_of, test_accuses
from subnet.validator.punishing import MAX_DEFERRALS, Punisher
from subnet.validator.replayer import Examined
from subnet.validator.scorebook import standing_to_json
from subnet.validator.state import Store
from subnet.validator.values import GateEvent, Miner
from subnet.validator.weighing import barred
from tests.validator.answers import VALIDATOR, FakeMiner
from tests.validator.test_judge import BENCH, case, judge, records

test_accuses.__test__ = False


class World:
    """A store with one miner whose running test has just accused it, at a score of 0.7."""

    def __init__(self, folder, gates=None):
        self.store = Store(folder)
        self.miner = FakeMiner("Cheat")
        found = judge([case(self.miner, 0, Examined(records=records(24, misses=12)))], 1, {}, BENCH, 50)
        self.hotkey = self.miner.hotkey
        standing = Standing(0.7, 3, 3)
        self.store.update_miners([replace(found.miners[self.hotkey], score=standing_to_json(standing))])
        self.bench = replace(BENCH, gates=gates or GateModes())
        maker = Maker(find_model("smollm2-135m-instruct").manifest, VALIDATOR, ("test",))
        self.accuser = Accuser(self.store, maker)
        self.punisher = Punisher(self.store, self.accuser, lambda: self.bench)

    def stored(self) -> Miner:
        return self.store.miners()[self.hotkey]

    def reasons(self):
        return [(row.entry.kind, row.entry.reason) for row in self.store.ledger()]


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.store.close()


def test_an_accusation_zeroes_the_score_and_the_weight_and_enters_the_ledger_as_one(world):
    assert world.punisher.book.standings[world.hotkey].payable == 0.7
    assert world.punisher.accuse([world.hotkey], 60) == (world.hotkey,)
    stored = world.stored()
    assert is_out(stored) and stored.test is None and barred(world.store.miners()) == {world.hotkey}
    assert world.punisher.book.standings[world.hotkey] == Standing(0.0, 3, 3, slashed=True)
    assert stored.score == standing_to_json(Standing(0.0, 3, 3, slashed=True))
    assert world.reasons() == [(EntryKind.ACCUSATION, Reason.ACCUSED), (EntryKind.DECISION, Reason.ACCUSED)]
    assert world.store.gate_events(world.hotkey, 5) == [GateEvent(60, "verdict", world.hotkey, Mode.ENFORCE)]
    again = Punisher(world.store, world.accuser, lambda: world.bench)
    assert again.book.standings[world.hotkey].payable == 0.0  # a restart does not pay it


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.OFF])
def test_a_verdict_in_shadow_touches_neither_score_nor_weight_nor_ledger(tmp_path, mode):
    world = World(tmp_path, GateModes({"verdict": mode}))
    assert world.punisher.accuse([world.hotkey], 60) == ()
    stored = world.stored()
    assert not is_out(stored) and not test_accuses(stored) and barred(world.store.miners()) == frozenset()
    assert world.punisher.book.standings[world.hotkey].payable == 0.7 and world.reasons() == []
    counts = {("verdict", Mode.SHADOW): 1} if mode is Mode.SHADOW else {}
    assert world.store.gate_counts() == counts
    world.store.close()


def test_an_accusation_waits_for_an_open_round_and_not_for_ever(world, monkeypatch):
    monkeypatch.setattr(world.accuser, "evidence", lambda hotkey, bench: (None, True))
    for _ in range(MAX_DEFERRALS):
        assert world.punisher.accuse([world.hotkey], 60) == ()
        assert barred(world.store.miners()) == {world.hotkey}, "it has no weight while the evidence is being made"
    assert world.punisher.accuse([world.hotkey], 60) == (world.hotkey,)
    assert world.punisher.accuse([world.hotkey], 61) == (), "a later accusation may wait as long again"


def test_an_accusation_takes_what_was_left_of_the_prior_with_the_score(world):
    """Else what the miner earns after its return is paid only in part."""
    world.store.update_miners([replace(world.stored(), score=standing_to_json(Standing(0.7, 3, 3, borrowed=0.1)))])
    punisher = Punisher(world.store, world.accuser, lambda: world.bench)
    assert punisher.book.standings[world.hotkey].payable == pytest.approx(0.6)
    punisher.accuse([world.hotkey], 60)
    assert punisher.book.standings[world.hotkey] == Standing(0.0, 3, 3, slashed=True, borrowed=0.0)


def test_time_brings_a_punished_miner_back_under_probation_from_zero(world):
    world.punisher.accuse([world.hotkey], 60)
    world.punisher.pass_time(69)
    assert is_out(world.stored())
    world.punisher.pass_time(70)
    assert not is_out(world.stored()) and world.reasons()[-1] == (EntryKind.DECISION, Reason.PROBATION)
    entries = len(world.reasons())
    world.punisher.pass_time(71)
    assert len(world.reasons()) == entries


def test_anothers_evidence_zeroes_at_once_and_an_overturned_case_gives_the_score_back(world):
    bundle, author = b"b" * 32, b"a" * 32
    clean = replace(world.stored(), test=None)
    world.store.update_miners([clean])
    event = GateEvent(60, "peers", world.hotkey, Mode.ENFORCE)
    state = world.punisher.hear(clean, Accused(60, 55, bundle, author, 5), gates=[event])
    assert is_out(state) and world.punisher.book.standings[world.hotkey].payable == 0.0
    assert world.store.gate_counts() == {("peers", Mode.ENFORCE): 1}
    state = world.punisher.hear(state, Replayed(61, bundle, b"v" * 32, False, 10, 12))
    assert not is_out(state) and world.punisher.book.standings[world.hotkey].payable == 0.7
    assert world.stored().score == standing_to_json(Standing(0.7, 3, 3)) and world.stored().aside is None


def test_a_false_suspension_pauses_a_slash_and_expires(world):
    """suspends_for_ever: a friend's replay disagrees; the miner is back for a while, and out again for the rest."""
    world.punisher.accuse([world.hotkey], 60)
    [held] = [c.bundle for c in standing_of(world.stored()).cases]
    friend = Replayed(62, held, b"f" * 32, False, 1, 10**10)
    state = world.punisher.hear(world.stored(), friend)
    assert not is_out(state) and world.punisher.book.standings[world.hotkey].payable == 0.0
    world.punisher.pass_time(66)
    assert not is_out(world.stored())
    world.punisher.pass_time(67)  # suspension_blocks is 5
    assert is_out(world.stored()) and Reason.SUSPENSION_EXPIRED in [reason for _, reason in world.reasons()]
    again = world.punisher.hear(world.stored(), Replayed(68, held, b"g" * 32, False, 1, 10**10))
    assert is_out(again), "it pauses once"
    world.punisher.pass_time(74)
    assert is_out(world.stored())
    world.punisher.pass_time(75)
    assert not is_out(world.stored())


def test_a_second_opinion_on_anothers_evidence_does_not_bring_the_old_score_back_at_a_restart(world):
    """So a validator takes in a peer's bundle: the accusation, and at once its own agreement, on the miner it got."""
    bundle, clean = b"b" * 32, replace(world.stored(), test=None)
    world.store.update_miners([clean])
    state = world.punisher.hear(clean, Accused(60, 55, bundle, b"a" * 32, 5))
    assert state == world.stored() and state.score == standing_to_json(Standing(0.0, 3, 3, slashed=True))
    world.punisher.hear(state, Replayed(60, bundle, b"v" * 32, True, 10, 12))
    again = Punisher(world.store, world.accuser, lambda: world.bench)
    assert again.book.standings[world.hotkey] == Standing(0.0, 3, 3, slashed=True)


def test_a_score_given_back_is_stored_and_survives_a_restart(world):
    bundle, clean = b"b" * 32, replace(world.stored(), test=None)
    world.store.update_miners([clean])
    world.punisher.hear(clean, Accused(60, 55, bundle, b"a" * 32, 5))
    assert world.stored().score == standing_to_json(Standing(0.0, 3, 3, slashed=True))
    world.punisher.hear(world.stored(), Replayed(61, bundle, b"v" * 32, False, 10, 12))
    assert world.stored().score == standing_to_json(Standing(0.7, 3, 3))
    again = Punisher(world.store, world.accuser, lambda: world.bench)
    assert again.book.standings[world.hotkey].payable == 0.7


def test_what_puts_nobody_out_costs_no_score(world):
    """An opinion on a case that ended, and an accusation of an offence too old to be punished."""
    world.punisher.accuse([world.hotkey], 60)
    [held] = [c.bundle for c in standing_of(world.stored()).cases]
    world.punisher.pass_time(70)
    earned = Standing(0.3, 5, 5)
    world.store.update_miners([replace(world.stored(), score=standing_to_json(earned))])
    punisher = Punisher(world.store, world.accuser, lambda: world.bench)
    punisher.hear(world.stored(), Replayed(72, held, b"f" * 32, True, 1, 10**10))
    punisher.hear(world.stored(), Accused(73, 20, b"o" * 32, b"f" * 32, 5))
    assert not is_out(world.stored()) and punisher.book.standings[world.hotkey] == earned
    assert world.stored().score == standing_to_json(earned)
