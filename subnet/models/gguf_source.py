"""GGUF to safetensors: dequantise once, exactly, into the names and layout of a Hugging Face checkpoint.

Only what is understood is converted: Llama-family weights and byte-level BPE tokenizers with the SmolLM pre-tokenizer.
Everything else raises UnsupportedModel. The tokenizer.json and config.json written here depend on nothing but the GGUF,
so that their hashes can stand in a manifest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, ReaderTensor
from gguf.quants import dequantize

from subnet.models.errors import AlteredModel, UnsupportedModel
from subnet.models.safetensors_file import TensorPlan, write_float32

CONVERTER_VERSION = 1
"""Part of the cache folder's name. Raise it whenever the files written for the same GGUF change."""

_CONTROL = 3
_TOP_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(gguf: Path, folder: Path) -> None:
    """Write model.safetensors (float32), config.json, tokenizer.json and chat_template.jinja of a GGUF into a folder.

    Raises AlteredModel for a file that is not a readable GGUF, UnsupportedModel for one that is not understood.
    """
    try:
        reader = GGUFReader(gguf)
    except (ValueError, OSError, IndexError) as error:
        raise AlteredModel(f"{gguf} is not a readable GGUF file: {error}") from error
    config = _config(reader)
    plans = dict(_plans(reader, config))
    write_float32(folder / "model.safetensors", plans)
    config["tie_word_embeddings"] = "lm_head.weight" not in plans
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True))
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer(reader), ensure_ascii=True, separators=(",", ":")))
    template = _field(reader, "tokenizer.chat_template", "")
    (folder / "chat_template.jinja").write_text(template, newline="")


def _field(reader: GGUFReader, key: str, default: Any = None) -> Any:
    field = reader.get_field(key)
    if field is not None:
        return field.contents()
    if default is None:
        raise UnsupportedModel(f"the GGUF has no field {key!r}")
    return default


def _config(reader: GGUFReader) -> dict[str, Any]:
    architecture = _field(reader, "general.architecture")
    if architecture != "llama":
        raise UnsupportedModel(f"GGUF architecture {architecture!r} is not converted; fetch the model as safetensors")
    if any(key.startswith("llama.rope.scaling") for key in reader.fields):
        raise UnsupportedModel("the GGUF scales its rotary embeddings; fetch the model as safetensors")
    heads = _field(reader, "llama.attention.head_count")
    hidden = _field(reader, "llama.embedding_length")
    eps = _field(reader, "llama.attention.layer_norm_rms_epsilon")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "vocab_size": len(reader.fields["tokenizer.ggml.tokens"].data),
        "hidden_size": hidden,
        "intermediate_size": _field(reader, "llama.feed_forward_length"),
        "num_hidden_layers": _field(reader, "llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _field(reader, "llama.attention.head_count_kv", heads),
        "head_dim": _field(reader, "llama.rope.dimension_count", hidden // heads),
        "rms_norm_eps": float(eps),
        "rope_parameters": {"rope_theta": _field(reader, "llama.rope.freq_base", 10000.0), "rope_type": "default"},
        "max_position_embeddings": _field(reader, "llama.context_length"),
        "bos_token_id": _field(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _field(reader, "tokenizer.ggml.eos_token_id"),
    }


def _plans(reader: GGUFReader, config: dict[str, Any]) -> Iterator[tuple[str, TensorPlan]]:
    for tensor in reader.tensors:
        shape = tuple(int(n) for n in reversed(tensor.shape))
        name = _hugging_face_name(tensor.name)
        heads = 0
        if ".attn_q." in tensor.name:
            heads = config["num_attention_heads"]
        elif ".attn_k." in tensor.name:
            heads = config["num_key_value_heads"]
        yield name, TensorPlan(shape, partial(_values, tensor, shape, heads))


def _hugging_face_name(name: str) -> str:
    if name in _TOP_NAMES:
        return _TOP_NAMES[name]
    match = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name)
    if match is None or match[2] not in _LAYER_NAMES:
        raise UnsupportedModel(f"the GGUF holds a tensor {name!r} that a Llama-family model does not have")
    return f"model.layers.{match[1]}.{_LAYER_NAMES[match[2]]}.weight"


def _values(tensor: ReaderTensor, shape: tuple[int, ...], heads: int) -> np.ndarray:
    """Float32 values. llama.cpp interleaves the rotary halves of query and key heads; `heads` > 0 undoes that."""
    values = dequantize(tensor.data, tensor.tensor_type).reshape(shape)
    if not heads:
        return values
    rows = shape[0] // heads
    return values.reshape(heads, rows // 2, 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def _tokenizer(reader: GGUFReader) -> dict[str, Any]:
    """The `tokenizers` description of a byte-level BPE whose digits stand alone, as SmolLM was trained with."""
    kind, pre = _field(reader, "tokenizer.ggml.model"), _field(reader, "tokenizer.ggml.pre")
    if (kind, pre) != ("gpt2", "smollm"):
        raise UnsupportedModel(f"GGUF tokenizer {kind!r} with pre-tokenizer {pre!r} is not converted")
    tokens = _field(reader, "tokenizer.ggml.tokens")
    types = _field(reader, "tokenizer.ggml.token_type")
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": tokens[i], **flags} for i, t in enumerate(types) if t == _CONTROL],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": _field(reader, "tokenizer.ggml.merges"),
        },
    }
