from hypothesis import given
from hypothesis import strategies as st

from subnet.localchain.yuma import MAX_TEMPO, next_epoch_block, should_run_epoch


def test_an_epoch_runs_every_tempo_blocks():
    assert not should_run_epoch(block=359, tempo=360, last_epoch_block=0)
    assert should_run_epoch(block=360, tempo=360, last_epoch_block=0)
    assert next_epoch_block(360, 360) == 720


def test_an_owner_can_ask_for_an_epoch_earlier():
    assert should_run_epoch(block=100, tempo=360, last_epoch_block=0, pending_epoch_at=100)
    assert not should_run_epoch(block=99, tempo=360, last_epoch_block=0, pending_epoch_at=100)
    assert next_epoch_block(360, 0, pending_epoch_at=100) == 100


def test_tempo_zero_never_runs():
    assert not should_run_epoch(10**9, 0, 0, pending_epoch_at=1, blocks_since_last_step=10**9)
    assert next_epoch_block(0, 0) is None


def test_a_subnet_that_missed_its_epochs_runs_at_once():
    assert should_run_epoch(10, 360, 9, blocks_since_last_step=MAX_TEMPO + 1)


@given(st.integers(1, 10_000), st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_announced_block_is_the_first_that_is_due(tempo, last, pending):
    due = next_epoch_block(tempo, last, pending)
    assert should_run_epoch(due, tempo, last, pending)
    assert not should_run_epoch(due - 1, tempo, last, pending)
