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

from reward.composite import Handmade, Mix
from reward.embedding import load_embedder
from reward.head import LearnedReward, load_head
from reward.huggingface import HuggingFaceOptions, load_huggingface
from reward.model import RewardModel
from reward.reference import ChatEncoder, ReferenceModel
from reward.signals import SignalReader
from subnet.engine.causal import CausalModel
from subnet.errors import RewardError

NAMES = "default, handmade, hf:<manifest.json>[@middle,width] or mix:<reward>=<weight>,..."


def load_reward(
    spec: str,
    reference: CausalModel,
    tokenizer: ChatEncoder,
    options: HuggingFaceOptions | None = None,
    cache: Path | None = None,
) -> RewardModel:
    """The reward model that a line of configuration names.

    `reference` and `tokenizer` are those of the embedded model, shared with the replay. `options` and
    `cache` are for Hugging Face models. Raises RewardError for a line that names none, ModelError for
    files that are not the manifest's.
    """
    readers: list[SignalReader] = []

    def reader() -> SignalReader:
        if not readers:
            readers.append(SignalReader(load_embedder(), ReferenceModel(reference, tokenizer)))
        return readers[0]

    def one(text: str) -> RewardModel:
        if text == "default":
            return LearnedReward(reader(), load_head())
        if text == "handmade":
            return Handmade(reader())
        if text.startswith("hf:"):
            path, chosen = _huggingface(text[3:], options or HuggingFaceOptions())
            return load_huggingface(path, chosen, cache)
        raise RewardError(f"the reward {text!r} is unknown; use {NAMES}")

    spec = spec.strip()
    if not spec.startswith("mix:"):
        return one(spec)
    return Mix(tuple((one(name), weight) for name, weight in parse_mix(spec)))


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
