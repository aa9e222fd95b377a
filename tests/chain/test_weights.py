import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.chain.values import REMEDY, WeightRules, WeightsReason
from subnet.chain.weights import U16_MAX, cap_shares, quantise, reason_of, refusal, same_row
from subnet.errors import ChainError

shares = st.dictionaries(st.integers(0, 255), st.floats(0, 1e6, allow_nan=False), max_size=40)
RULES = WeightRules(
    block=100, uid=3, permit=True, last_update=50, rate_limit=20, min_allowed=2, max_share=1.0, version_key=7,
    commit_reveal=False,
)  # fmt: skip


def changed(**values):
    fields = {name: getattr(RULES, name) for name in RULES.__slots__}
    return WeightRules(**{**fields, **values})


@given(shares)
def test_a_row_keeps_the_proportions_and_leaves_out_zeros(values):
    row = quantise(values)
    assert [uid for uid, _ in row] == sorted(uid for uid, _ in row)
    assert all(1 <= value <= U16_MAX for _, value in row)
    top = max(values.values(), default=0)
    if top > 0:
        assert max(value for _, value in row) == U16_MAX
        for uid, value in row:
            assert abs(value / U16_MAX - values[uid] / top) <= 0.51 / U16_MAX


@given(shares, st.floats(0.01, 1.0))
def test_no_share_exceeds_the_cap_and_the_order_is_kept(values, cap):
    capped = cap_shares(values, cap)
    if not capped:
        return
    assert math.isclose(sum(capped.values()), 1.0, rel_tol=1e-9)
    if len(capped) * cap > 1:
        assert max(capped.values()) <= cap * (1 + 1e-9)
    ranked = sorted(capped, key=lambda uid: values[uid])
    assert all(capped[a] <= capped[b] * (1 + 1e-9) for a, b in itertools.pairwise(ranked))


@given(shares)
def test_a_slashed_miner_has_no_weight_whatever_the_others_have(values):
    values = {**values, 7: 0.0}
    assert 7 not in dict(quantise(values))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_a_share_that_is_no_number_is_refused(bad):
    with pytest.raises(ChainError):
        quantise({1: 1.0, 2: bad})


@given(shares)
def test_a_row_read_back_after_the_chains_own_rescaling_is_the_same(values):
    row = quantise(values)
    total = sum(value for _, value in row)
    stored = [(uid, max(1, round(value * U16_MAX / max(v for _, v in row)))) for uid, value in row] if total else []
    assert same_row(row, stored)


def test_a_row_that_differs_is_not_the_same():
    assert not same_row([(1, 65535), (2, 65535)], [(1, 65535), (2, 60000)])
    assert not same_row([(1, 65535), (2, 65535)], [(1, 65535)])


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (RULES, None),
        (changed(uid=None), WeightsReason.NOT_REGISTERED),
        (changed(block=60), WeightsReason.RATE_LIMITED),
        (changed(permit=False), WeightsReason.NO_PERMIT),
        (changed(min_allowed=3), WeightsReason.TOO_FEW),
        (changed(version_key=8), WeightsReason.VERSION_KEY),
        (changed(block=60, last_update=0), None),
    ],
)
def test_what_the_chain_would_refuse_is_known_before_it_is_sent(rules, reason):
    assert refusal(rules, ((1, 65535), (2, 9)), version_key=7) is reason


def test_nothing_to_set_is_never_sent():
    assert refusal(RULES, (), 7) is WeightsReason.NOTHING_TO_SET


def test_every_reason_that_is_a_failure_says_what_to_do():
    assert set(REMEDY) == {reason for reason in WeightsReason if not reason.done}


def test_runtime_errors_have_reasons():
    assert reason_of("SettingWeightsTooFast") is WeightsReason.RATE_LIMITED
    assert reason_of("SomethingNew") is WeightsReason.REJECTED
    assert reason_of(None) is WeightsReason.REJECTED
