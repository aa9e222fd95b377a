"""Collection: real completions, honest and not, with what the verifier says about every token. One chunk is a group
of requests, decoded by one configuration and replayed once by the fp32 verifier; it is stored as one file, so that
collecting can be stopped and taken up again. A miner called `fp8@bf16` is the cheat `fp8` of a miner that otherwise
computes as the bf16 class asks; without `@bf16` it computes in float32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from detection_held import HELD, HELD_BREAKING
from detection_states import Observed, Watch, normed, prefilled, save_states
from numpy.typing import NDArray

from subnet.engine.decode import Completion, DecodeJob, decode, seeded_choice
from subnet.engine.replay import ReplayChunk
from subnet.models import load_model, load_tokenizer
from subnet.verify.matrix import HONEST, Run, breaking_runs
from subnet.verify.measure import Capture, Measured, compare
from subnet.verify.workloads import BREAKING
from tests.zoo.engines import CHEATS, Cheat
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
"""Cheats whose logits are captured: the seeded sampler over a changed model."""

AT_BF16 = "@bf16"


def plan() -> list[tuple[Run, int]]:
    """Everything there is to collect, the most needed first."""
    seen: set[tuple[str, int]] = set()
    out = []
    for run in (*_cheats(), *_fitted(), *_held_out()):
        for chunk in range(run.chunks):
            if (run.name, chunk) not in seen:
                seen.add((run.name, chunk))
                out.append((run, chunk))
    return out


def _cheats() -> list[Run]:
    """Every cheat in both numerics, the subtle ones and some honest answers first."""
    runs = [Run("fp32", "general"), Run("bf16h", "held_general", jobs=24), Run("fp32", "held_general", jobs=24)]
    runs += [Run(name + AT_BF16, "held_general") for name in SUBTLE]
    runs += [Run(name, "general", chunks=2) for name in SUBTLE]
    others = [name for name in CHEATING if name not in SUBTLE]
    runs += [Run(name, "general", jobs=_size(name, 32), pairs=name in NUMERIC) for name in others]
    runs += [Run(name + AT_BF16, "held_general", jobs=_size(name, 16), pairs=name in NUMERIC) for name in others]
    return [*runs, *(Run(name + AT_BF16, "held_general", chunks=2) for name in SUBTLE)]


def _size(name: str, many: int) -> int:
    """Fewer requests where a cheat is caught at once or is slow to run."""
    return 5 if name == "lenient_speculation" else 12 if name in GROSS else many


def _fitted() -> list[Run]:
    """Honest runs that the tolerance profiles are fitted to."""
    runs = [
        Run("bf16h", "general", chunks=4),
        Run("bf16h", "general", batch=8),
        Run("bf16", "general", chunks=2),
        Run("fp32", "general", batch=8, pairs=False),
        Run("fp32-math", "general", pairs=False),
        Run("fp32-threads2", "general", pairs=False),
        Run("fp32", "general", jobs=4, batch=1, pairs=False),
        Run("bf16h", "general", jobs=4, batch=1),
        Run("fp16", "general", jobs=4, pairs=False),
    ]
    runs += breaking_runs("bf16h")
    runs += [Run("fp32", name, jobs=16) for name in BREAKING]
    runs += [Run("fp32", "general", chunks=4, pairs=False)]
    return [*runs, *(Run("fp32", name, jobs=16, chunks=4, pairs=False) for name in ("hot", "cool"))]


def _held_out() -> list[Run]:
    """Honest runs on contexts that no profile has seen."""
    runs = []
    for chunks in (1, 2, 3):
        for miner in ("bf16h", "fp32"):
            runs += [Run(miner, name, jobs=16, chunks=chunks) for name in HELD_BREAKING[: -2 if chunks > 2 else None]]
            runs.append(Run(miner, "held_general", jobs=24, chunks=4 * chunks))
    return runs


def requests(run: Run, chunk: int, models: Models) -> list[DecodeJob]:
    """The requests of one chunk, of the product's workloads or of the held-out ones."""
    if run.workload not in HELD:
        return run.requests(chunk, models.tokenizer, models.reference.max_positions)
    workload, jobs = HELD[run.workload], []
    for index in range(chunk * run.jobs, (chunk + 1) * run.jobs):
        seed = hashlib.sha256(f"detection/{run.name}/{index}".encode()).digest()
        prompt = workload.prompt(models.tokenizer, index)
        jobs.append(DecodeJob(prompt, seed, workload.sampling, workload.max_tokens))
    return jobs


TUNED = {"fine_tuned": 0.009, "fine_tuned_light": 0.004}
"""Size of a fine-tune's update relative to each matrix: 0.009 flips about 3.5 % of tokens, 0.004 about 1.6 %."""


class Models:
    """The verifier's model and the miners', loaded once."""

    def __init__(self) -> None:
        self.tokenizer = load_tokenizer(MODEL)
        self.reference: Any = load_model(MODEL, dtype="float32")
        self._honest: dict[str, Any] = {"fp32": self.reference}

    def honest(self, name: str) -> Any:
        """The model of an honest configuration."""
        if name not in self._honest:
            self._honest[name] = HONEST[name].load(MODEL)
        return self._honest[name]

    def of(self, miner: str) -> tuple[Any, Cheat | None]:
        """The right model in the miner's numerics, and how the miner cheats (None: not at all)."""
        if miner in HONEST:
            return self.honest(miner), None
        name = miner.removesuffix(AT_BF16)
        right = self.honest("fp32" if name == miner else "bf16h")
        return right, Cheat(model=partial(fine_tuned, relative=TUNED[name])) if name in TUNED else CHEATS[name]


@dataclass(frozen=True, slots=True)
class Answers:
    """What a miner gave, and the hidden states that it can show for it."""

    completions: Sequence[Completion]
    states: Sequence[NDArray[np.uint16]]
    capture: Capture | None


def answered(run: Run, jobs: Sequence[DecodeJob], right: Any, cheat: Cheat | None) -> Answers:
    """Decode the jobs as the miner does.

    Who forges its proof afterwards (with the right model's prefill) shows that; everybody else what it computed.
    """
    cheat = cheat or Cheat()
    model_for = witness(run.miner, right, cheat)
    if cheat.decode:
        completions = cheat.engine(right).decode(jobs, batch=run.batch)
        states = [prefilled(model_for(j), j, c) for j, c in zip(jobs, completions, strict=True)]
        return Answers(completions, states, None)
    model = Observed(cheat.engine(right).model)
    asked = [cheat.job(job) for job in jobs] if cheat.job else list(jobs)
    capture = Capture(jobs, right.vocab_size) if run.pairs else None
    watch = Watch(model, cheat.choose or capture or seeded_choice)
    completions = decode(model, asked, batch=run.batch, choose=watch)
    if cheat.answer:
        completions = [cheat.answer(j, c, model) for j, c in zip(jobs, completions, strict=True)]
    if run.miner.removesuffix(AT_BF16) in FORGES:
        return Answers(completions, [prefilled(right, j, c) for j, c in zip(jobs, completions, strict=True)], capture)
    return Answers(completions, watch.of(completions), capture)


FORGES = ("smaller_then_prefill",)


def witness(miner: str, right: Any, cheat: Cheat) -> Callable[[DecodeJob], Any]:
    """The model whose states a miner can show for a job: who forges or speculates reads with the right one."""
    name = miner.removesuffix(AT_BF16)
    if name == "selective":
        int4 = CHEATS["int4"].engine(right).model
        return lambda job: int4 if int.from_bytes(job.seed[:4], "big") % 4 == 0 else right
    changed = right if name in FORGES or cheat.decode else cheat.engine(right).model
    return lambda _job: changed


def collect(run: Run, chunk: int, models: Models, path: Path) -> Measured:
    """Decode, replay and compare one chunk, and store it; the states of the first chunk of a run go beside it."""
    if path.exists():
        add_states(run, path, models)
        return Measured.load(path)
    jobs = requests(run, chunk, models)
    right, cheat = models.of(run.miner)
    with HONEST[run.miner].running() if run.miner in HONEST else nullcontext():
        given = answered(run, jobs, right, cheat)
    rows: list[list[NDArray[np.uint16]]] = [[] for _ in jobs]

    def keep(piece: ReplayChunk) -> None:
        rows[piece.job].append(normed(models.reference, piece.hidden))

    found = compare(models.reference, jobs, given.completions, given.capture, run.pairs, keep)
    if _with_states(run, chunk):
        save_states(states_path(path), given.states, [np.concatenate(pieces) for pieces in rows])
    found.save(path)
    return found


def add_states(run: Run, path: Path, models: Models, most: int = 24) -> None:
    """The states of a stored chunk's first completions, read again by both models: in float32 that is what decoding has
    to 1e-4.
    """
    found = Measured.load(path)
    jobs = requests(replace(run, jobs=len(found.lengths)), 0, models)[:most]
    right, cheat = models.of(run.miner)
    cheat = cheat or Cheat()
    ends = np.cumsum(found.lengths)
    claimed = [
        Completion(tuple(int(token) for token in found.tokens[end - n : end]), "length")
        for n, end in zip(found.lengths[:most], ends[:most], strict=True)
    ]
    asked = [cheat.job(job) for job in jobs] if cheat.job else jobs
    model_for = witness(run.miner, right, cheat)
    if model_for(asked[0]).hooks.attend_window is None:
        miner = [prefilled(model_for(j), j, c) for j, c in zip(asked, claimed, strict=True)]
    else:
        miner = forced(Observed(model_for(asked[0])), asked, claimed)
    verifier = [prefilled(models.reference, j, c) for j, c in zip(jobs, claimed, strict=True)]
    save_states(states_path(path), miner, verifier)


def forced(model: Observed, jobs: Sequence[DecodeJob], completions: Sequence[Completion]) -> list[NDArray[np.uint16]]:
    """The states of decoding given tokens: needed where a model decodes otherwise than it reads."""
    watch = Watch(model, lambda _logits, sequences: [completions[s.key].tokens[s.position] for s in sequences])
    exact = [replace(job, max_tokens=len(c.tokens)) for job, c in zip(jobs, completions, strict=True)]
    decode(model, exact, batch=32, choose=watch)
    return watch.of(completions)


def states_path(path: Path) -> Path:
    """Where the states of a chunk lie."""
    return path.with_suffix(".states.npz")


def missing(folder: Path) -> Iterator[tuple[Run, int, Path]]:
    """Chunks of the plan that are not stored yet, or whose states are not."""
    for run, chunk in plan():
        path = folder / f"{run.name}.{chunk:03d}.npz"
        if needed(run, chunk, path):
            yield run, chunk, path


def needed(run: Run, chunk: int, path: Path) -> bool:
    """Whether a chunk, or the states that belong to it, are not stored yet."""
    return not path.exists() or (_with_states(run, chunk) and not states_path(path).exists())


def _with_states(run: Run, chunk: int) -> bool:
    return chunk == 0 and run.batch == 32 and run.workload in ("general", "held_general")
