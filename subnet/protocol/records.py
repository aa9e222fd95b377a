"""Records on the wire: strict JSON in and out, and canonical bytes, derived from field declarations.

Decoding is strict where JSON parsers disagree: duplicate names, unknown or missing fields, non-integers, numbers that
are not finite, and nesting beyond MAX_JSON_DEPTH are refused, so that two implementations never read one message
differently. Lengths are checked before anything is parsed.
"""

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NoReturn, Protocol, TypeVar

import orjson

from subnet.errors import ProtocolError
from subnet.protocol import limits
from subnet.protocol.fields import JsonValue, Kind


class MalformedMessage(ProtocolError):
    """Bytes that are no message of the protocol."""


class Record(Protocol):
    """Any dataclass whose fields were declared with `wire`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


R = TypeVar("R", bound=Record)


@dataclasses.dataclass(frozen=True, slots=True)
class _Layout:
    """A record class taken apart once, with its operations written out field by field."""

    kinds: tuple[tuple[str, Kind], ...]
    names: frozenset[str]
    check: Callable[[Any], None]
    to_json: Callable[[Any], dict[str, JsonValue]]
    from_json: Callable[[dict[str, JsonValue]], Any]
    canonical: Callable[[Any], bytes]


@functools.lru_cache(maxsize=256)
def _layout(cls: type) -> _Layout:
    found = tuple((f.name, f.metadata["kind"]) for f in dataclasses.fields(cls) if "kind" in f.metadata)
    return _Layout(
        kinds=found,
        names=frozenset(name for name, _ in found),
        check=_written(cls, found, "check", "{call}(r.{name}, {where})", "({all},)"),
        to_json=_written(cls, found, "to_json", "{name!r}: {call}(r.{name})", "{{{all}}}"),
        from_json=_written(cls, found, "from_json", "{call}(r[{name!r}], {where})", "cls({all})"),
        canonical=_written(cls, found, "canonical", "{call}(r.{name})", "join(({all},))"),
    )


def _written(cls: type, found: tuple[tuple[str, Kind], ...], operation: str, each: str, whole: str) -> Callable:
    """One operation on all fields of a record as a single expression, as `dataclasses` writes constructors: a loop over
    the fields costs as much as what it does."""
    names: dict[str, Any] = {"cls": cls, "join": b"".join}
    parts = []
    for name, kind in found:
        names[f"do_{name}"] = getattr(kind, operation)
        parts.append(each.format(name=name, call=f"do_{name}", where=repr(f"{cls.__name__}.{name}")))
    written: Callable = eval(f"lambda r: {whole.format(all=', '.join(parts))}", names)
    return written


def kinds(cls: type) -> tuple[tuple[str, Kind], ...]:
    """Names and kinds of a record's wire fields, in declared order."""
    return _layout(cls).kinds


def check_record(record: Record) -> None:
    """Check every field; call it from `__post_init__`, so that no record out of range exists in memory."""
    _layout(type(record)).check(record)


def canonical_bytes(record: Record) -> bytes:
    """The record's canonical bytes, without a domain: fields in declared order."""
    return _layout(type(record)).canonical(record)


def to_json(record: Record) -> dict[str, JsonValue]:
    """The record as plain JSON values, fields in declared order."""
    return _layout(type(record)).to_json(record)


def from_json(cls: type[R], value: JsonValue) -> R:
    """The record from plain JSON values. Raises MalformedMessage for a missing, unknown or wrong field."""
    if type(value) is not dict:
        raise MalformedMessage(f"{cls.__name__}: expected an object, got {type(value).__name__}")
    layout = _layout(cls)
    if value.keys() != layout.names:
        missing, unknown = sorted(layout.names - value.keys()), sorted(value.keys() - layout.names)[:4]
        shown = [f"{name:.40}" for name in unknown]
        raise MalformedMessage(f"{cls.__name__}: missing fields {missing}, unknown fields {shown}")
    try:
        return layout.from_json(value)
    except MalformedMessage:
        raise
    except ProtocolError as error:
        raise MalformedMessage(str(error)) from None


def nested(cls: type[R]) -> Kind:
    """The kind of a field that holds another record; enters canonical bytes as that record's bytes."""

    def check(value: Any, where: str) -> None:
        if type(value) is not cls:
            raise ProtocolError(f"{where}: expected {cls.__name__}, got {type(value).__name__}")

    return Kind(
        check=check,
        to_json=to_json,
        from_json=lambda value, where: from_json(cls, value),
        canonical=canonical_bytes,
        schema={"$ref": f"#/components/schemas/{cls.__name__}"},
    )


def encode(record: Record) -> bytes:
    """Compact JSON in UTF-8. Equal records always give equal bytes."""
    return orjson.dumps(to_json(record))


def decode(cls: type[R], data: bytes, max_bytes: int = limits.MAX_BODY_BYTES) -> R:
    """Strictly decode one record. Raises MalformedMessage, and nothing else, for any bytes that are not one."""
    return from_json(cls, loads(data, max_bytes))


def loads(data: bytes, max_bytes: int) -> JsonValue:
    """Parse strict JSON: UTF-8, no duplicate names, no NaN, bounded size and depth.

    A negative number or one with a fraction may pass here: there is no kind of field that takes it.
    """
    if len(data) > max_bytes:
        raise MalformedMessage(f"message has {len(data)} bytes: at most {max_bytes} are allowed")
    try:
        value = orjson.loads(data)
        if _surely_strict(data, value):
            return value
        _check_depth(data)
        return _STRICT.decode(data.decode("utf-8"))
    except MalformedMessage:
        raise
    except ValueError as error:
        raise MalformedMessage(f"message is not JSON: {error!s:.200}") from None


def _surely_strict(data: bytes, value: JsonValue) -> bool:
    """Whether no name is given twice and no zero has a minus sign: what the fast parser lets through and no field would
    refuse afterwards.

    A name that is given twice drops a string, so that fewer are left than the quotes delimit. Where an escaped
    backslash makes it hard to say which quotes delimit, this says no, and the slow parser looks.
    """
    if b"-" in data and b"-0" in data:
        return False
    quotes = data.count(b'"')
    if b"\\" in data:
        if b"\\\\" in data:
            return False
        quotes -= data.count(b'\\"')
    return quotes == 2 * _strings(value, limits.MAX_JSON_DEPTH)


def _strings(value: JsonValue, depth: int) -> int:
    """At most the number of strings in a JSON value, names included. Raises MalformedMessage beyond `depth` levels.

    A list that begins with an integer is not looked into: what it holds besides integers no field takes.
    """
    if type(value) is str:
        return 1
    if type(value) is not dict and type(value) is not list:
        return 0
    if not depth:
        raise MalformedMessage(f"message nests deeper than {limits.MAX_JSON_DEPTH} levels")
    found = 0
    if type(value) is dict:
        found = len(value)
        value = value.values()
    elif value and type(value[0]) is int:
        return 0
    for item in value:
        kind = type(item)
        if kind is str:
            found += 1
        elif kind is not int:
            found += _strings(item, depth - 1)
    return found


def _check_depth(data: bytes) -> None:
    # Opening brackets bound the depth, so most messages need no closer look.
    if data.count(b"[") + data.count(b"{") <= limits.MAX_JSON_DEPTH:
        return
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(data):
        token = found.group()
        if token in b"[{":
            depth += 1
            if depth > limits.MAX_JSON_DEPTH:
                raise MalformedMessage(f"message nests deeper than {limits.MAX_JSON_DEPTH} levels")
        elif token in b"]}":
            depth -= 1


def _unique(pairs: list[tuple[str, JsonValue]]) -> Mapping[str, JsonValue]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise MalformedMessage("an object holds the same name twice")
    return result


def _refuse(number: str) -> NoReturn:
    raise MalformedMessage(f"number {number:.40} is not an unsigned integer: the protocol has no others")


def _unsigned(number: str) -> int:
    if number.startswith("-"):
        _refuse(number)
    return int(number)


# The closing quote is optional and the repetition possessive: an unterminated string is consumed to its end in one
# pass, so that no message makes the expression try again from every quote in it.
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_unsigned, parse_float=_refuse, parse_constant=_refuse)
