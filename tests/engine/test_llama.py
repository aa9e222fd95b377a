from pathlib import Path

import pytest
import torch

from subnet.engine.attention import packed_causal
from subnet.engine.hooks import ForwardHooks
from subnet.engine.llama import LlamaModel, LlamaShape, arranged_for_decoding
from subnet.engine.replay import ReplayJob, replay_logits
from subnet.errors import EngineError
from subnet.models import load_model, load_tokenizer
from subnet.models.loading import llama_shape
from subnet.models.provenance import locate
from subnet.models.registry import builtin_manifest


def reference(folder: Path) -> torch.nn.Module:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def logits(model: LlamaModel, tokens: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        positions = torch.arange(len(tokens))
        return model.project(model.hidden(torch.tensor(tokens), positions, packed_causal([len(tokens)])))


@pytest.mark.parametrize("length", [1, 2, 17, 128])
def test_a_tiny_model_gives_the_bits_of_transformers(tiny: LlamaModel, tiny_llama_folder: Path, length: int) -> None:
    tokens = [(31 * i + 5) % 256 for i in range(length)]
    with torch.inference_mode():
        theirs = reference(tiny_llama_folder)(torch.tensor([tokens])).logits[0]
    assert torch.equal(logits(tiny, tokens), theirs)


def test_the_embedded_model_gives_the_bits_of_transformers() -> None:
    model = load_model(dtype="float32")
    tokens = list(load_tokenizer().chat([{"role": "user", "content": "What is the capital of France, in 1 word?"}]))
    with torch.inference_mode():
        theirs = reference(locate(builtin_manifest()).folder)(torch.tensor([tokens])).logits[0]
    ours = logits(model, tokens)
    assert torch.equal(ours, theirs)
    assert ours.std() > 1.0


def test_packing_does_not_mix_sequences(tiny: LlamaModel) -> None:
    jobs = [ReplayJob(tuple(range(n)), tuple(range(40, 40 + n))) for n in (1, 5, 30)]
    alone = [replay_logits(tiny, [job])[0] for job in jobs]
    for packed, single in zip(replay_logits(tiny, jobs), alone, strict=True):
        torch.testing.assert_close(packed, single, atol=1e-4, rtol=1e-4)


def test_the_numerics_of_the_bf16_class() -> None:
    model = load_model("smollm2-135m-instruct-bf16")
    assert model.dtype == torch.bfloat16
    assert model.weights["lm_head.weight"].dtype == torch.float32
    rounded = load_model(dtype="float32", weights="bfloat16")
    plain = load_model(dtype="float32")
    job = ReplayJob((1, 9690, 198), tuple(range(1000, 1020)))
    ours, exact, unrounded = (replay_logits(m, [job])[0] for m in (model, rounded, plain))
    assert ours.dtype == torch.float32
    assert (ours - exact).abs().max() < 1.5
    assert 1e-3 < (exact - unrounded).abs().median() < 0.5


def test_changed_weights_change_a_second_model_only(tiny: LlamaModel) -> None:
    before = logits(tiny, [1, 2, 3])
    name = "model.layers.1.mlp.down_proj.weight"
    other = tiny.with_weights({name: torch.zeros_like(tiny.weights[name])})
    assert not torch.equal(logits(other, [1, 2, 3]), before)
    assert torch.equal(logits(tiny, [1, 2, 3]), before)
    with pytest.raises(EngineError, match="no weight"):
        tiny.with_weights({"model.layers.9.x": torch.zeros(1)})
    with pytest.raises(EngineError, match="shape"):
        tiny.with_weights({name: torch.zeros(3, 3)})


def test_the_layout_for_decoding_changes_no_value(tiny: LlamaModel) -> None:
    arranged = arranged_for_decoding(tiny)
    assert all(torch.equal(arranged.weights[name], weight) for name, weight in tiny.weights.items())
    assert arranged.weights["model.layers.0.mlp.up_proj.weight"].t().is_contiguous()
    torch.testing.assert_close(logits(arranged, [1, 2, 3]), logits(tiny, [1, 2, 3]), atol=1e-4, rtol=1e-4)


def test_an_incomplete_checkpoint_is_refused(tiny: LlamaModel) -> None:
    short = {name: tensor for name, tensor in tiny.weights.items() if "k_proj" not in name}
    with pytest.raises(EngineError, match="k_proj"):
        LlamaModel(tiny.shape, short, frozenset({1}))


def test_hooks_are_called_where_they_say(tiny: LlamaModel) -> None:
    inputs, writes = [], []

    def linear_input(x: torch.Tensor, name: str) -> torch.Tensor:
        inputs.append(name)
        return x

    def cache_write(layer: int, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        writes.append((layer, tuple(k.shape)))
        return k, v

    hooked = tiny.with_hooks(ForwardHooks(linear_input=linear_input, cache_write=cache_write))
    assert torch.equal(logits(hooked, [4, 5, 6]), logits(tiny, [4, 5, 6]))
    assert len(inputs) == 2 * 7 + 1
    assert inputs[-1] == "lm_head.weight"
    assert writes == [(0, (3, 2, 8)), (1, (3, 2, 8))]


def test_layers_can_be_skipped_whole_or_for_some_tokens(tiny: LlamaModel) -> None:
    whole = tiny.with_hooks(ForwardHooks(skip_layer=lambda layer, _hidden: layer == 1))
    mask = torch.tensor([False, False, True])
    partly = tiny.with_hooks(ForwardHooks(skip_layer=lambda layer, _hidden: mask if layer == 1 else False))
    plain, skipped, mixed = (logits(m, [1, 2, 3]) for m in (tiny, whole, partly))
    torch.testing.assert_close(mixed[:2], plain[:2])
    torch.testing.assert_close(mixed[2], skipped[2])
    assert not torch.allclose(plain, skipped)


def shape(**changes: object) -> dict:
    base = {
        "model_type": "llama",
        "vocab_size": 10,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 8,
    }
    return base | changes


def test_only_what_our_forward_pass_computes_exactly_is_taken() -> None:
    assert isinstance(llama_shape(shape()), LlamaShape)
    for change in (
        {"model_type": "mistral"},
        {"hidden_act": "gelu"},
        {"attention_bias": True},
        {"rope_scaling": {"rope_type": "yarn"}},
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1.0}},
    ):
        assert llama_shape(shape(**change)) is None


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(EngineError, match="heads"):
        llama_shape(shape(num_attention_heads=3, num_key_value_heads=2))
