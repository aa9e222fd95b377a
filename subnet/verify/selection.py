"""Which answers are replayed: chosen after the answer, by randomness that did not exist when it was given.

`SHA-256(domain, block hash, validator, miner, epoch, counter)` against a rate. The rate depends on the past alone, is
fixed before the answer, and is higher for those who are new, were accused lately, or earn much.
"""

from __future__ import annotations

import hashlib

from subnet.errors import ProtocolError

SELECTION_DOMAIN = b"assay/selection/1\0"
EVERYTHING = 1_000_000
"""The rate at which every answer is checked, in millionths."""


def selected(block_hash: bytes, validator: bytes, miner: bytes, epoch: int, counter: int, rate_ppm: int) -> bool:
    """Whether the answer to request `counter` of `epoch` is replayed.

    block_hash, validator, miner: 32 bytes. rate_ppm: millionths, 0 to 1000000. Raises ProtocolError for anything else.
    """
    for name, value in (("block hash", block_hash), ("validator", validator), ("miner", miner)):
        if len(value) != 32:
            raise ProtocolError(f"the {name} has 32 bytes, not {len(value)}")
    if not 0 <= rate_ppm <= EVERYTHING:
        raise ProtocolError(f"a checking rate is between 0 and {EVERYTHING} millionths, not {rate_ppm}")
    if not (0 <= epoch < 2**64 and 0 <= counter < 2**64):
        raise ProtocolError(f"epoch and counter are unsigned 64-bit numbers, not {epoch} and {counter}")
    message = SELECTION_DOMAIN + block_hash + validator + miner + epoch.to_bytes(8, "big") + counter.to_bytes(8, "big")
    drawn = int.from_bytes(hashlib.sha256(message).digest()[:8], "big")
    return drawn * EVERYTHING < rate_ppm << 64


def checking_rate(base_ppm: int, verified_tokens: int, blocks_since_accusation: int | None, share: float) -> int:
    """The rate for a miner's next answers, in millionths, from what is already known about it.

    base_ppm: the rate for an old, clean miner with an average income. verified_tokens: verified since it appeared; the
    rate starts at everything and halves towards the base every 2,000. blocks_since_accusation: None when never accused;
    for 7,200 blocks (a day) after one everything is checked. share: its part of the weight that this validator gives,
    over the average part: an income above the average raises the rate in proportion.
    """
    if blocks_since_accusation is not None and blocks_since_accusation < PROBATION_BLOCKS:
        return EVERYTHING
    newcomer = EVERYTHING * 0.5 ** (max(verified_tokens, 0) / NEWCOMER_TOKENS)
    earning = base_ppm * max(share, 1.0)
    return min(EVERYTHING, round(max(newcomer, earning, base_ppm)))


PROBATION_BLOCKS = 7_200
NEWCOMER_TOKENS = 2_000
