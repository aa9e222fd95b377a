"""Answers of the reference model, and of worse versions of it, to train and test the head on.

Every answer is drawn with the network's own seeded sampling, so the file is the same wherever it
is made. Worse versions: a far too high temperature, and one decoder layer left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from loguru import logger

from reward.model import Conversation
from reward.prompts import generate
from subnet.engine.causal import CausalModel
from subnet.engine.decode import DecodeJob, decode
from subnet.engine.hooks import ForwardHooks
from subnet.models.chat import ChatTokenizer
from subnet.sampling import Sampling

PROMPT_SEED = hashlib.sha256(b"assay/reward-training/1\0").digest()
BATCH = 32
TEMPERATURE_MILLI = 600
HOT_MILLI = 1300
SKIPPED_LAYERS = frozenset({15})
MAX_TOKENS = 144
WEAK_TOKENS = 72
WEAK_EVERY = 3
"""Every third prompt also gets the worse versions' answers."""


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
    answers = _answers(prompts, model, tokenizer, TEMPERATURE_MILLI, MAX_TOKENS)
    chosen = [prompt for prompt in prompts if _seed(prompt)[0] % WEAK_EVERY == 0]
    weaker = model.with_hooks(ForwardHooks(skip_layer=lambda layer, hidden: layer in SKIPPED_LAYERS))  # type: ignore[attr-defined]
    hot = dict(zip(chosen, _answers(chosen, model, tokenizer, HOT_MILLI, WEAK_TOKENS), strict=True))
    skipped = dict(zip(chosen, _answers(chosen, weaker, tokenizer, TEMPERATURE_MILLI, WEAK_TOKENS), strict=True))
    for prompt, (text, finish) in zip(prompts, answers, strict=True):
        weak = {"hot": hot[prompt][0], "skipped": skipped[prompt][0]} if prompt in hot else {}
        yield {"messages": _messages(prompt), "answer": text, "finish": finish, "weak": weak}


def _answers(
    prompts: Sequence[Conversation], model: CausalModel, tokenizer: ChatTokenizer, temperature_milli: int, most: int
) -> list[tuple[str, str]]:
    sampling = Sampling(temperature_milli)
    jobs = [DecodeJob(tokenizer.chat(p.as_dicts()), _seed(p), sampling, most) for p in prompts]
    return [(tokenizer.decode(done.tokens), done.finish) for done in decode(model, jobs, batch=BATCH)]


def _seed(prompt: Conversation) -> bytes:
    return hashlib.sha256(PROMPT_SEED + json.dumps(_messages(prompt)).encode()).digest()
