"""MevShield: extrinsics that stay encrypted until the block that runs them.

The key in `NextKey` changes every few blocks; its secret half lives in this process alone, so a
blob encrypted before a restart cannot be opened after it (the client sees its era pass).
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

from Crypto.Cipher import ChaCha20_Poly1305
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from subnet.localchain.errors import DispatchError, PoolRejection
from subnet.localchain.model import Pallet, twox
from subnet.localchain.runtime import Origin, Runtime

PALLET = Pallet("MevShield", 30)
CurrentKey = PALLET.value("CurrentKey", "BoundedVec<u8>")
NextKey = PALLET.value("NextKey", "BoundedVec<u8>")
PALLET.event("EncryptedSubmitted", id="H256", who="AccountId32")

_ROTATE_EVERY = 4
_KEEP_KEYS = 8
_KEM_BYTES = 1088
_NONCE_BYTES = 24
_TAG_BYTES = 16
MAX_CIPHERTEXT = 8192


class ShieldKeys:
    """The secret halves of the last few keys, by the 16-byte hash of the public half."""

    def __init__(self) -> None:
        self._keys: OrderedDict[bytes, MLKEM768PrivateKey] = OrderedDict()

    def rotate(self) -> bytes:
        """A new key; returns its public half."""
        secret = MLKEM768PrivateKey.generate()
        public = secret.public_key().public_bytes_raw()
        self._keys[twox(public, 2)] = secret
        while len(self._keys) > _KEEP_KEYS:
            self._keys.popitem(last=False)
        return public

    @property
    def empty(self) -> bool:
        return not self._keys

    def open(self, blob: bytes) -> bytes:
        """The extrinsic in a shielded blob. Raises PoolRejection where it cannot be opened."""
        key_hash, size = blob[:16], int.from_bytes(blob[16:18], "little")
        secret = self._keys.get(key_hash)
        body = blob[18 + size :]
        if secret is None or size != _KEM_BYTES or len(body) < _NONCE_BYTES + _TAG_BYTES:
            raise PoolRejection("Invalid shielded transaction: the key is unknown or has been rotated out")
        shared = secret.decapsulate(blob[18 : 18 + size])
        cipher = ChaCha20_Poly1305.new(key=shared, nonce=body[:_NONCE_BYTES])
        try:
            return cipher.decrypt_and_verify(body[_NONCE_BYTES:-_TAG_BYTES], body[-_TAG_BYTES:])
        except ValueError:
            raise PoolRejection("Invalid shielded transaction: the ciphertext does not authenticate") from None


def rotate_key(rt: Runtime, keys: ShieldKeys) -> None:
    """Publish a new key every few blocks, and in the first block of a process."""
    if keys.empty or rt.block % _ROTATE_EVERY == 0:
        current = NextKey.get(rt.state)
        if current is not None:
            CurrentKey.put(rt.state, current)
        NextKey.put(rt.state, keys.rotate())


def shielded(keys: ShieldKeys) -> Pallet:
    """The pallet, its one call bound to this process's keys."""
    pallet = Pallet("MevShield", 30, list(PALLET.storage), [], list(PALLET.events))

    def submit_encrypted(rt: Runtime, origin: Origin, ciphertext: bytes) -> None:
        """Carry an encrypted extrinsic; it runs right after, in the same block."""

        who = origin.signed()
        try:
            rt.queue.append(keys.open(ciphertext))
        except PoolRejection as error:
            raise DispatchError("Other", str(error)) from None
        digest = blake2b(ciphertext, digest_size=32).digest()
        rt.deposit("MevShield", "EncryptedSubmitted", {"id": digest, "who": who})

    pallet.call(ciphertext="BoundedVec<u8>")(submit_encrypted)
    return pallet
