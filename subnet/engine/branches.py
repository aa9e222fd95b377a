"""Many completions of one prompt in one packed pass: the prompt is computed once.

A round asks many miners the same, so prompts repeat. Tokens lie as prompt, completion, completion, ..., prompt, ...;
every completion sees its prompt and itself, and none sees another. There is no padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from subnet.engine.attention import causal, masked
from subnet.engine.llama import Attend

Job = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids of a prompt, not empty, and of what follows it."""


@dataclass(frozen=True, slots=True)
class Tree:
    """One prompt, and the numbers and token ids of its completions."""

    prompt: tuple[int, ...]
    branches: tuple[tuple[int, tuple[int, ...]], ...]


def batches(jobs: Sequence[Job], most: int) -> Iterator[list[Tree]]:
    """Batches of trees of at most `most` tokens (one completion more where it is longer), short ones together."""
    order = sorted(range(len(jobs)), key=lambda i: (len(jobs[i][0]), jobs[i][0], len(jobs[i][1]), i))
    batch: list[tuple[tuple[int, ...], list[int]]] = []
    size = 0
    for index in order:
        prompt, completion = jobs[index]
        same = bool(batch) and batch[-1][0] == prompt
        cost = len(completion) + (0 if same else len(prompt))
        if batch and size + cost > most:
            yield _trees(jobs, batch)
            batch, size, same = [], 0, False
            cost = len(completion) + len(prompt)
        if same:
            batch[-1][1].append(index)
        else:
            batch.append((prompt, [index]))
        size += cost
    if batch:
        yield _trees(jobs, batch)


def _trees(jobs: Sequence[Job], batch: Sequence[tuple[tuple[int, ...], list[int]]]) -> list[Tree]:
    return [Tree(prompt, tuple((index, jobs[index][1]) for index in members)) for prompt, members in batch]


def packed(trees: Sequence[Tree]) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Token ids and positions of a batch, and for each branch the row of its prompt's last token and its own first."""
    tokens: list[int] = []
    positions: list[int] = []
    rows: list[tuple[int, int]] = []
    for tree in trees:
        tokens += tree.prompt
        positions += range(len(tree.prompt))
        last = len(tokens) - 1
        for _, branch in tree.branches:
            rows.append((last, len(tokens)))
            tokens += branch
            positions += range(len(tree.prompt), len(tree.prompt) + len(branch))
    return tokens, positions, rows


def branching(trees: Sequence[Tree], device: torch.device) -> Attend:
    """Attention of a batch of trees in the order of `packed`. A tree with one branch is one causal sequence."""
    whole: list[slice] = []
    split: list[tuple[slice, slice, Tensor]] = []
    at = 0
    for tree in trees:
        start, at = at, at + len(tree.prompt)
        prompt = slice(start, at)
        if len(tree.branches) == 1:
            at += len(tree.branches[0][1])
            whole.append(slice(start, at))
            continue
        whole.append(prompt)
        for _, branch in tree.branches:
            if branch:
                split.append((slice(at, at + len(branch)), prompt, _mask(len(tree.prompt), len(branch), device)))
                at += len(branch)

    def attend(_layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = torch.empty_like(q)
        for own in whole:
            out[own] = causal(q[own], k[own], v[own])
        for own, before, mask in split:
            keys, values = torch.cat((k[before], k[own])), torch.cat((v[before], v[own]))
            out[own] = masked(q[own], keys, values, mask)
        return out

    return attend


def _mask(before: int, count: int, device: torch.device) -> Tensor:
    """Bool [count, before + count]: all of what comes before, and causal within."""
    return torch.ones(count, before + count, dtype=torch.bool, device=device).tril(before)
