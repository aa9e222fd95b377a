import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from subnet.localchain.yuma import fixed
from subnet.localchain.yuma.fixed import ONE

shares = st.integers(0, ONE)
signed = st.integers(-(1 << 46), 1 << 46)
positive = st.integers(0, 1 << 56)


def array(values):
    return np.array(values, dtype=np.int64)


@given(st.lists(st.tuples(signed, signed), min_size=1))
def test_vector_product_is_the_exact_floor(pairs):
    left, right = zip(*pairs, strict=True)
    expected = [(a * b) // ONE for a, b in pairs]
    assert fixed.vmul(array(left), array(right)).tolist() == expected
    assert [fixed.mul(a, b) for a, b in pairs] == expected


@given(st.lists(st.tuples(st.integers(0, 1 << 48), positive), min_size=1))
def test_vector_quotient_is_the_exact_floor(pairs):
    pairs = [(a, b) for a, b in pairs if b == 0 or (a << 32) // b < 1 << 63]
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    expected = [(a << 32) // b if b else 0 for a, b in pairs]
    assert fixed.vdiv(array(left), array(right)).tolist() == expected
    assert [fixed.div(a, b) for a, b in pairs] == expected


def test_products_beyond_64_bits_are_not_wrapped_or_rounded():
    a, b = 65_535 * ONE - 1, (1 << 46) - 1
    assert (a * b).bit_length() > 93
    assert fixed.vmul(array([a]), b).tolist() == [(a * b) >> 32]


@given(st.integers(-(1 << 40), 1 << 40), st.integers(-(1 << 40), 1 << 40).filter(bool))
def test_scalar_quotient_truncates_towards_zero(a, b):
    exact = abs(a << 32) // abs(b)
    assert fixed.div(a, b) == (exact if (a < 0) == (b < 0) else -exact)


@given(st.lists(st.integers(0, 65_535), min_size=1, max_size=64))
def test_normalised_vector_sums_to_one_from_below(values):
    total = int(fixed.normalise(array(values) * ONE).sum())
    assert total == 0 if not any(values) else ONE - len(values) < total <= ONE


@given(st.lists(st.lists(st.integers(0, 65_535), min_size=3, max_size=3), min_size=1, max_size=8))
def test_columns_and_rows_normalise_like_vectors(rows):
    matrix = array(rows) * ONE
    by_rows, by_columns = fixed.normalise_rows(matrix), fixed.normalise_columns(matrix)
    for index in range(len(rows)):
        assert by_rows[index].tolist() == fixed.normalise(matrix[index]).tolist()
    for index in range(3):
        assert by_columns[:, index].tolist() == fixed.normalise(matrix[:, index]).tolist()


@given(shares)
def test_u16_of_a_share_is_its_floor_and_clamped(share):
    assert fixed.to_u16(array([share])).tolist() == [share * 65_535 >> 32]
    assert fixed.to_u16(array([share + ONE + ONE])).tolist() == [65_535]
    assert fixed.to_u16(array([-share])).tolist() == [0]


@given(st.floats(-8, 8))
def test_exponential_is_within_its_truncation_of_the_real_one(x):
    bits = int(x * ONE)
    got = int(fixed.vexp(array([bits]))[0]) / ONE
    assert math.isclose(got, math.exp(bits / ONE), rel_tol=2e-7 if x >= 0 else 1e-5, abs_tol=1e-8)


def test_exponential_clamps_and_keeps_the_chains_special_cases():
    values = fixed.vexp(array([0, ONE, 25 * ONE, 20 * ONE, -25 * ONE, -20 * ONE])).tolist()
    assert values[0] == ONE
    assert values[1] == math.floor(math.e * (1 << 23)) << 9
    assert values[2] == values[3] and values[4] == values[5]


def test_empty_matrices_pass_through():
    empty = np.zeros((0, 4), dtype=np.int64)
    for function in (fixed.normalise_rows, fixed.normalise_columns, fixed.upscale_columns):
        assert function(empty).shape == (0, 4)
