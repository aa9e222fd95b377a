"""The two frozen models, loaded once for all tests of rewards."""

from __future__ import annotations

import pytest

from reward.embedding import Embedder, load_embedder
from reward.reference import ReferenceModel
from reward.signals import SignalReader


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return load_embedder()


@pytest.fixture(scope="session")
def reference() -> ReferenceModel:
    from subnet.models import load_model, load_tokenizer

    return ReferenceModel(load_model(), load_tokenizer())


@pytest.fixture(scope="session")
def reader(embedder: Embedder, reference: ReferenceModel) -> SignalReader:
    return SignalReader(embedder, reference)
