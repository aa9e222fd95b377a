"""The long fuzzer of everything that parses. CI runs short versions in the modules' own tests."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subnet.protocol import MalformedMessage, decode, encode, limits, merkle, records
from subnet.protocol.schema import RECORDS
from subnet.protocol.stream import decode_event
from tests.protocol.examples import json_of

LONG = settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


def _paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _paths(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _paths(inner, (*at, index))
    return found


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _replaced(copy[path[0]], path[1:], new)
    return copy


def check_survives(cls: type, data: bytes) -> None:
    """Decoding ends in a record whose encoding is stable, or in MalformedMessage; nothing else, ever."""
    try:
        record = decode(cls, data)
    except MalformedMessage:
        return
    again = decode(cls, encode(record))
    assert again == record and records.canonical_bytes(again) == records.canonical_bytes(record)


def mutate_one(cls: type, data: Any) -> None:
    value = data.draw(json_of(cls.__name__))
    path = data.draw(st.sampled_from(_paths(value)))
    mutated = _replaced(value, path, data.draw(ANY_JSON))
    check_survives(cls, json.dumps(mutated).encode())


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_fuzz_one_value_replaced_by_any_json(cls: type, data: Any) -> None:
    mutate_one(cls, data)


@pytest.mark.slow
@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
@settings(LONG, max_examples=3_000)
@given(data=st.data())
def test_long_fuzz_one_value_replaced_by_any_json(cls: type, data: Any) -> None:
    mutate_one(cls, data)


@pytest.mark.slow
@LONG
@given(st.binary(max_size=2_000))
def test_long_fuzz_bytes(data: bytes) -> None:
    for cls in RECORDS:
        check_survives(cls, data)
    with pytest.raises(MalformedMessage):
        decode_event(data)


@pytest.mark.slow
@LONG
@given(ANY_JSON, st.integers(0, 40))
def test_long_fuzz_json_of_any_depth(value: Any, depth: int) -> None:
    data = b"[" * depth + json.dumps(value).encode() + b"]" * depth
    try:
        records.loads(data, limits.MAX_BODY_BYTES)
    except MalformedMessage:
        return
    assert depth <= limits.MAX_JSON_DEPTH


@pytest.mark.slow
@LONG
@given(st.integers(-5, 70), st.integers(-5, 70), st.lists(st.binary(min_size=31, max_size=33), max_size=8))
def test_long_fuzz_paths_never_raise(index: int, size: int, siblings: list[bytes]) -> None:
    leaf = merkle.leaf_hash(b"x")
    assert merkle.verify_path(leaf, index, size, siblings, bytes(32)) is False
