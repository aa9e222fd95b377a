"""Whose clock is wrong."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.chain import ChainAway, ClockWatch, Head, clock_trouble


@given(st.floats(1e9, 2e9), st.floats(-10, 30), st.floats(0.25, 12))
def test_a_block_is_seen_after_it_was_made_and_that_is_no_trouble(chains, ahead, block_time):
    assert clock_trouble(chains + ahead * 0.999, chains, block_time) == ""


@pytest.mark.parametrize(("ahead", "said"), [(90, "90 s ahead of"), (-11, "11 s behind")])
def test_a_wrong_clock_is_named_with_its_side(ahead, said):
    assert said in clock_trouble(1.7e9 + ahead, 1.7e9, 12.0)


@dataclass
class Machine:
    """A machine's clocks and the chain's, each set by the test."""

    wall: float = 1.7e9
    monotonic: float = 50.0
    chains: float | None = 1.7e9

    async def clock(self) -> float:
        if self.chains is None:
            raise ChainAway("away")
        return self.chains

    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds
        self.chains = self.chains and self.chains + seconds

    def watch(self) -> ClockWatch:
        return ClockWatch(self, lambda: self.wall, lambda: self.monotonic)


async def test_a_step_is_in_doubt_at_once_and_settled_by_the_chain():
    """The attack is on ourselves: a clock that jumps makes every miner call our requests stale."""
    machine = Machine()
    watch = machine.watch()
    await watch.on_head(Head(1, bytes(32)), 12.0)
    machine.pass_time(12)
    assert not watch.doubtful
    machine.wall += 500
    assert watch.doubtful and not watch.trouble
    await watch.on_head(Head(2, bytes(32)), 12.0)
    assert "ahead" in watch.trouble and watch.doubtful
    machine.wall -= 500
    machine.pass_time(12)
    await watch.on_head(Head(3, bytes(32)), 12.0)
    assert not watch.trouble and not watch.doubtful


async def test_a_chain_that_does_not_tell_its_time_changes_nothing():
    machine = Machine(chains=None)
    watch = machine.watch()
    machine.wall += 500
    await watch.on_head(Head(1, bytes(32)), 12.0)
    assert watch.doubtful and not watch.trouble
