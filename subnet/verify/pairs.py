"""Pairs of logits, and fresh seeds on them.

Two computations of the same model disagree a little at every position. Given both rows of logits, what they would draw
is known for every seed, so honest noise is measured with as many seeds as one likes, not on the few tokens that one
seed flips. A pair keeps the verifier's HEAD largest logits, TAIL tokens drawn from the rest in proportion to their
probability, and the miner's difference at the same ids. The rest of the vocabulary enters through its exact total
probability: the best score in it is Gumbel-distributed around its logarithm, and the token that has it is one of the
TAIL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray

from subnet.sampling import Sampling
from subnet.verify.records import (
    COMPETITORS,
    FAR,
    HIGH,
    LOW,
    MATCH,
    NONE,
    ORDINARY,
    RECORD,
    TOP_K,
    TOP_P,
    UNIT,
    TokenRecords,
    entropy,
    window,
)

HEAD, TAIL = 128, 32
_RANKED = 16


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs at n positions that share a sampling.

    head, head_difference: float32 [n, HEAD], logits in falling order and what the miner adds to them. tail,
    tail_difference: float32 [n, TAIL]. tail_mass: float32 [n], logsumexp of the rest at the sampling's temperature (1
    if greedy). entropy: float32 [n], nats at temperature 1. spread: float32 [n], how noisy the context is expected to
    be (1: as any). completion: int32 [n], which completion a position belongs to.
    """

    head: NDArray[np.float32]
    head_difference: NDArray[np.float32]
    tail: NDArray[np.float32]
    tail_difference: NDArray[np.float32]
    tail_mass: NDArray[np.float32]
    entropy: NDArray[np.float32]
    spread: NDArray[np.float32]
    completion: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.entropy)

    def at(self, rows: NDArray[np.intp]) -> Pairs:
        """Some of the positions."""
        return Pairs(*(getattr(self, field.name)[rows] for field in fields(self)))

    def between(self, first: int, stop: int) -> Pairs:
        """The positions from first to below stop, without a copy."""
        return Pairs(*(getattr(self, field.name)[first:stop] for field in fields(self)))

    def with_spreads(self, spreads: NDArray[np.floating]) -> Pairs:
        """The same positions with other spreads ([n])."""
        return replace(self, spread=spreads.astype(np.float32))

    @classmethod
    def stacked(cls, parts: Sequence[Pairs]) -> Pairs:
        """Several stretches, one after the other, with the numbers of their completions as they are."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    @classmethod
    def join(cls, parts: Sequence[Pairs]) -> Pairs:
        """Several sets of pairs; their completions stay apart."""
        shift, joined = 0, []
        for part in parts:
            joined.append(part.completion + shift)
            shift += int(part.completion.max(initial=-1)) + 1
        rest = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)[:-1]}
        return cls(**rest, completion=np.concatenate(joined))


def take_pairs(ours: torch.Tensor, theirs: torch.Tensor, sampling: Sampling, completion: int) -> Pairs:
    """Pairs from full rows of logits of the verifier and the miner (float32 [n, vocabulary] each)."""
    difference = theirs - ours
    top = ours.topk(min(HEAD, ours.shape[1]), dim=1)
    rest = ours.scatter(1, top.indices, -torch.inf) / (sampling.temperature or 1.0)
    mass = torch.logsumexp(rest, dim=1)
    drawn = torch.multinomial(torch.softmax(rest, dim=1), TAIL, replacement=True)
    return Pairs(
        top.values.numpy(),
        difference.gather(1, top.indices).numpy(),
        ours.gather(1, drawn).numpy(),
        difference.gather(1, drawn).numpy(),
        mass.numpy(),
        entropy(np.ascontiguousarray(ours.numpy())).astype(np.float32),
        np.ones(len(ours), np.float32),
        np.full(len(ours), completion, np.int32),
    )


BLOCK = 512
"""Positions handled together, so that everything stays in the processor's cache."""


def fresh_records(pairs: Pairs, sampling: Sampling, random: np.random.Generator) -> TokenRecords:
    """Records of one token at every position, under one fresh seed each, as the miner would have drawn it."""
    out = np.zeros(len(pairs), RECORD)
    for first in range(0, len(pairs), BLOCK):
        _fresh_block(out[first : first + BLOCK], pairs.between(first, first + BLOCK), sampling, random)
    return TokenRecords(out)


def _fresh_block(out: NDArray[np.void], pairs: Pairs, sampling: Sampling, random: np.random.Generator) -> None:
    values, difference, found = _draw(pairs, sampling, random)
    miner, cut = found + difference, np.full(len(pairs), -np.inf, np.float32)
    if sampling.min_p_ppm and sampling.temperature_milli:
        cut = (pairs.head[:, 0] + sampling.cut(0.0)).astype(np.float32)
        theirs = values + difference
        miner[theirs < theirs.max(axis=1, keepdims=True) + np.float32(sampling.cut(0.0))] = -np.inf
    claimed = miner.argmax(axis=1)
    ranked, distance = _distances(values, found, cut)
    names = np.where(distance[:, : COMPETITORS + 1] <= window(sampling), ranked[:, : COMPETITORS + 1], -1)
    listed = names[:, 1:] >= 0
    far = np.where(listed[:, -1], distance[:, COMPETITORS], window(sampling))
    out["entropy"] = np.minimum(np.rint(pairs.entropy * 1000), 65535)
    out["spread"] = np.rint(pairs.spread * ORDINARY)
    fixed = np.rint(np.where(listed, distance[:, 1 : COMPETITORS + 1], 0.0).astype(np.float64) * UNIT)
    out["distance"][:, :COMPETITORS] = np.where(listed, fixed, NONE)
    out["distance"][:, COMPETITORS] = np.rint(far * UNIT)
    out["outcome"] = _outcome(names, claimed)
    missed = np.flatnonzero(out["outcome"] != MATCH)
    margin = _margin(values[missed], found[missed], claimed[missed], cut[missed])
    out["margin"][missed] = np.minimum(np.rint(margin.astype(np.float64) * UNIT), NONE - 1)
    if sampling.temperature_milli:
        out["predicted"][:, 0:2] = _truncated(pairs, sampling, names)
        logits = np.take_along_axis(values, ranked, 1)
        noise = np.take_along_axis(found, ranked, 1) - logits
        for column, factor in ((2, LOW), (3, HIGH)):
            heated = np.take_along_axis(ranked, (logits + factor * noise).argmax(axis=1)[:, None], 1)[:, 0]
            out["predicted"][:, column] = _outcome(names, heated)
        out["predicted"][:, 4] = _outcome(names, np.zeros(len(pairs), np.intp))


def _draw(
    pairs: Pairs, sampling: Sampling, random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Logits, the miner's differences and the scores of the head and of one token of the tail ([n, HEAD + 1])."""
    n, row = len(pairs), np.arange(len(pairs))
    pick = random.integers(0, pairs.tail.shape[1], n)
    values = np.concatenate((pairs.head, pairs.tail[row, pick][:, None]), axis=1)
    difference = np.concatenate((pairs.head_difference, pairs.tail_difference[row, pick][:, None]), axis=1)
    if sampling.temperature_milli == 0:
        return values, difference, values.copy()
    scaled = random.standard_exponential(values.shape, dtype=np.float32)
    np.log(np.maximum(scaled, np.float32(1e-30), out=scaled), out=scaled)
    scaled *= np.float32(-sampling.temperature)
    found = values + scaled
    found[:, -1] = np.float32(sampling.temperature) * pairs.tail_mass + scaled[:, -1]
    return values, difference, found


def _distances(
    values: NDArray[np.float32], found: NDArray[np.float32], cut: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The closest tokens and the margins that they would have, in rising order ([n, _RANKED] each)."""
    if np.isneginf(cut).all():
        order = _top(found)
        scores = np.take_along_axis(found, order, 1)
        return order, scores[:, :1] - scores
    best = _top(np.where(values >= cut[:, None], found, -np.inf))
    scores, logits = np.take_along_axis(found, best, 1), np.take_along_axis(values, best, 1)
    above = np.where(logits >= cut[:, None], logits - cut[:, None], -np.inf)
    lead = np.full(found.shape, -np.inf, np.float32)
    for place in range(best.shape[1]):
        np.maximum(lead, np.minimum(scores[:, place, None] - found, above[:, place, None]), out=lead)
    margin = np.maximum(lead, 0.0) + np.maximum(cut[:, None] - values, 0.0)
    order = _top(-margin)
    return order, np.take_along_axis(margin, order, 1)


def _top(found: NDArray[np.float32]) -> NDArray[np.intp]:
    return torch.from_numpy(found).topk(min(_RANKED, found.shape[1]), dim=1).indices.numpy()


def _margin(
    values: NDArray[np.float32], found: NDArray[np.float32], claimed: NDArray[np.intp], cut: NDArray[np.float32]
) -> NDArray[np.float32]:
    row = np.arange(len(claimed))
    if np.isneginf(cut).all():
        return found.max(axis=1) - found[row, claimed]
    above = np.where(values >= cut[:, None], values - cut[:, None], -np.inf)
    lead = np.minimum(found - found[row, claimed][:, None], above).max(axis=1)
    return np.maximum(lead, 0.0) + np.maximum(cut - values[row, claimed], 0.0)


def _outcome(names: NDArray[np.intp], token: NDArray[np.intp]) -> NDArray[np.intp]:
    hit = names == token[:, None]
    return np.where(hit.any(axis=1), hit.argmax(axis=1), FAR)


def _truncated(pairs: Pairs, sampling: Sampling, names: NDArray[np.intp]) -> NDArray[np.intp]:
    """What top-k and top-p would draw: the first ranked token that they let through ([n, 2])."""
    scaled = (pairs.head - pairs.head[:, :1]) / np.float32(sampling.temperature)
    weights = np.exp(scaled)
    rest = np.exp(pairs.tail_mass - pairs.head[:, 0] / np.float32(sampling.temperature))
    before = weights.cumsum(axis=1)
    nucleus = 1 + (before < TOP_P * (before[:, -1] + rest)[:, None]).sum(axis=1)
    out = np.empty((len(pairs), 2), np.intp)
    for column, limit in enumerate((np.full(len(pairs), TOP_K), nucleus)):
        inside = (names >= 0) & (names < limit[:, None])
        out[:, column] = np.where(inside.any(axis=1), inside.argmax(axis=1), FAR)
    return out
