"""Types of the chain, declared once and used twice: by the codec and by the metadata.

A type is named by an expression in Rust's spelling (`Vec<(u16, u16)>`, `Option<AxonInfo>`,
`[u8; 32]`). Names that are not built in are looked up in a table of `Composite`,
`Variant` and `NewType` declarations. This module knows nothing about bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

PRIMITIVES: dict[str, int] = {
    name: index
    for index, name in enumerate(
        ("bool", "char", "str", "u8", "u16", "u32", "u64", "u128", "u256", "i8", "i16", "i32", "i64", "i128", "i256")
    )
}


@dataclass(frozen=True, slots=True)
class Expr:
    """A parsed type expression: `head` is a name, "tuple" or "array"."""

    head: str
    args: tuple[Expr, ...] = ()
    length: int = 0

    def __str__(self) -> str:
        inner = ", ".join(map(str, self.args))
        if self.head == "tuple":
            return f"({inner})"
        if self.head == "array":
            return f"[{inner}; {self.length}]"
        return f"{self.head}<{inner}>" if self.args else self.head


@dataclass(frozen=True, slots=True)
class Composite:
    """A struct with named fields."""

    path: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NewType:
    """A struct with one unnamed field: the value is the inner value."""

    path: str
    inner: str


@dataclass(frozen=True, slots=True)
class Case:
    """One variant of an enum. `fields` is a tuple of types, or a mapping of names to types."""

    name: str
    index: int
    fields: tuple[str, ...] | Mapping[str, str] = ()
    docs: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """An enum."""

    path: str
    cases: tuple[Case, ...]


TypeDecl = Composite | NewType | Variant


def cases(*names: str | tuple[str, tuple[str, ...] | Mapping[str, str]], start: int = 0) -> tuple[Case, ...]:
    """Number consecutive variants from `start`; a bare name has no payload."""
    return tuple(
        Case(item, start + i) if isinstance(item, str) else Case(item[0], start + i, item[1])
        for i, item in enumerate(names)
    )


@cache
def parse(text: str) -> Expr:
    """Parse a type expression. Raises ValueError where the text is not one."""
    expr, rest = _parse(text.strip())
    if rest.strip():
        raise ValueError(f"unexpected {rest!r} after the type in {text!r}")
    return expr


def _parse(text: str) -> tuple[Expr, str]:
    text = text.lstrip()
    if text.startswith("("):
        args, rest = _parse_list(text[1:], ")")
        return Expr("tuple", args), rest
    if text.startswith("["):
        inner, rest = _parse(text[1:])
        count, closing, rest = rest.lstrip().partition("]")
        if not closing or not count.startswith(";"):
            raise ValueError(f"an array type is written [T; N], not {text!r}")
        return Expr("array", (inner,), int(count[1:])), rest
    end = 0
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    if end == 0:
        raise ValueError(f"no type name at {text!r}")
    head, rest = text[:end], text[end:]
    if rest.lstrip().startswith("<"):
        args, rest = _parse_list(rest.lstrip()[1:], ">")
        return Expr(head, args), rest
    return Expr(head), rest


def _parse_list(text: str, closing: str) -> tuple[tuple[Expr, ...], str]:
    args: list[Expr] = []
    while True:
        text = text.lstrip()
        if text.startswith(closing):
            return tuple(args), text[1:]
        expr, text = _parse(text)
        args.append(expr)
        text = text.lstrip()
        if text.startswith(","):
            text = text[1:]
        elif not text.startswith(closing):
            raise ValueError(f"expected ',' or {closing!r} at {text!r}")
