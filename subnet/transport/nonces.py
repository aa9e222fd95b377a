"""Nonces already used, shared by every process that opens the same file.

A fixed table in a memory-mapped file: 24-byte slots of a 16-byte fingerprint and an expiry time, open addressing within
a short window. A file lock serialises the processes; a lookup and a store cost a few microseconds. Memory is constant,
and a restart does not forget. When no slot in the window is free or expired the store refuses instead of forgetting.
"""

import fcntl
import hashlib
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from subnet.errors import TransportError
from subnet.transport.btauth import NONCE_RETENTION_SECONDS
from subnet.transport.errors import StoreFull

DEFAULT_SLOTS = 262_144
"""Slots of the table: 6 MiB, enough for thousands of requests a second over the retention time."""

_WINDOW = 64
_SLOT = struct.Struct("<16sQ")
_HEADER = struct.Struct("<8sQ16s")
_MAGIC = b"ASYNONC1"


class SharedNonceStore:
    """Remembers (hotkey, nonce) pairs for `retention` seconds across processes.

    Every process of a group opens the same path. Use as a context manager, or call `close`.
    """

    def __init__(
        self,
        path: Path,
        retention: float = NONCE_RETENTION_SECONDS,
        slots: int = DEFAULT_SLOTS,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        if retention < NONCE_RETENTION_SECONDS:
            raise TransportError(
                f"nonces would be forgotten after {retention:g} s: remember them for {NONCE_RETENTION_SECONDS:g} s"
            )
        self.retention = retention
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            self._slots, self._salt = self._prepare(path, slots)
            self._map = mmap.mmap(self._fd, _HEADER.size + self._slots * _SLOT.size)
        except BaseException:
            os.close(self._fd)
            raise
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _prepare(self, path: Path, slots: int) -> tuple[int, bytes]:
        size = os.fstat(self._fd).st_size
        if size == 0:
            # The salt keeps an attacker from choosing nonces that meet in one window.
            salt = os.urandom(16)
            try:
                self._allocate(path, _HEADER.size + slots * _SLOT.size)
            except TransportError:
                os.ftruncate(self._fd, 0)
                raise
            os.pwrite(self._fd, _HEADER.pack(_MAGIC, slots, salt), 0)
            return slots, salt
        header = os.pread(self._fd, _HEADER.size, 0)
        if len(header) == _HEADER.size:
            magic, found, salt = _HEADER.unpack(header)
            if magic == _MAGIC and size == _HEADER.size + found * _SLOT.size:
                self._allocate(path, size)
                return found, salt
        raise TransportError(f"{path} is not a nonce store: remove it, or choose another path")

    def _allocate(self, path: Path, size: int) -> None:
        """Takes the file's room now: a write to a mapped hole on a full disk would kill the process."""
        try:
            os.posix_fallocate(self._fd, 0, size)
        except OSError as error:
            raise TransportError(f"{path} needs {size >> 20} MiB of disk: {error.strerror}; free some room") from error

    def check_and_store(self, hotkey_ss58: str, nonce_ns: int) -> bool:
        """True, and remembered, if the pair is new; False if it was seen. Raises StoreFull if there is no room."""
        message = hotkey_ss58.encode() + nonce_ns.to_bytes(16, "big")
        fingerprint = hashlib.blake2b(message, digest_size=16, key=self._salt).digest()
        start = int.from_bytes(fingerprint[:8], "little") % self._slots
        now = self._clock_ns()
        free = -1
        with self._lock:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                for step in range(_WINDOW):
                    offset = _HEADER.size + ((start + step) % self._slots) * _SLOT.size
                    seen, expiry = _SLOT.unpack_from(self._map, offset)
                    if expiry <= now:
                        if free < 0:
                            free = offset
                        if expiry == 0:
                            # Never used: no later slot of this window was reached past it.
                            break
                    elif seen == fingerprint:
                        return False
                if free < 0:
                    raise StoreFull("the nonce store has no room: raise its number of slots or lower the rate limits")
                _SLOT.pack_into(self._map, free, fingerprint, now + int(self.retention * 1e9))
                return True
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        self._map.close()
        os.close(self._fd)

    def __enter__(self) -> "SharedNonceStore":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
