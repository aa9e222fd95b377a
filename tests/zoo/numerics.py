"""Cheaper arithmetic than the declared one: each function gives back what the cheaper format would have kept.

All of them round to the format and convert back ("fake quantisation"): the cheat needs no special kernels, and differs
from a real one only in speed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from subnet.engine.hooks import ForwardHooks

FP8_MAX = torch.finfo(torch.float8_e4m3fn).max


def _symmetric(x: Tensor, largest: Tensor, levels: int) -> Tensor:
    """x rounded to integers of [-levels, levels] after scaling by `largest`, and back."""
    scale = largest.clamp_min(1e-12) / levels
    return (x / scale).round().clamp(-levels, levels) * scale


def int8_per_row(w: Tensor) -> Tensor:
    """int8, one symmetric scale for each row (output channel). w: [out, in]."""
    wide = w.float()
    return _symmetric(wide, wide.abs().amax(dim=1, keepdim=True), 127).to(w.dtype)


def int8_per_tensor(w: Tensor) -> Tensor:
    """int8, one symmetric scale for the whole tensor: dynamic quantisation as frameworks offer it."""
    wide = w.float()
    return _symmetric(wide, wide.abs().amax(), 127).to(w.dtype)


def int4_groups(w: Tensor, group: int = 128) -> Tensor:
    """int4 with a scale and an offset for each group along the input. A last group may be shorter. w: [out, in]."""
    wide = w.float()
    pieces = []
    for piece in wide.split(group, dim=1):
        low, high = piece.amin(dim=1, keepdim=True), piece.amax(dim=1, keepdim=True)
        scale = (high - low).clamp_min(1e-12) / 15
        pieces.append(((piece - low) / scale).round().clamp(0, 15) * scale + low)
    return torch.cat(pieces, dim=1).to(w.dtype)


def fp8_scaled(w: Tensor) -> Tensor:
    """fp8 e4m3, one scale for the whole tensor."""
    wide = w.float()
    scale = wide.abs().amax().clamp_min(1e-12) / FP8_MAX
    return ((wide / scale).to(torch.float8_e4m3fn).float() * scale).to(w.dtype)


def fp8_plain(x: Tensor) -> Tensor:
    """fp8 e4m3 without a scale, as serving engines store keys and values by default."""
    return x.float().clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn).to(x.dtype)


def int8_blocks(x: Tensor, block: int = 32) -> Tensor:
    """int8, a symmetric scale for each block of the last dimension, as llama.cpp's Q8_0. x: [n, features]."""
    features = x.shape[-1]
    padded = F.pad(x.float(), (0, -features % block)).unflatten(-1, (-1, block))
    return _symmetric(padded, padded.abs().amax(dim=-1, keepdim=True), 127).flatten(-2)[..., :features].to(x.dtype)


def int8_per_token(x: Tensor) -> Tensor:
    """int8, a symmetric scale for each vector of the last dimension. x: [..., features]."""
    wide = x.float()
    return _symmetric(wide, wide.abs().amax(dim=-1, keepdim=True), 127).to(x.dtype)


def changed_weights(model: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The model with every matrix of its decoder layers changed; embedding, head and norms stay."""
    return model.with_weights({name: change(w) for name, w in decoder_matrices(model.weights).items()})


def decoder_matrices(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The matrices of the decoder layers, by name."""
    return {name: w for name, w in weights.items() if w.ndim == 2 and ".layers." in name}


def layer_count(model: Any) -> int:
    """How many decoder layers the model has."""
    return 1 + max(int(name.split(".layers.")[1].split(".")[0]) for name in decoder_matrices(model.weights))


def int8_dynamic(model: Any) -> Any:
    """Weights and activations in int8, with one scale for each matrix and for each token's activations."""
    hooks = ForwardHooks(linear_input=lambda x, name: int8_per_token(x) if ".layers." in name else x)
    return changed_weights(model, int8_per_tensor).with_hooks(hooks)


def cache_rounded(model: Any, rounded: Callable[[Tensor], Tensor]) -> Any:
    """The model with keys and values stored in a smaller format."""
    return model.with_hooks(ForwardHooks(cache_write=lambda _layer, k, v: (rounded(k), rounded(v))))


def layers_skipped(model: Any, skipped: frozenset[int]) -> Any:
    """The model without some of its decoder layers."""
    return model.with_hooks(ForwardHooks(skip_layer=lambda layer, _hidden: layer in skipped))


def smaller(model: Any) -> Any:
    """A smaller model: every third layer of the middle is left out. Stands for another checkpoint of the family."""
    count = layer_count(model)
    return layers_skipped(model, frozenset(range(1, count - 1, 3)))


def one_layer_skipped(model: Any) -> Any:
    """The model without its middle layer."""
    return layers_skipped(model, frozenset({layer_count(model) // 2}))


def early_exit(model: Any, confident: float = 0.9) -> Any:
    """Tokens whose next token is clear after two thirds of the layers leave there."""
    depth = 2 * layer_count(model) // 3
    leaving: list[Tensor] = []

    def skip(layer: int, hidden: Tensor) -> bool | Tensor:
        if layer < depth:
            leaving.clear()
            return False
        if not leaving:
            leaving.append(model.project(hidden).softmax(-1).amax(-1) > confident)
        return leaving[0]

    return model.with_hooks(ForwardHooks(skip_layer=skip))


def fine_tuned(model: Any, relative: float = 0.009, rank: int = 8) -> Any:
    """A lightly fine-tuned copy: a low-rank update on every decoder matrix, `relative` to its Frobenius norm.

    The update is fixed by the tensor's name, so that every copy is the same.
    """

    def tuned(name: str, w: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(sum(name.encode()) * 1_000_003 + len(name))
        left = torch.randn(w.shape[0], rank, generator=generator)
        right = torch.randn(rank, w.shape[1], generator=generator)
        update = left @ right
        wide = w.float().cpu()
        return (wide + update * (relative * wide.norm() / update.norm())).to(w.device, w.dtype)

    return model.with_weights({name: tuned(name, w) for name, w in decoder_matrices(model.weights).items()})
