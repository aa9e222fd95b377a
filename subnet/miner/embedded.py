"""The embedded engine: the manifest's model on this machine, requests decoded together, tokens streamed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from loguru import logger

from subnet.config.tree import MinerConfig
from subnet.engine.decode import DecodeJob
from subnet.engine.generation import EngineLoad, GenerationEngine, QueueFull
from subnet.errors import EngineError
from subnet.miner.engine import CompletionJob, CompletionResult, Overloaded
from subnet.models import Manifest, load_model, load_tokenizer
from subnet.sampling import Sampling


class EmbeddedEngine:
    """Continuous batching on one worker thread. Start it before use, close it after."""

    def __init__(self, manifest: Manifest, config: MinerConfig) -> None:
        self._manifest, self._config = manifest, config
        self._engine: GenerationEngine | None = None

    async def start(self) -> None:
        """Loads and checks the model: a second, or several at the very first start, when it is converted."""
        config = self._config
        logger.info("Loading {}", self._manifest.name)
        model = await asyncio.to_thread(
            load_model, config.model.path or self._manifest, config.model.dtype or None, threads=config.threads or None
        )
        self._tokenizer = await asyncio.to_thread(load_tokenizer, config.model.path or self._manifest)
        self._engine = GenerationEngine(
            model,
            slots=config.miner.max_batch,
            queue=config.miner.max_waiting,
            capacity=config.miner.max_prompt_tokens + config.miner.max_tokens,
            arrange=not config.miner.share_weights,
            threads=config.threads or None,
        )
        await self._engine.__aenter__()

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.__aexit__(None, None, None)
            self._engine = None

    async def complete(self, job: CompletionJob) -> CompletionResult:
        if self._engine is None:
            raise EngineError("the engine is not started")
        request = job.request
        sampling = Sampling(request.temperature_milli, request.min_p_ppm)
        try:
            generation = self._engine.submit(DecodeJob(request.prompt, job.seed, sampling, request.max_tokens))
        except QueueFull as error:
            raise Overloaded(str(error)) from error
        try:
            async for token in generation:
                job.emit((token,))
            completion = await generation.result()
        except asyncio.CancelledError:
            generation.cancel()
            raise
        text = self._tokenizer.decode(completion.tokens)
        return CompletionResult(tuple(completion.tokens), text, completion.finish)

    def load(self) -> EngineLoad | None:
        return self._engine.load() if self._engine is not None else None


def factory(manifest: Manifest, options: Mapping[str, str], config: MinerConfig) -> EmbeddedEngine:
    """The default of --miner.engine. It has no options."""
    if options:
        raise EngineError(f"the embedded engine has no option {', '.join(sorted(options))}")
    return EmbeddedEngine(manifest, config)
