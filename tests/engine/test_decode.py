import dataclasses
from collections.abc import Sequence

import pytest
import torch

from subnet.engine.decode import Completion, DecodeJob, DecodeSession, decode
from subnet.engine.hooks import ForwardHooks
from subnet.engine.llama import LlamaModel
from subnet.engine.replay import ReplayJob, replay_logits
from subnet.errors import EngineError
from subnet.models import load_model, load_tokenizer
from subnet.sampling import Sampling, sample


def drawn_again(
    model: LlamaModel, jobs: Sequence[DecodeJob], completions: Sequence[Completion]
) -> list[tuple[int, ...]]:
    """The tokens that one replay draws from its own logits."""
    rows = replay_logits(model, [ReplayJob(j.prompt, c.tokens) for j, c in zip(jobs, completions, strict=True)])
    return [
        tuple(sample(r, [j.seed] * len(r), range(len(r)), [j.sampling] * len(r)).tolist())
        for r, j in zip(rows, jobs, strict=True)
    ]


def test_replay_draws_what_decoding_drew(tiny: LlamaModel, jobs: list[DecodeJob]) -> None:
    completions = decode(tiny, jobs, batch=5)
    assert drawn_again(tiny, jobs, completions) == [completion.tokens for completion in completions]
    assert len({token for completion in completions for token in completion.tokens}) > 20


@pytest.mark.parametrize("batch", [1, 2, 7, 32])
def test_the_same_tokens_at_every_batch_size(tiny: LlamaModel, jobs: list[DecodeJob], batch: int) -> None:
    assert decode(tiny, jobs, batch=batch) == decode(tiny, jobs, batch=5)


def test_the_same_tokens_with_other_neighbours(tiny: LlamaModel, jobs: list[DecodeJob]) -> None:
    forward = decode(tiny, jobs, batch=4)
    backward = decode(tiny, jobs[::-1], batch=4)[::-1]
    assert forward == backward


def test_the_same_tokens_at_every_thread_count_on_the_embedded_model() -> None:
    tokenizer = load_tokenizer()
    jobs = [
        DecodeJob(tokenizer.chat([{"role": "user", "content": text}]), bytes([7]) * 32, Sampling(800), 3)
        for text in ("Name three rivers.", "Write about 12 ships.")
    ]
    before = torch.get_num_threads()
    try:
        found = [decode(load_model(dtype="float32", threads=count), jobs, batch=2) for count in (1, 2)]
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]
    assert drawn_again(load_model(dtype="float32"), jobs, found[0]) == [c.tokens for c in found[0]]


@pytest.mark.parametrize("budget", [1, 3, 1000])
def test_prompts_read_in_pieces_give_the_same_tokens(tiny: LlamaModel, jobs: list[DecodeJob], budget: int) -> None:
    session = DecodeSession(tiny, len(jobs), 128, prompt_tokens_per_step=budget)
    tokens: dict[int, list[int]] = {i: [] for i in range(len(jobs))}
    for key, job in enumerate(jobs):
        session.add(key, job)
    while len(session):
        for emission in session.step():
            tokens[emission.key].append(emission.token)
    assert [tuple(tokens[i]) for i in range(len(jobs))] == [c.tokens for c in decode(tiny, jobs)]


def test_joining_and_leaving_do_not_disturb_the_others(tiny: LlamaModel, jobs: list[DecodeJob]) -> None:
    expected = decode(tiny, jobs)
    session = DecodeSession(tiny, 4, 128)
    got: dict[int, list[int]] = {}
    session.add(11, jobs[11])
    session.add(9, jobs[9])
    for _ in range(4):
        for emission in session.step():
            got.setdefault(emission.key, []).append(emission.token)
    session.add(10, jobs[10])
    assert session.remove(11)
    assert not session.remove(11)
    session.add(6, jobs[6])
    while len(session):
        for emission in session.step():
            got.setdefault(emission.key, []).append(emission.token)
    assert [tuple(got[key]) for key in (6, 9, 10)] == [expected[key].tokens for key in (6, 9, 10)]
    assert tuple(got[11]) == expected[11].tokens[:4]
    assert session.step() == []


def test_a_completion_ends_at_eos_and_nowhere_else(tiny: LlamaModel, jobs: list[DecodeJob]) -> None:
    plain = decode(tiny, jobs)
    assert all(c.finish == "length" and len(c.tokens) == j.max_tokens for c, j in zip(plain, jobs, strict=True))
    eos = plain[8].tokens[3]
    ended = decode(dataclasses.replace(tiny, eos_ids=frozenset({eos})), jobs)
    for before, after in zip(plain, ended, strict=True):
        cut = before.tokens.index(eos) + 1 if eos in before.tokens else len(before.tokens)
        assert after.tokens == before.tokens[:cut]
        assert after.finish == ("eos" if eos in before.tokens else "length")
    assert ended[8].finish == "eos"


def test_the_choice_is_a_seam(tiny: LlamaModel, jobs: list[DecodeJob]) -> None:
    seen = []

    def greedy(logits: torch.Tensor, sequences) -> list[int]:
        seen.append([(s.key, s.position) for s in sequences])
        return logits.argmax(dim=1).tolist()

    found = decode(tiny, jobs[:3], choose=greedy)
    assert found == decode(tiny, [dataclasses.replace(j, sampling=Sampling(0)) for j in jobs[:3]])
    assert seen[0] == [(0, 0), (1, 0), (2, 0)]
    assert seen[-1] == [(2, 12)]


def test_an_evicted_cache_changes_what_long_sequences_say(tiny: LlamaModel, jobs: list[DecodeJob]) -> None:
    """kv_tricks: the window hook really forgets, and only then."""
    forgetful = tiny.with_hooks(ForwardHooks(attend_window=8))
    assert decode(forgetful, jobs[-4:]) != decode(tiny, jobs[-4:])
    wide = tiny.with_hooks(ForwardHooks(attend_window=500))
    assert decode(wide, jobs[-4:]) == decode(tiny, jobs[-4:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": ()}, "empty"),
        ({"prompt": (300,)}, "outside"),
        ({"prompt": (-1,)}, "outside"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 200}, "exceed"),
        ({"prompt": tuple(range(128))}, "exceed"),
    ],
)
def test_jobs_that_cannot_run_are_refused_before_they_run(
    tiny: LlamaModel, jobs: list[DecodeJob], change: dict, message: str
) -> None:
    session = DecodeSession(tiny, 1)
    with pytest.raises(EngineError, match=message):
        session.add(1, dataclasses.replace(jobs[0], **change))
    assert len(session) == 0


def test_no_more_sequences_than_slots(tiny: LlamaModel, jobs: list[DecodeJob]) -> None:
    session = DecodeSession(tiny, 1)
    session.add(1, jobs[0])
    with pytest.raises(EngineError, match="slots"):
        session.add(2, jobs[1])
    assert session.remove(1)
    session.add(1, jobs[1])


def test_nothing_to_do(tiny: LlamaModel) -> None:
    assert decode(tiny, []) == []
