"""Signed answers, kept for the miner's own defence, and what validators said of it. SQLite in the state folder."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from subnet.errors import StateError
from subnet.protocol import SignedCommitment, SignedRequest, SignedResponse, SignedStanding, decode, encode

FILE = "miner.sqlite"
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE answers (
        validator TEXT NOT NULL, epoch INTEGER NOT NULL, counter INTEGER NOT NULL, at REAL NOT NULL,
        request BLOB NOT NULL, response BLOB NOT NULL, PRIMARY KEY (validator, epoch, counter)
    ) WITHOUT ROWID;
    CREATE INDEX answers_at ON answers (at);
    CREATE TABLE epochs (
        validator TEXT NOT NULL, epoch INTEGER NOT NULL, at REAL NOT NULL, handshake BLOB NOT NULL,
        PRIMARY KEY (validator, epoch)
    ) WITHOUT ROWID;
    CREATE TABLE standings (validator TEXT PRIMARY KEY, at REAL NOT NULL, standing BLOB NOT NULL) WITHOUT ROWID;
    """,
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A signed request and the miner's signed answer to it."""

    request: SignedRequest
    response: SignedResponse


class AnswerStore:
    """Opens or makes `folder`/miner.sqlite. Losing it costs the miner its defence, never its honesty."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            if version > len(MIGRATIONS):
                raise StateError(f"{folder / FILE} is of version {version}; update this software")
            for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
                self._db.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version={number}; COMMIT;")
        except sqlite3.DatabaseError as error:
            raise StateError(f"{folder / FILE} cannot be used: {error}") from error

    def close(self) -> None:
        self._db.close()

    def last_epoch(self) -> int:
        return int(self._db.execute("SELECT COALESCE(MAX(epoch), 0) FROM epochs").fetchone()[0])

    def open_epoch(self, validator: str, handshake: SignedCommitment) -> None:
        self._write(
            "INSERT OR REPLACE INTO epochs VALUES (?, ?, ?, ?)",
            (validator, handshake.commitment.epoch, time.time(), encode(handshake)),
        )

    def keep(self, validator: str, request: SignedRequest, response: SignedResponse) -> None:
        self._write(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)",
            (
                validator, request.request.epoch, request.request.counter, time.time(), encode(request),
                encode(response),
            ),
        )  # fmt: skip

    def answer(self, validator: str, epoch: int, counter: int) -> Kept | None:
        row = self._db.execute(
            "SELECT request, response FROM answers WHERE validator = ? AND epoch = ? AND counter = ?",
            (validator, epoch, counter),
        ).fetchone()
        return Kept(decode(SignedRequest, row[0]), decode(SignedResponse, row[1])) if row else None

    def count(self) -> int:
        return int(self._db.execute("SELECT COUNT(*) FROM answers").fetchone()[0])

    def forget_before(self, moment: float) -> int:
        """Drops answers older than `moment` (seconds since 1970), and epochs without any; returns how many answers."""
        dropped = self._write("DELETE FROM answers WHERE at < ?", (moment,))
        self._write(
            "DELETE FROM epochs WHERE at < ? AND NOT EXISTS (SELECT 1 FROM answers WHERE answers.validator = "
            "epochs.validator AND answers.epoch = epochs.epoch) AND epoch < (SELECT MAX(epoch) FROM epochs)",
            (moment,),
        )
        return dropped

    def hear(self, validator: str, standing: SignedStanding) -> None:
        self._write("INSERT OR REPLACE INTO standings VALUES (?, ?, ?)", (validator, time.time(), encode(standing)))

    def standings(self) -> list[tuple[str, float, SignedStanding]]:
        rows = self._db.execute("SELECT validator, at, standing FROM standings ORDER BY validator").fetchall()
        return [(row[0], row[1], decode(SignedStanding, row[2])) for row in rows]

    def _write(self, sql: str, values: tuple[object, ...]) -> int:
        try:
            return self._db.execute(sql, values).rowcount
        except sqlite3.DatabaseError as error:
            raise StateError(f"{FILE}: {error}") from error
