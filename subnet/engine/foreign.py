"""Any other architecture, through `transformers`, behind the same interface as our own forward pass.

The library's attention is replaced by ours, so that packed replay and continuous batching work unchanged. Architectures
whose tokens meet anywhere but in attention, or whose attention does more than scaled dot products, are refused: at load
a short text is run both ways, and a model that does not agree with itself is never served nor used for a verdict.
"""

from __future__ import annotations

import contextvars
import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, AutoConfig, AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from subnet.engine.attention import packed_causal
from subnet.engine.hooks import NO_HOOKS, ForwardHooks
from subnet.engine.llama import Attend
from subnet.errors import EngineError
from subnet.models.manifest import Numerics

_NAME = "assay_packed"
_attend: contextvars.ContextVar[Attend] = contextvars.ContextVar("attend")
_PROBE_TOKENS = 24
_PROBE_TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.25, torch.bfloat16: 2.0}


def _packed_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, _mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """The library's attention seam. query: [1, heads, n, head_dim]; returns ([1, n, heads, head_dim], None)."""
    size = query.shape[-1]
    scaling = options.get("scaling")
    for name in ("sliding_window", "softcap", "s_aux", "position_bias"):
        if options.get(name) is not None:
            raise EngineError(f"attention with {name} is not supported")
    q, k, v = (t.squeeze(0).transpose(0, 1) for t in (query, key, value))
    if scaling is not None and scaling != size**-0.5:
        q = q * (scaling * size**0.5)
    return _attend.get()(module.layer_idx, q, k, v).unsqueeze(0), None  # type: ignore[arg-type]


def _no_mask(*_arguments: Any, **_options: Any) -> None:
    return None


@dataclass(frozen=True)
class ForeignModel:
    """A `transformers` causal language model over packed tokens."""

    module: Any
    head: Any
    eos_ids: frozenset[int]
    model_id: bytes
    max_positions: int
    vocab_size: int
    hooks: ForwardHooks = NO_HOOKS

    @property
    def dtype(self) -> torch.dtype:
        return next(self.module.parameters()).dtype

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights by name."""
        return dict(self.module.named_parameters())

    def with_hooks(self, hooks: ForwardHooks) -> ForeignModel:
        """The same model with the attention window or cache hook filled in; other hooks need our own forward pass."""
        if hooks.linear_input or hooks.skip_layer:
            raise EngineError("linear_input and skip_layer work on the Llama family only")
        return replace(self, hooks=hooks)

    def hidden(self, tokens: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """Final hidden states [n, hidden] of int64 tokens [n] at positions [n], after the last norm."""
        write = self.hooks.cache_write

        def written(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return attend(layer, q, *write(layer, k, v)) if write else attend(layer, q, k, v)

        token = _attend.set(written)
        try:
            body = self.module.base_model
            output = body(input_ids=tokens.unsqueeze(0), position_ids=positions.unsqueeze(0), use_cache=False)
        finally:
            _attend.reset(token)
        return output.last_hidden_state.squeeze(0)

    def project(self, hidden: Tensor) -> Tensor:
        """Float32 logits [n, vocab] of hidden states [n, hidden]."""
        return self.head(hidden.to(self.head.weight.dtype)).float()


def load_foreign(
    folder: Path, numerics: Numerics, device: torch.device, eos_ids: frozenset[int], model_id: bytes
) -> ForeignModel:
    """Load a checkpoint of an architecture that only `transformers` knows: safetensors only, remote code never.

    Raises EngineError where it cannot be loaded so, or where packed attention changes its logits.
    """
    # one bar a load would bury the bar of whoever loads many models
    disable_progress_bar()
    AttentionInterface.register(_NAME, _packed_attention)
    AttentionMaskInterface.register(_NAME, _no_mask)
    dtype = getattr(torch, numerics.body)
    safe = {"trust_remote_code": False, "local_files_only": True}
    module: Any
    try:
        config = AutoConfig.from_pretrained(folder, **safe)
        module = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=dtype, use_safetensors=True, **safe)
    except (ValueError, OSError, KeyError, ImportError) as error:
        raise EngineError(f"transformers cannot load the model in {folder}: {error}") from error
    module.to(device)
    module.eval()
    rounded = getattr(torch, numerics.weights)
    for tensor in module.parameters():
        tensor.data = tensor.data.to(rounded).to(dtype)
    module.requires_grad_(False)
    limit = getattr(config, "max_position_embeddings", None)
    if not isinstance(limit, int):
        raise EngineError(f"{folder}: the configuration states no max_position_embeddings")
    head = module.get_output_embeddings()
    model = ForeignModel(module, head, eos_ids, model_id, limit, head.weight.shape[0])
    _probe(model, dtype)
    if numerics.head == numerics.body:
        return model
    return replace(model, head=copy.deepcopy(head).to(getattr(torch, numerics.head)))


def _probe(model: ForeignModel, dtype: torch.dtype) -> None:
    """Run two short sequences packed by us and alone by the library. Raises EngineError where their logits differ."""
    count = min(_PROBE_TOKENS, model.max_positions)
    tokens = (torch.arange(2 * count, device=model.device) * 7919 + 11) % model.vocab_size
    positions = torch.arange(count, device=model.device).repeat(2)
    with torch.inference_mode():
        model.module.set_attn_implementation("eager")
        expected = model.module(input_ids=tokens.view(2, count), use_cache=False).logits.float()
        model.module.set_attn_implementation(_NAME)
        try:
            ours = model.project(model.hidden(tokens, positions, packed_causal([count, count])))
        except (EngineError, AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise EngineError(f"{type(model.module).__name__} cannot run packed: {error}") from error
    difference = (ours - expected.reshape(ours.shape)).abs().max().item()
    if not difference <= _PROBE_TOLERANCE.get(dtype, 1e-3):
        name = type(model.module).__name__
        raise EngineError(f"{name} computes other logits when packed (by {difference:.3g}); it is not supported")
