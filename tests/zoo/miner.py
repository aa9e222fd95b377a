"""An adversary as a miner process: the bring-your-own-engine seam of `neurons/miner.py`.

`--miner.engine tests.zoo.miner:factory --miner.engine_option adversary=int4`
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from loguru import logger

from subnet.config.tree import MinerConfig
from subnet.engine.decode import Completion, DecodeJob, seeded_choice
from subnet.engine.generation import GenerationEngine, QueueFull
from subnet.errors import ConfigError, EngineError
from subnet.miner.engine import CompletionJob, CompletionResult, Overloaded
from subnet.models import Manifest, load_model, load_tokenizer
from subnet.protocol import CompletionResponse
from subnet.sampling import Sampling
from tests.zoo.behaviours import Behaviour
from tests.zoo.engines import HONEST, CheatingEngine
from tests.zoo.registry import ZOO, Adversary


class ZooEngine:
    """The embedded engine with one adversary in it. What the adversary does not change is the real engine."""

    def __init__(self, adversary: Adversary, manifest: Manifest, config: MinerConfig) -> None:
        self._adversary, self._manifest, self._config = adversary, manifest, config
        self._behaviour = adversary.behaviour or Behaviour()
        self._cheat = adversary.cheat or HONEST
        self._engine: GenerationEngine | None = None
        self._cheating: CheatingEngine | None = None
        self._alone = asyncio.Lock()

    async def start(self) -> None:
        """Loads the right model and makes the adversary's own out of it."""
        config = self._config
        logger.warning("This miner is an adversary: {} ({})", self._adversary.name, self._adversary.does)
        threads = config.threads or None
        model = await asyncio.to_thread(
            load_model, config.model.path or self._manifest, config.model.dtype or None, threads=threads
        )
        self._tokenizer = await asyncio.to_thread(load_tokenizer, config.model.path or self._manifest)
        self._cheating = await asyncio.to_thread(self._cheat.engine, model)
        self._engine = GenerationEngine(
            self._cheating.model,
            slots=config.miner.max_batch,
            queue=config.miner.max_waiting,
            capacity=config.miner.max_prompt_tokens + config.miner.max_tokens,
            arrange=not config.miner.share_weights,
            choose=self._cheat.choose or seeded_choice,
            threads=threads,
        )
        await self._engine.__aenter__()

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.__aexit__(None, None, None)
            self._engine = None

    async def complete(self, job: CompletionJob) -> CompletionResult:
        request = job.request
        if self._behaviour.before:
            await self._behaviour.before(request)
        sampling = Sampling(request.temperature_milli, request.min_p_ppm)
        completion = await self._make(DecodeJob(request.prompt, job.seed, sampling, request.max_tokens))
        if self._behaviour.streams:
            job.emit(completion.tokens[:-1])
            await asyncio.sleep(0.05)  # so that it is on its way before the miner thinks again
        if self._behaviour.after:
            await self._behaviour.after(request)
        job.emit(completion.tokens[-1:] if self._behaviour.streams else completion.tokens)
        return CompletionResult(completion.tokens, self._tokenizer.decode(completion.tokens), completion.finish)

    async def finish(self, body: CompletionResponse) -> CompletionResponse:
        """The body as the adversary wants it signed."""
        return self._behaviour.body(body) if self._behaviour.body else body

    async def _make(self, asked: DecodeJob) -> Completion:
        if self._engine is None or self._cheating is None:
            raise EngineError("the engine is not started")
        cheat = self._cheat
        if cheat.decode:
            async with self._alone:
                return (await asyncio.to_thread(self._cheating.decode, [asked]))[0]
        try:
            generation = self._engine.submit(cheat.job(asked) if cheat.job else asked)
        except QueueFull as error:
            raise Overloaded(str(error)) from error
        try:
            made = await generation.result()
        except asyncio.CancelledError:
            generation.cancel()
            raise
        return cheat.answer(asked, made, self._cheating.model) if cheat.answer else made


def factory(manifest: Manifest, options: Mapping[str, str], config: MinerConfig) -> ZooEngine:
    """The adversary that `adversary=NAME` names."""
    name = options.get("adversary", "")
    if name not in ZOO:
        raise ConfigError(f"--miner.engine_option adversary={name}: the zoo has {', '.join(sorted(ZOO))}")
    return ZooEngine(ZOO[name], manifest, config)
