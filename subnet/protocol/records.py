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
    """A record class taken apart once: what each operation needs of its fields, in declared order."""

    kinds: tuple[tuple[str, Kind], ...]
    names: frozenset[str]
    checks: tuple[tuple[str, Callable[[Any, str], None], str], ...]
    encoders: tuple[tuple[str, Callable[[Any], JsonValue]], ...]
    decoders: tuple[tuple[str, Callable[[JsonValue, str], Any], str], ...]
    canonical: tuple[tuple[str, Callable[[Any], bytes]], ...]


@functools.lru_cache(maxsize=256)
def _layout(cls: type) -> _Layout:
    found = tuple((f.name, f.metadata["kind"]) for f in dataclasses.fields(cls) if "kind" in f.metadata)
    return _Layout(
        kinds=found,
        names=frozenset(name for name, _ in found),
        checks=tuple((name, kind.check, f"{cls.__name__}.{name}") for name, kind in found),
        encoders=tuple((name, kind.to_json) for name, kind in found),
        decoders=tuple((name, kind.from_json, f"{cls.__name__}.{name}") for name, kind in found),
        canonical=tuple((name, kind.canonical) for name, kind in found),
    )


def kinds(cls: type) -> tuple[tuple[str, Kind], ...]:
    """Names and kinds of a record's wire fields, in declared order."""
    return _layout(cls).kinds


def check_record(record: Record) -> None:
    """Check every field; call it from `__post_init__`, so that no record out of range exists in memory."""
    for name, check, where in _layout(type(record)).checks:
        check(getattr(record, name), where)


def canonical_bytes(record: Record) -> bytes:
    """The record's canonical bytes, without a domain: fields in declared order."""
    return b"".join([convert(getattr(record, name)) for name, convert in _layout(type(record)).canonical])


def to_json(record: Record) -> dict[str, JsonValue]:
    """The record as plain JSON values, fields in declared order."""
    return {name: convert(getattr(record, name)) for name, convert in _layout(type(record)).encoders}


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
        return cls(**{name: convert(value[name], where) for name, convert, where in layout.decoders})
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
    return json.dumps(to_json(record), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")


def decode(cls: type[R], data: bytes, max_bytes: int = limits.MAX_BODY_BYTES) -> R:
    """Strictly decode one record. Raises MalformedMessage, and nothing else, for any bytes that are not one."""
    return from_json(cls, loads(data, max_bytes))


def loads(data: bytes, max_bytes: int) -> JsonValue:
    """Parse strict JSON: UTF-8, no duplicate names, no floats, no NaN, bounded size and depth."""
    if len(data) > max_bytes:
        raise MalformedMessage(f"message has {len(data)} bytes: at most {max_bytes} are allowed")
    try:
        source = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedMessage(f"message is not UTF-8: {error.reason} at byte {error.start}") from None
    _check_depth(source)
    try:
        return _DECODER.decode(source)
    except MalformedMessage:
        raise
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"message is not JSON: {error!s:.200}") from None


def _check_depth(source: str) -> None:
    # Opening brackets bound the depth, so most messages need no closer look.
    if source.count("[") + source.count("{") <= limits.MAX_JSON_DEPTH:
        return
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(source):
        token = found.group()
        if token in "[{":
            depth += 1
            if depth > limits.MAX_JSON_DEPTH:
                raise MalformedMessage(f"message nests deeper than {limits.MAX_JSON_DEPTH} levels")
        elif token in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, JsonValue]]) -> Mapping[str, JsonValue]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise MalformedMessage("an object holds the same name twice")
    return result


def _refuse(number: str) -> NoReturn:
    raise MalformedMessage(f"number {number:.40} is not an integer: the protocol has only integers")


# The closing quote is optional and the repetition possessive: an unterminated string is consumed to its end in one
# pass, so that no message makes the expression try again from every quote in it.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_refuse, parse_constant=_refuse)
