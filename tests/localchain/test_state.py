"""The versioned state against a plain copy of every block."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from subnet.localchain.state import State, changes_root

KEYS = st.sampled_from([bytes((group,)) * 32 + bytes((tail,)) for group in range(3) for tail in range(5)])
KEEP = 16


class States(RuleBasedStateMachine):
    """Random writes, rollbacks and commits; the model keeps a whole dict per block."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State(KEEP)
        self.working: dict[bytes, bytes] = {}
        self.blocks: dict[int, dict[bytes, bytes]] = {0: {}}
        self.marks: list[tuple[int, dict[bytes, bytes]]] = []

    @rule(key=KEYS, value=st.binary(max_size=2))
    def put(self, key: bytes, value: bytes) -> None:
        self.state.put(key, value)
        self.working[key] = value

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        self.state.delete(key)
        self.working.pop(key, None)

    @rule()
    def mark(self) -> None:
        self.marks.append((self.state.mark(), dict(self.working)))

    @rule()
    def rollback(self) -> None:
        if self.marks:
            mark, before = self.marks.pop()
            self.state.rollback(mark)
            self.working = dict(before)

    @rule()
    def commit(self) -> None:
        number = self.state.block + 1
        self.state.commit(number, self.state.changes())
        self.blocks[number] = dict(self.working)
        self.marks.clear()

    @rule()
    def abandon(self) -> None:
        self.state.abandon()
        self.working = dict(self.blocks[self.state.block])
        self.marks.clear()

    @rule()
    def restart(self) -> None:
        """What `dump` says, loaded into a fresh state, reads the same."""
        fresh = State(KEEP)
        fresh.load(sorted(self.state.dump()), self.state.block)
        self.state = fresh
        self.abandon()

    @invariant()
    def working_values(self) -> None:
        for group in range(3):
            prefix = bytes((group,)) * 32
            expected = sorted(key for key in self.working if key.startswith(prefix))
            assert self.state.keys(prefix) == expected
            for key in expected:
                assert self.state.get(key) == self.working[key]

    @invariant()
    def every_readable_block(self) -> None:
        for number in range(self.state.oldest, self.state.block + 1):
            expected = self.blocks[number]
            assert self.state.page(number, b"", None, 1_000) == sorted(expected)
            view = self.state.view(number)
            assert all(view.get(key) == value for key, value in expected.items())


States.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestStates: Any = States.TestCase


def test_paging_is_exclusive_and_complete() -> None:
    state = State(KEEP)
    prefix = b"p" * 32
    keys = [prefix + bytes((i,)) for i in range(10)]
    for key in keys:
        state.put(key, b"v")
    state.put(b"q" * 32, b"other")
    state.commit(1, state.changes())
    seen: list[bytes] = []
    after: bytes | None = prefix
    while page := state.page(1, prefix, after, 3):
        seen += page
        after = page[-1]
    assert seen == keys


def test_history_is_pruned_with_the_window() -> None:
    state = State(KEEP)
    for block in range(1, 200):
        state.put(b"k" * 32, block.to_bytes(2, "big"))
        state.commit(block, state.changes())
    assert len(list(state.dump())) <= KEEP + 2
    assert state.at(199 - KEEP, b"k" * 32) == (199 - KEEP).to_bytes(2, "big")


def test_deleted_keys_leave_nothing_behind() -> None:
    state = State(KEEP)
    state.put(b"k" * 32, b"x")
    state.commit(1, state.changes())
    state.delete(b"k" * 32)
    state.commit(2, state.changes())
    for block in range(3, 3 + 2 * KEEP):
        state.commit(block, {})
    assert list(state.dump()) == []


def test_the_root_depends_on_every_change_and_on_the_past() -> None:
    one = changes_root(bytes(32), {b"a": b"1", b"b": None})
    assert one == changes_root(bytes(32), {b"b": None, b"a": b"1"})
    assert (
        len({one, changes_root(one, {b"a": b"1", b"b": None}), changes_root(bytes(32), {b"a": b"1", b"b": b""})}) == 3
    )
