"""Writing a manifest for a model whose files are on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subnet.models import layout
from subnet.models.errors import UnsupportedModel
from subnet.models.hashing import Progress, file_sha256, record_file, tensor_root
from subnet.models.manifest import NUMERICS, FileRecord, Manifest, Source, Tokenizer, Tolerance, Weights
from subnet.models.provenance import convert_once
from subnet.models.safetensors_file import TensorBytes, read_bytes


def describe(
    folder: Path,
    *,
    name: str,
    source: Source,
    licence: str,
    tolerance_class: str = "fp32",
    profile: Mapping[str, Any] | None = None,
    store: Path,
    progress: Progress | None = None,
) -> Manifest:
    """The manifest of the model in `folder`: one GGUF file, or a Hugging Face checkpoint in safetensors.

    store: the model cache, where a GGUF is converted. Raises UnsafeModel for pickled weights or remote code,
    UnsupportedModel or MissingModel where something is not there.
    """
    ggufs = sorted(folder.glob("*.gguf"))
    records: tuple[FileRecord, ...]
    if len(ggufs) == 1:
        records = (record_file(folder, ggufs[0].name),)
        readable = convert_once(ggufs[0], records[0].sha256, store)
    elif ggufs:
        raise UnsupportedModel(f"{folder} holds {len(ggufs)} GGUF files; a model is one")
    else:
        readable = folder
        records = tuple(record_file(folder, path) for path in _checkpoint_files(folder))
    config = layout.read_json(readable / "config.json")
    layout.refuse_remote_code(config, readable)
    template = layout.chat_template(readable).encode()
    return Manifest(
        name=name,
        source=source,
        architecture=str(config.get("model_type", "")),
        files=records,
        config_sha256=file_sha256(readable / "config.json"),
        weights=_weights(readable, "gguf" if ggufs else "safetensors", progress),
        tokenizer=Tokenizer(file_sha256(readable / "tokenizer.json"), hashlib.sha256(template).hexdigest()),
        vocab_size=_positive(config, "vocab_size"),
        max_positions=_positive(config, "max_position_embeddings"),
        eos_ids=layout.eos_ids(readable),
        numerics=NUMERICS[tolerance_class],
        tolerance=Tolerance(tolerance_class, dict(profile or {})),
        licence=licence,
    )


def _checkpoint_files(folder: Path) -> list[str]:
    named = [name for name in (*layout.WANTED_JSON, "chat_template.jinja") if (folder / name).exists()]
    if "tokenizer.json" not in named:
        raise UnsupportedModel(f"{folder} has no tokenizer.json; save the tokenizer as a fast one first")
    return sorted([*named, *(path.name for path in layout.weight_files(folder))])


def _weights(folder: Path, form: str, progress: Progress | None) -> Weights:
    counts: list[int] = []

    def counted(tensor: TensorBytes) -> TensorBytes:
        size = 1
        for n in tensor.shape:
            size *= n
        counts.append(size)
        return tensor

    root = tensor_root((counted(t) for file in layout.weight_files(folder) for t in read_bytes(file)), progress)
    return Weights(format=form, tensor_root=root, tensors=len(counts), parameters=sum(counts))


def _positive(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    if type(value) is not int or value < 1:
        raise UnsupportedModel(f"config.json says {key} = {value!r}; a positive integer is needed")
    return value
