"""Hidden states beside the tokens, for schemes that commit to activations: what the miner had, and what the verifier's
prefill has, after the last norm and in bfloat16, one row for each completion token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from subnet.engine.attention import packed_causal
from subnet.engine.decode import Choose, Completion, DecodeJob, DecodeSequence
from subnet.engine.llama import FINAL_NORM, HEAD, LlamaModel, rms_norm


class Observed:
    """A model that remembers the hidden states of its last projection; otherwise the same."""

    def __init__(self, model: LlamaModel) -> None:
        self._model = model
        self.seen: Tensor = torch.empty(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def project(self, hidden: Tensor, *arguments: Any, **options: Any) -> Tensor:
        """Logits, as the model's own; the hidden states are kept until the next call."""
        self.seen = hidden
        return self._model.project(hidden, *arguments, **options)

    def states(self) -> NDArray[np.uint16]:
        """The states of the last projection after the last norm, as the bits of bfloat16 [n, hidden]."""
        return normed(self._model, self.seen)


def normed(model: LlamaModel, hidden: Tensor) -> NDArray[np.uint16]:
    """States after the last norm, computed in the head's dtype, as the bits of bfloat16 [n, hidden]."""
    dtype = model.weights[HEAD].dtype if HEAD in model.weights else model.dtype
    x = rms_norm(hidden.to(dtype), model.weights[FINAL_NORM].to(dtype), model.shape.rms_norm_eps)
    return x.to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)


@dataclass(slots=True)
class Watch:
    """A choice of tokens that also keeps the miner's states, by (job, position)."""

    model: Observed
    choose: Choose
    rows: dict[tuple[int, int], NDArray[np.uint16]] = field(default_factory=dict)

    def __call__(self, logits: Tensor, sequences: Sequence[DecodeSequence]) -> Sequence[int]:
        for row, sequence in zip(self.model.states(), sequences, strict=True):
            self.rows[(sequence.key, sequence.position)] = row
        return self.choose(logits, sequences)

    def of(self, completions: Sequence[Completion]) -> list[NDArray[np.uint16]]:
        """The states of finished completions."""
        return [np.stack([self.rows[(i, p)] for p in range(len(c.tokens))]) for i, c in enumerate(completions)]


def prefilled(model: LlamaModel, job: DecodeJob, completion: Completion) -> NDArray[np.uint16]:
    """The states that a model has when it reads a finished completion."""
    tokens = torch.tensor([*job.prompt, *completion.tokens[:-1]])
    with torch.inference_mode():
        hidden = model.hidden(tokens, torch.arange(len(tokens)), packed_causal([len(tokens)]))
        return normed(model, hidden[len(job.prompt) - 1 :])


def save_states(path: Path, miner: Sequence[NDArray[np.uint16]], verifier: Sequence[NDArray[np.uint16]]) -> None:
    """Store the states of some completions, atomically."""
    lengths = np.array([len(rows) for rows in miner], np.int32)
    part = path.with_suffix(".part.npz")
    np.savez(part, miner=np.concatenate(miner), verifier=np.concatenate(verifier), lengths=lengths)
    part.rename(path)
