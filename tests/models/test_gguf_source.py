from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from subnet.models import builtin_manifest
from subnet.models.errors import AlteredModel, UnsupportedModel
from subnet.models.gguf_source import convert
from subnet.models.loading import llama_shape
from subnet.models.provenance import locate

HEADS, KV_HEADS, SIZE, HIDDEN, MLP, VOCAB = 4, 2, 8, 32, 64, 40


def interleave(weight: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter does to query and key rows: the two rotary halves of a head alternate."""
    return weight.reshape(heads, 2, SIZE // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(path: Path, architecture: str = "llama", pre: str = "smollm", extra: str = "") -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(5000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([f"t{i}" for i in range(VOCAB)])
    writer.add_token_types([3, 3, 3] + [1] * (VOCAB - 3))
    writer.add_token_merges(["t 1"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    names = {
        "token_embd": (VOCAB, HIDDEN),
        "output_norm": (HIDDEN,),
        "blk.0.attn_norm": (HIDDEN,),
        "blk.0.ffn_norm": (HIDDEN,),
        "blk.0.attn_q": (HEADS * SIZE, HIDDEN),
        "blk.0.attn_k": (KV_HEADS * SIZE, HIDDEN),
        "blk.0.attn_v": (KV_HEADS * SIZE, HIDDEN),
        "blk.0.attn_output": (HIDDEN, HEADS * SIZE),
        "blk.0.ffn_gate": (MLP, HIDDEN),
        "blk.0.ffn_up": (MLP, HIDDEN),
        "blk.0.ffn_down": (HIDDEN, MLP),
    }
    if extra:
        names[extra] = (HIDDEN,)
    arrays = {name: random.standard_normal(shape, dtype=np.float32) for name, shape in names.items()}
    for name, array in arrays.items():
        stored = interleave(array, HEADS) if "attn_q" in name else array
        stored = interleave(array, KV_HEADS) if "attn_k" in name else stored
        writer.add_tensor(f"{name}.weight", stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return arrays


def test_names_layout_and_configuration(tmp_path: Path) -> None:
    arrays = write_gguf(tmp_path / "m.gguf")
    out = tmp_path / "out"
    out.mkdir()
    convert(tmp_path / "m.gguf", out)
    tensors = load_file(out / "model.safetensors")
    assert len(tensors) == len(arrays)
    expected = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "ffn_down": "mlp.down_proj"}
    for name, renamed in expected.items():
        found = tensors[f"model.layers.0.{renamed}.weight"].numpy()
        assert np.array_equal(found, arrays[f"blk.0.{name}"])
    shape = llama_shape(__import__("json").loads((out / "config.json").read_text()))
    assert shape is not None
    assert (shape.heads, shape.kv_heads, shape.head_dim, shape.rope_theta) == (HEADS, KV_HEADS, SIZE, 5000.0)
    assert shape.tied_embeddings


def test_conversion_is_reproducible(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf")
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        convert(tmp_path / "m.gguf", tmp_path / name)
        files.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "changes", [{"architecture": "falcon"}, {"pre": "llama-bpe"}, {"extra": "blk.0.ssm_a"}, {"extra": "rope_freqs"}]
)
def test_what_is_not_understood_is_refused(tmp_path: Path, changes: dict) -> None:
    write_gguf(tmp_path / "m.gguf", **changes)
    with pytest.raises(UnsupportedModel):
        convert(tmp_path / "m.gguf", tmp_path)


@pytest.mark.parametrize("data", [b"", b"GGUF", b"\x80\x04pickle", b"GGUF" + bytes(60)])
def test_what_is_no_gguf_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.gguf").write_bytes(data)
    with pytest.raises((AlteredModel, UnsupportedModel)):
        convert(tmp_path / "m.gguf", tmp_path)


@pytest.mark.slow
def test_the_embedded_model_equals_what_transformers_reads_from_the_gguf() -> None:
    from transformers import AutoModelForCausalLM

    from subnet.models.provenance import source_folder

    manifest = builtin_manifest()
    origin = source_folder(manifest.source, None, Path())
    theirs = AutoModelForCausalLM.from_pretrained(origin, gguf_file=manifest.files[0].path, dtype=torch.float32)
    ours = load_file(locate(manifest).folder / "model.safetensors")
    state = theirs.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in ours.items())
