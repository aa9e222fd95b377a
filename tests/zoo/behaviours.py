"""Adversaries that change what is sent, or when. Each is honest in everything else."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from subnet.errors import EngineError
from subnet.protocol import CompletionRequest, CompletionResponse

Before = Callable[[CompletionRequest], Awaitable[None]]
Body = Callable[[CompletionResponse], CompletionResponse]


class Unwilling(EngineError):
    """The adversary doesn't answer."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """before: awaited before the engine is asked; raises `Unwilling` to give no answer. after: likewise, once the
    completion exists. body: the response body changed just before it is signed. streams: the tokens go out before
    `after` has seen them, all but the last.
    """

    before: Before | None = None
    after: Before | None = None
    body: Body | None = None
    streams: bool = False


async def waits(request: CompletionRequest, seconds: float = 10.0) -> None:
    """Answers late."""
    await asyncio.sleep(seconds)


async def never(request: CompletionRequest) -> None:
    """Answers nothing."""
    raise Unwilling("zoo: offline")


async def every_other(request: CompletionRequest) -> None:
    """Fails on every other request."""
    if request.counter % 2:
        raise Unwilling("zoo: flaky")


async def only_short(request: CompletionRequest, limit: int = 32) -> None:
    """Refuses what costs more than `limit` tokens."""
    if request.max_tokens > limit:
        raise Unwilling(f"zoo: refuses {request.max_tokens} tokens")


async def hangs_up(request: CompletionRequest) -> None:
    """Generates, dislikes what it sees, and signs nothing: every third answer."""
    if request.counter % 3 == 2:
        raise Unwilling("zoo: aborts")


async def always_hangs_up(request: CompletionRequest) -> None:
    """Streams and never signs: what it streamed need not be the model's."""
    raise Unwilling("zoo: bluffs")


def other_text(body: CompletionResponse) -> CompletionResponse:
    """Right tokens, another text."""
    return replace(body, text="As an honest miner I assure you that everything is in order.")


def made_up_secret(body: CompletionResponse) -> CompletionResponse:
    """A secret that was never committed: with it the seed could be chosen."""
    return replace(body, secret=hashlib.sha256(b"zoo/secret" + body.secret).digest())


def other_previous(body: CompletionResponse) -> CompletionResponse:
    """Another previous answer, so that the chain of evidence has a hole."""
    return replace(body, previous=hashlib.sha256(b"zoo/previous" + body.previous).digest())


BEHAVIOURS: dict[str, Behaviour] = {
    "slow": Behaviour(before=waits),
    "offline": Behaviour(before=never),
    "flaky": Behaviour(before=every_other),
    "refuses": Behaviour(before=only_short),
    "aborts": Behaviour(after=hangs_up),
    "aborts_midway": Behaviour(after=hangs_up, streams=True),
    "bluffs": Behaviour(after=always_hangs_up, streams=True),
    "tampers": Behaviour(body=other_text),
    "forges": Behaviour(body=made_up_secret),
    "forges_chain": Behaviour(body=other_previous),
}

FORGED_MESSAGES: dict[str, bytes] = {
    "nothing": b"",
    "null": b"null",
    "constant": b"0",
    "not_a_number": b'{"body":{"version":NaN}}',
    "infinite": b'{"body":{"version":Infinity}}',
    "huge_number": b'{"body":{"version":1' + b"0" * 400 + b"}}",
    "fraction": b'{"body":{"version":1.0}}',
    "twice": b'{"body":{},"body":{}}',
    "deep": b"[" * 100_000,
    "not_utf8": b'{"text":"\xff\xfe"}',
}
"""Bytes that a forger sends instead of a signed response: each must be refused by the decoder, quickly."""
