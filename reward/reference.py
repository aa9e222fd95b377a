"""What the reference language model sees in a completion: fluency, relevance, and whether it ends.

The validator holds the model anyway to replay answers, so the same weights are used here. Each
completion is read twice in one packed pass, once after its prompt and once after the bare opening of
the assistant's turn; the difference of the likelihoods tells how much the answer has to do with the question.

Everything is an average over the completion, so that float noise between machines (2e-4 in a single
logit) moves no signal by more than about 1e-4 of its range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from reward.model import Conversation
from subnet.engine.branches import Job, batches, branching, packed
from subnet.engine.causal import CausalModel

MOST_TOKENS = 320
"""Tokens of a completion that are read: the first two thirds and the last third of this when it is longer."""
PROMPT_TOKENS = 512
"""Tokens of a prompt that are read, from its end."""
ROWS = 256
PACKED_TOKENS = 2048
FLOOR = -16.0
"""Log-probabilities below this count as this: one token that is impossible must not decide alone."""


class ChatEncoder(Protocol):
    """The part of `subnet.models.chat.ChatTokenizer` that is used here."""

    def chat(self, messages: Sequence[dict[str, str]]) -> tuple[int, ...]: ...

    def encode(self, text: str) -> tuple[int, ...]: ...


@dataclass(frozen=True, slots=True)
class ReferenceSignals:
    """Signals of one pair, natural logarithms and nats, all averages over tokens unless said otherwise."""

    likelihood: float
    """log-probability of a token after the prompt"""
    likelihood_alone: float
    """the same without a prompt"""
    excess: float
    """log-probability plus entropy: near 0 for text as the model would write, negative for text that surprises it"""
    worst_tenth: float
    """mean of the lowest tenth of the excess: single tokens that do not belong, such as wrong facts"""
    entropy: float
    probability: float
    """probability of a token, in [0, 1]: high in loops and copies"""
    certain: float
    """mean of max(0, 1 - entropy / 0.2), in [0, 1]: the share of tokens at which the model is sure, smoothed"""
    drift: float
    """log-probability of the second half less that of the first"""
    opening: float
    """gain of the prompt (likelihood minus likelihood_alone) in the first quarter"""
    closing: float
    """the same in the last quarter"""
    ending: float
    """log-probability of the end of the answer after the last token"""
    ending_before: float
    """largest log-probability of the end after an earlier sentence, at least 4 tokens before the last"""
    worst: float
    """mean of the three lowest values of the excess"""
    regret: float
    """log-probability of a token less that of the likeliest one: how far from what the model would say itself"""
    regret_worst: float
    """mean of the lowest tenth of it"""
    regret_sure: float
    """mean of it over tokens, each weighted by how sure the model was of another (probability of the likeliest)"""
    gain_worst: float
    """mean of the lowest tenth of the gain of the prompt"""
    gain_spread: float
    """standard deviation of the gain"""
    gain_content: float
    """mean of the gain, each token weighted by its surprise without a prompt: what the content words gain"""
    size: float
    """tokens / (tokens + 60), in [0, 1)"""

    @property
    def relevance(self) -> float:
        """Nats a token by which the prompt makes the completion likelier; negative when it does not fit."""
        return self.likelihood - self.likelihood_alone


@dataclass(frozen=True)
class Reading:
    """What the model says at every token of a completion of n tokens, float32 throughout."""

    log_probs: np.ndarray
    """[n], log-probability of the token"""
    peaks: np.ndarray
    """[n], log-probability of the token that is likeliest there"""
    entropies: np.ndarray
    """[n]"""
    endings: np.ndarray
    """[n + 1], log-probability of an end-of-sequence token before every token and behind the last"""
    state: np.ndarray
    """[hidden], the last hidden state behind the completion, scaled to a root mean square of 1"""
    mean: np.ndarray
    """[hidden], the mean of the last hidden states over the completion, scaled likewise"""


@dataclass(frozen=True)
class ReferenceView:
    """One pair, read after its prompt and alone."""

    asked: Reading
    alone: Reading

    @property
    def signals(self) -> ReferenceSignals:
        """The pair's signals; pure arithmetic on the readings."""
        return _summary(self.asked, self.alone)


@dataclass(frozen=True)
class ReferenceModel:
    """The reference model with its tokenizer; both are shared with the replay."""

    model: CausalModel
    tokenizer: ChatEncoder

    def view(self, prompts: Sequence[Conversation], completions: Sequence[str]) -> list[ReferenceView | None]:
        """Views of n pairs, in order; None for a completion without tokens."""
        bare = self._opening()
        jobs: list[Job] = []
        owners: list[int] = []
        for number, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            tokens = shorten(self.tokenizer.encode(disarm(completion)), MOST_TOKENS)
            if tokens:
                asked = self.tokenizer.chat([{**m, "content": disarm(m["content"])} for m in prompt.as_dicts()])
                jobs += [(asked[-PROMPT_TOKENS:], tokens), (bare, tokens)]
                owners.append(number)
        readings = self._read(jobs)
        results: list[ReferenceView | None] = [None] * len(completions)
        for place, number in enumerate(owners):
            results[number] = ReferenceView(readings[2 * place], readings[2 * place + 1])
        return results

    def _opening(self) -> tuple[int, ...]:
        """What every prompt of the chat template ends with: the tokens that open the assistant's turn."""
        first, second = (self.tokenizer.chat([{"role": "user", "content": text}]) for text in ("one", "two"))
        length = 0
        while length < min(len(first), len(second)) and first[-1 - length] == second[-1 - length]:
            length += 1
        return first[len(first) - length :] or first[-1:]

    def _read(self, jobs: Sequence[Job]) -> list[Reading]:
        results: dict[int, Reading] = {}
        for trees in batches(jobs, PACKED_TOKENS):
            tokens, positions, rows = packed(trees)
            device = self.model.device
            with torch.inference_mode():
                ids, places = torch.tensor(tokens, device=device), torch.tensor(positions, device=device)
                hidden = self.model.hidden(ids, places, branching(trees, device))
                branches = [branch for tree in trees for branch in tree.branches]
                for (index, completion), (last, first) in zip(branches, rows, strict=True):
                    states = torch.cat((hidden[last : last + 1], hidden[first : first + len(completion)]))
                    results[index] = self._reading(states, completion)
        return [results[index] for index in range(len(jobs))]

    def _reading(self, hidden: Tensor, tokens: Sequence[int]) -> Reading:
        chosen = torch.tensor(tokens, device=hidden.device)
        eos = sorted(self.model.eos_ids)
        log_probs, peaks, entropies, endings = [], [], [], []
        for start in range(0, len(hidden), ROWS):
            logits = self.model.project(hidden[start : start + ROWS])
            logs = torch.log_softmax(logits, dim=1)
            endings.append(torch.logsumexp(logs[:, eos], dim=1))
            rows = min(len(logs), len(tokens) - start)
            if rows > 0:
                here = chosen[start : start + rows].unsqueeze(1)
                log_probs.append(logs[:rows].gather(1, here).squeeze(1))
                peaks.append(logs[:rows].amax(dim=1))
                entropies.append(-(logs[:rows].exp() * logs[:rows]).sum(dim=1))
        likely, peak, entropy, ends = (
            torch.cat(part).float().cpu().numpy() for part in (log_probs, peaks, entropies, endings)
        )
        return Reading(
            np.maximum(likely, FLOOR), peak, entropy, np.maximum(ends, FLOOR), _unit(hidden[-1]),
            _unit(hidden[1:].float().mean(dim=0)),
        )  # fmt: skip


def _unit(vector: Tensor) -> np.ndarray:
    """The vector scaled to a root mean square of 1, float32."""
    vector = vector.float()
    return (vector / vector.pow(2).mean().sqrt()).cpu().numpy()


def disarm(text: str) -> str:
    """The text with special tokens written out in it broken up, so that a completion cannot close its own turn."""
    return text.replace("<|", "<\u200b|").replace("|>", "|\u200b>")


def shorten(tokens: Sequence[int], most: int) -> tuple[int, ...]:
    """At most `most` tokens: the first two thirds of them from the start, the rest from the end."""
    if len(tokens) <= most:
        return tuple(tokens)
    head = most * 2 // 3
    return (*tokens[:head], *tokens[len(tokens) - (most - head) :])


def _summary(asked: Reading, alone: Reading) -> ReferenceSignals:
    likely, before = asked.log_probs.astype(np.float64), alone.log_probs.astype(np.float64)
    entropies, endings = asked.entropies.astype(np.float64), asked.endings
    count = len(likely)
    excess, gain, regret = likely + entropies, likely - before, likely - asked.peaks
    sure = np.exp(asked.peaks.astype(np.float64))
    quarter, half, tenth = math.ceil(count / 4), count // 2, math.ceil(count / 10)
    drift = likely[half:].mean() - likely[:half].mean() if half else 0.0
    return ReferenceSignals(
        likelihood=float(likely.mean()),
        likelihood_alone=float(before.mean()),
        excess=float(excess.mean()),
        worst_tenth=_lowest(excess, tenth),
        entropy=float(entropies.mean()),
        probability=float(np.exp(likely).mean()),
        certain=float(np.maximum(0.0, 1.0 - entropies / 0.2).mean()),
        drift=float(drift),
        opening=float(gain[:quarter].mean()),
        closing=float(gain[-quarter:].mean()),
        ending=float(endings[-1]),
        ending_before=float(endings[1:-4].max()) if count > 5 else FLOOR,
        worst=_lowest(excess, 3),
        regret=float(regret.mean()),
        regret_worst=_lowest(regret, tenth),
        regret_sure=float((regret * sure).sum() / sure.sum()),
        gain_worst=_lowest(gain, tenth),
        gain_spread=float(gain.std()),
        gain_content=float((gain * -before).sum() / max(1e-3, float(-before.sum()))),
        size=count / (count + 60),
    )


def _lowest(values: np.ndarray, count: int) -> float:
    return float(np.sort(values)[:count].mean())
