"""The Llama family's forward pass over packed tokens: RMSNorm, RoPE, grouped-query attention, SwiGLU.

Tokens of many sequences lie one after another without padding; which of them see which is the business of `Attend`.
The operations and their order are those of the reference implementation in `transformers`, so that a sequence alone
gives the same bits in fp32; where memory is reused in place, the arithmetic is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from subnet.engine.hooks import NO_HOOKS, ForwardHooks
from subnet.errors import EngineError

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, q [n, heads, head_dim], k [n, kv_heads, head_dim], v) -> [n, heads, head_dim]"""


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """The sizes and constants of one Llama-family model."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float
    max_positions: int
    tied_embeddings: bool

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise EngineError(f"{self.heads} attention heads cannot share {self.kv_heads} key/value heads evenly")
        if self.head_dim % 2:
            raise EngineError(f"rotary embeddings need an even head size, not {self.head_dim}")


@dataclass(frozen=True, slots=True)
class LayerNames:
    """Names of one decoder layer's weights in the checkpoint."""

    attention_norm: str
    q: str
    k: str
    v: str
    o: str
    mlp_norm: str
    gate: str
    up: str
    down: str

    @classmethod
    def of(cls, layer: int) -> LayerNames:
        p = f"model.layers.{layer}"
        return cls(
            attention_norm=f"{p}.input_layernorm.weight",
            q=f"{p}.self_attn.q_proj.weight",
            k=f"{p}.self_attn.k_proj.weight",
            v=f"{p}.self_attn.v_proj.weight",
            o=f"{p}.self_attn.o_proj.weight",
            mlp_norm=f"{p}.post_attention_layernorm.weight",
            gate=f"{p}.mlp.gate_proj.weight",
            up=f"{p}.mlp.up_proj.weight",
            down=f"{p}.mlp.down_proj.weight",
        )


EMBEDDING = "model.embed_tokens.weight"
FINAL_NORM = "model.norm.weight"
HEAD = "lm_head.weight"

BLOCK_ROWS = 256


@dataclass(frozen=True)
class LlamaModel:
    """A Llama-family model: its shape, its weights by name, and the end-of-sequence ids.

    A head of another dtype than the embedding (lm_head.weight, also where the two are tied) makes the last norm and the
    vocabulary projection run in that dtype. `hooks` and `with_weights` change what is computed and nothing else; an
    honest engine uses neither.
    """

    shape: LlamaShape
    weights: Mapping[str, Tensor]
    eos_ids: frozenset[int]
    model_id: bytes = bytes(32)
    hooks: ForwardHooks = NO_HOOKS
    _names: tuple[LayerNames, ...] = field(init=False, repr=False)
    _rotary: tuple[Tensor, Tensor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = tuple(LayerNames.of(i) for i in range(self.shape.layers))
        _check_weights(self.shape, names, self.weights)
        embedding = self.weights[EMBEDDING]
        object.__setattr__(self, "_names", names)
        object.__setattr__(self, "_rotary", rotary_table(self.shape, embedding.dtype, embedding.device))

    @property
    def vocab_size(self) -> int:
        return self.shape.vocab_size

    @property
    def max_positions(self) -> int:
        return self.shape.max_positions

    @property
    def dtype(self) -> torch.dtype:
        return self.weights[EMBEDDING].dtype

    @property
    def device(self) -> torch.device:
        return self.weights[EMBEDDING].device

    def with_weights(self, changed: Mapping[str, Tensor]) -> LlamaModel:
        """The same model with some weights replaced. A model with tied embeddings may be given a head of its own.

        Raises EngineError on an unknown name.
        """
        unknown = sorted(set(changed) - set(self.weights) - {HEAD})
        if unknown:
            raise EngineError(f"the model has no weight {unknown[0]!r}")
        return replace(self, weights={**self.weights, **changed})

    def with_hooks(self, hooks: ForwardHooks) -> LlamaModel:
        """The same model with seams of the forward pass filled in."""
        return replace(self, hooks=hooks)

    def hidden(self, tokens: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """Final hidden states, before the last norm. tokens, positions: int64 [n]; returns [n, hidden]."""
        table_cos, table_sin = self._rotary
        cos, sin = table_cos[positions].unsqueeze(1), table_sin[positions].unsqueeze(1)
        hidden = F.embedding(tokens, self.weights[EMBEDDING])
        skip = self.hooks.skip_layer
        for index in range(self.shape.layers):
            skipped = skip(index, hidden) if skip else False
            if skipped is True:
                continue
            after = self._layer(index, hidden, cos, sin, attend)
            hidden = after if skipped is False else torch.where(skipped.unsqueeze(1), hidden, after)
        return hidden

    def project(self, hidden: Tensor) -> Tensor:
        """Logits of hidden states. hidden: [n, hidden] as `hidden()` gives it; returns float32 [n, vocab]."""
        head = self.weights[HEAD if HEAD in self.weights else EMBEDDING]
        norm = self.weights[FINAL_NORM].to(head.dtype)
        x = rms_norm(hidden.to(head.dtype), norm, self.shape.rms_norm_eps)
        return self._linear(x, HEAD, head).float()

    def _layer(self, index: int, hidden: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
        shape, names, w = self.shape, self._names[index], self.weights
        n = hidden.shape[0]
        x = rms_norm(hidden, w[names.attention_norm], shape.rms_norm_eps)
        q = self._linear(x, names.q, w[names.q]).view(n, shape.heads, shape.head_dim)
        k = self._linear(x, names.k, w[names.k]).view(n, shape.kv_heads, shape.head_dim)
        v = self._linear(x, names.v, w[names.v]).view(n, shape.kv_heads, shape.head_dim)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if self.hooks.cache_write:
            k, v = self.hooks.cache_write(index, k, v)
        mixed = attend(index, q, k, v).reshape(n, shape.heads * shape.head_dim)
        hidden = self._linear(mixed, names.o, w[names.o]).add_(hidden)
        x = rms_norm(hidden, w[names.mlp_norm], shape.rms_norm_eps)
        gate = self._linear(x, names.gate, w[names.gate])
        gated = swiglu(gate, self._linear(x, names.up, w[names.up]))
        return self._linear(gated, names.down, w[names.down]).add_(hidden)

    def _linear(self, x: Tensor, name: str, weight: Tensor) -> Tensor:
        if self.hooks.linear_input:
            x = self.hooks.linear_input(x, name)
        return F.linear(x, weight)


def arranged_for_decoding(model: LlamaModel) -> LlamaModel:
    """The same model with its float32 matrices stored by columns, for decoding on a CPU.

    Products with the few rows of a decoding step are a fifth to a third faster so; those of replay are not. It takes a
    private copy of the matrices, where the loaded ones are mapped and shared. Matrices of another dtype, and models on
    other devices, stay as they are.
    """
    if model.device.type != "cpu":
        return model
    matrices = {name: w for name, w in model.weights.items() if w.dim() == 2 and name != EMBEDDING}
    matrices.setdefault(HEAD, model.weights[EMBEDDING])
    single = {name: w.t().contiguous().t() for name, w in matrices.items() if w.dtype == torch.float32}
    return model.with_weights(single) if single else model


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root-mean-square normalisation over the last dimension, computed in float32."""
    out = torch.empty_like(x)
    for part, into in zip(_blocks(x), _blocks(out), strict=True):
        wide = part.float()
        scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
        torch.mul(scaled.to(x.dtype), weight, out=into)
    return out


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """SiLU(gate) * up, in the memory of `gate`."""
    for part, factor in zip(_blocks(gate), _blocks(up), strict=True):
        F.silu(part, inplace=True).mul_(factor)
    return gate


def rotary_table(shape: LlamaShape, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of every position: two [max_positions, head_dim] tensors, computed in float32."""
    exponent = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
    frequency = 1.0 / (shape.rope_theta**exponent)
    angle = torch.arange(shape.max_positions, dtype=torch.float32).unsqueeze(1) * frequency
    angle = torch.cat((angle, angle), dim=-1)
    return angle.cos().to(device, dtype), angle.sin().to(device, dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding. x: [n, heads, head_dim]; cos, sin: [n, 1, head_dim]."""
    half = x.shape[-1] // 2
    turned = torch.empty_like(x)
    for part, into, c, s in zip(*map(_blocks, (x, turned, cos, sin)), strict=True):
        torch.mul(part, c, out=into)
        into[..., :half] -= part[..., half:] * s[..., :half]
        into[..., half:] += part[..., :half] * s[..., half:]
    return turned


def _blocks(x: Tensor) -> tuple[Tensor, ...]:
    """Runs of rows that stay in a core's cache through several elementwise steps; all rows on other devices."""
    return x.split(BLOCK_ROWS) if x.device.type == "cpu" else (x,)


def _check_weights(shape: LlamaShape, names: tuple[LayerNames, ...], weights: Mapping[str, Tensor]) -> None:
    hidden, mlp = shape.hidden_size, shape.intermediate_size
    wide, narrow = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    expected = {EMBEDDING: (shape.vocab_size, hidden), FINAL_NORM: (hidden,)}
    if not shape.tied_embeddings:
        expected[HEAD] = (shape.vocab_size, hidden)
    for layer in names:
        expected |= {layer.attention_norm: (hidden,), layer.mlp_norm: (hidden,)}
        expected |= {layer.q: (wide, hidden), layer.k: (narrow, hidden), layer.v: (narrow, hidden)}
        expected |= {layer.o: (hidden, wide), layer.down: (hidden, mlp)}
        expected |= {layer.gate: (mlp, hidden), layer.up: (mlp, hidden)}
    for name, size in expected.items():
        if name not in weights:
            raise EngineError(f"the checkpoint has no tensor {name!r}; it is not a complete Llama-family model")
        if tuple(weights[name].shape) != size:
            raise EngineError(f"tensor {name!r} has shape {tuple(weights[name].shape)}, the configuration says {size}")
