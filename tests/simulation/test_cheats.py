import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.errors import ConfigError
from subnet.simulation.cheats import HONEST_MISS_RATE, TABLE, Delays, measured, slower, traffic_saving
from tests.zoo import descriptions


def test_every_cheat_is_one_of_the_zoo_or_another_numeric_class():
    assert {cheat.zoo for cheat in TABLE} - set(descriptions()) == {"bf16"}


@pytest.mark.parametrize("cheat", TABLE, ids=lambda cheat: cheat.zoo)
def test_drawn_delays_have_the_measured_median_and_range(cheat):
    drawn = cheat.delays.draw(np.random.default_rng(1), (4_000,))
    assert np.median(drawn) == pytest.approx(cheat.delays.median, rel=0.1)
    inside = (drawn >= cheat.delays.low / 2) & (drawn <= cheat.delays.high * 2)
    assert inside.mean() > 0.9 and drawn.min() >= 1


def test_measured_samples_are_drawn_as_they_are():
    drawn = Delays(2, 1, 3, (1.0, 2.0, 3.0)).draw(np.random.default_rng(1), (500,))
    assert set(drawn.tolist()) == {1.0, 2.0, 3.0}


def test_savings_are_the_traffic_avoided():
    assert traffic_saving(4) == 0.875
    assert traffic_saving(8, 0.2) == pytest.approx(0.15)
    assert all(0 < cheat.saving < 1 for cheat in TABLE)


def best_bet_delay(miss_rate, rng, runs=200, limit=1e9, length=20_000):
    """The e-detector of the fp32 class run on independent misses: mean over a grid of bets, accused at `limit`."""
    bets = np.geomspace(5, 0.9 / HONEST_MISS_RATE, 8)
    delays = []
    for _ in range(runs):
        wealth = np.zeros(len(bets))
        for token, miss in enumerate(rng.random(length) < miss_rate, 1):
            wealth = (wealth + 1) * (1 + bets * (miss - HONEST_MISS_RATE))
            if wealth.mean() >= limit:
                delays.append(token)
                break
    return float(np.median(delays))


def test_diluted_cheating_takes_longer_as_in_the_real_test():
    """The divergence predicts the sequential test's own slow-down within a third."""
    rng = np.random.default_rng(7)
    cheat = next(cheat for cheat in TABLE if cheat.zoo == "fp8")
    whole = best_bet_delay(cheat.miss_rate, rng)
    assert 20 < whole < 150
    for share in (0.5, 0.2):
        seen = best_bet_delay(cheat.miss_rate * share, rng, runs=80) / whole
        assert slower(cheat, share) == pytest.approx(seen, rel=0.34), share


@given(st.sampled_from(TABLE), st.floats(0.001, 1), st.floats(0.001, 1))
def test_cheating_less_is_never_found_sooner(cheat, one, other):
    less, more = sorted((one, other))
    assert slower(cheat, less) >= slower(cheat, more) >= 0.999


def test_cheating_below_the_noise_is_never_found():
    assert slower(TABLE[3], HONEST_MISS_RATE / TABLE[3].miss_rate) == math.inf


def test_results_of_the_benchmark_replace_the_table(tmp_path):
    path = tmp_path / "detection.json"
    path.write_text(json.dumps({"delays": {"fp32": {"int4": [2, 4, None]}}, "miss_rate": {"fp32": {"int4": 0.5}}}))
    known = {cheat.zoo: cheat for cheat in measured(path)}
    assert known["int4"].delays.samples == (2.0, 4.0, 8.0)
    assert known["int4"].miss_rate == 0.5
    assert known["fp8"] in TABLE


@pytest.mark.parametrize("text", ["", "{}", '{"delays": {"fp32": []}}', '{"delays": {"fp32": {"int4": "x"}}}'])
def test_what_is_no_result_is_refused_by_name(tmp_path, text):
    path = tmp_path / "detection.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"detection\.json has no detection delays"):
        measured(path)
