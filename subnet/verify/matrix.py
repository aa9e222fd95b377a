"""The honest matrix: ways of running a model that are all honest, and what to measure of each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from subnet.engine.causal import CausalModel
from subnet.engine.decode import DecodeJob
from subnet.models import load_model
from subnet.models.chat import ChatTokenizer
from subnet.verify.spread import BEGINNING
from subnet.verify.workloads import BREAKING, WORKLOADS


@dataclass(frozen=True, slots=True)
class Honest:
    """One honest way of computing. kernel: `sdpa` (fused attention where there is one) or `math`; threads: None for the
    caller's.
    """

    dtype: str
    head: str | None = None
    kernel: str = "sdpa"
    threads: int | None = None

    def load(self, model: str) -> CausalModel:
        """The model with this arithmetic. `model`: a manifest's name or path."""
        return load_model(model, dtype=self.dtype, head=self.head)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Set kernel and threads for the time of a run."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads or before)
        try:
            with sdpa_kernel(SDPBackend.MATH) if self.kernel == "math" else _nothing():
                yield
        finally:
            torch.set_num_threads(before)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


HONEST = {
    "fp32": Honest("float32"),
    "fp32-math": Honest("float32", kernel="math"),
    "fp32-threads2": Honest("float32", threads=2),
    "bf16h": Honest("bfloat16", head="float32"),
    "bf16h-math": Honest("bfloat16", head="float32", kernel="math"),
    "bf16": Honest("bfloat16"),
    "fp16": Honest("float16"),
}
"""Configurations by name; `bf16h` is bf16 with the last norm and the vocabulary projection in fp32."""

MEMBERS = {"fp32": ("fp32", "fp32-math", "fp32-threads2"), "bf16": ("bf16h", "bf16h-math")}
"""Which configurations a tolerance class admits."""


@dataclass(frozen=True, slots=True)
class Run:
    """One configuration (honest or not) over one workload; `chunks` files of up to `jobs` requests each."""

    miner: str
    workload: str
    jobs: int = 32
    batch: int = 32
    chunks: int = 1
    pairs: bool = True

    @property
    def name(self) -> str:
        """Stem of the files that hold it."""
        return f"{self.miner}.{self.workload}.b{self.batch}"

    def requests(self, chunk: int, tokenizer: ChatTokenizer, positions: int) -> list[DecodeJob]:
        """The requests of one chunk. Seeds are digests, as the protocol's are; no two runs share one.

        positions: what the model has room for; a longer prompt loses what follows its beginning.
        """
        workload = WORKLOADS[self.workload]
        longest = min(workload.max_tokens, positions // 2)
        jobs = []
        for index in range(chunk * self.jobs, (chunk + 1) * self.jobs):
            seed = hashlib.sha256(f"detection/{self.name}/{index}".encode()).digest()
            prompt = workload.prompt(tokenizer, index)
            start, rest = prompt[:BEGINNING], prompt[BEGINNING:]
            prompt = (*start, *rest[BEGINNING + longest - positions :])
            jobs.append(DecodeJob(prompt, seed, workload.sampling, longest))
        return jobs


_DEAR = ("long", "greedy")
"""Workloads of which fewer answers are measured: one takes minutes, the other says little."""


def breaking_runs(miner: str) -> list[Run]:
    """One configuration over all contexts that are made to break honest miners."""
    return [Run(miner, name, jobs=16, chunks=2 if name in _DEAR else 4) for name in BREAKING]


def honest_runs(tolerance_class: str, quick: bool = False) -> list[Run]:
    """What to measure for a class: every workload, batch sizes, threads and kernels."""
    main, *others = MEMBERS[tolerance_class]
    if quick:
        return [Run(main, name, jobs=4, batch=4) for name in ("general", *BREAKING)]
    runs = [Run(main, "general", chunks=4), Run(main, "general", batch=8), Run(main, "general", jobs=4, batch=1)]
    return [*runs, *breaking_runs(main), *(Run(name, "general") for name in others)]
