"""SCALE codec, compiled from the type model.

`Codec` turns each type expression into a pair of closures once; a transfer then decodes in
microseconds without a schema walk. Values inside the node are plain and canonical:

    uN, iN, bool       int, bool            struct        dict by field name
    AccountId32, [u8; N], Vec<u8>  bytes    newtype       the inner value
    Vec<T>             list                 enum          "Name", or ("Name", payload)
    Option<T>          None or the value    BTreeMap      dict

Clients use the SDK's own (independent) codec, so every shape is checked against it in tests.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from subnet.localchain.errors import DecodeError
from subnet.localchain.typemodel import PRIMITIVES, Composite, Expr, NewType, TypeDecl, parse

Encoder = Callable[[Any], bytes]
Decoder = Callable[[bytes, int], tuple[Any, int]]
Pair = tuple[Encoder, Decoder]

_FORMATS = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i8": "b", "i16": "h", "i32": "i", "i64": "q", "bool": "?"}
_MAX_ITEMS = 1 << 24


def compact(value: int) -> bytes:
    """SCALE compact encoding of a non-negative integer."""
    if value < 0:
        raise ValueError(f"a compact integer cannot be negative: {value}")
    if value < 1 << 6:
        return bytes((value << 2,))
    if value < 1 << 14:
        return (value << 2 | 1).to_bytes(2, "little")
    if value < 1 << 30:
        return (value << 2 | 2).to_bytes(4, "little")
    body = value.to_bytes((value.bit_length() + 7) // 8, "little")
    return bytes(((len(body) - 4) << 2 | 3,)) + body


def read_compact(data: bytes, at: int) -> tuple[int, int]:
    """(value, next offset). Raises DecodeError on truncation and on non-minimal encodings."""
    if at >= len(data):
        raise DecodeError(f"compact integer expected at byte {at}, input has {len(data)}")
    mode = data[at] & 3
    size = (1, 2, 4)[mode] if mode < 3 else 1 + (data[at] >> 2) + 4
    end = at + size
    if end > len(data):
        raise DecodeError(f"compact integer at byte {at} needs {size} bytes, input has {len(data)}")
    if mode == 3:
        value = int.from_bytes(data[at + 1 : end], "little")
        minimal = value >= 1 << 30 and data[end - 1] != 0
    else:
        value = int.from_bytes(data[at:end], "little") >> 2
        minimal = mode == 0 or value >= (1 << 6 if mode == 1 else 1 << 14)
    if not minimal:
        raise DecodeError(f"compact integer at byte {at} is not in its shortest form")
    return value, end


def _take(data: bytes, at: int, size: int) -> int:
    end = at + size
    if end > len(data):
        raise DecodeError(f"{size} bytes expected at byte {at}, input has {len(data)}")
    return end


def _length(data: bytes, at: int) -> tuple[int, int]:
    count, at = read_compact(data, at)
    if count > _MAX_ITEMS or count > 8 * (len(data) - at) + 64:
        raise DecodeError(f"a sequence of {count} items cannot fit in the {len(data) - at} bytes that follow")
    return count, at


class Codec:
    """Encoders and decoders by type expression. Immutable once built; safe to share."""

    def __init__(self, types: Mapping[str, TypeDecl]) -> None:
        self._types = types
        self._pairs: dict[Expr, Pair] = {}

    def encoder(self, type_: str) -> Encoder:
        """The encoder of a type expression."""
        return self._pair(parse(type_))[0]

    def decoder(self, type_: str) -> Decoder:
        """The decoder of a type expression: (data, offset) -> (value, next offset)."""
        return self._pair(parse(type_))[1]

    def encode(self, type_: str, value: Any) -> bytes:
        return self.encoder(type_)(value)

    def decode(self, type_: str, data: bytes) -> Any:
        """Decode all of `data`. Raises DecodeError when bytes are missing or left over."""
        value, end = self.decoder(type_)(data, 0)
        if end != len(data):
            raise DecodeError(f"{len(data) - end} bytes left over after a {type_}")
        return value

    def _pair(self, expr: Expr) -> Pair:
        pair = self._pairs.get(expr)
        if pair is None:
            # A forward pair lets a recursive type (a call in a call) refer to itself.
            cell: list[Pair] = []
            self._pairs[expr] = (lambda value: cell[0][0](value), lambda data, at: cell[0][1](data, at))
            pair = self._build(expr)
            cell.append(pair)
            self._pairs[expr] = pair
        return pair

    def _build(self, expr: Expr) -> Pair:
        head = expr.head
        if head in _FORMATS:
            return _fixed(_FORMATS[head])
        if head in PRIMITIVES:
            return _text() if head == "str" else _wide(int(head[1:]) // 8, signed=head[0] == "i")
        if head == "Compact":
            return compact, read_compact
        if head in ("Vec", "BoundedVec", "WeakBoundedVec", "BTreeSet"):
            return self._sequence(expr.args[0])
        if head == "tuple":
            return self._tuple(expr)
        if head == "array":
            return self._array(expr)
        if head == "Option":
            return self._option(expr.args[0])
        if head == "BTreeMap":
            return self._map(*expr.args)
        if head == "Result":
            return self._enum({0: ("Ok", (expr.args[0],)), 1: ("Err", (expr.args[1],))})
        declared = self._types.get(head)
        if declared is None:
            raise KeyError(f"type {expr} is not declared")
        if isinstance(declared, NewType):
            return self._pair(parse(declared.inner))
        if isinstance(declared, Composite):
            return self._struct(declared.fields)
        return self._enum(
            {
                case.index: (
                    case.name,
                    {k: parse(v) for k, v in case.fields.items()}
                    if isinstance(case.fields, Mapping)
                    else tuple(map(parse, case.fields)),
                )
                for case in declared.cases
            }
        )

    def _flat(self, expr: Expr) -> str | None:
        """The struct format of a type made of fixed-width integers only, for bulk paths."""
        if expr.head in _FORMATS and expr.head != "bool":
            return _FORMATS[expr.head]
        declared = self._types.get(expr.head)
        if isinstance(declared, NewType):
            return self._flat(parse(declared.inner))
        if expr.head == "tuple" and expr.args:
            parts = [self._flat(arg) for arg in expr.args]
            return "".join(p for p in parts if p) if all(parts) else None
        return None

    def _byte_width(self, expr: Expr) -> int:
        """The width of a fixed byte array such as an account id, 0 for anything else."""
        if expr.head == "array" and expr.args[0] == Expr("u8"):
            return expr.length
        declared = self._types.get(expr.head)
        return self._byte_width(parse(declared.inner)) if isinstance(declared, NewType) else 0

    def _sequence(self, item: Expr) -> Pair:
        if item == Expr("u8"):
            return _byte_vector()
        flat = self._flat(item)
        if flat is not None:
            return _bulk(flat, scalar=item.head != "tuple")
        width = self._byte_width(item)
        if width:
            return _byte_rows(width)
        encode, decode = self._pair(item)

        def enc(values: Any) -> bytes:
            return compact(len(values)) + b"".join(map(encode, values))

        def dec(data: bytes, at: int) -> tuple[list[Any], int]:
            count, at = _length(data, at)
            out = []
            for _ in range(count):
                value, at = decode(data, at)
                out.append(value)
            return out, at

        return enc, dec

    def _tuple(self, expr: Expr) -> Pair:
        pairs = [self._pair(arg) for arg in expr.args]
        encoders = [p[0] for p in pairs]
        decoders = [p[1] for p in pairs]

        def enc(values: Any) -> bytes:
            if values is None and not encoders:
                return b""
            return b"".join(e(v) for e, v in zip(encoders, values, strict=True))

        def dec(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
            out = []
            for decode in decoders:
                value, at = decode(data, at)
                out.append(value)
            return tuple(out), at

        return enc, dec

    def _array(self, expr: Expr) -> Pair:
        size = expr.length
        if expr.args[0] == Expr("u8"):

            def enc_bytes(value: Any) -> bytes:
                if len(value) != size:
                    raise ValueError(f"{size} bytes expected, {len(value)} given")
                return bytes(value)

            def dec_bytes(data: bytes, at: int) -> tuple[bytes, int]:
                end = _take(data, at, size)
                return data[at:end], end

            return enc_bytes, dec_bytes
        return self._tuple(Expr("tuple", expr.args * size))

    def _option(self, inner: Expr) -> Pair:
        encode, decode = self._pair(inner)

        def enc(value: Any) -> bytes:
            return b"\x00" if value is None else b"\x01" + encode(value)

        def dec(data: bytes, at: int) -> tuple[Any, int]:
            end = _take(data, at, 1)
            if data[at] == 0:
                return None, end
            if data[at] != 1:
                raise DecodeError(f"option tag {data[at]} at byte {at}")
            return decode(data, end)

        return enc, dec

    def _map(self, key: Expr, value: Expr) -> Pair:
        encode, decode = self._pair(Expr("Vec", (Expr("tuple", (key, value)),)))

        def enc(mapping: Any) -> bytes:
            return encode(sorted(mapping.items()))

        def dec(data: bytes, at: int) -> tuple[dict[Any, Any], int]:
            pairs, at = decode(data, at)
            return dict(pairs), at

        return enc, dec

    def _struct(self, fields: Mapping[str, str] | Mapping[str, Expr]) -> Pair:
        pairs = [(name, *self._pair(parse(t) if isinstance(t, str) else t)) for name, t in fields.items()]

        def enc(value: Any) -> bytes:
            return b"".join([encode(value[name]) for name, encode, _ in pairs])

        def dec(data: bytes, at: int) -> tuple[dict[str, Any], int]:
            out = {}
            for name, _, decode in pairs:
                out[name], at = decode(data, at)
            return out, at

        return enc, dec

    def _enum(self, table: Mapping[int, tuple[str, Any]]) -> Pair:
        by_index: dict[int, tuple[str, Decoder | None]] = {}
        by_name: dict[str, tuple[bytes, Encoder | None]] = {}
        for index, (name, fields) in table.items():
            pair = self._payload(fields)
            by_index[index] = (name, pair[1] if pair else None)
            by_name[name] = (bytes((index,)), pair[0] if pair else None)

        def enc(value: Any) -> bytes:
            name, payload = value if isinstance(value, tuple) else (value, None)
            tag, encode = by_name[name]
            return tag if encode is None else tag + encode(payload)

        def dec(data: bytes, at: int) -> tuple[Any, int]:
            end = _take(data, at, 1)
            found = by_index.get(data[at])
            if found is None:
                raise DecodeError(f"no variant has index {data[at]} (byte {at})")
            name, decode = found
            if decode is None:
                return name, end
            payload, end = decode(data, end)
            return (name, payload), end

        return enc, dec

    def _payload(self, fields: Any) -> Pair | None:
        if not fields:
            return None
        if isinstance(fields, Mapping):
            return self._struct(fields)
        if len(fields) == 1:
            return self._pair(fields[0])
        return self._tuple(Expr("tuple", tuple(fields)))


def _fixed(letter: str) -> Pair:
    packer = struct.Struct("<" + letter)
    size, pack, unpack = packer.size, packer.pack, packer.unpack_from

    def dec(data: bytes, at: int) -> tuple[Any, int]:
        end = _take(data, at, size)
        if letter == "?" and data[at] > 1:
            raise DecodeError(f"boolean byte {data[at]} at byte {at}")
        return unpack(data, at)[0], end

    return pack, dec


def _wide(size: int, signed: bool) -> Pair:
    def enc(value: int) -> bytes:
        return int(value).to_bytes(size, "little", signed=signed)

    def dec(data: bytes, at: int) -> tuple[int, int]:
        end = _take(data, at, size)
        return int.from_bytes(data[at:end], "little", signed=signed), end

    return enc, dec


def _byte_vector() -> Pair:
    def enc(value: Any) -> bytes:
        return compact(len(value)) + bytes(value)

    def dec(data: bytes, at: int) -> tuple[bytes, int]:
        count, at = read_compact(data, at)
        end = _take(data, at, count)
        return data[at:end], end

    return enc, dec


def _text() -> Pair:
    encode, decode = _byte_vector()

    def dec(data: bytes, at: int) -> tuple[str, int]:
        raw, at = decode(data, at)
        try:
            return raw.decode(), at
        except UnicodeDecodeError as error:
            raise DecodeError(f"text is not UTF-8: {error}") from None

    return (lambda value: encode(value.encode())), dec


def _byte_rows(width: int) -> Pair:
    """Vectors of fixed byte arrays, by slicing."""

    def enc(values: Any) -> bytes:
        if any(len(value) != width for value in values):
            raise ValueError(f"every item must be {width} bytes long")
        return compact(len(values)) + b"".join(values)

    def dec(data: bytes, at: int) -> tuple[list[bytes], int]:
        count, at = read_compact(data, at)
        end = _take(data, at, count * width)
        return [data[i : i + width] for i in range(at, end, width)], end

    return enc, dec


def _bulk(letters: str, scalar: bool) -> Pair:
    """Vectors of fixed-width integers, or of tuples of them, in one struct call."""
    row = struct.Struct("<" + letters)
    width = len(letters)

    def enc(values: Any) -> bytes:
        flat = values if scalar else [x for item in values for x in item]
        return compact(len(values)) + struct.pack(
            "<" + (f"{len(flat)}{letters}" if width == 1 else letters * len(values)), *flat
        )

    def dec(data: bytes, at: int) -> tuple[list[Any], int]:
        count, at = read_compact(data, at)
        end = _take(data, at, count * row.size)
        if scalar:
            return list(struct.unpack_from(f"<{count}{letters}", data, at)), end
        return list(row.iter_unpack(data[at:end])), end

    return enc, dec
