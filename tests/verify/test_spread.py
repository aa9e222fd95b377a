"""Contexts differ in how much rounding shakes them; a spread makes them comparable, and must never be won from the
claim.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from subnet.errors import ConfigError, EngineError
from subnet.sampling import Sampling
from subnet.verify.bets import factors
from subnet.verify.detector import start as fresh_state
from subnet.verify.detector import update
from subnet.verify.fitting import CLASSES, HonestSet, count, make_profile, with_spreads
from subnet.verify.pairs import Pairs, fresh_records, take_pairs
from subnet.verify.profile import load_profile, null
from subnet.verify.records import ORDINARY, TokenRecords, token_records
from subnet.verify.spread import (
    BEGINNING,
    LARGEST,
    SMALLEST,
    SpreadModel,
    beginning,
    described,
    fit_spread,
    measured_noise,
)

WIDTH, VOCABULARY = 8, 300
ONE, WIDE = ((1, 1, 1),), (-9.0, 9.0)
DIRECTION = np.array([1.0, -1.0, 0.5, 0, 0, 0, 0, 0])


def states(positions: int, random: np.random.Generator) -> np.ndarray:
    return described(torch.from_numpy(random.standard_normal((positions, WIDTH)).astype(np.float32)))


def noisy(name: str, positions: int, seed: int, louder: float = 0.0, slope: float = 0.4) -> HonestSet:
    """Honest pairs whose noise follows the direction of the state; `louder` shifts all states that way."""
    random = np.random.default_rng(seed)
    hidden = random.standard_normal((positions, WIDTH)) + louder * DIRECTION
    found = described(torch.from_numpy(hidden.astype(np.float32)))
    size = 0.06 * np.exp(slope * found[:, :WIDTH] @ DIRECTION / 2)
    ours = (random.standard_normal((positions, VOCABULARY)) * 2).astype(np.float32)
    theirs = ours + (random.standard_normal(ours.shape) * size[:, None]).astype(np.float32)
    parts = [
        take_pairs(torch.from_numpy(ours[i::30]), torch.from_numpy(theirs[i::30]), Sampling(800), i) for i in range(30)
    ]
    order = np.concatenate([np.arange(positions)[i::30] for i in range(30)])
    starts = np.ones((positions, BEGINNING), np.int32)
    return HonestSet(name, Sampling(800), Pairs.stacked(parts), found[order].astype(np.float16), starts)


def test_states_are_described_by_direction_and_length():
    hidden = torch.tensor([[3.0, 4.0], [0.6, 0.8], [-30.0, 40.0]])
    found = described(hidden.to(torch.bfloat16))
    assert found[:, 2] == pytest.approx(np.log([5.0, 1.0, 50.0]), abs=0.01)
    assert found[0, :2] == pytest.approx(np.sqrt(2) * np.array([0.6, 0.8]), rel=0.01)
    assert found[1, :2] == pytest.approx(found[0, :2], rel=0.01)
    assert np.linalg.norm(found[:, :2], axis=1) == pytest.approx([np.sqrt(2)] * 3)


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_a_broken_state_is_our_failure(bad: float):
    with pytest.raises(EngineError, match="nobody is judged"):
        described(torch.tensor([[1.0, 2.0], [bad, bad]]))


def test_a_model_of_another_width_is_our_failure_too():
    model = SpreadModel(ONE, WIDE, 0.0, (0.0, 0.0, 0.0, 0.0), (0.0,) * 4)
    with pytest.raises(EngineError, match="hidden states of 3, not 8"):
        model(states(5, np.random.default_rng(0)), np.ones(5), 1.0, np.ones((5, BEGINNING)))


@pytest.mark.parametrize(
    "changed",
    [
        {"context": (0.0,)},
        {"state": (0.0,)},
        {"constant": float("nan")},
        {"context": (1.7e308, -1.7e308, 0.0, 0.0)},
        {"starts": ()},
        {"starts": ((2, 1, 1), (1, 1, 1))},
        {"starts": ((1, 1, 1), (1, 1, 1))},
        {"starts": ((1, 1),)},
        {"lengths": (1.0, 0.0)},
        {"lengths": (0.0, float("inf"))},
    ],
)
def test_impossible_models_are_refused(changed):
    sound = {"starts": ONE, "lengths": WIDE, "constant": 0.0, "context": (0.0,) * 4, "state": (0.0,) * 2}
    SpreadModel(**sound)
    with pytest.raises(ConfigError):
        SpreadModel(**(sound | changed))


def test_the_fit_finds_what_shakes_a_context_and_holds_for_others():
    one, other, random = noisy("a", 6000, 1), noisy("b", 3000, 2), np.random.default_rng(0)
    noise = measured_noise(one.pairs, one.sampling, random)
    unit = float(np.log(noise).mean())
    model = fit_spread(one.states, one.pairs.entropy, np.full(6000, 0.8), one.starts, noise, unit)
    predicted = model(other.states, other.pairs.entropy, 0.8, other.starts)
    measured = measured_noise(other.pairs, other.sampling, random) / np.exp(unit)
    loud = predicted > np.quantile(predicted, 0.9)
    calm = predicted < np.quantile(predicted, 0.1)
    assert np.exp(np.log(predicted).mean()) == pytest.approx(1.0, abs=0.05)
    assert measured[loud].mean() / measured[calm].mean() > 2.0
    for part in (loud, calm):
        assert np.log(predicted[part]).mean() == pytest.approx(np.log(measured[part]).mean(), abs=0.15)


def test_noise_is_that_between_tokens_that_are_drawn():
    """What nobody draws may be as wrong as it likes; at a higher temperature more is drawn."""
    set_, random = noisy("a", 900, 1, slope=0.0), np.random.default_rng(0)
    wrong = set_.pairs.head_difference.copy()
    wrong[:, 64:] += 5.0 * random.standard_normal(wrong[:, 64:].shape)
    pairs = replace(set_.pairs, head_difference=wrong)
    cool, mild, hot = (measured_noise(pairs, Sampling(t), random).mean() for t in (0, 300, 5000))
    assert cool == pytest.approx(0.06 * np.sqrt(2), rel=0.1)
    assert mild == pytest.approx(0.06 * np.sqrt(2), rel=0.1)
    assert hot > 10 * mild


def test_spreads_stay_within_their_limits():
    extreme = SpreadModel(ONE, WIDE, 0.0, (0.0, 0.0, 0.0, 0.0), (9.0, 0.0, 0.0))
    found = extreme(
        np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), np.ones(3), 1.0, np.ones((3, BEGINNING))
    )
    assert found == pytest.approx([LARGEST, SMALLEST, 1.0])


def test_no_noise_at_all_cannot_be_fitted():
    with pytest.raises(ConfigError, match="no position shows any noise"):
        fit_spread(
            states(4, np.random.default_rng(0)), np.ones(4), np.ones(4), np.ones((4, BEGINNING)), np.zeros(4), 0.0
        )


def test_a_spread_of_two_halves_every_distance_and_changes_nothing_else():
    random = np.random.default_rng(4)
    logits = (random.standard_normal((40, VOCABULARY)) * 2).astype(np.float32)
    records = token_records(logits, [0] * 40, bytes(32), Sampling(900))
    profile = load_profile("smollm2-135m-instruct-bf16")
    wide = records.with_spreads(np.full(40, 2.0))
    assert (wide.rows["spread"] == 2 * ORDINARY).all()
    assert (wide.margins == records.margins).all()
    assert TokenRecords.decode(wide.encode()) == wide
    near, far = null(wide, profile), null(records, profile)
    finite = np.isfinite(far.ratio)
    assert near.ratio[finite] == pytest.approx(far.ratio[finite] / 2)
    assert near.probability.sum() > far.probability.sum()


def wrong_records(random: np.random.Generator) -> TokenRecords:
    """Forty tokens of which none is what the verifier draws."""
    logits = (random.standard_normal((40, VOCABULARY)) * 2).astype(np.float32)
    return token_records(logits, [int(row.argmin()) for row in logits], bytes(32), Sampling(900))


@pytest.mark.parametrize("start", [(7,), (7, 1), (7, 0, 2), (1, 2, 7), (5, 1, 2)])
def test_behind_a_beginning_that_was_not_measured_nothing_is_bet(start):
    """The attack: a prompt that makes the narrow arithmetic arrive at other states altogether."""
    random = np.random.default_rng(4)
    records, given = wrong_records(random), states(40, random)
    model = SpreadModel(((3, 1, 2), (7, 1, 2)), WIDE, 0.0, (0.0,) * 4, (0.0,) * (WIDTH + 1))
    profile = replace(load_profile("smollm2-135m-instruct-bf16"), spread=model)

    def after(prompt: tuple[int, ...]) -> TokenRecords:
        return model.applied(records, given, Sampling(900), np.tile(beginning(prompt), (40, 1)))

    assert update(fresh_state(profile), after((7, 1, 2, 9)), profile).accused_at is not None
    state = update(fresh_state(profile), after(start), profile)
    assert state.accused_at is None
    assert state.information == 0.0
    assert (factors(after(start), profile) == 1.0).all()


def test_at_a_length_that_was_not_measured_nothing_is_bet():
    """The attack: a position whose own state is one of the enormous ones, so that the model takes it for calm."""
    random = np.random.default_rng(4)
    records, given = wrong_records(random), states(40, random)
    given[:, -1] = np.linspace(6.0, 9.0, 40)
    model = SpreadModel(ONE, (6.0, 7.5), 0.0, (0.0,) * 4, (0.0,) * (WIDTH + 1))
    profile = replace(load_profile("smollm2-135m-instruct-bf16"), spread=model)
    found = model.applied(records, given, Sampling(900), np.ones((40, BEGINNING)))
    judged = given[:, -1] <= 7.5
    assert (found.rows["spread"][judged] == ORDINARY).all()
    assert (factors(found, profile)[~judged] == 1.0).all()
    assert (factors(found, profile)[judged] != 1.0).any(axis=1).all()


def test_bounds_are_counted_with_spreads_that_never_saw_their_workload():
    calm = [noisy("a", 1500, 1), noisy("b", 1500, 2)]
    odd = noisy("odd", 1500, 3, slope=-0.8)  # where the state says the opposite
    sets, model = with_spreads([*calm, odd], CLASSES["bf16"], np.random.default_rng(0))
    assert model is not None
    ahead = sets[2].states[:, :WIDTH].astype(np.float64) @ DIRECTION
    assert np.corrcoef(ahead, np.log(sets[2].pairs.spread))[0, 1] > 0.9
    itself = model(sets[2].states, sets[2].pairs.entropy, 0.8, sets[2].starts)
    assert np.corrcoef(ahead, np.log(itself))[0, 1] < 0.9


def test_a_class_without_noise_to_predict_has_none():
    sets = [noisy("a", 300, 1)]
    same, model = with_spreads(sets, CLASSES["fp32"], np.random.default_rng(0))
    assert model is None
    assert (same[0].pairs.spread == 1.0).all()


def test_honest_machines_in_a_loud_context_are_protected_by_their_spread():
    """The attack: ask a miner only for what shakes its arithmetic. Without spreads its evidence grows."""
    fitted, loud = [noisy("a", 3000, 1), noisy("b", 3000, 2)], noisy("loud", 3000, 3, louder=0.8)
    random = np.random.default_rng(9)

    def growth(predicts: bool) -> float:
        rules = replace(CLASSES["bf16"], headroom=1.1, spread=predicts)
        sets, model = with_spreads(fitted, rules, random)
        counts = [count(s, 60, rules.tolerance, random) for s in sets]
        profile = make_profile("t", rules, "", counts, model, {}, random)
        pairs = (
            loud.pairs.with_spreads(model(loud.states, loud.pairs.entropy, 0.8, loud.starts)) if model else loud.pairs
        )
        found = [factors(fresh_records(pairs, loud.sampling, random), profile) for _ in range(20)]
        assert (pairs.spread < 10).mean() > 0.9
        # a rare and very large factor says little about a mean of so few
        return float(np.minimum(np.concatenate(found)[:, 0], 100.0).mean())

    assert growth(predicts=True) < 1.0 < growth(predicts=False)


def test_workloads_with_the_same_prompts_are_left_out_together():
    """What a prompt teaches at one temperature must not be used to predict it at another."""
    odd, again = noisy("digits", 1500, 3, slope=-0.8), noisy("digits_cool", 1500, 3, slope=-0.8)
    sets, _ = with_spreads([noisy("a", 1500, 1), odd, again], CLASSES["bf16"], np.random.default_rng(0))
    for found in sets[1:]:
        ahead = found.states[:, :WIDTH].astype(np.float64) @ DIRECTION
        assert np.corrcoef(ahead, np.log(found.pairs.spread))[0, 1] > 0.9
