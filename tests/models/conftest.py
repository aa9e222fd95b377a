"""Tiny models on disk, made here: a Llama, a GPT-NeoX, and a GGUF that llama.cpp's own writer produced."""

from __future__ import annotations

from pathlib import Path

import pytest

from subnet.models.describe import describe
from subnet.models.manifest import Manifest, Source
from tests.models.tiny import save_tiny


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer Llama checkpoint with tokenizer and chat template."""
    return save_tiny(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture
def model_folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A private copy of the tiny checkpoint, for tests that alter it."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in tiny_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture
def manifest(model_folder: Path, tmp_path: Path) -> Manifest:
    """The manifest of `model_folder`, written into it as assay.json."""
    made = describe(
        model_folder, name="tiny", source=Source("folder", "tiny", ""), licence="mit", store=tmp_path / "store"
    )
    (model_folder / "assay.json").write_text(made.dumps())
    return made
