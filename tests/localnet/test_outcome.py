from pathlib import Path

import pytest

from subnet.localnet.outcome import judge
from subnet.localnet.plan import Plan, participants
from subnet.status.snapshot import LedgerStatus, MinerStatus, StatusSnapshot

PLAN = Plan(participants(2, 2, ("int4",)), 1, 10, 1.0, 1, "default", Path("x"), None, False, 0)
HOTKEYS = {p.name: f"key-of-{p.name}" for p in PLAN.participants}
HONEST, CHEAT = HOTKEYS["miner-1"], HOTKEYS["miner-2"]


def snapshot(*miners: MinerStatus, ledger: tuple[LedgerStatus, ...] = ()) -> StatusSnapshot:
    return StatusSnapshot(2, "v", 0, 9, 10, 20, 8, 3, 1.0, miners, (), ledger)


CAUGHT = MinerStatus(3, CHEAT, checked_tokens=40, evidence=9.5, verdict="inconsistent", standing="out")
CLEAN = MinerStatus(2, HONEST, checked_tokens=70, evidence=0.1, verdict="consistent")
GOOD = {
    "validator-1": snapshot(CLEAN, CAUGHT, ledger=(LedgerStatus(0, 5, "accusation", CHEAT, "accused", "ab12"),)),
    "validator-2": snapshot(CLEAN),
}
INCENTIVES = {HONEST: 1.0, CHEAT: 0.0}


def test_a_run_that_kept_the_promise() -> None:
    outcome = judge(PLAN, HOTKEYS, GOOD, INCENTIVES, {HONEST: 2.0})
    assert outcome.kept_the_promise
    honest, cheat = outcome.miners
    assert (cheat.accused_by, cheat.checked_tokens, cheat.bundle) == (("validator-1",), 40, "ab12")
    assert (honest.accused_by, honest.incentive, honest.earned) == ((), 1.0, 2.0)


@pytest.mark.parametrize(
    ("snapshots", "incentives", "words"),
    [
        (GOOD, {HONEST: 0.9, CHEAT: 0.1}, "miner-2 cheats"),
        (GOOD, {HONEST: 0.0, CHEAT: 0.0}, "miner-1 is honest and has no incentive"),
        (GOOD, {}, "miner-1 is honest and has no incentive"),
        (
            {"validator-2": snapshot(MinerStatus(2, HONEST, evidence=9.1, verdict="inconsistent"), CAUGHT)},
            INCENTIVES,
            "miner-1 is honest and was accused by validator-2",
        ),
    ],
)
def test_a_broken_promise_is_named(
    snapshots: dict[str, StatusSnapshot], incentives: dict[str, float], words: str
) -> None:
    outcome = judge(PLAN, HOTKEYS, snapshots, incentives, {})
    assert not outcome.kept_the_promise
    assert any(words in problem for problem in outcome.problems)


def test_a_run_is_settled_when_every_validator_has_accused_every_cheat_and_the_promise_is_kept() -> None:
    agreed = {**GOOD, "validator-2": snapshot(CLEAN, CAUGHT)}
    assert judge(PLAN, HOTKEYS, agreed, INCENTIVES, {}).settled(2)
    assert not judge(PLAN, HOTKEYS, GOOD, INCENTIVES, {}).settled(2), "one validator has not accused it yet"
    assert not judge(PLAN, HOTKEYS, agreed, {HONEST: 0.9, CHEAT: 0.1}, {}).settled(2), "the chain still pays it"
    without = {name: snapshot(CLEAN, CAUGHT) for name in agreed}
    assert not judge(PLAN, HOTKEYS, without, INCENTIVES, {}).settled(2), "there is no bundle to show yet"


def test_the_chain_is_believed_and_not_the_validator_about_incentive() -> None:
    boastful = {"validator-1": snapshot(MinerStatus(2, HONEST, incentive=1.0), CAUGHT)}
    assert not judge(PLAN, HOTKEYS, boastful, {HONEST: 0.0}, {}).kept_the_promise


def test_an_accusation_is_counted_where_it_happened_and_not_where_the_new_test_stands() -> None:
    again = MinerStatus(
        3, CHEAT, checked_tokens=10, evidence=0.2, verdict="inconsistent", history=((20, 4.0), (60, 9.4), (10, 0.2))
    )
    cheat = judge(PLAN, HOTKEYS, {"validator-1": snapshot(CLEAN, again)}, INCENTIVES, {}).miners[1]
    assert (cheat.checked_tokens, cheat.evidence) == (60, 9.4)
