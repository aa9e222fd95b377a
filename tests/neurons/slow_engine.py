"""The embedded engine, a token at a time with a pause after each: time to break something in mid-stream."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping

from subnet.config.tree import MinerConfig
from subnet.miner.embedded import EmbeddedEngine
from subnet.miner.engine import CompletionJob, CompletionResult
from subnet.models import Manifest


class SlowEngine:
    """Streams `pause` seconds a token."""

    def __init__(self, engine: EmbeddedEngine, pause: float) -> None:
        self._engine, self._pause = engine, pause
        self.start, self.close = engine.start, engine.close

    async def complete(self, job: CompletionJob) -> CompletionResult:
        result = await self._engine.complete(dataclasses.replace(job, emit=lambda tokens: None))
        for token in result.tokens:
            job.emit((token,))
            await asyncio.sleep(self._pause)
        return result


def factory(manifest: Manifest, options: Mapping[str, str], config: MinerConfig) -> SlowEngine:
    return SlowEngine(EmbeddedEngine(manifest, config), float(options["pause"]))
