"""The self-test: a miner replays some of its own completions with the validator's code before it serves.

Honest people must never find out by being slashed that their dtype, their kernel or their file is wrong. The test is
the validator's own, with a lower threshold: a miner that would be accused once in a thousand tries does not serve.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from subnet.engine.causal import CausalModel
from subnet.engine.decode import Completion, DecodeJob
from subnet.errors import EngineError
from subnet.models.chat import ChatTokenizer
from subnet.sampling import Sampling
from subnet.verify.bets import factors
from subnet.verify.measure import compare
from subnet.verify.profile import ToleranceProfile
from subnet.verify.records import UNJUDGED
from subnet.verify.workloads import WORKLOADS

SELF_TEST_THRESHOLD = 1e6
"""Evidence at which the miner refuses itself: a thousand times stricter than an accusation."""


LARGEST_EVIDENCE = 1e30


class Decode(Protocol):
    """The miner's own way of answering: jobs in, completions out, in order."""

    def __call__(self, jobs: Sequence[DecodeJob]) -> Sequence[Completion]: ...


@dataclass(frozen=True, slots=True)
class SelfTestReport:
    """What the self-test found. `reason` is empty where the miner may serve, and says what to change where it may
    not.
    """

    passed: bool
    tokens: int
    agreement: float
    misses: int
    largest_margin: float
    evidence: float
    reason: str


def self_test_jobs(tokenizer: ChatTokenizer, tokens: int, requests: int = 8) -> list[DecodeJob]:
    """Ordinary questions at a temperature at which tokens carry information; about `tokens` tokens in all."""
    workload = WORKLOADS["general"]
    limit = max(8, tokens // requests)
    return [
        DecodeJob(
            workload.prompt(tokenizer, number),
            hashlib.sha256(f"assay self-test {number}".encode()).digest(),
            Sampling(1000),
            limit,
        )
        for number in range(requests)
    ]


def self_test(
    decode: Decode,
    reference: CausalModel,
    tokenizer: ChatTokenizer,
    profile: ToleranceProfile,
    tokens: int = 512,
    diagnose: Callable[[], Sequence[str]] | None = None,
) -> SelfTestReport:
    """Answer some questions with the miner's engine and judge them as a validator would.

    reference: the model in float32, as validators load it. Raises EngineError where the engine or the replay cannot
    run.
    """
    jobs = self_test_jobs(tokenizer, tokens)
    return judge_answers(jobs, list(decode(jobs)), reference, profile, diagnose)


def judge_answers(
    jobs: Sequence[DecodeJob],
    completions: Sequence[Completion],
    reference: CausalModel,
    profile: ToleranceProfile,
    diagnose: Callable[[], Sequence[str]] | None = None,
) -> SelfTestReport:
    """Judge finished completions of these jobs as a validator would, at the self-test's threshold."""
    answers = compare(reference, jobs, completions).answers(profile.spread)
    if all((answer.rows["spread"] == UNJUDGED).all() for answer in answers):
        raise EngineError(
            f"profile {profile.name} judges none of the self-test's prompts: it was measured with another chat template"
        )
    ratios = np.concatenate([factors(answer, profile) for answer in answers])
    weights = np.array([alternative.weight for alternative in profile.alternatives])
    current, evidence = np.zeros(ratios.shape[1]), 0.0
    for ratio in ratios:
        current = np.minimum((current + 1.0) * ratio, LARGEST_EVIDENCE)
        evidence = max(evidence, float(np.average(current, weights=weights)))
    margins = np.concatenate([answer.margins for answer in answers])
    misses = int(np.count_nonzero(margins > profile.tolerance))
    agreement = float(np.mean(np.concatenate([answer.matches for answer in answers])))
    passed = evidence < SELF_TEST_THRESHOLD
    found = list((diagnose or machine_suspects)()) if not passed else []
    reason = "" if passed else _reason(profile, len(margins), agreement, float(margins.max()), found)
    return SelfTestReport(passed, len(margins), agreement, misses, float(margins.max()), evidence, reason)


def machine_suspects() -> list[str]:
    """Settings of this process that are known to take a model out of its class."""
    found = []
    if torch.cuda.is_available() and torch.backends.cuda.matmul.allow_tf32:
        found.append("TF32 matrix products are on: torch.backends.cuda.matmul.allow_tf32 = False")
    if torch.get_float32_matmul_precision() != "highest":
        found.append(
            f'float32 products run in "{torch.get_float32_matmul_precision()}" precision: '
            'torch.set_float32_matmul_precision("highest")'
        )
    return found


def _reason(profile: ToleranceProfile, tokens: int, agreement: float, largest: float, found: Sequence[str]) -> str:
    """What is wrong, and what to do, in words."""
    told = (
        f"{100 * (1 - agreement):.1f} % of {tokens} self-test tokens are not what the reference draws (largest "
        f"margin {largest:.3f} logits); class {profile.tolerance_class} asks for {profile.numerics}"
    )
    if found:
        return f"{told}. Found: {'; '.join(found)}"
    if agreement < 0.6:
        guess = "the sampler or its seed is wrong (is it subnet.sampling, at the request's temperature and min-p?)"
    elif agreement < 0.9:
        guess = "this is not the model of the manifest: check the file's hash, its quantisation and its chat template"
    else:
        guess = "the arithmetic is narrower than the class allows: check dtype, KV-cache dtype and attention kernel"
        if profile.tolerance_class == "bf16":
            guess += ", and that the vocabulary projection (lm_head) runs in float32 on the bfloat16 hidden state"
    return f"{told}. Most likely {guess}"
