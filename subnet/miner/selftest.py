"""The miner's self-test: before it serves, its engine answers some questions and is judged with the validator's code.

Honest people must never find out by being slashed that their dtype, kernel or file is wrong. Any engine can be tested,
the embedded one and one that was brought along: it is asked through the same `complete` as for a validator.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from subnet.errors import EngineError
from subnet.miner.engine import CompletionJob, MinerEngine
from subnet.models import Manifest, load_model, load_tokenizer
from subnet.protocol import CompletionRequest
from subnet.validator.profiles import profile_of

if TYPE_CHECKING:
    from subnet.engine.decode import Completion, DecodeJob
    from subnet.verify.selftest import SelfTestReport


class OutsideClass(EngineError):
    """The engine's answers are not what the model's tolerance class allows. Serving them would be punished."""


async def require_class(
    engine: MinerEngine,
    manifest: Manifest,
    *,
    model: str | Path | None = None,
    tokens: int = 256,
    threads: int | None = None,
) -> SelfTestReport:
    """Test a started engine and return the report. Raises OutsideClass with the reason where it must not serve.

    model: where the manifest came from, if not from its built-in name. tokens: how many to compare; fewer see less.
    Raises EngineError where the engine itself cannot answer.
    """
    from subnet.verify.selftest import self_test, self_test_jobs

    source = model or manifest
    tokenizer = await asyncio.to_thread(load_tokenizer, source)
    reference = await asyncio.to_thread(load_model, source, "float32", threads=threads)
    jobs = self_test_jobs(tokenizer, tokens)
    answers = await asyncio.gather(*(_answer(engine, manifest, job, number) for number, job in enumerate(jobs)))
    profile = profile_of(manifest)
    report = await asyncio.to_thread(self_test, lambda _jobs: answers, reference, tokenizer, profile, tokens)
    if not report.passed:
        raise OutsideClass(f"the self-test failed, so nothing is served: {report.reason}")
    logger.info("Self-test passed: {} tokens, {:.2%} as the reference draws them", report.tokens, report.agreement)
    return report


async def _answer(engine: MinerEngine, manifest: Manifest, job: DecodeJob, number: int) -> Completion:
    from subnet.engine.decode import Completion

    nonce = hashlib.sha256(b"assay self-test request" + number.to_bytes(4, "big")).digest()
    request = CompletionRequest(
        version=1,
        genesis=bytes(32),
        netuid=0,
        model_id=manifest.digest,
        prompt=job.prompt,
        temperature_milli=job.sampling.temperature_milli,
        min_p_ppm=job.sampling.min_p_ppm,
        max_tokens=job.max_tokens,
        validator=bytes(32),
        miner=bytes(32),
        beacon_block=0,
        beacon_hash=bytes(32),
        nonce=nonce,
        epoch=0,
        counter=number,
    )
    result = await engine.complete(CompletionJob(request, job.seed))
    if not result.tokens:
        raise EngineError(f"the engine answered self-test question {number} with no tokens")
    return Completion(tuple(result.tokens), "eos" if result.finish == "eos" else "length")
