"""Keys and values of running sequences, one fixed slot for each."""

from __future__ import annotations

import math
import mmap

import torch
from torch import Tensor

from subnet.errors import EngineError


class SlotCache:
    """Preallocated key/value storage: per layer two tensors [slots, kv_heads, capacity, head_dim].

    The memory of a layer is reserved at its first write and is only touched where tokens are written: zeroed pages cost
    nothing until then. Stale values of a former sequence stay in a reused slot, finite and masked.
    """

    def __init__(self, slots: int, capacity: int) -> None:
        if slots < 1 or capacity < 1:
            raise EngineError(f"a cache needs at least one slot and one position, not {slots} and {capacity}")
        self.slots = slots
        self.capacity = capacity
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    @torch.inference_mode()
    def write(self, layer: int, slots: Tensor, positions: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k, v [n, kv_heads, head_dim] at (slots[i], positions[i]); returns the layer's whole storage."""
        if layer not in self._layers:
            self._layers[layer] = (self._reserve(k), self._reserve(v))
        keys, values = self._layers[layer]
        keys[slots, :, positions] = k
        values[slots, :, positions] = v
        return keys, values

    @torch.inference_mode()
    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one slot over another."""
        for keys, values in self._layers.values():
            keys[target, :, :length] = keys[source, :, :length]
            values[target, :, :length] = values[source, :, :length]

    def _reserve(self, like: Tensor) -> Tensor:
        _, heads, size = like.shape
        shape = (self.slots, heads, self.capacity, size)
        if like.device.type != "cpu":
            return torch.zeros(shape, dtype=like.dtype, device=like.device)
        # Small pages that are used as positions are written. numpy's zeros ask for huge ones, and a page of 2 MB that
        # holds several heads would be taken whole for the first token of one: 1.1 GB for 8 slots of 3072 positions.
        pages = mmap.mmap(-1, math.prod(shape) * like.element_size(), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            pages.madvise(mmap.MADV_NOHUGEPAGE)
        return torch.frombuffer(pages, dtype=like.dtype).view(shape)
