import dataclasses
import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subnet.errors import ProtocolError
from subnet.protocol import CompletionRequest, MalformedMessage, SignedRequest, decode, encode, limits, records
from subnet.protocol.faults import Fault
from subnet.protocol.handshake import Hello, SecretsCommitment
from subnet.protocol.schema import RECORDS
from tests.protocol.examples import ASKED, REQUEST, json_of


def test_equal_records_have_equal_bytes_whatever_the_order_of_extensions() -> None:
    one = dataclasses.replace(REQUEST, extensions={"a": b"1", "b": b"2"})
    two = dataclasses.replace(REQUEST, extensions={"b": b"2", "a": b"1"})
    assert encode(one) == encode(two) and one.digest == two.digest


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_the_published_schema_allows_is_decoded_and_encoded_to_the_same_value(cls: type, data: Any) -> None:
    value = data.draw(json_of(cls.__name__))
    _power_of_two_sizes(value)
    record = records.from_json(cls, value)
    assert json.loads(encode(record)) == value
    assert decode(cls, encode(record)) == record
    assert records.canonical_bytes(record) == records.canonical_bytes(decode(cls, encode(record)))


def _power_of_two_sizes(value: Any) -> None:
    """The one rule that JSON Schema cannot state."""
    if isinstance(value, dict):
        if "size" in value:
            value["size"] = 1 << (value["size"].bit_length() - 1)
        for inner in value.values():
            _power_of_two_sizes(inner)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(CompletionRequest) if "kind" in f.metadata])
def test_every_field_of_a_request_changes_its_digest(field: str) -> None:
    changed = {
        int: lambda v: v + 1,
        bytes: lambda v: bytes([v[0] ^ 1]) + v[1:],
        tuple: lambda v: (*v, 1),
        dict: lambda v: {"x": b""},
    }
    value = getattr(REQUEST, field)
    other = dataclasses.replace(REQUEST, **{field: changed[type(value)](value)})
    assert other.digest != REQUEST.digest


def _changed(field: str, value: str) -> bytes:
    """The request's JSON with one field's raw text replaced."""
    inner = records.to_json(REQUEST)
    inner[field] = "@@"
    return json.dumps(inner).replace('"@@"', value).encode()


@pytest.mark.parametrize(
    ("attack", "data"),
    [
        ("float", _changed("counter", "2.0")),
        ("exponent", _changed("counter", "2e0")),
        ("nan", _changed("counter", "NaN")),
        ("infinity", _changed("counter", "-Infinity")),
        ("negative", _changed("counter", "-1")),
        ("above 2^53", _changed("counter", str(2**53))),
        ("4000 digits", _changed("counter", "9" * 4_000)),
        ("5000 digits", _changed("counter", "9" * 5_000)),
        ("bool for int", _changed("counter", "true")),
        ("null", _changed("counter", "null")),
        ("string for int", _changed("counter", '"2"')),
        ("array for int", _changed("counter", "[2]")),
        ("upper-case hex", _changed("nonce", '"' + "AB" * 32 + '"')),
        ("0x hex", _changed("nonce", '"0x' + "ab" * 31 + '"')),
        ("short hex", _changed("nonce", '"' + "ab" * 31 + '"')),
        ("odd hex", _changed("nonce", '"' + "ab" * 31 + 'a"')),
        ("other digits as hex", _changed("nonce", '"' + "\u0661\u0662" * 32 + '"')),
        ("empty prompt", _changed("prompt", "[]")),
        ("bool token", _changed("prompt", "[true]")),
        ("float token", _changed("prompt", "[1.0]")),
        ("null token", _changed("prompt", "[null]")),
        ("nested token", _changed("prompt", "[[1]]")),
        ("negative token", _changed("prompt", "[-1]")),
        ("token of 33 bits", _changed("prompt", "[4294967296]")),
        ("string prompt", _changed("prompt", '"hello"')),
        ("extension of wrong name", _changed("extensions", '{"A b": "00"}')),
        ("extension not hex", _changed("extensions", '{"a": "zz"}')),
        ("extension not a string", _changed("extensions", '{"a": 1}')),
        ("too many extensions", _changed("extensions", json.dumps({f"e{i}": "" for i in range(17)}))),
        ("extension too long", _changed("extensions", json.dumps({"a": "00" * 4_097}))),
        ("duplicate name", encode(REQUEST)[:-1] + b',"counter":3}'),
        ("unknown field", encode(REQUEST)[:-1] + b',"more":3}'),
        ("missing field", b'{"version":1}'),
        ("array", b"[]"),
        ("number", b"1"),
        ("empty", b""),
        ("two documents", encode(REQUEST) * 2),
        ("trailing comma", encode(REQUEST)[:-1] + b",}"),
        ("comment", b"/**/" + encode(REQUEST)),
        ("byte order mark", b"\xef\xbb\xbf" + encode(REQUEST)),
        ("utf-16", encode(REQUEST).decode().encode("utf-16")),
        ("invalid utf-8", b'{"\xff": 1}'),
        ("deep arrays", b"[" * 100_000),
        ("deep objects", b'{"a":' * 100_000),
        ("deep but closed", b"[" * 200 + b"]" * 200),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_forged_messages_are_refused_at_parse(attack: str, data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode(CompletionRequest, data)


def test_lone_surrogate_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="surrogate"):
        decode(Fault, b'{"code":"stale","detail":"\\ud800","retry_after_ms":0}')


def test_size_is_checked_before_anything_is_parsed() -> None:
    with pytest.raises(MalformedMessage, match="at most"):
        decode(Hello, b"[" * (limits.MAX_BODY_BYTES + 1))


def test_brackets_inside_strings_do_not_count_as_depth() -> None:
    fault = Fault("stale", '[[[[[[[[[[{{{{{{{{{{\\"' * 3)
    assert decode(Fault, encode(fault)) == fault


@pytest.mark.parametrize("unit", [b'"\\"', b"\\", b'"', b'\\"[', b'["\\u0022'])
def test_depth_check_is_linear_in_hostile_strings(unit: bytes) -> None:
    # With a pattern that tries again from every quote these take minutes; pytest would never end.
    with pytest.raises(MalformedMessage):
        decode(Hello, b'["' + b"[" * 10 + unit * (900_000 // len(unit)))


def test_records_out_of_range_cannot_be_made_in_memory() -> None:
    for changes in ({"counter": -1}, {"counter": True}, {"nonce": b"short"}, {"prompt": [1]}, {"prompt": (1.0,)}):
        with pytest.raises(ProtocolError):
            dataclasses.replace(REQUEST, **changes)
    with pytest.raises(ProtocolError, match="power of two"):
        SecretsCommitment(1, b"g" * 32, 1, b"m" * 32, b"v" * 32, 1, 12, b"r" * 32, 1)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_fuzz_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    try:
        decode(SignedRequest, data)
    except MalformedMessage:
        return
    raise AssertionError("random bytes were a request")


_SIGNED = encode(ASKED)


@given(
    st.lists(
        st.tuples(st.integers(0, len(_SIGNED) - 1), st.sampled_from(b'{}[]":,0123456789eE.+-\\ntfu\x00\xff')),
        min_size=1,
        max_size=4,
    )
)
def test_fuzz_changed_bytes_never_give_another_encoding_of_the_same_request(edits: list[tuple[int, int]]) -> None:
    data = bytearray(_SIGNED)
    for position, byte in edits:
        data[position] = byte
    try:
        record = decode(SignedRequest, bytes(data))
    except MalformedMessage:
        return
    assert (bytes(data) == _SIGNED) == (record == ASKED)
    if record != ASKED:
        with pytest.raises(ProtocolError):
            record.require_valid()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_fast_writer_gives_the_bytes_of_the_standard_one(text: str) -> None:
    fault = Fault("internal", text[:100])
    plain = json.dumps(records.to_json(fault), ensure_ascii=False, separators=(",", ":"))
    assert encode(fault) == plain.encode()


_WHITE = st.sampled_from(["", " ", "\n", "\t "])
_TEXTS = st.sampled_from(
    ['"a"', '"b"', '""', '"\\""', '"\\\\"', '"\\\\\\""', '":"', '"-0"', '"\\u0022"', '"[{,"', '"\\u0061"']
)


@st.composite
def _json(draw: st.DrawFn, depth: int = 3) -> str:
    """JSON with names that are often the same, written in many ways."""
    kind = draw(st.sampled_from(["text", "number", "object", "array"] if depth else ["text", "number"]))
    if kind == "text":
        return draw(_TEXTS)
    if kind == "number":
        return draw(st.sampled_from(["0", "1", "-0", "17", "-3", "1.0", "1e2"]))
    space = draw(_WHITE)
    inner = [draw(_json(depth=depth - 1)) for _ in range(draw(st.integers(0, 3)))]
    if kind == "array":
        return "[" + f"{space},".join(inner) + "]"
    return "{" + f",{space}".join(f"{draw(_TEXTS)}{space}:{value}" for value in inner) + "}"


@given(_json())
@settings(max_examples=600)
def test_the_fast_reader_takes_nothing_twice_and_reads_as_the_strict_one(source: str) -> None:
    """The attack: a name given twice, hidden behind escapes and white space, which two implementations read apart."""
    try:
        fast = records.loads(source.encode(), 10_000)
    except MalformedMessage:
        return
    # Raises where a name is there twice. Numbers with sign, fraction or exponent are refused by the fields.
    assert fast == json.loads(source, object_pairs_hook=records._unique)
    assert "-0" not in re.sub(r'"(?:[^"\\]|\\.)*"', "", source)
