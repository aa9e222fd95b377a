"""A running chain for the tests of the local chain."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from subnet.localchain.process import RunningChain, running_chain


@pytest.fixture(scope="session")
def chain() -> Iterator[RunningChain]:
    """One chain process at 0.25 s blocks, shared by the session. Tests make their own subnets on it."""
    with running_chain() as running:
        yield running
