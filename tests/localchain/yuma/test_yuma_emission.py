from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.localchain.yuma import (
    Collateral,
    EpochParams,
    EpochState,
    HotkeyStake,
    SubnetPending,
    block_emission,
    distribute,
    drain_collateral,
    root_proportion,
    run_epoch,
    split_block_emission,
)
from subnet.localchain.yuma.consensus import DEFAULT_TAO_WEIGHT
from subnet.localchain.yuma.emission import RAO
from subnet.localchain.yuma.fixed import ONE, U64_MAX

amounts = st.integers(0, 10**17)


@given(st.integers(0, 2 * RAO), st.integers(0, ONE), st.integers(0, 65_535), st.booleans())
def test_a_block_is_split_without_making_or_losing_more_than_rounding(alpha_out, root_share, cut, enabled):
    split = split_block_emission(alpha_out, root_share, cut, enabled)
    total = split.server + split.validator + split.root + split.owner_cut
    assert alpha_out - 4 < total <= alpha_out
    assert abs(split.server - (split.validator + split.root)) <= 2
    assert split.owner_cut == 0 if not enabled else abs(split.owner_cut - alpha_out * cut // 65_535) <= 2


def test_the_default_block_is_41_41_18():
    split = split_block_emission(RAO, 0)
    assert (split.server, split.validator, split.root) == (410_002_288, 410_002_288, 0)
    assert split.owner_cut == 179_995_422


def test_root_takes_its_share_from_validators_only():
    none, half = split_block_emission(RAO, 0), split_block_emission(RAO, ONE // 2)
    assert half.server == none.server and half.owner_cut == none.owner_cut
    assert half.root == pytest.approx(none.validator / 2, abs=2)


@given(amounts, amounts)
def test_root_proportion_is_its_formula(root_tao, issuance):
    weighted = Fraction(root_tao) * DEFAULT_TAO_WEIGHT / U64_MAX
    share = root_proportion(root_tao, DEFAULT_TAO_WEIGHT, issuance)
    exact = weighted / (weighted + issuance) if weighted + issuance else 0
    assert abs(Fraction(share, ONE) - exact) < Fraction(1, 10**6)


@pytest.mark.parametrize(
    ("issuance", "expected"),
    [
        (0, RAO),
        (10_499_999 * RAO, RAO),
        (10_500_000 * RAO, RAO // 2),
        (15_749_999 * RAO, RAO // 2),
        (15_750_000 * RAO, RAO // 4),
        (21_000_000 * RAO, 0),
    ],
)
def test_block_emission_halves_with_what_is_left(issuance, expected):
    assert block_emission(issuance) == expected


def epoch(weights, tao_stake=(0, 0, 0, 0)):
    state = EpochState(
        block=1_000,
        tempo=100,
        alpha_stake=(600 * RAO, 400 * RAO, 0, 0),
        tao_stake=tao_stake,
        weights=weights,
        bonds={},
        validator_permit=(True, True, False, False),
        last_update=(990,) * 4,
        block_at_registration=(1,) * 4,
    )
    return state, run_epoch(state, EpochParams(), PENDING.epoch_emission)


PENDING = SubnetPending(server=41 * RAO, validator=36 * RAO, root=5 * RAO, owner_cut=18 * RAO)
STAKES = (HotkeyStake(600 * RAO, take=11_796), HotkeyStake(400 * RAO), HotkeyStake(0), HotkeyStake(0))
AGREED = {0: ((2, 65_535), (3, 21_845)), 1: ((2, 65_535), (3, 21_845))}


def test_an_epoch_pays_owner_miners_and_validators_what_was_pending():
    _, result = epoch(AGREED)
    payout = distribute(PENDING, result, STAKES, DEFAULT_TAO_WEIGHT)
    assert payout.owner_cut == 18 * RAO
    assert payout.incentives == result.server_emission and payout.withheld == 0
    assert sum(payout.incentives) == pytest.approx(41 * RAO, abs=100)
    assert sum(payout.takes) + sum(payout.dividends) == pytest.approx(36 * RAO, abs=50)
    assert payout.takes[0] == pytest.approx(0.6 * 36 * RAO * 0.18, rel=1e-3) and payout.takes[1] == 0


def test_no_miner_with_incentive_leaves_the_miners_pot_to_validators():
    _, result = epoch({})
    payout = distribute(PENDING, result, STAKES, DEFAULT_TAO_WEIGHT)
    assert payout.incentives == (0, 0, 0, 0)
    assert sum(payout.takes) + sum(payout.dividends) == pytest.approx(77 * RAO, abs=50)


def test_owner_hotkeys_mine_for_nothing():
    """Attack: the subnet owner weights a hotkey of its own to pay itself as a miner."""
    _, result = epoch(AGREED)
    payout = distribute(PENDING, result, STAKES, DEFAULT_TAO_WEIGHT, owner_uids={2})
    assert payout.incentives[2] == 0
    assert payout.withheld == result.server_emission[2] > 0


def test_root_stake_is_paid_from_the_root_pot_alone():
    state, result = epoch(AGREED, tao_stake=(1_000 * RAO, 0, 0, 0))
    stakes = [HotkeyStake(a, t) for a, t in zip(state.alpha_stake, state.tao_stake, strict=True)]
    payout = distribute(PENDING, result, stakes, DEFAULT_TAO_WEIGHT)
    assert payout.root_dividends == (pytest.approx(5 * RAO, abs=10), 0, 0, 0)
    assert sum(payout.dividends) == pytest.approx(36 * RAO, abs=50)


@given(
    st.builds(
        Collateral,
        locked=amounts,
        drain_ratio=st.integers(1, 10 << 64),
        min_locked=amounts,
        earned=amounts,
    ),
    amounts,
)
def test_collateral_never_drains_below_its_floor_nor_faster_than_its_ratio(collateral, incentive):
    after, captured, released = drain_collateral(collateral, incentive)
    assert after.locked == collateral.locked + captured - released
    assert 0 <= captured <= incentive
    assert released <= incentive * collateral.drain_ratio >> 64
    assert after.locked >= min(collateral.min_locked, collateral.locked + incentive)
    assert after.earned == collateral.earned + incentive


def test_a_miner_without_incentive_gets_none_of_its_collateral_back():
    """Attack: register, cheat, be refused weights, and wait for the lock to run out."""
    locked = Collateral(locked=100, drain_ratio=1 << 64)
    assert drain_collateral(locked, 0) == (locked, 0, 0)
    assert drain_collateral(locked, 30) == (Collateral(70, 1 << 64, 0, 30), 0, 30)


def test_pending_pots_add_up_over_blocks():
    pending = SubnetPending()
    block = split_block_emission(RAO, ONE // 10)
    for _ in range(100):
        pending = pending.add(block)
    assert pending == SubnetPending(
        server=100 * block.server,
        validator=100 * block.validator,
        root=100 * block.root,
        owner_cut=100 * block.owner_cut,
    )
