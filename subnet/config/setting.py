"""The leaves of a configuration tree: what each setting is called, where it may come from and how text becomes a value.

Nothing here reads the environment, a file or the command line: see `subnet.config.load`.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from subnet.errors import ConfigError

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})


def option(default: Any, help: str, *, env: tuple[str, ...] = (), secret: bool = False) -> Any:
    """A dataclass field that is a setting. `env` names variables beside the usual ASSAY_<SECTION>_<NAME>."""
    metadata = {"help": help, "env": env, "secret": secret}
    if isinstance(default, (list, dict)):
        raise TypeError("settings are immutable: give a tuple")
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Setting:
    """One leaf: `path` are the attribute names from the root, `kind` is str, int, float, bool or tuple (of text)."""

    path: tuple[str, ...]
    kind: type
    default: Any
    help: str
    env: tuple[str, ...]
    secret: bool

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def flag(self) -> str:
        return "--" + self.name


def settings(root: type) -> Iterator[Setting]:
    """Every leaf of a tree of frozen dataclasses, in declared order."""
    yield from _walk(root, ())


def _walk(node: type, path: tuple[str, ...]) -> Iterator[Setting]:
    hints = typing.get_type_hints(node)
    for field in dataclasses.fields(node):
        kind, here = hints[field.name], (*path, field.name)
        if dataclasses.is_dataclass(kind):
            yield from _walk(typing.cast(type, kind), here)
            continue
        origin = typing.get_origin(kind) or kind
        if origin not in (str, int, float, bool, tuple) or isinstance(origin, types.UnionType):
            raise TypeError(f"{'.'.join(here)}: a setting cannot have the type {kind}")
        usual = "ASSAY_" + "_".join(here).upper()
        about = field.metadata
        yield Setting(here, origin, field.default, about["help"], (usual, *about["env"]), about["secret"])


def parse(setting: Setting, raw: Any, source: str) -> Any:
    """A value of the setting's type from text or a TOML value. Raises ConfigError naming setting and source."""
    try:
        return _CONVERT[setting.kind](raw)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{setting.flag}: {raw!r} is not {_NOUN[setting.kind]} (from {source})") from error


def _to_bool(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word in TRUE_WORDS or word in FALSE_WORDS:
        return word in TRUE_WORDS
    raise ValueError(raw)


def _to_int(raw: Any) -> int:
    if isinstance(raw, (bool, float)):
        raise TypeError(raw)
    return int(str(raw).replace("_", ""), 10)


def _to_float(raw: Any) -> float:
    if isinstance(raw, bool):
        raise TypeError(raw)
    value = float(raw)
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(raw)
    return value


def _to_str(raw: Any) -> str:
    if not isinstance(raw, (str, int, float)) or isinstance(raw, bool):
        raise TypeError(raw)
    return str(raw)


def _to_tuple(raw: Any) -> tuple[str, ...]:
    parts = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, (list, tuple)):
        raise TypeError(raw)
    return tuple(text.strip() for text in map(_to_str, parts) if text.strip())


_CONVERT: dict[type, typing.Callable[[Any], Any]] = {
    bool: _to_bool,
    int: _to_int,
    float: _to_float,
    str: _to_str,
    tuple: _to_tuple,
}
_NOUN = {bool: "true or false", int: "a whole number", float: "a number", str: "text", tuple: "a list"}
