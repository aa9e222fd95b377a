"""Attention over packed tokens, without a cache (replay) and with one (decoding)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from subnet.engine.cache import SlotCache
from subnet.engine.llama import Attend

FIRST_KEPT = 4
"""Positions at the start that a windowed cache always keeps: attention leans on them (Xiao et al., 2023)."""


def packed_causal(lengths: Sequence[int]) -> Attend:
    """Causal attention within each of several sequences that lie one after another. No cache, no padding."""

    def attend(_layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = torch.empty_like(q)
        start = 0
        for length in lengths:
            end = start + length
            out[start:end] = causal(q[start:end], k[start:end], v[start:end])
            start = end
        return out

    return attend


@dataclass(frozen=True, slots=True)
class CachedRun:
    """`count` consecutive tokens of one slot, the first of them at position `start`."""

    slot: int
    start: int
    count: int


def cached_causal(
    cache: SlotCache, runs: Sequence[CachedRun], device: torch.device, window: int | None = None
) -> Attend:
    """Causal attention that writes each run into its slot and reads the slot back; tokens lie in `runs` order."""
    rows = [(run.slot, run.start + i) for run in runs for i in range(run.count)]
    slots, positions = torch.tensor(rows, dtype=torch.int64, device=device).T
    singles = all(run.count == 1 for run in runs)
    in_order = singles and [run.slot for run in runs] == list(range(len(runs)))
    longest = max(run.start + run.count for run in runs)
    mask = _cached_mask(positions, longest, window) if singles else None

    def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys, values = cache.write(layer, slots, positions, k, v)
        if mask is not None:
            rows_k = keys[: len(runs)] if in_order else keys[slots]
            rows_v = values[: len(runs)] if in_order else values[slots]
            return _one_token_each(q, rows_k[:, :, :longest], rows_v[:, :, :longest], mask)
        return _ragged(runs, q, keys, values, window)

    return attend


def _one_token_each(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """q: [b, heads, d]; keys, values: [b, kv_heads, longest, d]; mask: bool [b, longest]; returns [b, heads, d].

    The query heads that share a key/value head are laid out as that head's queries, so that nothing is repeated.
    """
    batch, heads, size = q.shape
    grouped = q.view(batch, keys.shape[1], heads // keys.shape[1], size)
    out = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask[:, None, None, :])
    return out.reshape(batch, heads, size)


def _ragged(runs: Sequence[CachedRun], q: Tensor, keys: Tensor, values: Tensor, window: int | None) -> Tensor:
    out = torch.empty_like(q)
    at = 0
    for run in runs:
        end = run.start + run.count
        k, v = keys[run.slot, :, :end].transpose(0, 1), values[run.slot, :, :end].transpose(0, 1)
        piece = q[at : at + run.count]
        if run.start == 0 and window is None:
            out[at : at + run.count] = causal(piece, k, v)
        else:
            positions = torch.arange(run.start, end, device=q.device)
            out[at : at + run.count] = masked(piece, k, v, _cached_mask(positions, end, window))
        at += run.count
    return out


def _cached_mask(positions: Tensor, longest: int, window: int | None) -> Tensor:
    """Bool [n, longest]: what the token at each position may read."""
    column = torch.arange(longest, device=positions.device)
    row = positions.unsqueeze(1)
    seen = column <= row
    if window is not None:
        seen &= (column > row - window) | (column < FIRST_KEPT)
    return seen


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """q: [n, heads, d]; k, v: [n, kv_heads, d]; causal within the n tokens."""
    out = F.scaled_dot_product_attention(
        *_batched(q, k, v), is_causal=q.shape[0] > 1, enable_gqa=q.shape[1] != k.shape[1]
    )
    return out.squeeze(0).transpose(0, 1)


def masked(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """q: [n, heads, d]; k, v: [m, kv_heads, d]; mask: bool [n, m]; returns [n, heads, d]."""
    out = F.scaled_dot_product_attention(*_batched(q, k, v), attn_mask=mask, enable_gqa=q.shape[1] != k.shape[1])
    return out.squeeze(0).transpose(0, 1)


def _batched(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return q.transpose(0, 1).unsqueeze(0), k.transpose(0, 1).unsqueeze(0), v.transpose(0, 1).unsqueeze(0)
