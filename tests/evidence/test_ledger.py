import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.errors import EvidenceError
from subnet.evidence.ledger import (
    EMPTY_ROOT,
    ENTRY_BYTES,
    NOBODY,
    Entry,
    EntryKind,
    Log,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    log_of,
    verify_consistency,
    verify_inclusion,
)

keys = st.binary(min_size=32, max_size=32)
entries = st.builds(
    Entry,
    kind=st.sampled_from(EntryKind),
    block=st.integers(0, 2**64 - 1),
    subject=keys,
    author=keys,
    digest=keys,
    reason=st.integers(0, 2**16 - 1),
)


def leaves_of(count: int) -> list[bytes]:
    return [leaf_hash(number.to_bytes(4, "big")) for number in range(count)]


def tree_by_definition(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + tree_by_definition(leaves[:k]) + tree_by_definition(leaves[k:])).digest()


@given(entries)
def test_an_entry_survives_its_canonical_bytes(entry: Entry) -> None:
    raw = entry.to_bytes()
    assert len(raw) == ENTRY_BYTES
    assert Entry.from_bytes(raw) == entry


def test_the_golden_bytes_of_an_entry() -> None:
    """Roots on chain cover these bytes: they are history, and never change."""
    entry = Entry(EntryKind.ACCUSATION, 7, b"\x01" * 32, b"\x02" * 32, b"\x03" * 32)
    assert entry.to_bytes().hex() == "000102" + "0000000000000007" + "01" * 32 + "02" * 32 + "03" * 32 + "0000"
    assert [(kind.name, kind.value) for kind in EntryKind] == [
        ("ROUND", 1),
        ("ACCUSATION", 2),
        ("OPINION", 3),
        ("DECISION", 4),
        ("PROMPTS", 5),
    ]


@given(entries, entries)
def test_different_entries_have_different_bytes(one: Entry, other: Entry) -> None:
    assert (one == other) == (one.to_bytes() == other.to_bytes())


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (bytes(ENTRY_BYTES - 1), "expected"),
        (bytes(ENTRY_BYTES + 1), "expected"),
        (b"\x00\x02" + bytes(ENTRY_BYTES - 2), "version 2"),
        (b"\x00\x01\x00" + bytes(ENTRY_BYTES - 3), "kind 0"),
        (b"\x00\x01\xff" + bytes(ENTRY_BYTES - 3), "kind 255"),
    ],
)
def test_bytes_that_are_no_entry_are_refused(raw: bytes, says: str) -> None:
    with pytest.raises(EvidenceError, match=says):
        Entry.from_bytes(raw)


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": bytes(31)},
        {"author": bytes(33)},
        {"digest": "00" * 32},
        {"block": -1},
        {"block": 1 << 64},
        {"reason": 1 << 16},
    ],
)
def test_an_entry_out_of_range_cannot_exist(wrong: dict) -> None:
    good = {"kind": EntryKind.ROUND, "block": 1, "subject": NOBODY, "author": bytes(32), "digest": bytes(32)}
    with pytest.raises(EvidenceError):
        Entry(**{**good, **wrong})


@pytest.mark.parametrize("count", range(0, 40))
def test_the_root_is_that_of_the_definition(count: int) -> None:
    leaves = leaves_of(count)
    assert log_of(leaves).root == tree_by_definition(leaves)
    assert log_of(leaves).size == count


def test_appending_bytes_is_appending_their_leaf() -> None:
    assert Log().root == EMPTY_ROOT
    assert Log().append(b"one").append(b"two") == log_of([leaf_hash(b"one"), leaf_hash(b"two")])


def test_a_log_with_the_wrong_number_of_peaks_is_refused() -> None:
    with pytest.raises(EvidenceError):
        Log(3, (bytes(32),))


@pytest.mark.parametrize("size", range(1, 34))
def test_every_entry_is_proved_and_no_other(size: int) -> None:
    leaves = leaves_of(size)
    root = log_of(leaves).root
    for index in range(size):
        path = inclusion_proof(leaves, index)
        assert verify_inclusion(leaves[index], index, size, path, root)
        assert not verify_inclusion(leaf_hash(b"forged"), index, size, path, root)
        assert not verify_inclusion(leaves[index], size, size, path, root)
        assert not verify_inclusion(leaves[index], index, size, (*path, bytes(32)), root)
        if path:
            assert not verify_inclusion(leaves[index], index, size, path[:-1], root)
        for other in range(size):
            if other != index:
                assert not verify_inclusion(leaves[index], other, size, path, root)


@pytest.mark.parametrize("index", [-1, 5, 6])
def test_there_is_no_proof_of_what_is_not_there(index: int) -> None:
    with pytest.raises(EvidenceError):
        inclusion_proof(leaves_of(5), index)


def test_a_proof_can_be_made_for_an_older_size() -> None:
    leaves = leaves_of(9)
    assert verify_inclusion(leaves[2], 2, 5, inclusion_proof(leaves, 2, 5), log_of(leaves[:5]).root)


@pytest.mark.parametrize("new", range(0, 20))
def test_every_older_log_is_shown_to_be_a_prefix(new: int) -> None:
    leaves = leaves_of(new)
    for old in range(new + 1):
        proof = consistency_proof(leaves, old)
        assert verify_consistency(old, log_of(leaves[:old]).root, new, log_of(leaves).root, proof)


@given(st.integers(1, 40), st.data())
@settings(deadline=None)
def test_a_validator_that_rewrites_history_is_seen(old: int, data: st.DataObject) -> None:
    """It replaces or removes an entry that it had committed to, and makes the best proof that it can."""
    more = data.draw(st.integers(0, 20))
    changed = data.draw(st.integers(0, old - 1))
    honest = leaves_of(old)
    rewritten = leaves_of(old + more)
    rewritten[changed] = leaf_hash(b"another past")
    removed = [leaf for index, leaf in enumerate(leaves_of(old + more + 1)) if index != changed]
    for history in (rewritten, removed):
        new = len(history)
        if new < old:
            continue
        proof = consistency_proof(history, old)
        assert not verify_consistency(old, log_of(honest).root, new, log_of(history).root, proof)


@given(st.integers(0, 30), st.integers(0, 30), st.lists(keys, max_size=12))
def test_a_made_up_proof_proves_nothing(old: int, more: int, proof: list[bytes]) -> None:
    new_root = log_of(leaves_of(old + more)).root
    forged_root = hashlib.sha256(b"forged").digest()
    assert not verify_consistency(old, forged_root, old + more, new_root, proof)


def test_consistency_is_not_backwards() -> None:
    leaves = leaves_of(4)
    root = log_of(leaves).root
    assert not verify_consistency(4, root, 3, root, consistency_proof(leaves, 4))
    assert not verify_consistency(-1, root, 4, root, consistency_proof(leaves, 4))
    with pytest.raises(EvidenceError):
        consistency_proof(leaves, 5)
