"""The engine behind the axon, and how to bring your own.

An engine is an object with one method, `complete(job)`. Write `factory(manifest, options, config)` that returns one and
start the miner with `--miner.engine your_module:factory --miner.engine_option name=value`. The miner keeps everything
else: secrets, chain of answers, signatures, limits. To pass verification, add the noise of `subnet.sampling` for
`job.seed` to the logits and take the argmax: see docs/miner.md.

Optional methods: `start()` and `close()`, awaited around serving, and `finish(body)`, awaited just before signing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from subnet.config.tree import MinerConfig
from subnet.errors import ConfigError, EngineError
from subnet.protocol import CompletionRequest

if TYPE_CHECKING:
    from subnet.models import Manifest


class Overloaded(EngineError):
    """The engine takes no more work now; the caller is told to come back."""


def _ignore(tokens: Sequence[int]) -> None:
    """Nobody is listening to this completion's stream."""


@dataclass(frozen=True, slots=True)
class CompletionJob:
    """What to complete. `seed` is the 32 bytes that fix the noise. Call `emit` with new token ids to stream."""

    request: CompletionRequest
    seed: bytes
    emit: Callable[[Sequence[int]], None] = _ignore


@dataclass(frozen=True, slots=True)
class CompletionResult:
    """A completion: token ids, the end-of-sequence token included; their text; "eos" or "length"."""

    tokens: tuple[int, ...]
    text: str
    finish: str


class MinerEngine(Protocol):
    """What the miner needs of an engine. Raise Overloaded, or any EngineError, where there is no answer."""

    async def complete(self, job: CompletionJob) -> CompletionResult: ...


Factory = Callable[["Manifest", Mapping[str, str], MinerConfig], MinerEngine]


def load_factory(spec: str) -> Factory:
    """The factory named "module:name"; the embedded engine's for an empty text. Raises ConfigError."""
    if not spec:
        from subnet.miner.embedded import factory

        return factory
    module_name, _, name = spec.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"--miner.engine {spec}: {error}; it must be importable from the working directory"
        ) from error
    if not callable(found):
        raise ConfigError(f"--miner.engine {spec}: {name} is {type(found).__name__}, not a function")
    return found
