"""The chain's state: versioned key-value lists with a journal.

`State` keeps, for every key, its current value and the values it had at earlier blocks (within
the pruning window), and per storage item the sorted list of its keys. One block's writes go into
a pending layer; a failed dispatch rolls that layer back to a mark; `commit` makes it the block.
No trie and no proofs: the root is a hash chained over each block's changes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from hashlib import blake2b

_ABSENT = object()
_GROUP = 32


class State:
    """Current and past values. Not thread-safe: one event loop owns it.

    `keep` is how many blocks of history stay readable.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.block = 0
        self._now: dict[bytes, tuple[int, bytes | None]] = {}
        self._past: dict[bytes, list[tuple[int, bytes | None]]] = {}
        self._groups: dict[bytes, list[bytes]] = {}
        self._pending: dict[bytes, bytes | None] = {}
        self._undo: list[tuple[bytes, object]] = []
        self._fresh: dict[bytes, list[bytes]] = {}
        self._expiring: list[tuple[int, list[bytes]]] = []

    # -- reading and writing the block under construction --------------------------------

    def get(self, key: bytes) -> bytes | None:
        pending = self._pending.get(key, _ABSENT)
        if pending is not _ABSENT:
            return pending  # type: ignore[return-value]
        found = self._now.get(key)
        return None if found is None else found[1]

    def put(self, key: bytes, value: bytes) -> None:
        pending = self._pending
        self._undo.append((key, pending.get(key, _ABSENT)))
        if key not in pending and key not in self._now:
            self._fresh.setdefault(key[:_GROUP], []).append(key)
        pending[key] = value

    def delete(self, key: bytes) -> None:
        if self.get(key) is not None:
            self._undo.append((key, self._pending.get(key, _ABSENT)))
            self._pending[key] = None

    def keys(self, prefix: bytes) -> list[bytes]:
        """Live keys under a prefix of at least one storage item, sorted."""
        found = set(_range(self._groups.get(prefix[:_GROUP], []), prefix))
        found.update(key for key in self._fresh.get(prefix[:_GROUP], ()) if key.startswith(prefix))
        return sorted(key for key in found if self.get(key) is not None)

    def mark(self) -> int:
        """A point to roll back to."""
        return len(self._undo)

    def rollback(self, mark: int) -> None:
        """Undo every write since `mark`."""
        while len(self._undo) > mark:
            key, before = self._undo.pop()
            if before is _ABSENT:
                del self._pending[key]
            else:
                self._pending[key] = before  # type: ignore[assignment]

    def changes(self) -> dict[bytes, bytes | None]:
        """What the pending layer changes, entries that end as they began left out."""
        now = self._now
        return {key: value for key, value in self._pending.items() if (now[key][1] if key in now else None) != value}

    def commit(self, block: int, changes: dict[bytes, bytes | None]) -> None:
        """Make `changes` the state at `block` and clear the pending layer."""
        touched = []
        for key, value in changes.items():
            before = self._now.get(key)
            if before is None:
                insort(self._groups.setdefault(key[:_GROUP], []), key)
            else:
                self._past.setdefault(key, []).append(before)
                touched.append(key)
            self._now[key] = (block, value)
            if value is None and before is not None:
                touched.append(key)
        self.abandon()
        self.block = block
        self._expiring.append((block, touched))
        self._prune(block - self.keep)

    def abandon(self) -> None:
        """Drop the pending layer."""
        self._pending.clear()
        self._undo.clear()
        self._fresh.clear()

    # -- reading committed blocks ------------------------------------------------------------

    @property
    def oldest(self) -> int:
        """The oldest block whose state can be read."""
        return max(0, self.block - self.keep)

    def at(self, block: int, key: bytes) -> bytes | None:
        """The value of `key` at the end of `block`."""
        found = self._now.get(key)
        if found is None:
            return None
        if found[0] <= block:
            return found[1]
        versions = self._past.get(key)
        if not versions:
            return None
        index = bisect_right(versions, block, key=_version) - 1
        return versions[index][1] if index >= 0 else None

    def page(self, block: int, prefix: bytes, after: bytes | None, count: int) -> list[bytes]:
        """Up to `count` keys under `prefix` that exist at `block`, after `after` (exclusive)."""
        out: list[bytes] = []
        for group in self._groups_under(prefix):
            for key in _range(group, prefix, after):
                if self.at(block, key) is not None:
                    out.append(key)
                    if len(out) == count:
                        return out
        return out

    def view(self, block: int) -> View:
        return View(self, block)

    def dump(self) -> Iterator[tuple[bytes, int, bytes | None]]:
        """Every stored version: (key, block, value)."""
        for key, (block, value) in self._now.items():
            for past_block, past_value in self._past.get(key, ()):
                yield key, past_block, past_value
            yield key, block, value

    def load(self, versions: Iterable[tuple[bytes, int, bytes | None]], block: int) -> None:
        """Fill an empty state from stored versions, ordered by block within each key."""
        for key, at, value in versions:
            before = self._now.get(key)
            if before is None:
                self._groups.setdefault(key[:_GROUP], []).append(key)
            else:
                self._past.setdefault(key, []).append(before)
            self._now[key] = (at, value)
        for group in self._groups.values():
            group.sort()
        self.block = block
        # What was superseded before the restart falls out of the window one window later at the latest.
        self._expiring = [(block, list(self._past))]

    def _groups_under(self, prefix: bytes) -> list[list[bytes]]:
        if len(prefix) >= _GROUP:
            return [self._groups.get(prefix[:_GROUP], [])]
        return [self._groups[name] for name in sorted(self._groups) if name.startswith(prefix)]

    def _prune(self, horizon: int) -> None:
        while self._expiring and self._expiring[0][0] <= horizon:
            for key in self._expiring.pop(0)[1]:
                self._prune_key(key, horizon)

    def _prune_key(self, key: bytes, horizon: int) -> None:
        found = self._now.get(key)
        if found is None:
            return
        versions = self._past.get(key)
        if versions:
            stop = len(versions) if found[0] <= horizon else max(0, bisect_right(versions, horizon, key=_version) - 1)
            del versions[:stop]
            if not versions:
                del self._past[key]
        if found[1] is None and found[0] <= horizon and key not in self._past:
            del self._now[key]
            group = self._groups[key[:_GROUP]]
            del group[bisect_left(group, key)]


class View:
    """One block's state, read-only, with the interface that storage items use."""

    __slots__ = ("_state", "block")

    def __init__(self, state: State, block: int) -> None:
        self._state = state
        self.block = block

    def get(self, key: bytes) -> bytes | None:
        return self._state.at(self.block, key)

    def put(self, key: bytes, value: bytes) -> None:
        raise TypeError("a past block cannot be written")

    def delete(self, key: bytes) -> None:
        raise TypeError("a past block cannot be written")

    def keys(self, prefix: bytes) -> list[bytes]:
        return self._state.page(self.block, prefix, None, 1 << 30)


def changes_root(previous: bytes, changes: dict[bytes, bytes | None]) -> bytes:
    """The root after a block: BLAKE2b-256 over the previous root and the sorted changes."""
    digest = blake2b(previous, digest_size=32)
    for key in sorted(changes):
        value = changes[key]
        digest.update(len(key).to_bytes(4, "big") + key)
        digest.update(b"\x00" if value is None else b"\x01" + len(value).to_bytes(4, "big") + value)
    return digest.digest()


def _version(entry: tuple[int, bytes | None]) -> int:
    return entry[0]


def _range(keys: list[bytes], prefix: bytes, after: bytes | None = None) -> Iterator[bytes]:
    start = bisect_right(keys, after) if after is not None and after >= prefix else bisect_left(keys, prefix)
    for index in range(start, len(keys)):
        if not keys[index].startswith(prefix):
            return
        yield keys[index]
