"""Any Hugging Face reward model: a sequence classifier that reads a conversation and gives one number.

The model is named by a manifest and checked like any other model: every file's hash, safetensors
only, no remote code ever. The chat template is applied to the prompt and the completion
together, completions are scored in batches, and the logit becomes a score through a logistic
curve whose middle and width the configuration gives, since reward models agree on no scale.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reward.composite import EMPTY
from reward.model import Component, Conversation, RewardScore, check_pairs
from reward.text import words
from subnet.errors import RewardError
from subnet.models.manifest import Manifest
from subnet.models.provenance import locate
from subnet.models.registry import find_model


@dataclass(frozen=True, slots=True)
class HuggingFaceOptions:
    """How to run the model. `middle` is the logit that becomes 0.5, `width` the logits from there to 0.73."""

    middle: float = 0.0
    width: float = 1.0
    batch: int = 8
    max_tokens: int = 1024
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.middle) and self.width > 0.0):
            raise RewardError(f"middle {self.middle!r} must be finite and width {self.width!r} above 0")
        if self.batch < 1 or self.max_tokens < 8:
            raise RewardError(f"batch {self.batch} must be at least 1 and max_tokens {self.max_tokens} at least 8")


@dataclass(frozen=True)
class HuggingFaceReward:
    """A loaded sequence classifier. Make it with `load_huggingface`."""

    manifest: Manifest
    model: Any
    tokenizer: Any
    options: HuggingFaceOptions

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def identity(self) -> str:
        numbers = [self.options.middle, self.options.width, self.options.max_tokens]
        return hashlib.sha256(json.dumps([self.manifest.digest.hex(), numbers]).encode()).hexdigest()

    def score(self, prompts: Sequence[Conversation], completions: Sequence[str]) -> list[RewardScore]:
        """Scores of n pairs; see `RewardModel.score`. RewardError if the model gives a number that is not finite."""
        check_pairs(prompts, completions)
        results = [EMPTY] * len(completions)
        texts = {i: self._render(prompts[i], text) for i, text in enumerate(completions) if words(text)}
        order = sorted(texts, key=lambda index: len(texts[index]))
        for start in range(0, len(order), self.options.batch):
            chosen = order[start : start + self.options.batch]
            for index, logit in zip(chosen, self._logits([texts[i] for i in chosen]), strict=True):
                if not math.isfinite(logit):
                    raise RewardError(f"{self.name} gave {logit} for a completion; the model or its dtype is broken")
                value = 1.0 / (
                    1.0 + math.exp(-max(-60.0, min(60.0, (logit - self.options.middle) / self.options.width)))
                )
                results[index] = RewardScore(value, (Component("classifier", value),))
        return results

    def _render(self, prompt: Conversation, completion: str) -> str:
        messages = [*prompt.as_dicts(), {"role": "assistant", "content": completion}]
        marks = [text for text in self.tokenizer.all_special_tokens if text]
        for message in messages:  # a completion must not be able to close its own turn
            for mark in marks:
                message["content"] = message["content"].replace(mark, mark[:1] + "\u200b" + mark[1:])
        return self.tokenizer.apply_chat_template(messages, tokenize=False)

    def _logits(self, texts: Sequence[str]) -> list[float]:
        rows = [self.tokenizer.encode(text, add_special_tokens=False) for text in texts]
        rows = [row[-self.options.max_tokens :] for row in rows]
        width = max(len(row) for row in rows)
        pad = self.model.config.pad_token_id
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows], device=self.options.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=self.options.device)
        with torch.inference_mode():
            logits = self.model(input_ids=ids, attention_mask=mask).logits
        return [float(value) for value in logits.float()[:, 0]]


def load_huggingface(
    manifest: str | Path | Manifest, options: HuggingFaceOptions | None = None, cache: Path | None = None
) -> HuggingFaceReward:
    """Load a sequence classifier named by a manifest; every hash is checked before anything is read.

    Raises ModelError where the files are not the manifest's, RewardError where it is no reward model.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    options = options or HuggingFaceOptions()
    named = find_model(manifest)
    located = locate(named.manifest, named.base, cache)
    model = AutoModelForSequenceClassification.from_pretrained(
        located.folder, trust_remote_code=False, use_safetensors=True, local_files_only=True, dtype=torch.float32
    )
    tokenizer = AutoTokenizer.from_pretrained(located.folder, trust_remote_code=False, local_files_only=True)
    if model.config.num_labels != 1:
        raise RewardError(
            f"{located.manifest.name} has {model.config.num_labels} labels; a reward model gives one number"
        )
    if not tokenizer.chat_template:
        raise RewardError(f"{located.manifest.name} has no chat template; add one to its tokenizer")
    if model.config.pad_token_id is None:
        # Needed to find each row's last token in a batch; any token that closes no text will do.
        model.config.pad_token_id = (
            tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        )
    if model.config.pad_token_id is None:
        raise RewardError(
            f"{located.manifest.name} has neither a padding nor an end token; name one in its config.json"
        )
    return HuggingFaceReward(located.manifest, model.to(options.device).eval(), tokenizer, options)
