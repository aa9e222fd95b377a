"""Opens the validator's SQLite file: one process, one version, all or nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from subnet.errors import StateError
from subnet.validator.state.schema import MIGRATIONS

FILE = "validator.sqlite"


class DiskFull(StateError):
    """The state folder cannot be written, mostly for want of room: nothing was written, and nothing may be asked
    until it can be."""


_UNWRITABLE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})


def unwritable(error: BaseException) -> bool:
    """Whether the disk is what fails. A quota shows as an I/O error; the low byte is the primary code."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNWRITABLE
    return isinstance(error, OSError)


class Database:
    """A connection whose every write is in a transaction that is on the disk when it returns."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        """Opens or makes `folder`/validator.sqlite and brings it to this version.

        `read_only` looks into the state of a validator that may be running: it takes no lock and changes nothing.
        Raises StateError where another process holds the folder, or the file is newer than this software.
        """
        self.folder = folder
        if read_only:
            self._lock, self._connection = _Lock(-1), _look_into(folder / FILE)
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(folder / "lock")
        except OSError as error:
            raise DiskFull(f"{folder} cannot be written: {error.strerror}; make room, or its owner ours") from error
        try:
            self._connection = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False)
            self._connection.row_factory = sqlite3.Row
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._migrate()
        except sqlite3.DatabaseError as error:
            self._lock.close()
            if unwritable(error):
                raise DiskFull(f"{folder / FILE} cannot be written ({error}): free some room") from error
            raise StateError(f"{folder / FILE} cannot be used: {error}; move it away to start afresh") from error
        except StateError:
            self._lock.close()
            raise

    @property
    def version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> sqlite3.Row | None:
        return self._connection.execute(sql, values).fetchone()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside happens or nothing does. Raises DiskFull where there is no room."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException as error:
            if self._connection.in_transaction:
                with contextlib.suppress(sqlite3.DatabaseError):  # after a failed COMMIT there may be none any more
                    self._connection.execute("ROLLBACK")
            if isinstance(error, (sqlite3.Error, OSError)) and unwritable(error):
                raise DiskFull(
                    f"{self.folder / FILE} cannot be written ({error}): free some room; nothing was lost"
                ) from error
            if isinstance(error, sqlite3.DatabaseError):
                raise StateError(f"{self.folder / FILE}: {error}") from error
            raise

    def close(self) -> None:
        self._connection.close()
        self._lock.close()

    def _migrate(self) -> None:
        version = self.version
        if version > len(MIGRATIONS):
            raise StateError(
                f"{self.folder / FILE} is of version {version}, this software knows {len(MIGRATIONS)}: update it"
            )
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            self._connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version={number}; COMMIT;")


class _Lock:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _look_into(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise StateError(
            f"there is no validator's state at {path}: give the validator's --state.dir, or its other flags"
        )
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    if int(connection.execute("PRAGMA user_version").fetchone()[0]) != len(MIGRATIONS):
        connection.close()
        raise StateError(f"{path} is of another version: start the validator once to bring it up to date")
    return connection


def _lock(path: Path) -> _Lock:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StateError(
            f"{path.parent} is in use by another process; give each neuron its own --state.dir, or stop the other one"
        ) from error
    return _Lock(descriptor)
