"""Small checkpoints for tests, random but the same every time."""

from __future__ import annotations

import json
from pathlib import Path

import torch

TEMPLATE = (
    "{% for message in messages %}<s>{{ message['role'] }}: {{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
VOCAB = 300


def write_tokenizer(folder: Path) -> None:
    """A byte-level tokenizer without merges: ids 0 to 255 are bytes, 256 is <s>, 257 is </s>."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={text: i for i, text in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", "chat_template": TEMPLATE}))


def tiny_config(kind: str = "llama", **changes: object) -> object:
    """A two-layer configuration of some architecture."""
    import transformers

    sizes: dict = {
        "vocab_size": VOCAB,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "max_position_embeddings": 128,
        "eos_token_id": 257,
        "bos_token_id": 256,
    }
    if kind != "gpt_neox":
        sizes["num_key_value_heads"] = 2
    names = {"llama": "Llama", "gpt_neox": "GPTNeoX", "qwen2": "Qwen2", "mistral": "Mistral", "granite": "Granite"}
    return getattr(transformers, f"{names[kind]}Config")(**{**sizes, **changes})


def save_tiny(folder: Path, kind: str = "llama", **changes: object) -> Path:
    """Write a checkpoint with random weights, large enough that its choices are far from uniform."""
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = AutoModelForCausalLM.from_config(tiny_config(kind, **changes))
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.data.mul_(6.0)
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder
