"""A small random Llama, and honest and noisy logits, for the tests of replay and verdict."""

import numpy as np
import pytest
import torch

from subnet.engine.llama import LayerNames, LlamaModel, LlamaShape

VOCABULARY = 400


@pytest.fixture(scope="session")
def tiny_model():
    """Two layers, 400 tokens: real code, no download."""
    shape = LlamaShape(VOCABULARY, 32, 64, 2, 4, 2, 8, 1e-5, 10_000.0, 256, True)
    random = torch.Generator().manual_seed(7)

    def matrix(*size):
        return torch.randn(*size, generator=random) * 0.4

    weights = {"model.embed_tokens.weight": matrix(VOCABULARY, 32) * 2, "model.norm.weight": torch.ones(32)}
    for layer in range(shape.layers):
        names = LayerNames.of(layer)
        weights |= {names.attention_norm: torch.ones(32), names.mlp_norm: torch.ones(32)}
        weights |= {names.q: matrix(32, 32), names.k: matrix(16, 32), names.v: matrix(16, 32), names.o: matrix(32, 32)}
        weights |= {names.gate: matrix(64, 32), names.up: matrix(64, 32), names.down: matrix(32, 64)}
    return LlamaModel(shape, weights, frozenset({0}))


@pytest.fixture
def logits():
    """Rows of logits that look like a language model's: a few likely tokens, a long tail."""

    def make(rows: int, number: int = 0, vocabulary: int = VOCABULARY) -> np.ndarray:
        random = np.random.default_rng(number)
        spread = random.uniform(0.5, 4.0, (rows, 1))
        return (random.standard_normal((rows, vocabulary)) * spread + 10).astype(np.float32)

    return make
