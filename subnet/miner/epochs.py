"""Secrets, counters and the chain of answers, for each validator and epoch.

An epoch's secrets live in memory alone and their master is drawn anew at every start, so a restart can never answer one
counter twice: it opens new epochs, and old ones are answered with `unknown_epoch`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field

from subnet.protocol import SecretTree, SignedCommitment
from subnet.protocol.response import FIRST_PREVIOUS

KEPT_EPOCHS = 2
"""Epochs of one validator that are answered: the newest, and the one before it for what is under way."""


@dataclass(slots=True)
class Epoch:
    """One validator's secrets epoch. `last_link` is the newest answer's; `signing` guards what extends the chain."""

    number: int
    tree: SecretTree
    handshake: SignedCommitment
    last_link: bytes = FIRST_PREVIOUS
    digests: dict[int, bytes] = field(default_factory=dict)
    """The one request digest that each counter stands for."""
    signing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def claim(self, counter: int, digest: bytes) -> bool:
        """Whether this counter may be answered for this request: it is unused, or this is the same request again."""
        return self.digests.setdefault(counter, digest) == digest

    @property
    def exhausted(self) -> bool:
        return len(self.digests) >= self.tree.size


class EpochBook:
    """The open epochs of every validator."""

    def __init__(self, size: int, after: int) -> None:
        """`after` is the newest epoch number that was ever used: numbers grow even when the clock is set back."""
        self._size, self._newest = size, after
        self._master = secrets.token_bytes(32)
        self._epochs: dict[bytes, dict[int, Epoch]] = {}

    def derive(self, validator: bytes) -> tuple[int, SecretTree]:
        """The next epoch's number and secrets for a validator (32-byte key). About 15 ms for 4096 secrets."""
        self._newest = max(time.time_ns() // 1000, self._newest + 1)
        return self._newest, SecretTree.derive(self._master, validator, self._newest, self._size)

    def current(self, validator: bytes) -> Epoch | None:
        """The newest epoch, unless it is used up."""
        opened = self._epochs.get(validator)
        if not opened:
            return None
        epoch = opened[max(opened)]
        return None if epoch.exhausted else epoch

    def open(self, validator: bytes, number: int, tree: SecretTree, handshake: SignedCommitment) -> Epoch:
        opened = self._epochs.setdefault(validator, {})
        opened[number] = Epoch(number, tree, handshake)
        for old in sorted(opened)[:-KEPT_EPOCHS]:
            del opened[old]
        return opened[number]

    def find(self, validator: bytes, number: int) -> Epoch | None:
        return self._epochs.get(validator, {}).get(number)
