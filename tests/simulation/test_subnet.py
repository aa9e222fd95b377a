import math
from dataclasses import replace

import pytest

from subnet.errors import ConfigError
from subnet.simulation.cheats import STRATEGIES, TABLE, Strategy
from subnet.simulation.subnet import Miner, World, run

INT4 = next(cheat for cheat in TABLE if cheat.zoo == "int4")
BF16 = next(cheat for cheat in TABLE if cheat.zoo == "bf16")
WAITS, REJOINS, TENTH, SLEEPER = STRATEGIES
SMALL = World(validators=8, miners=12, epochs=25, check_rate=0.1, requests=4, slash_epochs=5)


def played(world=SMALL, *cheats):
    population = [Miner()] * (world.miners - len(cheats)) + list(cheats)
    return run(world, population)


def test_a_subnet_of_honest_miners_pays_them_all_alike_and_all_there_is():
    outcome = played()
    assert outcome.groups == (outcome.honest,)
    assert outcome.honest.count == 12 and outcome.honest.accusations == 0
    assert outcome.honest.revenue == pytest.approx(SMALL.fair_pay, rel=1e-6)
    assert outcome.honest.cost == pytest.approx(0.7 * SMALL.fair_pay)


def test_the_same_seed_is_the_same_run():
    cheats = [Miner(INT4, WAITS), Miner(BF16, REJOINS)]
    assert played(SMALL, *cheats) == played(SMALL, *cheats)
    assert played(SMALL, *cheats) != played(replace(SMALL, seed=2), *cheats)


def test_unchecked_cheating_pays():
    """The attack without the defence: at a check rate of zero int4 weights earn more than honesty."""
    outcome = played(replace(SMALL, check_rate=0.0), Miner(INT4, WAITS))
    cheat = outcome.groups[1]
    assert cheat.accusations == 0 and math.isnan(cheat.epochs_to_accusation)
    assert outcome.gain(cheat) > 0.5


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_checked_cheating_does_not_pay(strategy):
    outcome = played(replace(SMALL, epochs=60, check_rate=0.5), Miner(INT4, strategy))
    cheat = outcome.groups[1]
    assert cheat.accusations >= 1
    assert outcome.gain(cheat) < 0


def test_an_accused_miner_earns_nothing_while_it_is_out():
    world = replace(SMALL, check_rate=1.0, requests=12, slash_epochs=1_000)
    outcome = played(world, Miner(INT4, WAITS))
    assert outcome.groups[1].revenue == 0.0
    assert outcome.groups[1].accusations == 1


def test_shared_evidence_stops_a_cheat_that_one_validator_saw():
    """Attack: a cheat that is slow to show hopes that most validators don't get to see it."""
    world = replace(SMALL, check_rate=0.02, epochs=60)
    together = played(world, Miner(BF16, WAITS)).groups[1]
    alone = played(replace(world, sharing=False), Miner(BF16, WAITS)).groups[1]
    assert together.revenue < 0.7 * alone.revenue


def test_a_bond_is_lost_at_each_accusation():
    world = replace(SMALL, check_rate=1.0)
    free, bonded = (played(replace(world, bond=bond), Miner(INT4, WAITS)).groups[1] for bond in (0.0, 5.0))
    assert free.fees == 0
    assert bonded.fees * world.epochs == pytest.approx(5.0 * bonded.accusations)


def test_a_new_hotkey_costs_its_registration_and_starts_without_a_score():
    outcome = played(replace(SMALL, check_rate=1.0), Miner(INT4, REJOINS))
    cheat = outcome.groups[1]
    assert cheat.accusations > 10
    assert cheat.fees * SMALL.epochs == pytest.approx(SMALL.registration * cheat.accusations)
    assert cheat.revenue < 0.1 * outcome.honest.revenue


def test_whoever_returns_is_checked_at_every_answer():
    """Attack: wait the slash out, then hide one bad answer in ten from a validator that checks little."""
    world = replace(SMALL, check_rate=0.01, epochs=120, slash_epochs=5, probation_epochs=100)
    watched = played(world, Miner(INT4, TENTH)).groups[1]
    unwatched = played(replace(world, probation_epochs=0), Miner(INT4, TENTH)).groups[1]
    assert watched.revenue < 0.6 * unwatched.revenue


def test_honest_history_buys_no_time():
    world = replace(SMALL, epochs=60, check_rate=0.3)
    sleeper = Miner(INT4, Strategy("sleeper", honest_epochs=20))
    at_once, later = (played(world, miner).groups[1] for miner in (Miner(INT4, WAITS), sleeper))
    assert later.epochs_to_accusation <= at_once.epochs_to_accusation + 1


def test_captured_stake_below_the_majority_cannot_pay_its_friends():
    """Attack: validators with 30 % of stake rate the cheats only. Consensus clips what they give above the median."""
    world = replace(SMALL, check_rate=1.0, captured=0.3, slash_epochs=100)
    outcome = played(world, Miner(INT4, WAITS))
    assert outcome.groups[1].revenue < 0.05 * outcome.honest.revenue
    bought = played(replace(world, captured=0.7), Miner(INT4, WAITS))
    assert bought.groups[1].revenue > bought.honest.revenue


def test_checking_is_counted_and_bounds_the_false_accusations():
    outcome = played(replace(SMALL, check_rate=0.5))
    assert outcome.checks == pytest.approx(0.5 * 4 * 12, rel=0.1)
    tokens = outcome.checks * SMALL.tokens * SMALL.validators * SMALL.epochs
    assert outcome.false_accusations == pytest.approx(tokens / 1e9)


def test_each_epoch_is_reported():
    seen = []
    run(SMALL, [Miner()] * 12, seen.append)
    assert seen == list(range(25))


def test_worlds_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match=r"check_rate is a share between 0 and 1; got 1.5"):
        World(check_rate=1.5)
    with pytest.raises(ConfigError, match="miners must be at least 1"):
        World(miners=0)
    with pytest.raises(ConfigError, match="3 miners given for a world of 12"):
        run(SMALL, [Miner()] * 3)
    with pytest.raises(ConfigError, match="needs honest miners"):
        run(SMALL, [Miner(INT4, WAITS)] * 12)
