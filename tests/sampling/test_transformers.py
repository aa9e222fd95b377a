"""The engine that docs/miner.md shows: a miner on `transformers`, through the logits processor."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from subnet.miner.engine import CompletionJob, CompletionResult
from subnet.models import load_model, load_tokenizer
from subnet.models.registry import DEFAULT_MODEL, find_model
from subnet.sampling import Sampling
from subnet.sampling.transformers import SeededSampling
from subnet.verify.replaying import Claim, check_claim, replayed

PAGE = Path(__file__).parents[2] / "docs" / "miner.md"


@pytest.fixture(scope="module")
def factory() -> Any:
    """What the page's engine module defines."""
    blocks = [part.split("```")[0] for part in PAGE.read_text().split("```python\n")[1:]]
    [code] = [block for block in blocks if "SeededSampling" in block]
    module: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), module)
    return module["factory"]


def test_the_engine_in_the_miner_page_is_verified_token_by_token(factory: Any) -> None:
    manifest = find_model(DEFAULT_MODEL).manifest
    engine = factory(manifest, {}, None)
    prompt = load_tokenizer(manifest).chat([{"role": "user", "content": "Name three birds."}])
    model = load_model(manifest, dtype="float32")
    claims = []
    for number, (temperature, min_p) in enumerate([(800, 0), (1000, 50_000), (0, 0)]):
        request: Any = SimpleNamespace(prompt=prompt, temperature_milli=temperature, min_p_ppm=min_p, max_tokens=16)
        seed = bytes([number]) * 32
        answer: CompletionResult = asyncio.run(engine.complete(CompletionJob(request, seed)))
        claims.append(Claim(prompt, answer.tokens, seed, Sampling(temperature, min_p), 16, answer.finish))
        check_claim(claims[-1], model.vocab_size, model.max_positions, model.eos_ids)
    for records in replayed(model, claims, None):
        assert records.matches.all()
    assert claims[0].tokens != claims[2].tokens


def test_a_padded_batch_gives_each_row_what_it_gets_alone(factory: Any) -> None:
    engine = factory(find_model(DEFAULT_MODEL).manifest, {}, None)
    prompts = [(1, 9690, 198, 2683), (1, 9690, 198, 2683, 359, 253)]
    seeds, samplings = [bytes([n]) * 32 for n in (7, 8)], [Sampling(800), Sampling(600)]
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    settings: dict[str, Any] = {"do_sample": False, "max_new_tokens": 6, "pad_token_id": 0}
    batch = engine.model.generate(
        ids, attention_mask=mask, logits_processor=[SeededSampling(seeds, samplings, width)], **settings
    )
    for row, prompt, seed, sampling in zip(batch, prompts, seeds, samplings, strict=True):
        alone = engine.model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            logits_processor=[SeededSampling([seed], [sampling], len(prompt))],
            **settings,
        )
        tokens = alone[0, len(prompt) :].tolist()
        assert row[width : width + len(tokens)].tolist() == tokens
