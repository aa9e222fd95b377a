import math

import pytest

from subnet.errors import ConfigError
from subnet.simulation.cheats import STRATEGIES, TABLE
from subnet.simulation.subnet import Miner, World
from subnet.simulation.sweep import Curve, Price, population, sweep

CHEAT = TABLE[1]
WORLD = World(validators=6, miners=10, epochs=20, requests=4)


def curve(*gains, rates=(0.01, 0.1, 1.0)):
    return Curve(Miner(CHEAT, STRATEGIES[0]), rates, gains, (1.0,) * len(gains))


def test_break_even_lies_where_the_curve_crosses_zero():
    assert curve(0.2, -0.2, -0.4).break_even == pytest.approx(math.sqrt(0.01 * 0.1))
    assert curve(0.4, 0.1, -0.3).break_even == pytest.approx(0.1 * 10**0.25)


def test_break_even_is_above_the_last_rate_that_pays():
    assert curve(-0.1, 0.1, -0.1).break_even == pytest.approx(math.sqrt(0.1))


def test_cheating_that_never_or_always_pays_says_so():
    assert curve(-0.1, -0.2, -0.3).break_even == 0
    assert curve(0.3, 0.2, 0.1).break_even == math.inf


def test_more_checking_makes_every_cheat_poorer():
    result = sweep(WORLD, population(WORLD, [CHEAT], STRATEGIES[:2], each=2), (0.0001, 0.05, 1.0))
    for each in result.curves:
        assert each.gains[0] > 0 > each.gains[-1]
        assert each.gains[0] > each.gains[1]
    assert result.curve(CHEAT.name, STRATEGIES[0].name).miner == Miner(CHEAT, STRATEGIES[0])
    assert result.sufficient == result.hardest(CHEAT.name).break_even == max(c.break_even for c in result.curves)
    with pytest.raises(ConfigError, match="no 'x'"):
        result.curve("x", STRATEGIES[0].name)


@pytest.mark.parametrize("rates", [(), (0.0, 0.5), (0.5, 1.5)])
def test_rates_that_are_no_shares_are_refused(rates):
    with pytest.raises(ConfigError, match="check rates are shares"):
        sweep(WORLD, [Miner()] * 10, rates)


def test_work_is_priced_in_machines():
    result = sweep(WORLD, [Miner()] * 10, (0.1, 1.0), price=Price(decode_s=1.0, replay_s=0.5))
    whole = result.work[1]
    assert whole.answers == 40
    assert whole.machine == pytest.approx(40 * 0.5 / (360 * 12))
    assert whole.of_mining == pytest.approx(0.5)
    assert result.work[0].answers < whole.answers / 5


def test_a_population_keeps_honest_miners_in_the_majority():
    assert population(WORLD, [CHEAT], STRATEGIES[:1], each=2).count(Miner()) == 8
    with pytest.raises(ConfigError, match="too few honest"):
        population(WORLD, TABLE, STRATEGIES)
