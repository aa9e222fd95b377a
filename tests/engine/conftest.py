from pathlib import Path

import pytest
import torch

from subnet.engine.decode import DecodeJob
from subnet.engine.llama import LlamaModel
from subnet.models import layout
from subnet.models.loading import _llama_tensors, llama_shape
from subnet.models.manifest import NUMERICS
from subnet.sampling import Sampling
from tests.models.tiny import save_tiny


@pytest.fixture(scope="session")
def tiny_llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def tiny(tiny_llama_folder: Path) -> LlamaModel:
    """A two-layer Llama with random weights and grouped-query attention."""
    shape = llama_shape(layout.read_json(tiny_llama_folder / "config.json"))
    assert shape is not None
    tensors = _llama_tensors(tiny_llama_folder, NUMERICS["fp32"], torch.device("cpu"))
    return LlamaModel(shape, tensors, frozenset({257}))


@pytest.fixture(scope="session")
def jobs() -> list[DecodeJob]:
    """Twelve prompts of different lengths, sampled, one of them greedy and one with min-p."""
    samplings = [Sampling(1000), Sampling(800, 50_000), Sampling(0)]
    return [
        DecodeJob(
            prompt=tuple((7 * i + 3 * j) % 256 for j in range(1 + 3 * i)),
            seed=bytes([i]) * 32,
            sampling=samplings[i % 3],
            max_tokens=5 + 4 * i,
        )
        for i in range(12)
    ]
