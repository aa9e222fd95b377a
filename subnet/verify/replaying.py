"""From claimed completions to token records: one batched prefill, row by row, nothing kept that is not needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from subnet.engine.causal import CausalModel
from subnet.engine.replay import ReplayChunk, ReplayJob, replay
from subnet.errors import EngineError, ProtocolError
from subnet.sampling import Sampling
from subnet.verify.records import TokenRecords, check_tokens, token_records
from subnet.verify.spread import SpreadModel, beginning, described


@dataclass(frozen=True, slots=True)
class Claim:
    """A completion that somebody says came out of the model: token ids, the seed they were drawn with, how, and how
    it ended.

    max_tokens: the limit that the request set. finish: "eos" or "length".
    """

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    seed: bytes
    sampling: Sampling
    max_tokens: int
    finish: str


def check_claim(claim: Claim, vocabulary: int, max_positions: int, eos_ids: frozenset[int]) -> None:
    """Raise ProtocolError for a claim that no run of the model can give, before anything is computed with it.

    An end-of-sequence token ends the completion and stands nowhere else; without one the completion has exactly the
    number of tokens that was asked for.
    """
    check_tokens(claim.prompt, vocabulary)
    check_tokens(claim.tokens, vocabulary)
    if not claim.prompt or not claim.tokens:
        raise ProtocolError("a claim needs at least one token of prompt and one of completion")
    if len(claim.tokens) > claim.max_tokens or len(claim.prompt) + len(claim.tokens) > max_positions:
        raise ProtocolError(
            f"{len(claim.prompt)} + {len(claim.tokens)} tokens; the request allows {claim.max_tokens} and the model "
            f"{max_positions} in all"
        )
    ends = [place for place, token in enumerate(claim.tokens) if token in eos_ids]
    if ends and ends[0] != len(claim.tokens) - 1:
        raise ProtocolError(f"the end-of-sequence token stands at {ends[0]}, before the end of the completion")
    if claim.finish == "eos" and not ends:
        raise ProtocolError("the completion is said to end with end-of-sequence and does not")
    if claim.finish == "length" and (ends or len(claim.tokens) != claim.max_tokens):
        raise ProtocolError(f"the completion is said to end at {claim.max_tokens} tokens and has {len(claim.tokens)}")
    if claim.finish not in ("eos", "length"):
        raise ProtocolError(f"a completion finishes with eos or length, not {claim.finish!r}")


def _records(chunk: ReplayChunk, claim: Claim, spread: SpreadModel | None) -> TokenRecords:
    tokens = claim.tokens[chunk.start : chunk.start + len(chunk.logits)]
    records = token_records(chunk.logits, tokens, claim.seed, claim.sampling, chunk.start)
    if spread is None:
        return records
    starts = np.tile(beginning(claim.prompt), (len(tokens), 1))
    return spread.applied(records, described(chunk.hidden), claim.sampling, starts)


MOST_THREADS = 4
"""Pieces whose noise and margins are computed at once: each holds its logits, on the model's device."""


def replayed(model: CausalModel, claims: Sequence[Claim], spread: SpreadModel | None) -> list[TokenRecords]:
    """The records of every claim, in the order given. spread: the profile's.

    Noise and margins of a piece are computed beside the forward pass of the next. Check the claims first. Raises
    EngineError where the replay fails: an abstention for all of them.
    """
    jobs = [ReplayJob(claim.prompt, claim.tokens) for claim in claims]
    parts: list[list[Future[TokenRecords]]] = [[] for _ in claims]
    threads = min(torch.get_num_threads(), MOST_THREADS)
    waiting: deque[Future[TokenRecords]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for chunk in replay(model, jobs):
            part = pool.submit(_records, chunk, claims[chunk.job], spread)
            parts[chunk.job].append(part)
            waiting.append(part)
            if len(waiting) > 2 * threads:  # every piece holds its logits until it is done
                waiting.popleft().result()
        out = [TokenRecords.join([part.result() for part in found]) for found in parts]
    for claim, records in zip(claims, out, strict=True):
        if len(records) != len(claim.tokens):
            raise EngineError(f"the replay gave {len(records)} positions for {len(claim.tokens)} tokens")
    return out
