"""Where the parts of a model lie in its folder, and what its JSON files say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subnet.models.errors import MissingModel, UnsafeModel, UnsupportedModel

INDEX = "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack", ".npz", ".npy")
WANTED_JSON = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.json",
    INDEX,
)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from the model's folder. Raises MissingModel or UnsupportedModel."""
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise MissingModel(f"{path} does not exist; fetch the model again") from None
    except ValueError as error:
        raise UnsupportedModel(f"{path} is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise UnsupportedModel(f"{path} holds {type(raw).__name__}, not an object")
    return raw


def optional_json(path: Path) -> dict[str, Any]:
    """The same, empty where the file is absent."""
    return read_json(path) if path.exists() else {}


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model, in order. Raises UnsafeModel where there is only something pickled."""
    if (folder / INDEX).exists():
        named = read_json(folder / INDEX).get("weight_map")
        if not isinstance(named, dict) or not all(isinstance(value, str) for value in named.values()):
            raise UnsupportedModel(f"{folder / INDEX} has no weight_map")
        files = [folder / name for name in sorted(set(named.values()))]
    else:
        files = sorted(folder.glob("*.safetensors"))
    if files and all(file.parent == folder and file.suffix == ".safetensors" and file.exists() for file in files):
        return files
    pickled = sorted(path.name for path in folder.glob("*") if path.suffix in PICKLED)
    if pickled:
        raise UnsafeModel(f"{folder} has {pickled[0]} but no safetensors; pickled weights are never loaded")
    raise MissingModel(f"{folder} has no complete set of safetensors files; fetch the model again")


def refuse_remote_code(config: Mapping[str, Any], folder: Path) -> None:
    """Raise UnsafeModel for a model whose configuration asks for Python code from its repository."""
    if config.get("auto_map"):
        raise UnsafeModel(f"{folder} asks for its own Python code (auto_map); remote code is never run")


def eos_ids(folder: Path) -> tuple[int, ...]:
    """End-of-sequence ids: what the generation configuration says, else the configuration."""
    for name in ("generation_config.json", "config.json"):
        value = optional_json(folder / name).get("eos_token_id")
        if isinstance(value, int):
            return (value,)
        if isinstance(value, list) and value:
            return tuple(sorted(int(token) for token in value))
    raise UnsupportedModel(f"{folder} names no end-of-sequence token; a completion could not end")


def chat_template(folder: Path) -> str:
    """The chat template's text, empty where there is none."""
    own = folder / "chat_template.jinja"
    if own.exists():
        return own.read_bytes().decode("utf-8")
    for name in ("chat_template.json", "tokenizer_config.json"):
        value = optional_json(folder / name).get("chat_template")
        if isinstance(value, str):
            return value
    return ""


def special_tokens(folder: Path) -> dict[str, str]:
    """bos_token, eos_token, pad_token and unk_token as texts, for chat templates that name them."""
    raw = optional_json(folder / "tokenizer_config.json")
    found = {}
    for key in ("bos_token", "eos_token", "pad_token", "unk_token"):
        value = raw.get(key)
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            found[key] = value
    return found
