from typing import Any

import pytest
import torch

from subnet.engine.decode import DecodeJob, decode
from subnet.engine.llama import Attend, LlamaModel
from subnet.engine.replay import ReplayJob, replay, replay_logits
from subnet.errors import EngineError


class Counting:
    """A model that counts the tokens it runs."""

    tokens = 0

    def __init__(self, model: LlamaModel) -> None:
        self._model = model
        Counting.tokens = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def hidden(self, tokens: torch.Tensor, positions: torch.Tensor, attend: Attend) -> torch.Tensor:
        Counting.tokens += len(tokens)
        return self._model.hidden(tokens, positions, attend)


@pytest.fixture(scope="module")
def claims(tiny: LlamaModel, jobs: list[DecodeJob]) -> list[ReplayJob]:
    return [ReplayJob(j.prompt, c.tokens) for j, c in zip(jobs, decode(tiny, jobs), strict=True)]


def test_replay_equals_one_pass_of_transformers(tiny_llama_folder, tiny: LlamaModel, claims: list[ReplayJob]) -> None:
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(tiny_llama_folder, dtype=torch.float32).eval()
    for claim, ours in zip(claims, replay_logits(tiny, claims), strict=True):
        with torch.inference_mode():
            everything = theirs(torch.tensor([[*claim.prompt, *claim.completion]])).logits[0]
        expected = everything[len(claim.prompt) - 1 : -1]
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("tokens_per_batch", "rows_per_chunk"), [(1, 1), (50, 3), (100_000, 1000)])
def test_batches_and_chunks_change_nothing(
    tiny: LlamaModel, claims: list[ReplayJob], tokens_per_batch: int, rows_per_chunk: int
) -> None:
    parts: dict[int, list[torch.Tensor]] = {}
    for chunk in replay(tiny, claims, tokens_per_batch, rows_per_chunk):
        assert chunk.start == sum(len(part) for part in parts.get(chunk.job, []))
        assert len(chunk.logits) <= rows_per_chunk
        parts.setdefault(chunk.job, []).append(chunk.logits)
    assert sorted(parts) == list(range(len(claims)))
    for number, whole in enumerate(replay_logits(tiny, claims)):
        torch.testing.assert_close(torch.cat(parts[number]), whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "claim",
    [
        ReplayJob((), (1,)),
        ReplayJob((1,), ()),
        ReplayJob((1,), (300,)),
        ReplayJob((-1,), (1,)),
        ReplayJob((1,) * 100, (1,) * 29),
        ReplayJob((2**63,), (1,)),
    ],
)
def test_claims_from_outside_are_checked_before_anything_is_computed(
    tiny: LlamaModel, claims: list[ReplayJob], claim: ReplayJob
) -> None:
    with pytest.raises(EngineError, match="job 12"):
        next(replay(tiny, [*claims, claim]))


def test_a_shared_prompt_is_run_once_and_changes_nothing(tiny: LlamaModel) -> None:
    prompt = tuple(range(40))
    shared = [ReplayJob(prompt, tuple(range(60 + n, 60 + n + size))) for n, size in enumerate((1, 9, 20, 9))]
    together = replay_logits(Counting(tiny), shared)
    assert Counting.tokens == 40 + 0 + 8 + 19 + 8
    for job, rows in zip(shared, together, strict=True):
        [alone] = replay_logits(tiny, [job])
        assert rows.shape == alone.shape
        torch.testing.assert_close(rows, alone, atol=1e-4, rtol=1e-4)


def test_short_completions_share_a_projection_and_keep_their_rows(tiny: LlamaModel) -> None:
    jobs = [ReplayJob((7, n), tuple(range(n, n + 5))) for n in range(1, 9)]
    chunks = list(replay(tiny, jobs, rows_per_chunk=16))
    assert sum(len(chunk.logits) for chunk in chunks) == 40
    for chunk in chunks:
        with torch.inference_mode():
            assert torch.equal(tiny.project(chunk.hidden).argmax(1), chunk.logits.argmax(1))
        [alone] = replay_logits(tiny, [jobs[chunk.job]])
        torch.testing.assert_close(chunk.logits, alone[chunk.start : chunk.start + len(chunk.logits)])


def test_the_longest_sequence_fits(tiny: LlamaModel) -> None:
    [rows] = replay_logits(tiny, [ReplayJob((1,), (2,) * 127)])
    assert rows.shape == (127, 300)
    assert torch.isfinite(rows).all()


def test_nothing_to_replay(tiny: LlamaModel) -> None:
    assert replay_logits(tiny, []) == []
