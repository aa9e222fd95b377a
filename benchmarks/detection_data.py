"""Collection: real completions, honest and not, with what the verifier says about every token. One chunk is a group
of requests, decoded by one configuration and replayed once by the fp32 verifier; it is stored as one file, so that
collecting can be stopped and taken up again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from subnet.models import load_model, load_tokenizer
from subnet.verify.matrix import HONEST, Run
from subnet.verify.measure import Measured, compare, measure
from subnet.verify.workloads import BREAKING
from tests.zoo.engines import CHEATS
from tests.zoo.numerics import fine_tuned

MODEL = "smollm2-135m-instruct"

CHEATING = (
    "smaller_model",
    "layer_skipped",
    "int4",
    "int8_dynamic",
    "wrong_seed",
    "copies",
    "fp8",
    "int8",
    "int8_activations",
    "fine_tuned",
    "fp8_kv",
    "int8_kv",
    "temperature_high",
    "temperature_low",
    "greedy",
    "top_p",
    "top_k",
    "prompt_tampering",
    "prompt_cut",
    "evicted_kv",
    "early_exit",
    "lenient_speculation",
    "one_token",
    "answer_token",
    "truncates",
    "selective",
    "smaller_then_prefill",
)
GROSS = ("prompt_tampering", "prompt_cut", "answer_token", "truncates", "selective", "smaller_then_prefill", "greedy")
SUBTLE = ("fp8", "int8", "fine_tuned", "fine_tuned_light", "fp8_kv", "int8_kv", "int8_activations")
NUMERIC = ("layer_skipped", "int4", "int8_dynamic", *SUBTLE)
"""Cheats whose logits can be captured: the seeded sampler over a changed model."""


def plan() -> list[tuple[Run, int]]:
    """Everything there is to collect, the most needed first."""
    first = [Run("fp32", "general"), Run("bf16h", "general")]
    first += [Run(name, "general") for name in SUBTLE]
    first += [Run("bf16h", name, jobs=16) for name in BREAKING]
    first += [
        Run(name, "general", jobs=12 if name in GROSS else 32, pairs=name in NUMERIC) for name in CHEATING
    ]
    second = [
        Run("bf16h", "general", chunks=4),
        Run("bf16h", "general", batch=8),
        Run("bf16", "general", chunks=2),
        Run("fp32", "general", batch=8, pairs=False),
        Run("fp32-math", "general", pairs=False),
        Run("fp32-threads2", "general", pairs=False),
        Run("fp32", "general", jobs=4, batch=1, pairs=False),
        Run("bf16h", "general", jobs=4, batch=1),
    ]
    second += [Run("fp32", name, jobs=16) for name in BREAKING]
    second += [Run(name, "general", chunks=2) for name in SUBTLE]
    third = [Run("bf16h", name, jobs=16, chunks=2) for name in BREAKING]
    third += [Run("fp32", "general", chunks=4, pairs=False)]
    third += [Run("fp32", name, jobs=16, chunks=4, pairs=False) for name in BREAKING]
    third += [Run("fp32", "general", chunks=12, pairs=False)]
    seen: set[tuple[str, int]] = set()
    out = []
    for run in (*first, *second, *third):
        for chunk in range(run.chunks):
            if (run.name, chunk) not in seen:
                seen.add((run.name, chunk))
                out.append((run, chunk))
    return out


class Models:
    """The verifier's model and the miners', loaded once."""

    def __init__(self) -> None:
        self.tokenizer = load_tokenizer(MODEL)
        self.reference: Any = load_model(MODEL, dtype="float32")
        self._others: dict[str, Any] = {}

    def miner(self, name: str) -> Any:
        """The model of an honest configuration, or the changed model of a cheat."""
        if name in TUNED:
            return fine_tuned(self.reference, relative=TUNED[name])
        if name in CHEATS:
            return CHEATS[name].engine(self.reference).model
        if name not in self._others:
            self._others[name] = HONEST[name].load(MODEL)
        return self._others[name]


TUNED = {"fine_tuned": 0.009, "fine_tuned_light": 0.004}
"""Size of a fine-tune's update relative to each matrix: 0.009 flips about 3.5 % of tokens, 0.004 about 1.6 %."""


def collect(run: Run, chunk: int, models: Models) -> Measured:
    """Decode, replay and compare one chunk."""
    jobs = run.requests(chunk, models.tokenizer)
    if run.miner in CHEATS and run.miner not in NUMERIC:
        completions = CHEATS[run.miner].engine(models.reference).decode(jobs, batch=run.batch)
        return compare(models.reference, jobs, completions)
    with HONEST[run.miner].running() if run.miner in HONEST else nullcontext():
        return measure(models.reference, models.miner(run.miner), jobs, run.batch, run.pairs)


def missing(folder: Path) -> Iterator[tuple[Run, int, Path]]:
    """Chunks of the plan that are not stored yet."""
    for run, chunk in plan():
        path = folder / f"{run.name}.{chunk:03d}.npz"
        if not path.exists():
            yield run, chunk, path
