"""Reads the configuration tree from the command line, the environment and a TOML file, in that order of precedence."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import tomllib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from subnet.config.setting import Setting, parse, settings
from subnet.errors import ConfigError

T = TypeVar("T")
FILE_ENV = "ASSAY_CONFIG"


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """A configuration and, for every setting that is not at its default, where its value came from."""

    config: T
    sources: Mapping[str, str]


def load(root: type[T], argv: Sequence[str], environ: Mapping[str, str], *, prog: str, description: str) -> Loaded[T]:
    """The tree `root` filled from `argv` over `environ` over the file named by --config or ASSAY_CONFIG.

    Raises ConfigError for an unknown or malformed setting. `--help` prints and leaves with status 0, as argparse does.
    """
    leaves = list(settings(root))
    flags = vars(_parser(leaves, prog, description).parse_args(list(argv)))
    path = flags.pop("config", None) or environ.get(FILE_ENV)
    table = _file_values(Path(path).expanduser(), leaves) if path else {}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for leaf in leaves:
        found = _find(leaf, flags, environ, table, str(path))
        if found is not None:
            values[leaf.name] = parse(leaf, found[0], found[1])
            sources[leaf.name] = found[1]
    return Loaded(_build(root, (), values), sources)


def split_command(argv: Sequence[str], commands: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """(command, its words, flags): the words before the first flag name the command; without any it is the first one.

    Raises ConfigError for an unknown command, or for words where the default command runs.
    """
    words: list[str] = []
    for word in argv:
        if word.startswith("-"):
            break
        words.append(word)
    flags = list(argv[len(words) :])
    if not words:
        return commands[0], [], flags
    if words[0] not in commands or (words[0] == commands[0] and len(words) > 1):
        raise ConfigError(f"{' '.join(words)!r} is not a command; there are {', '.join(commands)}, before the flags")
    return words[0], words[1:], flags


def _find(
    leaf: Setting, flags: Mapping[str, Any], environ: Mapping[str, str], table: Mapping[str, Any], path: str
) -> tuple[Any, str] | None:
    if leaf.name in flags:
        return flags[leaf.name], "the command line"
    for variable in leaf.env:
        if variable in environ:
            return environ[variable], f"the environment variable {variable}"
    if leaf.name in table:
        return table[leaf.name], f"the file {path}"
    return None


def _parser(leaves: list[Setting], prog: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description=description, argument_default=argparse.SUPPRESS, allow_abbrev=False,
        epilog="Every flag may also be set as ASSAY_<SECTION>_<NAME> in the environment or in a TOML file (--config).",
    )  # fmt: skip
    parser.add_argument("--config", metavar="FILE", help="a TOML file with the same names, one table per section")
    for leaf in leaves:
        names = list(dict.fromkeys((leaf.flag, leaf.flag.replace("_", "-"))))
        text = f"{leaf.help} (default: {_default_text(leaf)})".replace("%", "%%")
        if leaf.kind is bool:
            parser.add_argument(*names, dest=leaf.name, nargs="?", const="true", metavar="true|false", help=text)
        elif leaf.kind is tuple:
            parser.add_argument(*names, dest=leaf.name, action="append", metavar="TEXT", help=text + "; repeatable")
        else:
            parser.add_argument(*names, dest=leaf.name, metavar=leaf.kind.__name__.upper(), help=text)
    return parser


def _default_text(leaf: Setting) -> str:
    if leaf.kind is bool:
        return str(leaf.default).lower()
    return "none" if leaf.default in ("", ()) else str(leaf.default)


def _file_values(path: Path, leaves: list[Setting]) -> dict[str, Any]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration file {path} is not valid TOML: {error}") from error
    flat = dict(_flatten(tree, ()))
    known = {leaf.name for leaf in leaves}
    for name in flat:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else "; see --help for the names"
            raise ConfigError(f"the configuration file {path} sets {name}, which does not exist{hint}")
    return flat


def _flatten(tree: Mapping[str, Any], path: tuple[str, ...]) -> typing.Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, (*path, key))
        else:
            yield ".".join((*path, key)), value


def _build(node: type[T], path: tuple[str, ...], values: Mapping[str, Any]) -> T:
    hints = typing.get_type_hints(node)
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(typing.cast(Any, node)):
        here = (*path, field.name)
        if dataclasses.is_dataclass(hints[field.name]):
            arguments[field.name] = _build(hints[field.name], here, values)
        elif ".".join(here) in values:
            arguments[field.name] = values[".".join(here)]
    return node(**arguments)
