"""Recent block hashes: a request must name a block that is at most 32 blocks old, with its true hash."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from subnet.chain.values import Head
from subnet.protocol.limits import MAX_BEACON_AGE_BLOCKS
from subnet.transport.errors import Refused

AHEAD_BLOCKS = 8
"""A validator's chain endpoint may be this many blocks ahead of ours."""


class Beacons:
    """Checks beacons against the miner's own chain endpoint. Hashes are asked for once and kept while recent."""

    def __init__(self, hash_of: Callable[[int], Awaitable[bytes]]) -> None:
        self._hash_of = hash_of
        self._known: dict[int, bytes] = {}
        self._head = -1

    @property
    def head(self) -> int:
        return self._head

    def see(self, head: Head) -> None:
        self._head = max(self._head, head.number)
        self._known[head.number] = head.hash
        for number in [n for n in self._known if n < self._head - 2 * MAX_BEACON_AGE_BLOCKS]:
            del self._known[number]

    async def check(self, block: int, claimed: bytes) -> None:
        """Raises Refused with `stale_beacon` for an old, future or false beacon. ChainAway passes through."""
        if self._head < 0:
            raise Refused("overloaded", "this miner does not know the chain's head yet", 1000)
        age = self._head - block
        if age > MAX_BEACON_AGE_BLOCKS or age < -AHEAD_BLOCKS:
            raise Refused("stale_beacon", f"beacon block {block} is not within {MAX_BEACON_AGE_BLOCKS} of {self._head}")
        if block not in self._known:
            self._known[block] = await self._hash_of(block)
        if self._known[block] != claimed:
            raise Refused("stale_beacon", f"block {block} has another hash on this chain")
