"""A snapshot that looks like a localnet after some epochs, for the page's tests."""

from __future__ import annotations

import math

from subnet.status.snapshot import EpochStatus, LedgerStatus, MinerStatus, StatusSnapshot

KINDS = ("honest", "int4 weights", "honest", "wrong seed", "honest", "fp8 KV cache")
CAUGHT_AFTER = {1: 140, 3: 90, 5: 420}
BUNDLE = "ab" * 32
NOBODY = "5C4hrfjw9DjXZTzV3MwzrrAr9P1MJhSrvWGWqi1eSuyUpnhM"
"""The address of 32 zero bytes, which the ledger names where an entry is about no miner."""


def hotkey(uid: int) -> str:
    return f"5Hotkey{uid}" + "x" * 38 + f"{uid:02}"


LABELS = {hotkey(uid + 2): kind for uid, kind in enumerate(KINDS)} | {
    hotkey(0): "validator 1",
    hotkey(1): "validator 2",
}


def miner(index: int, tokens: int = 600) -> MinerStatus:
    uid = index + 2
    caught = CAUGHT_AFTER.get(index)
    steps = range(0, tokens + 1, 6)
    slope = 9.3 / caught if caught else 0.0
    history = tuple(
        (n, round(min(9.4, max(0.0, slope * n)) if caught else 0.25 + 0.2 * math.sin(n / 40 + index), 3)) for n in steps
    )
    if caught:
        history = tuple((n, e) for n, e in history if n <= caught + 6)
    return MinerStatus(
        uid=uid,
        hotkey=hotkey(uid),
        requests=48,
        answered=48 - index % 2,
        tokens_per_second=11.5 - index,
        first_token_s=0.4,
        quality=0.7,
        score=0.0 if caught else 0.71 - index / 50,
        checked_tokens=history[-1][0],
        evidence=history[-1][1],
        verdict="inconsistent" if caught else "consistent",
        standing="out" if caught else "good",
        reason="Replay found tokens that the model would not have produced." if caught else "",
        weight=0.0 if caught else 0.33,
        incentive=0.0 if caught else 0.33,
        stake=0.0 if caught else 12.5 + index,
        history=history,
    )


def snapshot(validator: int = 0, round_: int = 12) -> StatusSnapshot:
    epochs = []
    for number in range(8):
        alive = [index for index in range(6) if number < 2 or index not in CAUGHT_AFTER]
        epochs.append(EpochStatus(100 + 20 * number, {index + 2: 1 / len(alive) for index in alive}))
    return StatusSnapshot(
        netuid=2,
        validator=hotkey(validator),
        uid=validator,
        block=248,
        tempo=20,
        next_epoch_block=260,
        last_weights_block=240,
        round=round_,
        round_s=6.4,
        miners=tuple(miner(index) for index in range(6)),
        epochs=tuple(epochs),
        ledger=(
            LedgerStatus(0, 131, "accusation", hotkey(5), "inconsistent with the model after 96 tokens", BUNDLE),
            LedgerStatus(1, 131, "decision", hotkey(5), "out_of_the_subnet", None),
            LedgerStatus(2, 140, "round", NOBODY, "", None),
            LedgerStatus(3, 145, "round", NOBODY, "", None),
        ),
    )
