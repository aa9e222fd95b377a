"""When epochs run, by the rules of runtime spec 425: every `tempo` blocks from the last one, or when the owner asks."""

from __future__ import annotations

MAX_TEMPO = 50_400


def should_run_epoch(
    block: int, tempo: int, last_epoch_block: int, pending_epoch_at: int = 0, blocks_since_last_step: int = 0
) -> bool:
    """Whether a subnet's epoch is due in this block.

    Args:
        block: the current block.
        tempo: blocks between epochs; 0 never runs one.
        last_epoch_block: block of the last scheduled epoch, whether it could run or not.
        pending_epoch_at: block from which an epoch was asked for or deferred to, 0 where none was.
        blocks_since_last_step: blocks since an epoch last ran; beyond `MAX_TEMPO` one runs at once.
    """
    if tempo == 0:
        return False
    if 0 < pending_epoch_at <= block or blocks_since_last_step > MAX_TEMPO:
        return True
    return block - last_epoch_block >= tempo


def next_epoch_block(tempo: int, last_epoch_block: int, pending_epoch_at: int = 0) -> int | None:
    """The block in which the next epoch is expected, None where the subnet runs none."""
    if tempo == 0:
        return None
    due = last_epoch_block + tempo
    return min(due, pending_epoch_at) if pending_epoch_at else due
