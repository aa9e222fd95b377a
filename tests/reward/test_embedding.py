"""Embeddings: the same numbers as the library's model, whatever the batch."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from reward.embedding import DIMENSIONS, embedding_folder, load_embedder
from subnet.errors import RewardError

TEXTS = [
    "Why is the sky blue?",
    "Blue light is scattered more strongly by the air.",
    "Bread needs flour, water and salt.",
]


def test_agrees_with_transformers(embedder):
    from transformers import BertModel

    model = BertModel.from_pretrained(embedding_folder(), attn_implementation="eager").eval()
    ours = embedder.embed(TEXTS)
    for text, vector in zip(TEXTS, ours, strict=True):
        ids = torch.tensor([embedder.tokenizer.encode(text).ids])
        with torch.inference_mode():
            theirs = model(ids).last_hidden_state[0].mean(dim=0)
        theirs = theirs / theirs.norm()
        assert torch.allclose(vector, theirs, atol=2e-6)


def test_neighbours_in_the_batch_do_not_matter(embedder):
    together = embedder.embed([*TEXTS, "word " * 700])
    for index, text in enumerate(TEXTS):
        assert torch.allclose(embedder.embed([text])[0], together[index], atol=2e-6)


def test_long_texts_are_read_to_their_end(embedder):
    start = "The history of bread is long and rich. " * 60
    plain, other = embedder.embed([start, start + "Quantum physics and black holes. " * 60])
    assert float(plain @ other) < 0.95


def test_empty_text_is_the_zero_vector(embedder):
    assert embedder.embed([""]).tolist() == [[0.0] * DIMENSIONS]
    assert embedder.embed([]).shape == (0, DIMENSIONS)


def test_meaning_decides(embedder):
    sky, light, bread = embedder.embed(TEXTS).numpy()
    assert float(np.dot(sky, light)) > float(np.dot(sky, bread)) + 0.2


def test_poisoned_weights_are_refused(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(embedding_folder(), folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\x00\x01")
    with pytest.raises(RewardError, match="SHA-256"):
        load_embedder(folder)
