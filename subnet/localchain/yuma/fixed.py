"""The chain's fixed-point arithmetic, exactly: I32F32, I64F64, U96F32 and I96F32.

A fixed-point number is kept as its integer of bits: value = bits / 2**fraction. Two kinds of function live here.

* `mul` and `div` work on Python integers of any size, for the 128-bit types and for scalars.
* The `v*` functions work on int64 numpy arrays of I32F32 bits. A product of two such numbers needs up to 126 bits and a
  quotient 95, which no numpy type holds. So `vmul` splits each factor at the binary point,

      a = aH * 2**32 + aL,  b = bH * 2**32 + bL  (0 <= aL, bL < 2**32; the high parts carry the sign)
      floor(a * b / 2**32) = aH * bH * 2**32 + aH * bL + aL * bH + floor(aL * bL / 2**32)

  where every term fits 64 bits whenever the result does, and `vdiv` is a long division that shifts in as many bits at a
  time as the remainder leaves free. Nothing is rounded through floating point anywhere.

Rounding follows substrate-fixed 0.6: a product is shifted right arithmetically (towards minus infinity), a quotient is
an integer division that truncates towards zero. Overflow cannot happen for the values of an epoch (stakes, weights and
bonds are normalised, rows hold at most 65,535 u16 values), so the saturating branches of the chain are not modelled;
`subnet.localchain.yuma.consensus` refuses inputs that could reach them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.int64]

FRACTION = 32
ONE = 1 << FRACTION
HALF = ONE >> 1
U16_MAX = 65_535
U64_MAX = (1 << 64) - 1
I32F32_MAX = (1 << 63) - 1

_LOW = np.uint64(0xFFFF_FFFF)
_SHIFT = np.uint64(32)

# Euler's number as the chain has it: truncated to 23 fractional bits, then widened.
_E = 22_802_600 << 9
# exp() sums the terms x**i / i! for i < 32, one for every fractional bit.
_EXP_TERMS = FRACTION
_EXP_LIMIT = 20 * ONE


def mul(a: int, b: int, fraction: int = FRACTION) -> int:
    """Product of two fixed-point numbers with `fraction` fractional bits, rounded towards minus infinity."""
    return (a * b) >> fraction


def div(a: int, b: int, fraction: int = FRACTION) -> int:
    """Quotient rounded towards zero; zero where `b` is zero (the chain's `safe_div`)."""
    if b == 0:
        return 0
    quotient = (abs(a) << fraction) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def from_u16_share(x: int) -> int:
    """I32F32 bits of x / 65535."""
    return div(x, U16_MAX)


def vmul(a: Bits, b: Bits | int) -> Bits:
    """Elementwise I32F32 product (broadcasting), rounded towards minus infinity."""
    b = np.asarray(b, dtype=np.int64)
    a_high, b_high = a >> 32, b >> 32
    a_low, b_low = a.astype(np.uint64) & _LOW, b.astype(np.uint64) & _LOW
    low = ((a_low * b_low) >> _SHIFT).astype(np.int64)
    a_low, b_low = a_low.astype(np.int64), b_low.astype(np.int64)
    return ((a_high * b_high) << 32) + a_high * b_low + a_low * b_high + low


def vdiv(a: Bits, b: Bits | int) -> Bits:
    """Elementwise I32F32 quotient of non-negative numbers (broadcasting), truncated; zero where `b` is zero."""
    divisor = np.asarray(b, dtype=np.int64).astype(np.uint64)
    zero = divisor == 0
    divisor = np.where(zero, np.uint64(1), divisor)
    quotient, remainder = np.divmod(a.astype(np.uint64), divisor)
    free = 64 - int(divisor.max(initial=1)).bit_length()
    left = FRACTION
    while left:
        step = np.uint64(min(left, free))
        digit, remainder = np.divmod(remainder << step, divisor)
        quotient = (quotient << step) | digit
        left -= int(step)
    return np.where(zero, np.uint64(0), quotient).astype(np.int64)


def normalise(x: Bits) -> Bits:
    """The vector divided by its sum; unchanged where the sum is zero."""
    total = int(x.sum())
    return vdiv(x, total) if total else x


def normalise_rows(x: Bits) -> Bits:
    """Each row divided by its sum; rows that sum to zero unchanged."""
    return _divide_where_nonzero(x, x.sum(axis=1, keepdims=True))


def normalise_columns(x: Bits) -> Bits:
    """Each column divided by its sum; columns that sum to zero unchanged."""
    return _divide_where_nonzero(x, x.sum(axis=0, keepdims=True))


def upscale_columns(x: Bits) -> Bits:
    """Each column divided by its largest entry; columns of zeros unchanged."""
    if not x.shape[0]:
        return x
    return _divide_where_nonzero(x, x.max(axis=0, keepdims=True))


def _divide_where_nonzero(x: Bits, divisor: Bits) -> Bits:
    return np.where(divisor == 0, x, vdiv(x, divisor))


def to_u16(x: Bits) -> NDArray[np.int64]:
    """A share in [0, 1] as stored on chain: floor(x * 65535), clamped to u16."""
    return np.clip(vmul(x, U16_MAX * ONE) >> 32, 0, U16_MAX)


def vexp(x: Bits) -> Bits:
    """e**x as the chain sums it, with x clamped to [-20, 20].

    The series stops after 32 terms whatever is left over, each term is a truncated product and quotient, and a negative
    argument is the reciprocal of the positive one. The exact argument 1 gives e itself at 23 fractional bits.
    """
    x = np.clip(x, -_EXP_LIMIT, _EXP_LIMIT)
    magnitude = np.abs(x)
    total = magnitude + ONE
    term = magnitude
    for i in range(2, _EXP_TERMS):
        term = vmul(term, magnitude) // i
        total = total + term
    result = np.where(x < 0, vdiv(np.full_like(total, ONE), total), total)
    result = np.where(x == 0, ONE, result)
    return np.where(x == ONE, _E, result)
