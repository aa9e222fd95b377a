import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.errors import AssayError
from subnet.status.snapshot import EpochStatus, LedgerStatus, MinerStatus, StatusSnapshot

share = st.floats(0, 1)
miners = st.builds(
    MinerStatus,
    uid=st.integers(0, 255),
    hotkey=st.text(max_size=48),
    quality=st.none() | share,
    evidence=st.floats(-5, 30),
    history=st.lists(st.tuples(st.integers(0, 10**6), st.floats(-5, 30)), max_size=4).map(tuple),
)
snapshots = st.builds(
    StatusSnapshot,
    netuid=st.integers(0, 65535),
    validator=st.text(max_size=48),
    uid=st.none() | st.integers(0, 255),
    block=st.integers(0, 2**40),
    tempo=st.integers(1, 65535),
    next_epoch_block=st.none() | st.integers(0, 2**40),
    last_weights_block=st.none() | st.integers(0, 2**40),
    round=st.integers(0, 2**40),
    round_s=st.none() | st.floats(0, 1e6),
    miners=st.lists(miners, max_size=3).map(tuple),
    epochs=st.lists(
        st.builds(EpochStatus, st.integers(0, 2**40), st.dictionaries(st.integers(0, 255), share, max_size=3)),
        max_size=2,
    ).map(tuple),
    ledger=st.lists(
        st.builds(LedgerStatus, st.integers(0, 9), st.integers(0, 9), st.text(), st.text(), st.text(), st.none()),
        max_size=2,
    ).map(tuple),
    format=st.just(1),
)


@given(snapshots)
def test_a_snapshot_survives_the_wire(snapshot: StatusSnapshot) -> None:
    assert StatusSnapshot.from_json(snapshot.to_json()) == snapshot


def test_numbers_that_are_not_finite_become_null() -> None:
    snapshot = StatusSnapshot(1, "v", None, 1, 1, None, None, 0, float("inf"))
    assert json.loads(snapshot.to_json())["round_s"] is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "miners": [{"uid": 1}]}'])
def test_what_is_no_snapshot_is_refused(text: str) -> None:
    with pytest.raises(AssayError):
        StatusSnapshot.from_json(text)
