"""A validator looks for prompts at which an honest bf16 machine is at its worst. Real model, shipped profile."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from subnet.engine.decode import DecodeJob, decode
from subnet.models import load_model, load_tokenizer
from subnet.sampling import Sampling
from subnet.verify.detector import TestState, start, update
from subnet.verify.matrix import HONEST
from subnet.verify.profile import load_profile
from subnet.verify.replaying import Claim, replayed
from subnet.verify.spread import beginning
from subnet.verify.workloads import within_turn

MODEL = "smollm2-135m-instruct"
PROFILE = load_profile(f"{MODEL}-bf16")


@pytest.fixture(scope="module")
def machines():
    """The verifier's model and an honest bf16 miner's."""
    return load_model(MODEL, dtype="float32"), HONEST["bf16h"].load(MODEL)


def judged(machines, prompt: tuple[int, ...], spread, requests: int = 120) -> TestState:
    """What is thought of an honest bf16 miner that is asked nothing but the first token behind this prompt."""
    verifier, miner = machines
    seeds = [hashlib.sha256(repr((prompt, i)).encode()).digest() for i in range(requests)]
    jobs = [DecodeJob(prompt, seed, Sampling(1000), 1) for seed in seeds]
    answers = decode(miner, jobs, batch=32)
    claims = [Claim(j.prompt, c.tokens, j.seed, j.sampling, 1, c.finish) for j, c in zip(jobs, answers, strict=True)]
    profile = replace(PROFILE, spread=spread)
    state = start(profile)
    for records in replayed(verifier, claims, spread):
        state = update(state, records, profile)
    return state


@pytest.mark.parametrize("prompt", [(1,), (1, 2), (1, 0), (1,) * 64])
def test_nothing_is_thought_behind_a_beginning_of_his_making(machines, prompt):
    state = judged(machines, prompt, PROFILE.spread)
    assert (state.accused_at, state.information) == (None, 0.0)


def test_without_that_defence_he_frames_an_honest_miner(machines):
    prompt = (1, 2)
    assert PROFILE.spread is not None
    starts = tuple(sorted({*PROFILE.spread.starts, beginning(prompt)}))
    open_to_all = replace(PROFILE.spread, starts=starts, lengths=(0.0, 99.0))
    assert judged(machines, prompt, open_to_all).accused_at is not None
    assert judged(machines, prompt, PROFILE.spread).accused_at is None


def test_within_a_conversation_he_finds_none(machines):
    tokenizer = load_tokenizer(MODEL)
    ordinary = tokenizer.chat([{"role": "user", "content": "Hello"}])
    prompts = [(*ordinary[:3], 0), (*ordinary[:3], *(1,) * 16), (*ordinary, 0)]
    prompts += [within_turn(tokenizer, content) for content in ([0], [1, 2] * 8, [12403])]
    evidence = []
    for prompt in prompts:
        state = judged(machines, prompt, PROFILE.spread)
        assert state.accused_at is None
        evidence.append(state.evidence(PROFILE))
    assert np.max(evidence) < 1e6
