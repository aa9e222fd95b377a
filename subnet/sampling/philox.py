"""Philox4x32-10: random words that are addressed, not streamed.

Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011). A block of four 32-bit words is a
function of a 64-bit key and a 128-bit counter, so the noise of any token at any position needs nothing before it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from subnet.errors import ProtocolError

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
SEED_BYTES = 32

FEW = 8
"""Up to so many blocks, plain integers are quicker than arrays."""

_WORD = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)

Lane = NDArray[np.uint64] | np.uint64


def philox4x32(counter: tuple[Lane, Lane, Lane, Lane], key: tuple[int, int]) -> tuple[Lane, Lane, Lane, Lane]:
    """The four output words of each counter block, as uint64 lanes below 2**32.

    A lane of the counter is a uint64 scalar or an array below 2**32; lanes broadcast, so that a lane which is the same
    for every block costs nothing until the rounds have mixed it.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    m0, m1 = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1])
    for _ in range(ROUNDS):
        p0, p1 = c0 * m0, c2 * m1
        c0 = _mixed(p1 >> _HALF, c1, k0)
        c2 = _mixed(p0 >> _HALF, c3, k1)
        c1, c3 = _low(p1), _low(p0)
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def philox4x32_block(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """The four output words of one counter block: what `philox4x32` gives, in plain integers."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c3 ^ k1, p0 & 0xFFFFFFFF
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def _mixed(high: Lane, lane: Lane, key: int) -> Lane:
    if isinstance(high, np.ndarray):
        if isinstance(lane, np.ndarray):
            high ^= lane
            high ^= np.uint64(key)
        else:
            high ^= lane ^ np.uint64(key)
        return high
    return lane ^ (high ^ np.uint64(key))


def _low(product: Lane) -> Lane:
    if isinstance(product, np.ndarray):
        product &= _WORD
        return product
    return product & _WORD


def seed_words(seed: bytes) -> tuple[int, int, int, int]:
    """The seed's first 16 bytes as four little-endian words: the key, then the upper half of the counter."""
    if len(seed) != SEED_BYTES:
        raise ProtocolError(f"a sampling seed has {SEED_BYTES} bytes, this one has {len(seed)}")
    k0, k1, c2, c3 = (int.from_bytes(seed[i : i + 4], "little") for i in range(0, 16, 4))
    return k0, k1, c2, c3


def check_position(position: int) -> None:
    """Raise ProtocolError unless the position fits the 32-bit lane that addresses it."""
    if not 0 <= position < 2**32:
        raise ProtocolError(f"a position within a completion is at least 0 and below 2**32, not {position}")


def words(seed: bytes, position: int, vocabulary: int) -> NDArray[np.uint32]:
    """The random word of every token id below `vocabulary` (uint32 [vocabulary]) at one position of the completion."""
    check_position(position)
    k0, k1, c2, c3 = seed_words(seed)
    blocks = _block_numbers(-(-vocabulary // 4))
    lanes = philox4x32((blocks, np.uint64(position), np.uint64(c2), np.uint64(c3)), (k0, k1))
    out = np.empty((len(blocks), 4), np.uint32)
    for column, lane in enumerate(lanes):
        out[:, column] = lane
    return out.reshape(-1)[:vocabulary]


def block_words(seed: bytes, position: int, blocks: NDArray[np.integer]) -> tuple[NDArray[np.uint64], ...]:
    """The four words of each block of four tokens given (four arrays uint64 [n] below 2**32)."""
    check_position(position)
    k0, k1, c2, c3 = seed_words(seed)
    lanes = philox4x32((blocks.astype(np.uint64), np.uint64(position), np.uint64(c2), np.uint64(c3)), (k0, k1))
    return tuple(np.asarray(lane) for lane in lanes)


def words_at(seed: bytes, position: int, tokens: NDArray[np.integer]) -> NDArray[np.uint32]:
    """The random words (uint32 [n]) of the token ids given (non-negative integers [n])."""
    check_position(position)
    k0, k1, c2, c3 = seed_words(seed)
    if len(tokens) <= FEW:
        few = [philox4x32_block((token >> 2, position, c2, c3), (k0, k1))[token & 3] for token in tokens.tolist()]
        return np.array(few, np.uint32)
    ids = tokens.astype(np.uint64)
    lanes = philox4x32((ids >> np.uint64(2), np.uint64(position), np.uint64(c2), np.uint64(c3)), (k0, k1))
    picked = np.choose((ids & np.uint64(3)).astype(np.intp), [np.asarray(lane) for lane in lanes])
    return picked.astype(np.uint32)


@lru_cache(maxsize=4)
def _block_numbers(count: int) -> NDArray[np.uint64]:
    numbers = np.arange(count, dtype=np.uint64)
    numbers.flags.writeable = False
    return numbers
