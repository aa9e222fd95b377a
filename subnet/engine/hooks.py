"""Seams in the forward pass: what a changed engine may change, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

LinearInput = Callable[[Tensor, str], Tensor]
CacheWrite = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]
SkipLayer = Callable[[int, Tensor], "bool | Tensor"]


@dataclass(frozen=True, slots=True)
class ForwardHooks:
    """Optional changes to a forward pass. The default changes nothing and costs nothing.

    linear_input: (x [n, in], name of the weight) -> x, before every matrix product: activation quantisation.
    cache_write: (layer, k [n, kv_heads, head_dim], v) -> (k, v), on what attention reads and the cache stores.
    skip_layer: (layer, hidden [n, hidden]) -> True, False, or a bool mask [n] of the tokens that skip the layer.
    attend_window: decoding reads only the first 4 and the last `attend_window` cached positions.
    """

    linear_input: LinearInput | None = None
    cache_write: CacheWrite | None = None
    skip_layer: SkipLayer | None = None
    attend_window: int | None = None


NO_HOOKS = ForwardHooks()
