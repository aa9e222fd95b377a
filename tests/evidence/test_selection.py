import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.errors import EvidenceError
from subnet.evidence.selection import ALWAYS_PPM, CHECK_KEY, CheckPlan, check_block
from tests.evidence.world import World

SALT = hashlib.sha256(b"salt").digest()
plans = st.builds(
    CheckPlan,
    block=st.integers(0, 2**53 - 1),
    rate_ppm=st.integers(0, ALWAYS_PPM),
    salt=st.binary(min_size=32, max_size=32),
)


@given(plans, plans)
def test_a_plan_opens_its_own_request_and_no_other(plan: CheckPlan, other: CheckPlan) -> None:
    assert plan.opens(plan.extension())
    assert plan.opens(other.extension()) == (plan == other)
    assert not plan.opens({})


@given(plans)
def test_the_miner_reads_the_block_and_not_the_rate(plan: CheckPlan) -> None:
    assert check_block(plan.extension()) == plan.block
    shown = plan.extension()[CHECK_KEY]
    hidden = replace(plan, salt=bytes(32)).extension()[CHECK_KEY]
    assert (shown == hidden) == (plan.salt == bytes(32))


@pytest.mark.parametrize("value", [b"", b"short", bytes(39), bytes(41)])
def test_a_request_without_a_plan_has_no_deciding_block(value: bytes) -> None:
    assert check_block({CHECK_KEY: value}) is None
    assert check_block({}) is None


@pytest.mark.parametrize(
    "wrong", [{"block": -1}, {"block": 1 << 53}, {"rate_ppm": -1}, {"rate_ppm": ALWAYS_PPM + 1}, {"salt": bytes(31)}]
)
def test_a_plan_out_of_range_cannot_exist(wrong: dict) -> None:
    with pytest.raises(EvidenceError):
        CheckPlan(**{"block": 1, "rate_ppm": 1, "salt": SALT, **wrong})


def test_about_as_many_are_selected_as_the_rate_says() -> None:
    requests = [World().request(counter)[0] for counter in range(64)]
    hashes = [hashlib.sha256(bytes([number])).digest() for number in range(40)]
    plan = CheckPlan(7, 250_000, SALT)
    picked = sum(plan.selects(block, request) for block in hashes for request in requests)
    assert 0.21 < picked / (64 * 40) < 0.29
    assert all(CheckPlan(7, ALWAYS_PPM, SALT).selects(block, requests[0]) for block in hashes)
    assert not any(CheckPlan(7, 0, SALT).selects(block, requests[0]) for block in hashes)


def test_selective_the_choice_hangs_on_a_block_that_came_later() -> None:
    """The same request is chosen under one hash and not under another: nobody knows before the block is there."""
    request, _ = World().request(0)
    plan = CheckPlan(7, 500_000, SALT)
    assert {plan.selects(hashlib.sha256(bytes([n])).digest(), request) for n in range(32)} == {True, False}
