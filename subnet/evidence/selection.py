"""When and how often an answer is checked, fixed by the signed request before the answer exists.

A validator that could choose the checking rate after it saw an answer would check only the worst ones; one that could
choose the block would try block hashes. So the request itself carries the block whose hash decides, in the open, and a
commitment to the rate: the miner does not learn how closely it is watched, and the validator cannot change its mind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from subnet.errors import EvidenceError
from subnet.protocol import CompletionRequest
from subnet.verify.selection import selected

DOMAIN_CHECK = b"assay/check/1\0"

CHECK_KEY = "assay.check"
"""Name of the request's extension. Another name, and bundles of other versions cannot be opened."""

ALWAYS_PPM = 1_000_000
"""Rate at which every answer is checked."""

_VALUE_BYTES = 8 + 32


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """What a validator decides about checking an answer before it asks.

    Attributes:
        block: number of the future block whose hash decides. Late enough for the answer to be in before it.
        rate_ppm: chance of being checked, in millionths.
        salt: 32 random bytes that hide the rate until the plan is shown.
    """

    block: int
    rate_ppm: int
    salt: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.block < 1 << 53:
            raise EvidenceError(f"check plan: block {self.block} is not a block number")
        if not 0 <= self.rate_ppm <= ALWAYS_PPM:
            raise EvidenceError(f"check plan: rate must be 0 to {ALWAYS_PPM} millionths, got {self.rate_ppm}")
        if len(self.salt) != 32:
            raise EvidenceError(f"check plan: the salt must be 32 bytes, got {len(self.salt)}")

    def extension(self) -> dict[str, bytes]:
        """The extension to put into the request: block u64, then SHA-256(domain ‖ block u64 ‖ rate u32 ‖ salt)."""
        block = self.block.to_bytes(8, "big")
        commitment = hashlib.sha256(DOMAIN_CHECK + block + self.rate_ppm.to_bytes(4, "big") + self.salt).digest()
        return {CHECK_KEY: block + commitment}

    def opens(self, extensions: Mapping[str, bytes]) -> bool:
        """Whether a request with these extensions was asked under this plan."""
        return extensions.get(CHECK_KEY) == self.extension()[CHECK_KEY]

    def selects(self, block_hash: bytes, request: CompletionRequest) -> bool:
        """Whether the answer to `request` is checked, given the hash of block `block`."""
        return self.selects_counter(block_hash, request.validator, request.miner, request.epoch, request.counter)

    def selects_counter(self, block_hash: bytes, validator: bytes, miner: bytes, epoch: int, counter: int) -> bool:
        """The same for a request that is known only by its numbers."""
        return selected(block_hash, validator, miner, epoch, counter, self.rate_ppm)


def check_block(extensions: Mapping[str, bytes]) -> int | None:
    """The block that decides, as a miner reads it from a request; None where the request has no plan."""
    value = extensions.get(CHECK_KEY)
    if value is None or len(value) != _VALUE_BYTES:
        return None
    return int.from_bytes(value[:8], "big")
