"""Honest people must never find out by being slashed: the self-test finds out first."""

import hashlib

import pytest

from subnet.engine.decode import DecodeJob
from subnet.engine.generation import GenerationEngine
from subnet.engine.llama import LlamaModel
from subnet.errors import EngineError
from subnet.miner.engine import CompletionJob, CompletionResult
from subnet.miner.selftest import OutsideClass, require_class
from subnet.models import builtin_manifest, load_model
from subnet.sampling import Sampling

TOKENS = 64


class Engine:
    """Decodes with some model, and perhaps with another seed than it was told."""

    def __init__(self, engine: GenerationEngine, wrong_seed: bool = False) -> None:
        self.engine, self.wrong_seed = engine, wrong_seed

    async def complete(self, job: CompletionJob) -> CompletionResult:
        seed = hashlib.sha256(job.seed).digest() if self.wrong_seed else job.seed
        sampling = Sampling(job.request.temperature_milli)
        found = await self.engine.submit(DecodeJob(job.request.prompt, seed, sampling, job.request.max_tokens)).result()
        return CompletionResult(found.tokens, "", found.finish)


async def outcome(model: LlamaModel, wrong_seed: bool = False):
    async with GenerationEngine(model, arrange=False) as engine:
        return await require_class(Engine(engine, wrong_seed), builtin_manifest(), tokens=TOKENS)


class Silent:
    async def complete(self, job: CompletionJob) -> CompletionResult:
        return CompletionResult((), "", "length")


async def test_an_honest_engine_passes() -> None:
    report = await outcome(load_model())
    assert report.passed
    assert report.agreement == 1.0
    assert report.tokens >= TOKENS // 2


async def test_a_wrong_seed_is_refused_with_a_reason() -> None:
    with pytest.raises(OutsideClass, match="seed"):
        await outcome(load_model(), wrong_seed=True)


async def test_a_broken_model_is_refused() -> None:
    model = load_model()
    name = "model.layers.14.mlp.down_proj.weight"
    broken = model.with_weights({name: model.weights[name] * 0.2})
    with pytest.raises(OutsideClass, match="nothing is served"):
        await outcome(broken)


async def test_an_engine_without_answers_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="no tokens"):
        await require_class(Silent(), builtin_manifest(), tokens=TOKENS)
