"""The codec: round trips, refusals, and agreement with the SDK's codec on composite values."""

from __future__ import annotations

from typing import Any

import bittensor_core as core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.localchain.errors import DecodeError
from subnet.localchain.model import CODEC
from subnet.localchain.scale import compact, read_compact
from subnet.localchain.typemodel import Expr, parse

U16, U64 = st.integers(0, 2**16 - 1), st.integers(0, 2**64 - 1)
ACCOUNT = st.binary(min_size=32, max_size=32)


@given(st.integers(0, 2**536 - 1))
def test_compact_round_trip(value: int) -> None:
    raw = compact(value)
    assert read_compact(raw, 0) == (value, len(raw))


@pytest.mark.parametrize("raw", ["", "01", "0100", "02000000", "0300000000", "03ffffff"])
def test_compact_refuses_truncation_and_longer_forms(raw: str) -> None:
    with pytest.raises(DecodeError):
        read_compact(bytes.fromhex(raw), 0)


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("Vec<(u16, u16)>", st.lists(st.tuples(U16, U16), max_size=40)),
        ("Vec<u64>", st.lists(U64, max_size=40)),
        ("Vec<bool>", st.lists(st.booleans(), max_size=40)),
        ("Option<TaoBalance>", st.none() | U64),
        ("Vec<AccountId32>", st.lists(ACCOUNT, max_size=8)),
        (
            "(i64, u128, i128)",
            st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**128 - 1), st.integers(-(2**127), 2**127 - 1)),
        ),
        ("BTreeMap<AccountId32, u64>", st.dictionaries(ACCOUNT, U64, max_size=5)),
        ("Vec<Option<(Vec<u8>, u16)>>", st.lists(st.none() | st.tuples(st.binary(max_size=9), U16), max_size=5)),
        ("[u16; 3]", st.tuples(U16, U16, U16)),
        ("str", st.text(max_size=20)),
        (
            "Result<(), DispatchError>",
            st.sampled_from([("Ok", ()), ("Err", "BadOrigin"), ("Err", ("Token", "Frozen"))]),
        ),
    ],
)
@given(data=st.data())
def test_round_trip(type_: str, values: st.SearchStrategy[Any], data: st.DataObject) -> None:
    value = data.draw(values)
    raw = CODEC.encode(type_, value)
    assert CODEC.decode(type_, raw) == value
    if raw:
        with pytest.raises(DecodeError):
            CODEC.decode(type_, raw + b"\x00")


@given(
    st.binary(max_size=200),
    st.sampled_from(["Metagraph", "NeuronInfo", "Registration", "Vec<(u16, u16)>", "AccountInfo"]),
)
def test_no_bytes_crash_a_decoder(raw: bytes, type_: str) -> None:
    try:
        value = CODEC.decode(type_, raw)
    except DecodeError:
        return
    assert CODEC.encode(type_, value) == raw


def test_a_length_beyond_the_input_is_refused_before_it_is_believed() -> None:
    with pytest.raises(DecodeError):
        CODEC.decode("Vec<AccountId32>", compact(1 << 29))
    with pytest.raises(DecodeError):
        CODEC.decode("Vec<u64>", compact(1 << 29) + bytes(64))


@pytest.mark.parametrize("text", ["Vec<u8", "[u8 32]", "(u8, u16", "", "Vec<>x", "[u8; 3"])
def test_type_expressions_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_type_expressions_print_as_they_parse() -> None:
    for text in ("Vec<(u16, Option<[u8; 32]>)>", "BTreeMap<AccountId32, BTreeMap<NetUid, u64>>", "()"):
        assert str(parse(text)) == text
    assert parse("[u8; 4]") == Expr("array", (Expr("u8"),), 4)


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(KeyError, match="NoSuchType"):
        CODEC.encoder("Vec<NoSuchType>")


def test_account_ids_are_the_sdks_addresses() -> None:
    raw = bytes(range(32))
    assert bytes(core.ss58_decode(core.ss58_encode(CODEC.decode("AccountId32", raw), 42))) == raw
