"""The spreads that a replay writes down are those of the states before each token, whatever is claimed there."""

import hashlib

import numpy as np
import pytest

from subnet.engine.decode import DecodeJob, decode
from subnet.sampling import Sampling
from subnet.verify.measure import compare
from subnet.verify.records import UNJUDGED
from subnet.verify.replaying import Claim, replayed
from subnet.verify.spread import SpreadModel, beginning

PROMPTS = [tuple(range(1, 5 + i)) for i in range(6)] + [(2, 3, 4, 5), (1, 2)]


@pytest.fixture(scope="module")
def spread(tiny_model) -> SpreadModel:
    """A model that depends on every element of a state, for one beginning of a prompt."""
    width = tiny_model.weights["model.norm.weight"].shape[0]
    slopes = np.random.default_rng(0).standard_normal(width + 1) * 0.05
    return SpreadModel((beginning(PROMPTS[0]),), (-99.0, 99.0), 0.0, (0.01, 0.0, 0.0, 0.02), tuple(slopes))


@pytest.fixture(scope="module")
def answers(tiny_model):
    """Honest answers, one of them longer than a piece of the replay."""
    jobs = [
        DecodeJob(prompt, hashlib.sha256(bytes([i])).digest(), Sampling(1000), 180 if i == 3 else 24)
        for i, prompt in enumerate(PROMPTS)
    ]
    return jobs, decode(tiny_model, jobs, batch=4)


def claims(jobs, answers) -> list[Claim]:
    return [
        Claim(job.prompt, done.tokens, job.seed, job.sampling, job.max_tokens, done.finish)
        for job, done in zip(jobs, answers, strict=True)
    ]


def test_they_are_those_of_a_measurement(tiny_model, spread, answers):
    jobs, done = answers
    measured = compare(tiny_model, jobs, done).answers(spread)
    for job, one, other in zip(jobs, replayed(tiny_model, claims(jobs, done), spread), measured, strict=True):
        assert one.spreads == pytest.approx(other.spreads, rel=2e-3)
        assert (one.rows["outcome"] == other.rows["outcome"]).all()
        assert (one.rows["spread"] == UNJUDGED).all() == (job.prompt[:3] != (1, 2, 3))
    assert len({len(c.tokens) for c in done}) > 1
    assert measured[0].rows["spread"].std() > 10


def test_a_claimed_token_moves_only_what_comes_after_it(tiny_model, spread, answers):
    jobs, done = answers
    claim = claims(jobs, done)[3]
    place = 140
    assert len(claim.tokens) > place + 2
    tokens = list(claim.tokens)
    tokens[place] = (tokens[place] + 1) % 300 or 5
    other = Claim(claim.prompt, tuple(tokens), claim.seed, claim.sampling, claim.max_tokens, claim.finish)
    (one,), (two,) = replayed(tiny_model, [claim], spread), replayed(tiny_model, [other], spread)
    assert one.spreads[: place + 1] == pytest.approx(two.spreads[: place + 1], rel=2e-3)
    assert abs(one.spreads[place + 1] / two.spreads[place + 1] - 1) > 0.01
