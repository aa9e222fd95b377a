"""The transaction pool: valid extrinsics in the order in which blocks take them.

Per sender by nonce; a gap makes the later ones wait. The pool holds decoded, verified
extrinsics and knows nothing of the state but through the nonces that it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from subnet.localchain.errors import PoolRejection
from subnet.localchain.extrinsic import Extrinsic

MAX_POOLED = 8_192
MAX_PER_SENDER = 1_024

ALREADY_IMPORTED = 1013
TOO_LOW_PRIORITY = 1014
IMMEDIATELY_DROPPED = 1016

Watcher = Callable[[object], None]


@dataclass(slots=True)
class Entry:
    """A pooled extrinsic, who watches it, and the block in which its era ends."""

    extrinsic: Extrinsic
    expires: int | None
    watchers: list[Watcher]


class Pool:
    """Not thread-safe: one event loop owns it."""

    def __init__(self) -> None:
        self._by_sender: dict[bytes, dict[int, Entry]] = {}
        self._order: dict[bytes, Entry] = {}

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._order.values()))

    def next_nonce(self, sender: bytes, nonce: int) -> int:
        """The first nonce at or above `nonce` that is not pooled."""
        queue = self._by_sender.get(sender)
        while queue and nonce in queue:
            nonce += 1
        return nonce

    def add(self, extrinsic: Extrinsic, expires: int | None) -> Entry:
        """Pool a verified extrinsic. Raises PoolRejection: imported already, too low a tip, no room."""
        assert extrinsic.signer is not None
        if extrinsic.hash in self._order:
            raise PoolRejection("Transaction is already imported", ALREADY_IMPORTED, "Transaction Already Imported")
        queue = self._by_sender.setdefault(extrinsic.signer, {})
        rival = queue.get(extrinsic.nonce)
        if rival is not None:
            if extrinsic.tip <= rival.extrinsic.tip:
                raise PoolRejection(
                    "The transaction has too low priority to replace another transaction already in the pool.",
                    TOO_LOW_PRIORITY,
                    f"Priority is too low: ({rival.extrinsic.tip} vs {extrinsic.tip})",
                )
            self.remove(rival.extrinsic)
            notify(rival, {"usurped": "0x" + extrinsic.hash.hex()})
            queue = self._by_sender.setdefault(extrinsic.signer, {})
        elif len(self._order) >= MAX_POOLED or len(queue) >= MAX_PER_SENDER:
            raise PoolRejection(
                "The transaction couldn't enter the pool because of the limit",
                IMMEDIATELY_DROPPED,
                "Immediately Dropped",
            )
        entry = Entry(extrinsic, expires, [])
        queue[extrinsic.nonce] = entry
        self._order[extrinsic.hash] = entry
        return entry

    def remove(self, extrinsic: Extrinsic) -> Entry | None:
        entry = self._order.pop(extrinsic.hash, None)
        if entry is not None and extrinsic.signer is not None:
            queue = self._by_sender.get(extrinsic.signer, {})
            if queue.get(extrinsic.nonce) is entry:
                del queue[extrinsic.nonce]
                if not queue:
                    del self._by_sender[extrinsic.signer]
        return entry

    def ready(self, nonce_of: Callable[[bytes], int]) -> Iterator[Entry]:
        """Entries in arrival order, each sender's in nonce order; asks `nonce_of` as it goes."""
        for entry in list(self._order.values()):
            sender = entry.extrinsic.signer
            assert sender is not None
            queue = self._by_sender.get(sender)
            # An entry may be reached early, when its predecessor came later: take the run from here.
            while queue and (following := queue.get(nonce_of(sender))) is not None:
                yield following
                if following.extrinsic.hash in self._order:
                    break
                queue = self._by_sender.get(sender)

    def expire(self, block: int, nonce_of: Callable[[bytes], int]) -> None:
        """Drop what the next block can no longer take: dead eras and used nonces."""
        for entry in list(self._order.values()):
            sender = entry.extrinsic.signer
            assert sender is not None
            if (entry.expires is not None and entry.expires <= block) or entry.extrinsic.nonce < nonce_of(sender):
                self.remove(entry.extrinsic)
                notify(entry, "invalid")


def notify(entry: Entry, status: object) -> None:
    """Tell everyone who watches an extrinsic."""
    for watcher in entry.watchers:
        watcher(status)
