"""The seed of a completion, and the secrets that keep either side from choosing it.

For each (validator, epoch) a miner fixes `size` secrets before the first request: s_n = HMAC-SHA256(master, domain ||
validator || epoch u64 || n u64), and commits to their Merkle root in its signed handshake. Request number n opens s_n.
The miner fixed s_n before it knew the request, and the validator does not know it when it asks: neither can grind.
"""

import hashlib
import hmac
from dataclasses import dataclass

from subnet.errors import ProtocolError
from subnet.protocol import canonical, limits, merkle
from subnet.protocol.canonical import DOMAIN_SECRET, DOMAIN_SEED


def derive_seed(request_digest: bytes, secret: bytes) -> bytes:
    """32-byte seed: SHA-256(domain || request digest || secret)."""
    if len(request_digest) != 32 or len(secret) != 32:
        raise ProtocolError("a seed is derived from a 32-byte request digest and a 32-byte secret")
    return canonical.sha256(DOMAIN_SEED, request_digest, secret)


def derive_secret(master: bytes, validator: bytes, epoch: int, index: int) -> bytes:
    """The miner's secret number `index` for a validator's epoch, 32 bytes. `master` never leaves the miner."""
    message = DOMAIN_SECRET + validator + canonical.uint(epoch, 8) + canonical.uint(index, 8)
    return hmac.new(master, message, hashlib.sha256).digest()


def check_size(size: int) -> None:
    """Raise ProtocolError unless `size` is a power of two from MIN_SECRETS to MAX_SECRETS."""
    if not limits.MIN_SECRETS <= size <= limits.MAX_SECRETS or size & (size - 1):
        raise ProtocolError(
            f"{size} secrets: expected a power of two from {limits.MIN_SECRETS} to {limits.MAX_SECRETS}"
        )


@dataclass(frozen=True, slots=True)
class SecretTree:
    """All secrets of one (validator, epoch), with the tree over them. Build it with `SecretTree.derive`."""

    secrets: tuple[bytes, ...]
    rows: tuple[tuple[bytes, ...], ...]

    @classmethod
    def derive(cls, master: bytes, validator: bytes, epoch: int, size: int) -> "SecretTree":
        """Derive `size` secrets (a power of two) and hash them into a tree: about 2 µs a secret."""
        if len(master) < 32 or len(validator) != 32:
            raise ProtocolError("the master secret needs at least 32 bytes and the validator's key exactly 32")
        check_size(size)
        secrets = tuple(derive_secret(master, validator, epoch, index) for index in range(size))
        rows = merkle.levels([merkle.leaf_hash(secret) for secret in secrets])
        return cls(secrets=secrets, rows=tuple(tuple(row) for row in rows))

    @property
    def root(self) -> bytes:
        return self.rows[-1][0]

    @property
    def size(self) -> int:
        return len(self.secrets)

    def open(self, index: int) -> tuple[bytes, tuple[bytes, ...]]:
        """Secret number `index` and its path to the root. Raises ProtocolError beyond the last."""
        path = merkle.path_from_levels(self.rows, index)
        return self.secrets[index], path


def opens(secret: bytes, path: tuple[bytes, ...], index: int, size: int, root: bytes) -> bool:
    """Whether `secret` is number `index` of the `size` secrets committed under `root`."""
    return merkle.verify_path(merkle.leaf_hash(secret), index, size, path, root)
