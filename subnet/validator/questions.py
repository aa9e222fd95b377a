"""What a round asks, and whom: synthetic and organic requests of one shape. Pure but for the nonces it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reward import Conversation
from reward.prompts import DEFAULT_PROFILE, TrafficProfile, generate
from subnet.evidence.selection import CheckPlan
from subnet.protocol import CompletionRequest
from subnet.protocol.limits import PROTOCOL_VERSION
from subnet.validator.values import Asked

Tokenize = Callable[[Conversation], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt with its sampling parameters: what every chosen miner is asked alike."""

    label: str
    conversation: Conversation
    prompt: tuple[int, ...]
    temperature_milli: int
    min_p_ppm: int
    max_tokens: int
    organic: bool = False


@dataclass(frozen=True, slots=True)
class Network:
    """Where the requests belong: the chain's genesis hash, the subnet, the model, and the validator's key."""

    genesis: bytes
    netuid: int
    model_id: bytes
    validator: bytes


def synthetic(
    round_number: int, seed: bytes, count: int, tokenize: Tokenize, *, prompt_tokens: int, max_tokens: int,
    profile: TrafficProfile = DEFAULT_PROFILE,
) -> tuple[Question, ...]:  # fmt: skip
    """`count` questions of a round from its seed; prompts longer than allowed are passed over."""
    questions: list[Question] = []
    index = 0
    while len(questions) < count and index < 64 * count:
        drawn = generate(seed, index, profile)
        prompt = tokenize(drawn.conversation)
        index += 1
        if len(prompt) > prompt_tokens:
            continue
        sampling = drawn.sampling
        questions.append(
            Question(
                f"{round_number}:{index}", drawn.conversation, prompt, sampling.temperature_milli, sampling.min_p_ppm,
                min(sampling.max_tokens, max_tokens),
            )
        )  # fmt: skip
    return tuple(questions)


def choose(hotkeys: Sequence[str], round_number: int, sample: int) -> tuple[str, ...]:
    """Whom to ask: all of them, or a window of `sample` that moves on each round, so that all have their turn."""
    ordered = sorted(hotkeys)
    if not sample or sample >= len(ordered):
        return tuple(ordered)
    start = round_number * sample % len(ordered)
    return tuple((ordered + ordered)[start : start + sample])


def addressed(
    question: Question, network: Network, *, round_number: int, miner: str, miner_key: bytes,
    beacon: tuple[int, bytes], nonce: bytes, epoch: int, counter: int, plan: CheckPlan,
) -> Asked:  # fmt: skip
    """The request that asks one miner one question. It is signed each time that it is sent."""
    request = CompletionRequest(
        version=PROTOCOL_VERSION, genesis=network.genesis, netuid=network.netuid, model_id=network.model_id,
        prompt=question.prompt, temperature_milli=question.temperature_milli, min_p_ppm=question.min_p_ppm,
        max_tokens=question.max_tokens, validator=network.validator, miner=miner_key, beacon_block=beacon[0],
        beacon_hash=beacon[1], nonce=nonce, epoch=epoch, counter=counter, extensions=plan.extension(),
    )  # fmt: skip
    return Asked(round_number, miner, question.label, question.conversation, request, plan, question.organic)
