"""What generation and replay need of a model. Any value with these members will do."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from subnet.engine.hooks import ForwardHooks
from subnet.engine.llama import Attend


class CausalModel(Protocol):
    """A causal language model over packed tokens; attention between them is passed in."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def eos_ids(self) -> frozenset[int]: ...

    @property
    def max_positions(self) -> int: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def model_id(self) -> bytes: ...

    @property
    def hooks(self) -> ForwardHooks: ...

    def hidden(self, tokens: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """Final hidden states [n, hidden] of int64 tokens [n] at positions [n]."""
        ...

    def project(self, hidden: Tensor) -> Tensor:
        """Float32 logits [n, vocab] of hidden states [n, hidden]."""
        ...
