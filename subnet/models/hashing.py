"""Hashes of files and tensors, and a record of files that were already hashed.

Hashing 100 MB to a few gigabytes at every start is seconds that a restart does not have. A record beside the cached
files remembers, for each path, the SHA-256 together with size, inode, modification time and change time. Any ordinary
write, copy or restore changes the change time, which user programs cannot set, and the file is hashed again. The record
guards against accidents, not against someone who can write in the owner's home: that someone could change this program
too. `verify` on the command line always hashes everything.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from subnet.models.files import write_atomically
from subnet.models.manifest import FileRecord
from subnet.models.safetensors_file import TensorBytes
from subnet.protocol.merkle import leaf_hash, root

BLOCK = 1 << 20
RECORD = "verified.json"

Progress = Callable[[int], None]
"""Called with the number of bytes done since the last call."""


def file_sha256(path: Path, progress: Progress | None = None) -> str:
    """SHA-256 (hex) of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            if progress:
                progress(len(block))
    return digest.hexdigest()


def record_file(folder: Path, path: str) -> FileRecord:
    """Size and hash of a file of the model, for a manifest."""
    full = folder / path
    return FileRecord(path=path, size=full.stat().st_size, sha256=file_sha256(full))


def tensor_leaf(tensor: TensorBytes) -> bytes:
    """Merkle leaf of a tensor: name, dtype and shape, length-prefixed, and SHA-256 of the little-endian bytes."""
    head = b"".join(len(part).to_bytes(4, "big") + part for part in (tensor.name.encode(), tensor.dtype.encode()))
    sizes = len(tensor.shape).to_bytes(4, "big") + b"".join(n.to_bytes(8, "big") for n in tensor.shape)
    return leaf_hash(head + sizes + hashlib.sha256(tensor.data).digest())


def tensor_root(tensors: Iterable[TensorBytes], progress: Progress | None = None) -> str:
    """Merkle root (hex) over tensors in order of their names, which must be distinct."""
    leaves = {}
    for tensor in tensors:
        leaves[tensor.name] = tensor_leaf(tensor)
        if progress:
            progress(len(tensor.data))
    return root([leaves[name] for name in sorted(leaves)]).hex()


class VerifiedFiles:
    """The record of digests in one folder. Unreadable or foreign records count as empty."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RECORD

    def digest(self, path: Path, kind: str, compute: Callable[[Path], str]) -> str:
        """The digest of a file: from the record where the file is unchanged since, else computed and recorded.

        kind: what the digest is of ("sha256" of the file, "tensors" for the Merkle root); one file may have both.
        """
        key = f"{kind}:{path.resolve()}"
        before = _state(path)
        entry = self._read().get(key)
        if entry and entry["state"] == before:
            return entry["digest"]
        digest = compute(path)
        if _state(path) == before:
            entries = {**self._read(), key: {"digest": digest, "state": before}}
            write_atomically(self._path, json.dumps(entries, indent=1).encode())
        return digest

    def _read(self) -> dict[str, dict]:
        try:
            raw = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(raw, dict):
            return {}
        return {
            path: entry
            for path, entry in raw.items()
            if isinstance(entry, dict) and isinstance(entry.get("digest"), str) and isinstance(entry.get("state"), list)
        }


def _state(path: Path) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
