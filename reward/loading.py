"""From a line of configuration to a reward model.

default                              the learned head
handmade                             the six components by hand
hf:/path/to/manifest.json            a Hugging Face reward model, checked against its manifest
hf:/path/to/manifest.json@1.5,2.0    the same with the logit that becomes 0.5, and the width
mix:default=0.7,hf:/path=0.3         a weighted mean
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from loguru import logger

from reward.composite import Handmade, Mix, TextOnly
from reward.embedding import load_embedder
from reward.head import LearnedReward, load_head
from reward.huggingface import HuggingFaceOptions, load_huggingface
from reward.model import RewardModel
from reward.reference import ChatEncoder, ReferenceModel
from reward.signals import SignalReader
from subnet.engine.causal import CausalModel
from subnet.errors import RewardError
from subnet.models import DEFAULT_MODEL, builtin_manifest, load_model, load_tokenizer

NAMES = "default, handmade, text, hf:<manifest.json>[@middle,width] or mix:<reward>=<weight>,..."


def load_reward(
    spec: str,
    reference: CausalModel,
    tokenizer: ChatEncoder,
    options: HuggingFaceOptions | None = None,
    cache: Path | None = None,
) -> RewardModel:
    """The reward model that a line of configuration names.

    `reference` and `tokenizer` are those of the model that is replayed. Where it is not the embedded model in
    float32, which the signals are defined with, that one is loaded beside it. `options` and `cache` are for
    Hugging Face models. Raises RewardError for a line that names none, ModelError for files that are not the
    manifest's.
    """
    readers: list[SignalReader] = []

    def reader() -> SignalReader:
        if not readers:
            readers.append(SignalReader(load_embedder(), _reference(reference, tokenizer, cache)))
        return readers[0]

    def one(text: str) -> RewardModel:
        if text == "default":
            return LearnedReward(reader(), load_head())
        if text == "handmade":
            return Handmade(reader())
        if text == "text":
            return TextOnly()
        if text.startswith("hf:"):
            path, chosen = _huggingface(text[3:], options or HuggingFaceOptions())
            return load_huggingface(path, chosen, cache)
        raise RewardError(f"the reward {text!r} is unknown; use {NAMES}")

    spec = spec.strip()
    if not spec.startswith("mix:"):
        return one(spec)
    return Mix(tuple((one(name), weight) for name, weight in parse_mix(spec)))


def _reference(model: CausalModel, tokenizer: ChatEncoder, cache: Path | None) -> ReferenceModel:
    if model.model_id == builtin_manifest().digest and model.dtype == torch.float32:
        return ReferenceModel(model, tokenizer)
    logger.info("loading {} in float32 for the reward, beside the model that is replayed", DEFAULT_MODEL)
    return ReferenceModel(load_model(DEFAULT_MODEL, "float32", cache=cache), load_tokenizer(DEFAULT_MODEL, cache=cache))


def parse_mix(spec: str) -> list[tuple[str, float]]:
    """The parts of a mix and their weights, from "mix:a=1,b=2"."""
    parts: list[tuple[str, float]] = []
    rest = spec.removeprefix("mix:").strip()
    pending = ""
    for piece in rest.split(","):
        pending = f"{pending},{piece}" if pending else piece
        name, found, weight = pending.rpartition("=")
        if not found:  # the comma belongs to the two numbers behind an @
            continue
        try:
            parts.append((name.strip(), float(weight)))
        except ValueError:
            raise RewardError(f"the weight in {pending!r} is not a number; write reward=weight") from None
        pending = ""
    if pending or not parts:
        raise RewardError(f"the part {pending!r} of {spec!r} has no weight; write reward=weight")
    return parts


def _huggingface(text: str, options: HuggingFaceOptions) -> tuple[Path, HuggingFaceOptions]:
    path, found, numbers = text.rpartition("@")
    if not found:
        return Path(text), options
    try:
        middle, width = (float(part) for part in numbers.split(","))
    except ValueError:
        raise RewardError(f"{numbers!r} behind the @ is not two numbers, middle and width") from None
    return Path(path), replace(options, middle=middle, width=width)
