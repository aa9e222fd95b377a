import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.errors import ProtocolError
from subnet.protocol import merkle

LEAVES = [merkle.leaf_hash(bytes([index])) for index in range(70)]


def recursive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962's definition: split at the largest power of two below the size."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return merkle.node_hash(recursive_root(leaves[:split]), recursive_root(leaves[split:]))


@pytest.mark.parametrize("size", range(1, 70))
def test_promoting_the_odd_node_is_the_tree_of_rfc_6962(size: int) -> None:
    assert merkle.root(LEAVES[:size]) == recursive_root(LEAVES[:size])


@given(st.integers(1, 70).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1))))
def test_every_leaf_proves_its_place_and_no_other(case: tuple[int, int]) -> None:
    size, index = case
    leaves = LEAVES[:size]
    root, path = merkle.root(leaves), merkle.path(leaves, index)
    for place in range(size):
        assert merkle.verify_path(leaves[index], place, size, path, root) is (place == index)


@given(st.integers(2, 70), st.data())
def test_a_changed_path_leaf_or_root_is_refused(size: int, data: st.DataObject) -> None:
    leaves = LEAVES[:size]
    index = data.draw(st.integers(0, size - 1))
    root, path = merkle.root(leaves), list(merkle.path(leaves, index))
    at = data.draw(st.integers(0, len(path) - 1))
    other = path.copy()
    other[at] = bytes(32)
    assert not merkle.verify_path(leaves[index], index, size, other, root)
    assert not merkle.verify_path(leaves[index], index, size, path[:-1], root)
    assert not merkle.verify_path(leaves[index], index, size, [*path, bytes(32)], root)
    assert not merkle.verify_path(leaves[index - 1], index, size, path, root)
    assert not merkle.verify_path(leaves[index], index, size, path, bytes(32))
    assert not merkle.verify_path(leaves[index], index, size, [path[0][:31], *path[1:]], root)


def test_an_inner_node_cannot_be_shown_as_a_leaf() -> None:
    leaves = LEAVES[:4]
    forged = b"".join(leaves[:2])
    root = merkle.root(leaves)
    assert not merkle.verify_path(merkle.leaf_hash(forged), 0, 2, [merkle.node_hash(leaves[2], leaves[3])], root)


def test_a_path_of_no_leaf_is_an_error() -> None:
    for index in (-1, 3):
        with pytest.raises(ProtocolError, match="no leaf"):
            merkle.path(LEAVES[:3], index)
    with pytest.raises(ProtocolError, match="no leaf"):
        merkle.path([], 0)
