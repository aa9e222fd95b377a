"""Field kinds: one declaration gives a field's JSON form, its check, its canonical bytes and its schema.

A record is a frozen slots dataclass whose fields are declared with `wire(kind)`. Fields enter canonical bytes in the
order of their declaration.
"""

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from subnet.errors import ProtocolError
from subnet.protocol import canonical, limits

JsonValue = Any
"""What `json.loads` returns."""

_SHOWN = 80
_INT = {int}
_LABEL = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of field.

    `check` raises ProtocolError for a value out of range (in memory), `to_json` and `from_json` convert, `canonical`
    gives fixed-width bytes, `schema` is JSON Schema. `from_json` converts shapes only; `check` follows it.
    """

    check: Callable[[Any, str], None]
    to_json: Callable[[Any], JsonValue]
    from_json: Callable[[JsonValue, str], Any]
    canonical: Callable[[Any], bytes]
    schema: Mapping[str, Any]


def show(value: Any) -> str:
    """A value as an error message shows it: scalars shortened, anything else by its type."""
    if value is None or isinstance(value, bool | int | str):
        return repr(value if not isinstance(value, str) else value[:_SHOWN])[:_SHOWN]
    return type(value).__name__


def wire(kind: Kind, default: Any = None, default_factory: Callable[[], Any] | None = None) -> Any:
    """A dataclass field of this kind. A default is for constructors only: on the wire every field is present."""
    metadata = {"kind": kind}
    if default_factory is not None:
        return field(metadata=metadata, default_factory=default_factory)
    return field(metadata=metadata) if default is None else field(metadata=metadata, default=default)


def _same(value: Any) -> Any:
    return value


def _unchanged(value: JsonValue, where: str) -> Any:
    return value


def uint(width: int, low: int = 0, high: int | None = None) -> Kind:
    """An unsigned integer of `width` bytes between `low` and `high`; never above MAX_INTEGER."""
    top = min(limits.MAX_INTEGER, 2 ** (8 * width) - 1 if high is None else high)

    def check(value: Any, where: str) -> None:
        if type(value) is not int or not low <= value <= top:
            raise ProtocolError(f"{where} is {show(value)}: expected an integer from {low} to {top}")

    return Kind(
        check=check,
        to_json=_same,
        from_json=_unchanged,
        canonical=lambda value: value.to_bytes(width, "big"),
        schema={"type": "integer", "minimum": low, "maximum": top},
    )


def raw(width: int, describe: str = "bytes") -> Kind:
    """Exactly `width` bytes, in lower-case hexadecimal without prefix on the wire."""
    expected = f"{width} {describe}"

    def check(value: Any, where: str) -> None:
        if type(value) is not bytes or len(value) != width:
            size = f"{len(value)} bytes" if isinstance(value, bytes) else f"{show(value)}"
            raise ProtocolError(f"{where} is {size}: expected {expected}")

    def from_json(value: JsonValue, where: str) -> bytes:
        return _from_hex(value, width, width, expected, where)

    return Kind(
        check=check,
        to_json=bytes.hex,
        from_json=from_json,
        canonical=_same,
        schema={"type": "string", "pattern": f"^[0-9a-f]{{{2 * width}}}$", "description": f"{expected}, hex"},
    )


def _from_hex(value: JsonValue, low: int, high: int, expected: str, where: str) -> bytes:
    if type(value) is str and 2 * low <= len(value) <= 2 * high:
        try:
            found = bytes.fromhex(value)
        except ValueError:
            found = b""
        # fromhex also takes white space and capitals; writing it again shows them, faster than a pattern.
        if found.hex() == value:
            return found
    raise ProtocolError(f"{where}: expected {expected} as lower-case hexadecimal, got {show(value)}")


def tokens(low: int, high: int) -> Kind:
    """A tuple of `low` to `high` token ids; enters canonical bytes as count and Merkle root (36 bytes)."""

    def check(value: Any, where: str) -> None:
        if type(value) is not tuple or not low <= len(value) <= high:
            size = f"{len(value)} tokens" if isinstance(value, tuple) else type(value).__name__
            raise ProtocolError(f"{where} has {size}: expected a tuple of {low} to {high} token ids")
        try:
            canonical.pack_tokens(value)
            # bool is an int to every numeric test, hence the comparison of types.
            sound = not value or set(map(type, value)) == _INT
        except struct.error:
            sound = False
        if not sound:
            raise ProtocolError(f"{where} holds a token id that is not an integer from 0 to {limits.MAX_TOKEN_ID}")

    def from_json(value: JsonValue, where: str) -> tuple[int, ...]:
        if type(value) is not list:
            raise ProtocolError(f"{where}: expected an array of token ids, got {type(value).__name__}")
        return tuple(value)

    return Kind(
        check=check,
        to_json=list,
        from_json=from_json,
        canonical=canonical.token_commitment,
        schema={
            "type": "array",
            "minItems": low,
            "maxItems": high,
            "items": {"type": "integer", "minimum": 0, "maximum": limits.MAX_TOKEN_ID},
        },
    )


def text(max_bytes: int) -> Kind:
    """Unicode text of at most `max_bytes` of UTF-8, without lone surrogates; enters as its SHA-256."""

    def check(value: Any, where: str) -> None:
        if type(value) is not str:
            raise ProtocolError(f"{where}: expected a string, got {type(value).__name__}")
        try:
            size = len(value.encode("utf-8"))
        except UnicodeEncodeError:
            raise ProtocolError(f"{where} holds a lone surrogate: send valid Unicode") from None
        if size > max_bytes:
            raise ProtocolError(f"{where} has {size} bytes: at most {max_bytes} are allowed")

    return Kind(
        check=check,
        to_json=_same,
        from_json=_unchanged,
        canonical=canonical.text_digest,
        schema={"type": "string", "description": f"at most {max_bytes} bytes of UTF-8"},
    )


def label(max_bytes: int = limits.MAX_LABEL_BYTES) -> Kind:
    """A machine-readable name: lower-case letters, digits, dot, underscore, hyphen; enters as its SHA-256."""

    def check(value: Any, where: str) -> None:
        if type(value) is not str or not 0 < len(value) <= max_bytes or not _LABEL.fullmatch(value):
            raise ProtocolError(f"{where} is {show(value)}: expected 1 to {max_bytes} of a-z 0-9 . _ -")

    return Kind(
        check=check,
        to_json=_same,
        from_json=_unchanged,
        canonical=canonical.text_digest,
        schema={"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]*$", "minLength": 1, "maxLength": max_bytes},
    )


def digits(width: int) -> Kind:
    """A decimal number of exactly `width` digits without a leading zero, as text; enters as its characters."""
    shape = re.compile(f"[1-9][0-9]{{{width - 1}}}")

    def check(value: Any, where: str) -> None:
        if type(value) is not str or not shape.fullmatch(value):
            raise ProtocolError(f"{where} is {show(value)}: expected {width} decimal digits")

    return Kind(
        check=check,
        to_json=_same,
        from_json=_unchanged,
        canonical=str.encode,
        schema={"type": "string", "pattern": f"^{shape.pattern}$"},
    )


def choice(*names: str) -> Kind:
    """One of the names; enters as its index, one byte. Order is part of the protocol: append only."""

    def check(value: Any, where: str) -> None:
        if type(value) is not str or value not in names:
            raise ProtocolError(f"{where} is {show(value)}: expected one of {', '.join(names)}")

    return Kind(
        check=check,
        to_json=_same,
        from_json=_unchanged,
        canonical=lambda value: names.index(value).to_bytes(1, "big"),
        schema={"type": "string", "enum": list(names)},
    )


def extensions() -> Kind:
    """A map of label to bytes, for what later versions add. Signed; unknown names are carried and ignored."""
    key_kind = label(limits.MAX_EXTENSION_KEY_BYTES)

    def check(value: Any, where: str) -> None:
        if not isinstance(value, Mapping) or len(value) > limits.MAX_EXTENSIONS:
            raise ProtocolError(f"{where}: expected a map of at most {limits.MAX_EXTENSIONS} extensions")
        for key, entry in value.items():
            key_kind.check(key, f"{where} name")
            if type(entry) is not bytes or len(entry) > limits.MAX_EXTENSION_VALUE_BYTES:
                raise ProtocolError(f"{where}[{key!r}]: at most {limits.MAX_EXTENSION_VALUE_BYTES} bytes are allowed")

    def from_json(value: JsonValue, where: str) -> dict[str, bytes]:
        if type(value) is not dict:
            raise ProtocolError(f"{where}: expected an object, got {type(value).__name__}")
        limit = limits.MAX_EXTENSION_VALUE_BYTES
        sizes = f"0 to {limit} bytes"
        return {key: _from_hex(entry, 0, limit, sizes, f"{where}[{key!r:.80}]") for key, entry in value.items()}

    return Kind(
        check=check,
        to_json=lambda value: {key: value[key].hex() for key in sorted(value)},
        from_json=from_json,
        canonical=canonical.extensions_digest,
        schema={
            "type": "object",
            "maxProperties": limits.MAX_EXTENSIONS,
            "propertyNames": key_kind.schema,
            "additionalProperties": {
                "type": "string",
                "pattern": "^([0-9a-f]{2})*$",
                "maxLength": 2 * limits.MAX_EXTENSION_VALUE_BYTES,
            },
        },
    )


def _each(act: Callable[[Any, str], Any], values: Sequence[Any], where: str) -> list[Any]:
    """`act` over all values; what it refuses is named by its index, which costs nothing while nothing is refused."""
    done = []
    for index, value in enumerate(values):
        try:
            done.append(act(value, where))
        except ProtocolError:
            act(value, f"{where}[{index}]")
            raise
    return done


def items(kind: Kind, high: int, low: int = 0) -> Kind:
    """A tuple of `low` to `high` values of another kind; enters as `canonical.list_digest` of their bytes."""

    def check(value: Any, where: str) -> None:
        if type(value) is not tuple or not low <= len(value) <= high:
            raise ProtocolError(f"{where}: expected a tuple of {low} to {high} items")
        _each(kind.check, value, where)

    def from_json(value: JsonValue, where: str) -> tuple[Any, ...]:
        if type(value) is not list or len(value) > high:
            raise ProtocolError(f"{where}: expected an array of {low} to {high} items")
        return tuple(_each(kind.from_json, value, where))

    return Kind(
        check=check,
        to_json=lambda value: [kind.to_json(item) for item in value],
        from_json=from_json,
        canonical=lambda value: canonical.list_digest([kind.canonical(item) for item in value]),
        schema={"type": "array", "minItems": low, "maxItems": high, "items": dict(kind.schema)},
    )
