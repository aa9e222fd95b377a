"""Honest (or other) completions beside the verifier's replay of them: the raw material of calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from subnet.engine.causal import CausalModel
from subnet.engine.decode import Completion, DecodeJob, DecodeSequence, decode, seeded_choice
from subnet.engine.replay import ReplayChunk, ReplayJob, replay
from subnet.errors import StateError
from subnet.sampling import Sampling
from subnet.verify.pairs import Pairs, take_pairs
from subnet.verify.records import RECORD, TokenRecords, token_records
from subnet.verify.spread import SpreadModel, beginning, described

_STORED = RECORD.newbyteorder("<")


@dataclass(frozen=True, slots=True)
class Measured:
    """Some completions that share a sampling, token by token.

    lengths: int32 [completions], tokens of each. starts: int32 [completions, BEGINNING], how its prompt begins. tokens:
    int32 [n], records: n, in the order of the completions. states: float16 [n, width + 1], the verifier's final hidden
    states as `spread.described` gives them. widest: float32 [n], the largest difference of any logit between miner and
    verifier; None where the miner's logits were not seen. pairs: n.
    """

    sampling: Sampling
    lengths: NDArray[np.int32]
    starts: NDArray[np.int32]
    tokens: NDArray[np.int32]
    records: TokenRecords
    states: NDArray[np.float16]
    widest: NDArray[np.float32] | None
    pairs: Pairs | None

    def answers(self, spread: SpreadModel | None = None) -> list[TokenRecords]:
        """The records of every completion, with the spreads of a model."""
        ends = np.cumsum(self.lengths)
        starts = np.repeat(self.starts, self.lengths, axis=0)
        rows = (spread.applied(self.records, self.states, self.sampling, starts) if spread else self.records).rows
        return [TokenRecords(rows[end - n : end].copy()) for n, end in zip(self.lengths, ends, strict=True)]

    def of(self, completions: NDArray[np.intp]) -> Measured:
        """The measurement of some completions, given by their numbers in rising order."""
        rows = np.flatnonzero(np.isin(np.repeat(np.arange(len(self.lengths)), self.lengths), completions))
        lengths, pairs = self.lengths[completions], None
        if self.pairs is not None:
            number = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
            pairs = replace(self.pairs.at(rows), completion=number)
        return Measured(
            self.sampling,
            lengths,
            self.starts[completions],
            self.tokens[rows],
            TokenRecords(self.records.rows[rows]),
            self.states[rows],
            None if self.widest is None else self.widest[rows],
            pairs,
        )

    def spread_pairs(self, spread: SpreadModel | None) -> Pairs:
        """The pairs, with the spreads of a model. Raises StateError where there are none."""
        if self.pairs is None:
            raise StateError("this measurement was made without pairs")
        if spread is None:
            return self.pairs
        starts = np.repeat(self.starts, self.lengths, axis=0)
        return self.pairs.with_spreads(spread(self.states, self.pairs.entropy, self.sampling.temperature, starts))

    def save(self, path: Path) -> None:
        """Store as one npz file, atomically; differences in float16."""
        arrays: dict[str, Any] = {
            "records": self.records.rows.astype(_STORED).view(np.uint8).reshape(-1, RECORD.itemsize),
            "tokens": self.tokens,
            "lengths": self.lengths,
            "states": self.states,
            "starts": self.starts,
            "temperature_milli": np.array([self.sampling.temperature_milli], np.int32),
            "min_p_ppm": np.array([self.sampling.min_p_ppm], np.int32),
        }
        if self.widest is not None:
            arrays["widest"] = self.widest
        if self.pairs is not None:
            for name in ("head", "tail", "tail_mass", "entropy"):
                arrays[name] = getattr(self.pairs, name)
            for name in ("head_difference", "tail_difference"):
                arrays[name] = getattr(self.pairs, name).astype(np.float16)
        part = path.with_suffix(".part.npz")
        np.savez(part, **arrays)
        part.rename(path)

    @classmethod
    def load(cls, path: Path) -> Measured:
        """Inverse of `save`. Raises StateError where the file is something else."""
        try:
            with np.load(path) as stored:
                data = dict(stored)
            lengths, pairs = data["lengths"], None
            if "head" in data:
                pairs = Pairs(
                    data["head"],
                    data["head_difference"].astype(np.float32),
                    data["tail"],
                    data["tail_difference"].astype(np.float32),
                    data["tail_mass"],
                    data["entropy"],
                    np.ones(len(data["entropy"]), np.float32),
                    np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
                )
            records = TokenRecords(data["records"].reshape(-1).view(_STORED).astype(RECORD))
            sampling = Sampling(int(data["temperature_milli"][0]), int(data["min_p_ppm"][0]))
            widest, starts = data.get("widest"), data["starts"]
            return cls(sampling, lengths, starts, data["tokens"], records, data["states"], widest, pairs)
        except (OSError, KeyError, ValueError) as error:
            raise StateError(f"{path} holds no measurement: {error}") from error


class Capture:
    """The seeded sampler that also keeps every row of logits, by (job, position)."""

    def __init__(self, jobs: Sequence[DecodeJob], vocabulary: int) -> None:
        longest = max(job.max_tokens for job in jobs)
        self.logits = np.empty((len(jobs), longest, vocabulary), np.float32)

    def __call__(self, logits: torch.Tensor, sequences: Sequence[DecodeSequence]) -> Sequence[int]:
        for row, sequence in zip(logits.float().numpy(), sequences, strict=True):
            self.logits[sequence.key, sequence.position] = row
        return seeded_choice(logits, sequences)


def measure(
    reference: CausalModel, miner: CausalModel, jobs: Sequence[DecodeJob], batch: int, keep_pairs: bool
) -> Measured:
    """Decode the jobs with the miner's model and replay them with the reference. All jobs share a sampling.

    Memory: one float32 row of logits for every token that the jobs may give.
    """
    capture = Capture(jobs, miner.vocab_size)
    completions = decode(miner, jobs, batch=batch, choose=capture)
    return compare(reference, jobs, completions, capture, keep_pairs)


def compare(
    reference: CausalModel,
    jobs: Sequence[DecodeJob],
    completions: Sequence[Completion],
    capture: Capture | None = None,
    keep_pairs: bool = False,
    on_chunk: Callable[[ReplayChunk], None] | None = None,
) -> Measured:
    """Replay finished completions, with or without the miner's logits. on_chunk sees every piece of the replay."""
    rows = [np.empty(len(c.tokens), RECORD) for c in completions]
    states: list[list[NDArray[np.float16]]] = [[] for _ in jobs]
    widest = [np.zeros(len(c.tokens), np.float32) for c in completions]
    pairs: list[list[Pairs]] = [[] for _ in jobs]
    claims = [ReplayJob(job.prompt, c.tokens) for job, c in zip(jobs, completions, strict=True)]
    for chunk in replay(reference, claims):
        if on_chunk:
            on_chunk(chunk)
        job, number, stop = jobs[chunk.job], chunk.job, chunk.start + len(chunk.logits)
        tokens = completions[number].tokens[chunk.start : stop]
        states[number].append(described(chunk.hidden).astype(np.float16))
        rows[number][chunk.start : stop] = token_records(chunk.logits, tokens, job.seed, job.sampling, chunk.start).rows
        if capture is not None:
            theirs = torch.from_numpy(capture.logits[number, chunk.start : stop])
            widest[number][chunk.start : stop] = (theirs - chunk.logits).abs().amax(dim=1).numpy()
            if keep_pairs:
                pairs[number].append(take_pairs(chunk.logits, theirs, job.sampling, 0))
    return Measured(
        jobs[0].sampling,
        np.array([len(c.tokens) for c in completions], np.int32),
        np.array([beginning(job.prompt) for job in jobs], np.int32),
        np.concatenate([np.array(c.tokens, np.int32) for c in completions]),
        TokenRecords(np.concatenate(rows).astype(RECORD)),
        np.concatenate([piece for pieces in states for piece in pieces]),
        np.concatenate(widest) if capture is not None else None,
        _in_order(pairs) if keep_pairs else None,
    )


def _in_order(parts: Sequence[Sequence[Pairs]]) -> Pairs:
    """Pairs of all completions, numbered by completion."""
    return Pairs.join([Pairs.stacked(pieces) for pieces in parts])
