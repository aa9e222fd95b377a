"""Packed trees of completions: what a branch sees, and that it is the same as reading it alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from subnet.engine.attention import packed_causal
from subnet.engine.branches import Job, batches, branching, packed

JOBS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple),
        st.lists(st.integers(0, 9), max_size=6).map(tuple),
    ),
    max_size=12,
)


@given(JOBS, st.integers(1, 30))
def test_batches_hold_every_job_once_and_share_prompts(jobs: list[Job], most: int) -> None:
    seen: list[int] = []
    for trees in batches(jobs, most):
        tokens, positions, rows = packed(trees)
        assert len(tokens) == len(positions)
        assert len(tokens) <= most or sum(len(tree.branches) for tree in trees) == 1
        prompts = [tree.prompt for tree in trees]
        assert len(prompts) == len(set(prompts))
        branches = [branch for tree in trees for branch in tree.branches]
        for (index, completion), (last, first) in zip(branches, rows, strict=True):
            prompt = jobs[index][0]
            assert completion == jobs[index][1]
            assert tuple(tokens[first : first + len(completion)]) == completion
            assert tuple(tokens[last - len(prompt) + 1 : last + 1]) == prompt
            assert not completion or positions[first] == positions[last] + 1
            seen.append(index)
    assert sorted(seen) == list(range(len(jobs)))


def test_branches_see_their_prompt_and_themselves_alone() -> None:
    torch.manual_seed(0)
    jobs = [((1, 2, 3), (4, 5)), ((1, 2, 3), (6, 7, 8)), ((9,), (1, 1)), ((1, 2, 3), ())]
    trees = next(batches(jobs, 100))
    tokens, _, rows = packed(trees)
    table = {name: torch.randn(10, heads, 8) for name, heads in (("q", 4), ("k", 2), ("v", 2))}
    ids = torch.tensor(tokens)
    together = branching(trees, ids.device)(0, table["q"][ids], table["k"][ids], table["v"][ids])
    branches = [branch for tree in trees for branch in tree.branches]
    for (index, completion), (last, first) in zip(branches, rows, strict=True):
        alone = torch.tensor([*jobs[index][0], *completion])
        expected = packed_causal([len(alone)])(0, table["q"][alone], table["k"][alone], table["v"][alone])
        assert torch.allclose(together[first : first + len(completion)], expected[len(jobs[index][0]) :], atol=1e-6)
        assert torch.allclose(together[last], expected[len(jobs[index][0]) - 1], atol=1e-6)


@pytest.mark.parametrize("most", [1, 5, 1000])
def test_no_jobs_give_no_batches(most: int) -> None:
    assert list(batches([], most)) == []
