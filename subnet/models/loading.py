"""From a manifest to a model that runs. Every hash is checked; weights in their own dtype are mapped, not copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from subnet.engine.causal import CausalModel
from subnet.engine.llama import EMBEDDING, HEAD, LlamaModel, LlamaShape
from subnet.errors import EngineError
from subnet.models import layout
from subnet.models.errors import UnsupportedModel
from subnet.models.manifest import Manifest, Numerics
from subnet.models.provenance import LocatedModel, locate
from subnet.models.registry import DEFAULT_MODEL, find_model

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_model(
    name: str | Path | Manifest = DEFAULT_MODEL,
    dtype: str | None = None,
    *,
    head: str | None = None,
    weights: str | None = None,
    cache: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
) -> CausalModel:
    """Load a model by built-in name, manifest path or manifest.

    dtype, head, weights: "float32", "bfloat16" or "float16" for the layers, for the vocabulary projection, and for what
    the checkpoint is rounded to first. All None is the manifest's numerics; with a dtype, head is that dtype too and
    weights are not rounded beyond it unless said. cache: replaces the user's cache folder.
    device: a torch device, or "auto". threads: sets torch's thread count for this process.
    Raises ModelError (missing, altered, unsafe, unsupported) or EngineError (device, dtype).
    """
    named = find_model(name)
    located = locate(named.manifest, named.base, cache)
    numerics = choose_numerics(located.manifest, dtype, head, weights)
    return open_model(located, numerics, device=device, threads=threads)


def open_model(
    located: LocatedModel, numerics: Numerics | None = None, *, device: str = "cpu", threads: int | None = None
) -> CausalModel:
    """The model of a located manifest: our own forward pass for the Llama family, `transformers` for all others."""
    if threads is not None:
        torch.set_num_threads(threads)
    numerics = numerics or located.manifest.numerics
    place = torch_device(device)
    config = layout.read_json(located.folder / "config.json")
    eos = frozenset(located.manifest.eos_ids)
    shape = llama_shape(config)
    if shape is not None:
        return LlamaModel(shape, _llama_tensors(located.folder, numerics, place), eos, located.manifest.digest)
    from subnet.engine.foreign import load_foreign

    return load_foreign(located.folder, numerics, place, eos, located.manifest.digest)


def choose_numerics(manifest: Manifest, dtype: str | None, head: str | None, weights: str | None) -> Numerics:
    """The manifest's numerics with what the caller wants otherwise. Raises ManifestError for an unknown dtype."""
    if dtype is None:
        own = manifest.numerics
        return Numerics(weights or own.weights, own.body, head or own.head)
    return Numerics(weights or dtype, dtype, head or dtype)


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype of a manifest's name. Raises EngineError."""
    if name not in DTYPES:
        raise EngineError(f"dtype {name!r} is not one of {', '.join(DTYPES)}")
    return DTYPES[name]


def torch_device(name: str) -> torch.device:
    """The torch device, "auto" being a GPU where there is one. Raises EngineError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError(f"{name!r} is not a device: {error}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise EngineError(f"device {name!r} was asked for, but this machine has no usable GPU; use cpu or auto")
    return device


def llama_shape(config: dict[str, Any]) -> LlamaShape | None:
    """The shape of a model that our own forward pass computes exactly; None for any other."""
    plain = {
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "rope_scaling": None,
        "pretraining_tp": 1,
    }
    if config.get("model_type") != "llama" or any(config.get(key, want) != want for key, want in plain.items()):
        return None
    rope = config.get("rope_parameters") or {"rope_theta": config.get("rope_theta", 10000.0)}
    if rope.get("rope_type", "default") != "default" or rope.get("partial_rotary_factor", 1.0) != 1.0:
        return None
    try:
        heads, hidden = config["num_attention_heads"], config["hidden_size"]
        return LlamaShape(
            vocab_size=config["vocab_size"],
            hidden_size=hidden,
            intermediate_size=config["intermediate_size"],
            layers=config["num_hidden_layers"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or hidden // heads,
            rms_norm_eps=config["rms_norm_eps"],
            rope_theta=rope["rope_theta"],
            max_positions=config["max_position_embeddings"],
            tied_embeddings=config.get("tie_word_embeddings", False),
        )
    except KeyError as error:
        raise UnsupportedModel(f"config.json of a Llama model has no {error}") from error


def _llama_tensors(folder: Path, numerics: Numerics, device: torch.device) -> dict[str, Tensor]:
    """The weights, rounded and in their working dtypes; the head apart from the embedding where its dtype differs."""
    stored: dict[str, Tensor] = {}
    for file in layout.weight_files(folder):
        stored |= load_file(file, device=str(device))
    rounded, body, head = (torch_dtype(name) for name in (numerics.weights, numerics.body, numerics.head))
    tensors = {name: tensor.to(rounded).to(body) for name, tensor in stored.items() if name != HEAD}
    if HEAD in stored or head != body:
        tensors[HEAD] = stored.get(HEAD, stored[EMBEDDING]).to(rounded).to(head)
    return tensors
