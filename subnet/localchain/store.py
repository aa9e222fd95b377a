"""The chain on disk: one SQLite file, one transaction a block.

A block and its state changes are written and flushed before anyone is told of the block, so what
a client has seen finalized is there after a kill at any moment, and no block is half applied.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from subnet.errors import ChainError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS blocks (
    number INTEGER PRIMARY KEY, hash BLOB NOT NULL, header BLOB NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS state (key BLOB, block INTEGER, value BLOB, PRIMARY KEY (key, block)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS blocks_by_hash ON blocks (hash);
"""
_PRUNE_EVERY = 256


@dataclass(frozen=True, slots=True)
class Block:
    """A finished block: its number, hash, encoded header and extrinsics."""

    number: int
    hash: bytes
    header: bytes
    extrinsics: tuple[bytes, ...]


def pack(extrinsics: tuple[bytes, ...]) -> bytes:
    return b"".join(len(raw).to_bytes(4, "big") + raw for raw in extrinsics)


def unpack(body: bytes) -> tuple[bytes, ...]:
    out, at = [], 0
    while at < len(body):
        end = at + 4 + int.from_bytes(body[at : at + 4], "big")
        out.append(body[at + 4 : end])
        at = end
    return tuple(out)


class Store:
    """Blocks and state versions. `directory` None keeps them in memory."""

    def __init__(self, directory: Path | None) -> None:
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
        self.durable = directory is not None
        try:
            self._db = sqlite3.connect(
                str(directory / "chain.sqlite") if directory is not None else ":memory:",
                isolation_level=None,
                timeout=1.0,
                check_same_thread=False,
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise ChainError(
                f"the chain state in {directory} cannot be opened: {error}. Is another node using it?"
            ) from error

    def close(self) -> None:
        self._db.close()

    def fact(self, name: str) -> bytes | None:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def write(
        self, block: Block, changes: dict[bytes, bytes | None], facts: dict[str, bytes], oldest_state: int
    ) -> None:
        """Append a block and its changes in one transaction. Raises ChainError where the disk refuses."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "INSERT INTO blocks VALUES (?, ?, ?, ?)",
                (block.number, block.hash, block.header, pack(block.extrinsics)),
            )
            if self.durable:
                rows = [(key, block.number, value) for key, value in changes.items()]
                self._db.executemany("INSERT INTO state VALUES (?, ?, ?)", rows)
                if block.number % _PRUNE_EVERY == 0:
                    self._prune(oldest_state)
            self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", list(facts.items()))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise ChainError(f"block {block.number} could not be stored: {error}") from error

    def _prune(self, oldest: int) -> None:
        """Drop state versions that a newer version within the window's start supersedes."""
        self._db.execute(
            "DELETE FROM state WHERE block < ?1 AND EXISTS ("
            "SELECT 1 FROM state AS newer"
            " WHERE newer.key = state.key AND newer.block > state.block AND newer.block <= ?1)",
            (oldest,),
        )

    def head(self) -> int | None:
        return self._db.execute("SELECT MAX(number) FROM blocks").fetchone()[0]

    def by_number(self, number: int) -> Block | None:
        return self._block("number = ?", number)

    def by_hash(self, hash_: bytes) -> Block | None:
        return self._block("hash = ?", hash_)

    def number_of(self, hash_: bytes) -> int | None:
        row = self._db.execute("SELECT number FROM blocks WHERE hash = ?", (hash_,)).fetchone()
        return None if row is None else row[0]

    def hash_of(self, number: int) -> bytes | None:
        row = self._db.execute("SELECT hash FROM blocks WHERE number = ?", (number,)).fetchone()
        return None if row is None else row[0]

    def versions(self) -> Iterator[tuple[bytes, int, bytes | None]]:
        """Every state version, each key's in block order."""
        yield from self._db.execute("SELECT key, block, value FROM state ORDER BY key, block")

    def _block(self, where: str, value: int | bytes) -> Block | None:
        row = self._db.execute(f"SELECT number, hash, header, body FROM blocks WHERE {where}", (value,)).fetchone()
        return None if row is None else Block(row[0], row[1], row[2], unpack(row[3]))
