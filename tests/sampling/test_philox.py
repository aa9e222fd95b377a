"""Known answers of Philox4x32-10 (the three vectors that its authors publish with Random123), and addressing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.errors import ProtocolError
from subnet.sampling.philox import FEW, philox4x32, philox4x32_block, words, words_at

KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
@pytest.mark.parametrize("as_array", [False, True])
def test_known_answers(counter, key, expected, as_array):
    lanes = [np.array([c], np.uint64) if as_array else np.uint64(c) for c in counter]
    assert tuple(int(np.asarray(lane).ravel()[0]) for lane in philox4x32(tuple(lanes), key)) == expected
    assert philox4x32_block(counter, key) == expected


def plain_word(seed: bytes, position: int, token: int) -> int:
    """The same word in plain Python integers, written from the definition."""
    k0, k1, c2, c3 = (int.from_bytes(seed[i : i + 4], "little") for i in (0, 4, 8, 12))
    c = [token // 4, position, c2, c3]
    for _ in range(10):
        p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k1, p0 & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c[token % 4]


@given(seed=st.binary(min_size=32, max_size=32), position=st.integers(0, 2**32 - 1), token=st.integers(0, 2**18))
def test_any_token_can_be_addressed_alone(seed, position, token):
    for count in (1, FEW, FEW + 1):
        assert words_at(seed, position, np.full(count, token)).tolist() == [plain_word(seed, position, token)] * count


@given(seed=st.binary(min_size=32, max_size=32), position=st.integers(0, 2**32 - 1), vocabulary=st.integers(1, 70))
def test_the_whole_vocabulary_agrees_with_single_tokens(seed, position, vocabulary):
    expected = [plain_word(seed, position, token) for token in range(vocabulary)]
    assert words(seed, position, vocabulary).tolist() == expected


def test_position_and_seed_are_checked():
    with pytest.raises(ProtocolError, match="position"):
        words(bytes(32), 2**32, 8)
    with pytest.raises(ProtocolError, match="position"):
        words_at(bytes(32), -1, np.array([1]))
    with pytest.raises(ProtocolError, match="32 bytes"):
        words(bytes(31), 0, 8)


def test_only_the_first_sixteen_bytes_of_the_seed_are_used_and_all_of_them():
    base = bytes(range(32))
    assert (words(base, 0, 64) == words(base[:16] + bytes(16), 0, 64)).all()
    for i in range(16):
        changed = bytearray(base)
        changed[i] ^= 1
        assert (words(bytes(changed), 0, 64) != words(base, 0, 64)).any()
