"""Answers of the reference model, and of worse versions of it, to train and test the head on.

Every answer is drawn with the network's own seeded sampling, so the file is the same wherever it
is made. Worse versions: a far too high temperature, weights in int4, and one or two decoder layers left out. All
have the same limit of tokens, so that length tells nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from loguru import logger
from torch import Tensor

from reward.model import Conversation
from reward.prompts import generate
from subnet.engine.causal import CausalModel
from subnet.engine.decode import DecodeJob, decode
from subnet.engine.hooks import ForwardHooks
from subnet.models.chat import ChatTokenizer
from subnet.sampling import Sampling

PROMPT_SEED = hashlib.sha256(b"assay/reward-training/1\0").digest()
BATCH = 28
TEMPERATURE_MILLI = 600
HOT_MILLI = 1300
SKIPPED_LAYERS = (9, 15)
"""One of them is left out, by the prompt; both of them in the version with two layers less."""
MAX_TOKENS = 96


def synthetic_prompts(count: int) -> list[Conversation]:
    """The first `count` prompts of the prompt generator under the training seed."""
    return [generate(PROMPT_SEED, index).conversation for index in range(count)]


def write_generated(
    path: Path, prompts: Sequence[Conversation], model: CausalModel, tokenizer: ChatTokenizer, batch: int = BATCH
) -> None:
    """Answer the prompts and append to `path` (JSON lines). Prompts that are in the file already are skipped."""
    done = set()
    if path.exists():
        done = {json.dumps(json.loads(line)["messages"]) for line in path.read_text(encoding="utf-8").splitlines()}
    todo = [prompt for prompt in prompts if json.dumps(_messages(prompt)) not in done]
    for start in range(0, len(todo), batch):
        rows = list(_rows(todo[start : start + batch], model, tokenizer))
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
        logger.info("answered {} of {} prompts", start + len(rows), len(todo))


def _messages(prompt: Conversation) -> list[list[str]]:
    return [[message.role, message.content] for message in prompt.messages]


def _rows(prompts: Sequence[Conversation], model: CausalModel, tokenizer: ChatTokenizer) -> Iterator[dict]:
    versions: dict[str, dict[Conversation, str]] = {
        "int4": _texts(prompts, _in_int4(model), tokenizer),
        "hot": _texts(prompts, model, tokenizer, HOT_MILLI),
        "skipped_two": _texts(prompts, _without(model, SKIPPED_LAYERS), tokenizer),
        "skipped": {},
    }
    for number, layer in enumerate(SKIPPED_LAYERS):
        chosen = [prompt for prompt in prompts if _seed(prompt)[0] % len(SKIPPED_LAYERS) == number]
        versions["skipped"] |= _texts(chosen, _without(model, (layer,)), tokenizer)
    for prompt, (text, finish) in zip(prompts, _answers(prompts, model, tokenizer, TEMPERATURE_MILLI), strict=True):
        weak = {name: texts[prompt] for name, texts in versions.items()}
        yield {"messages": _messages(prompt), "answer": text, "finish": finish, "weak": weak}


def _without(model: CausalModel, layers: Sequence[int]) -> CausalModel:
    return model.with_hooks(ForwardHooks(skip_layer=lambda layer, _hidden: layer in layers))  # type: ignore[attr-defined]


def _in_int4(model: CausalModel) -> CausalModel:
    changed = {name: in_int4(w) for name, w in model.weights.items() if w.ndim == 2 and ".layers." in name}  # type: ignore[attr-defined]
    return model.with_weights(changed)  # type: ignore[attr-defined]


def in_int4(weights: Tensor, group: int = 128) -> Tensor:
    """A matrix [out, in] rounded to 16 levels between the ends of each group of inputs, and back."""
    pieces = []
    for piece in weights.float().split(group, dim=1):
        low = piece.amin(dim=1, keepdim=True)
        step = ((piece.amax(dim=1, keepdim=True) - low) / 15).clamp_min(1e-12)
        pieces.append(((piece - low) / step).round() * step + low)
    return torch.cat(pieces, dim=1).to(weights.dtype)


def _texts(
    prompts: Sequence[Conversation], model: CausalModel, tokenizer: ChatTokenizer, milli: int = TEMPERATURE_MILLI
) -> dict[Conversation, str]:
    return dict(zip(prompts, (text for text, _ in _answers(prompts, model, tokenizer, milli)), strict=True))


def _answers(
    prompts: Sequence[Conversation], model: CausalModel, tokenizer: ChatTokenizer, temperature_milli: int
) -> list[tuple[str, str]]:
    sampling = Sampling(temperature_milli)
    jobs = [DecodeJob(tokenizer.chat(p.as_dicts()), _seed(p), sampling, MAX_TOKENS) for p in prompts]
    return [(tokenizer.decode(done.tokens), done.finish) for done in decode(model, jobs, batch=BATCH)]


def _seed(prompt: Conversation) -> bytes:
    return hashlib.sha256(PROMPT_SEED + json.dumps(_messages(prompt)).encode()).digest()
