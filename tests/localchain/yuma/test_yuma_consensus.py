"""Yuma Consensus: against numbers measured on the chain's own runtime, and by its properties."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.localchain.yuma import EpochInputError, EpochParams, EpochState, Rules, fixed, run_epoch
from subnet.localchain.yuma.consensus import _consensus
from subnet.localchain.yuma.fixed import ONE
from tests.localchain.yuma import reference

ROOT = Path(__file__).resolve().parents[3]
COPY = ROOT / "tests" / "vectors" / "yuma.json"
ORIGINAL = ROOT.parent / "shared" / "vectors" / "yuma.json"
VECTORS = json.loads(COPY.read_text())
FIELDS = (
    "active",
    "stake_weight",
    "rank",
    "trust",
    "consensus",
    "validator_trust",
    "incentive",
    "dividends",
    "emission",
    "validator_permit",
)
EMISSION = 1_000_000_000


def rows(stored):
    return {int(uid): tuple((target, value) for target, value in row) for uid, row in stored.items()}


def scenario_params(given_params):
    renamed = {"liquid_alpha_on": "liquid_alpha", "yuma3_on": "yuma3"}
    values = {renamed.get(name, name): value for name, value in given_params.items()}
    return EpochParams(**{**values, "tao_weight": int(values["tao_weight"])})


def scenario_state(scenario, epoch):
    inputs = epoch["inputs"]
    return EpochState(
        block=epoch["block"],
        tempo=scenario["tempo"],
        alpha_stake=inputs["alpha_stake"],
        tao_stake=inputs["tao_stake"],
        weights=rows(inputs["weights"]),
        bonds=rows(inputs["bonds"]),
        validator_permit=inputs["validator_permit"],
        last_update=inputs["last_update"],
        block_at_registration=inputs["block_at_registration"],
        owner_uid=scenario["owner_uid"],
    )


def test_the_vectors_are_the_shared_ones_unchanged():
    if ORIGINAL.exists():
        assert COPY.read_bytes() == ORIGINAL.read_bytes(), f"{COPY} differs from {ORIGINAL}: copy it again, unedited"
    assert len(VECTORS["scenarios"]) >= 35 and VECTORS["spec_version"] == 293


@pytest.mark.parametrize("scenario", VECTORS["scenarios"], ids=lambda scenario: scenario["name"])
def test_every_field_is_bit_for_bit_the_runtimes(scenario):
    params = scenario_params(scenario["params"])
    for epoch in scenario["epochs"]:
        result = run_epoch(scenario_state(scenario, epoch), params, epoch["inputs"]["rao_emission"], Rules.SPEC_293)
        where = f"{scenario['name']}, epoch {epoch['epoch']}"
        for name in FIELDS:
            assert list(getattr(result, name)) == epoch["outputs"][name], f"{name} of {where}"
        assert result.bonds == rows(epoch["outputs"]["bonds"]), f"bonds of {where}"


@pytest.mark.parametrize("scenario", VECTORS["scenarios"], ids=lambda scenario: scenario["name"])
def test_current_rules_keep_the_measured_numbers_but_rank_and_trust(scenario):
    params = scenario_params(scenario["params"])
    for epoch in scenario["epochs"]:
        result = run_epoch(scenario_state(scenario, epoch), params, epoch["inputs"]["rao_emission"])
        for name in set(FIELDS) - {"rank", "trust"}:
            assert list(getattr(result, name)) == epoch["outputs"][name]
        assert result.rank == result.trust == (0,) * scenario["n"]


def subnet(stakes, weights, **changes):
    """A subnet in which the first len(stakes) uids validate and everybody registered at block 1."""
    n = changes.pop("n", len(stakes) + 3)
    values = {
        "block": 1_000,
        "tempo": 100,
        "alpha_stake": [stake * 1_000_000_000 for stake in stakes] + [0] * (n - len(stakes)),
        "tao_stake": [0] * n,
        "weights": weights,
        "bonds": {},
        "validator_permit": [uid < len(stakes) for uid in range(n)],
        "last_update": [990] * n,
        "block_at_registration": [1] * n,
    }
    return EpochState(**{**values, **changes})


@st.composite
def subnets(draw):
    validators = draw(st.integers(1, 5))
    n = validators + draw(st.integers(1, 6))
    row = st.dictionaries(st.integers(0, n - 1), st.integers(0, 65_535), max_size=n).map(lambda d: tuple(d.items()))
    stakes = draw(st.lists(st.integers(0, 10_000), min_size=validators, max_size=validators))
    keys = st.integers(0, n - 1)
    return subnet(
        stakes,
        draw(st.dictionaries(keys, row)),
        n=n,
        bonds=draw(st.dictionaries(keys, row)),
        last_update=draw(st.lists(st.integers(0, 1_000), min_size=n, max_size=n)),
        block_at_registration=draw(st.lists(st.integers(0, 1_000), min_size=n, max_size=n)),
        owner_uid=draw(st.none() | keys),
        last_step_block=draw(st.sampled_from([0, 950])),
        tao_stake=draw(st.lists(st.sampled_from([0, 5_000_000_000_000]), min_size=n, max_size=n)),
        first_commit_block=draw(st.none() | st.lists(st.sampled_from([500, 2**64 - 1]), min_size=n, max_size=n)),
    )


@st.composite
def parameters(draw):
    low, high = sorted(draw(st.tuples(st.integers(0, 65_535), st.integers(0, 65_535))))
    return EpochParams(
        kappa=draw(st.integers(0, 65_535)),
        bonds_moving_average=draw(st.integers(0, 1_000_000)),
        bonds_penalty=draw(st.sampled_from([0, 1, 30_000, 65_535])),
        yuma3=draw(st.booleans()),
        liquid_alpha=draw(st.booleans()),
        alpha_low=low,
        alpha_high=high,
        alpha_sigmoid_steepness=draw(st.integers(-32_768, 32_767)),
        max_allowed_validators=draw(st.integers(0, 6)),
        stake_threshold=draw(st.sampled_from([0, 10**12])),
        activity_cutoff=draw(st.integers(1, 2_000)),
    )


@settings(max_examples=100, deadline=None)
@given(subnets(), parameters(), st.integers(0, 10**15))
def test_no_epoch_pays_more_than_it_was_given(state, params, emission):
    result = run_epoch(state, params, emission)
    assert sum(result.emission) <= emission
    assert sum(result.server_emission) + sum(result.validator_emission) <= emission
    assert all(0 <= value <= 65_535 for value in result.incentive + result.dividends + result.consensus)


@settings(max_examples=200, deadline=None)
@given(subnets(), parameters(), st.integers(0, 10**13))
def test_every_field_equals_the_plain_walk_over_sparse_rows(state, params, emission):
    expected = reference.epoch(state, params, emission)
    result = run_epoch(state, params, emission)
    for name, values in expected.items():
        found = getattr(result, name)
        assert (found if name == "bonds" else list(found)) == values, name


@settings(max_examples=100, deadline=None)
@given(subnets(), parameters())
def test_a_miner_that_nobody_weights_earns_nothing(state, params):
    shunned = state.n - 1
    stripped = {uid: tuple((j, w) for j, w in row if j != shunned) for uid, row in state.weights.items()}
    result = run_epoch(replace(state, weights=stripped), params, EMISSION)
    assert result.incentive[shunned] == 0 and result.server_emission[shunned] == 0


@settings(max_examples=100, deadline=None)
@given(subnets(), parameters())
def test_results_can_be_stored_and_fed_back(state, params):
    result = run_epoch(state, params, EMISSION)
    for uid, row in result.bonds.items():
        assert result.validator_permit[uid]
        assert all(0 <= target < state.n and 0 <= value <= 65_535 for target, value in row)
    again = replace(state, bonds=result.bonds)
    run_epoch(again, params, EMISSION)


def bisected_median(stake, score, minority):
    """The runtime's own way to the stake-weighted median: pivots at the middle of what is left."""
    left, low, high = list(range(len(stake))), 0, sum(stake)
    while len(left) > 1:
        pivot = score[left[len(left) // 2]]
        below = [i for i in left if score[i] < pivot]
        above = [i for i in left if score[i] > pivot]
        if below and minority < low + sum(stake[i] for i in below):
            left, high = below, low + sum(stake[i] for i in below)
        elif above and high - sum(stake[i] for i in above) <= minority:
            left, low = above, high - sum(stake[i] for i in above)
        else:
            return pivot
    return score[left[0]] if left else 0


@given(
    st.lists(st.tuples(st.integers(0, 1_000), st.sampled_from([0, 1, 5, ONE // 3, ONE])), max_size=12),
    st.integers(0, 65_535),
)
def test_cumulative_median_equals_the_bisected_one(votes, kappa):
    stake = fixed.normalise(np.array([s for s, _ in votes], dtype=np.int64) * ONE)
    scores = np.array([v for _, v in votes], dtype=np.int64)
    share = fixed.from_u16_share(kappa)
    voting = fixed.normalise(stake[stake > 0]).tolist()
    expected = bisected_median(voting, scores[stake > 0].tolist(), sum(voting) - share)
    assert _consensus(stake, scores[:, None], share).tolist() == [expected]


def test_a_majority_that_sets_no_weights_vetoes_a_minority_that_does():
    """Attack: a small validator hopes that silence of the large one lets it decide alone."""
    result = run_epoch(subnet([60, 40], {1: ((2, 65_535),)}), EpochParams(), EMISSION)
    assert result.consensus == (0,) * 5 and result.incentive == (0,) * 5
    both = run_epoch(subnet([60, 40], {0: ((2, 65_535),), 1: ((2, 65_535),)}), EpochParams(), EMISSION)
    assert both.incentive[2] > 65_000


def test_a_minority_that_overweights_its_friend_is_clipped():
    """Attack: 40 % of stake puts everything on one miner that the other 60 % give a tenth."""
    weights = {0: ((2, 9_000), (3, 1_000)), 1: ((3, 65_535),)}
    result = run_epoch(subnet([60, 40], weights), EpochParams(bonds_penalty=65_535), EMISSION)
    assert result.incentive[3] < 12_000
    assert result.validator_trust[1] < result.validator_trust[0]
    assert result.dividends[1] < 0.4 * 65_535


def test_an_inactive_validator_loses_its_vote_and_its_dividends():
    state = subnet([60, 40], {0: ((2, 1),), 1: ((3, 1),)}, last_update=[100, 990, 990, 990, 990])
    result = run_epoch(state, EpochParams(activity_cutoff=500), EMISSION)
    assert result.active == (False, True, True, True, True)
    assert result.incentive[2] == 0 and result.incentive[3] > 65_000
    assert result.dividends[0] == 0


def test_owner_holds_a_permit_under_current_rules_only():
    state = subnet([60], {0: ((2, 1),), 1: ((3, 1),)}, n=5, owner_uid=1)
    params = EpochParams(max_allowed_validators=1)
    assert run_epoch(state, params, EMISSION, Rules.SPEC_425).validator_permit == (True, True, False, False, False)
    assert run_epoch(state, params, EMISSION, Rules.SPEC_293).validator_permit == (True, False, False, False, False)


def test_owner_is_exempt_from_the_stake_threshold_under_current_rules_only():
    state = subnet([60, 10], {0: ((2, 1),), 1: ((3, 1),)}, owner_uid=1)
    params = EpochParams(stake_threshold=50_000_000_000)
    assert run_epoch(state, params, EMISSION, Rules.SPEC_425).stake_weight[1] > 0
    assert run_epoch(state, params, EMISSION, Rules.SPEC_293).stake_weight[1] == 0


def test_only_the_owner_may_weight_itself():
    weights = {0: ((0, 65_535), (2, 65_535))}
    assert run_epoch(subnet([60], weights, n=4), EpochParams(), EMISSION).incentive[0] == 0
    assert run_epoch(subnet([60], weights, n=4, owner_uid=0), EpochParams(), EMISSION).incentive[0] > 30_000


@pytest.mark.parametrize(
    ("registered", "last_step", "rules", "kept"),
    [
        (930, 920, Rules.SPEC_425, False),
        (930, 930, Rules.SPEC_425, True),
        (890, 880, Rules.SPEC_425, False),
        (890, 880, Rules.SPEC_293, True),
        (930, 930, Rules.SPEC_293, False),
        (890, 0, Rules.SPEC_425, True),
        (900, 0, Rules.SPEC_425, False),
    ],
)
def test_bonds_to_a_newcomer_are_masked_by_the_last_epoch_that_ran(registered, last_step, rules, kept):
    """Block 1,000, tempo 100: 293 always compares with block 900, 425 with the block after the last epoch."""
    state = subnet(
        [60, 40],
        {0: ((2, 1),), 1: ((2, 1),)},
        bonds={0: ((2, 65_535),)},
        block_at_registration=[1, 1, registered, 1, 1],
        last_step_block=last_step,
    )
    result = run_epoch(state, EpochParams(bonds_moving_average=1_000_000), EMISSION, rules)
    assert result.bonds == ({0: ((2, 65_535),)} if kept else {})


def test_a_commit_older_than_a_registration_hides_the_weight_on_it():
    """Attack: commit weights, let a favourite's uid be re-registered, reveal them for the newcomer."""
    commits = [500, 2**64 - 1, 2**64 - 1, 2**64 - 1, 2**64 - 1]
    state = subnet(
        [60, 40],
        {0: ((2, 1), (3, 1)), 1: ((2, 1), (3, 1))},
        block_at_registration=[1, 1, 600, 1, 1],
        first_commit_block=commits,
    )
    result = run_epoch(state, EpochParams(), EMISSION)
    assert result.incentive[2] == 0 and result.incentive[3] > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tao_stake": [0]}, "tao_stake has 1 entries for 5 neurons"),
        ({"owner_uid": 5}, "owner_uid 5"),
        ({"weights": {0: ((2, 1), (2, 1))}}, "names a uid twice"),
        ({"weights": {0: ((2, 65_536),)}}, "not a pair of u16"),
    ],
)
def test_states_that_no_chain_can_be_in_are_refused(changes, message):
    with pytest.raises(EpochInputError, match=message):
        run_epoch(subnet([60, 40], changes.pop("weights", {}), **changes), EpochParams(), EMISSION)


def test_parameters_out_of_range_are_refused():
    with pytest.raises(EpochInputError, match="kappa"):
        EpochParams(kappa=65_536)
    with pytest.raises(EpochInputError, match="alpha_low 9 is above alpha_high 8"):
        EpochParams(alpha_low=9, alpha_high=8)
    with pytest.raises(EpochInputError, match="emission"):
        run_epoch(subnet([60, 40], {}), EpochParams(), -1)


def test_a_subnet_of_nobody_has_an_epoch_too():
    result = run_epoch(subnet([], {}, n=0), EpochParams(), EMISSION)
    assert result.incentive == () and result.bonds == {}
