import hashlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.errors import EngineError, ProtocolError
from subnet.sampling import Sampling, host_logits, noise, rank, sample, scores
from subnet.sampling.transformers import SeededSampling


def seed_of(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8, "big")).digest()


def every_score(logits, seed, position, sampling):
    """All scores, the slow way; minus infinity outside the set that min-p allows."""
    found = logits.astype(np.float64)
    if sampling.temperature_milli:
        found = scores(logits, noise(seed, position, len(logits)), sampling)
    found[logits.astype(np.float64) < sampling.cut(float(logits.max()))] = -math.inf
    return found


@settings(deadline=None, max_examples=150)
@given(
    vocabulary=st.integers(1, 3000),
    scale=st.sampled_from([0.0, 0.3, 3.0, 12.0, 300.0]),
    temperature=st.sampled_from([0, 1, 50, 300, 800, 1000, 2500, 10_000]),
    min_p=st.sampled_from([0, 1, 20_000, 100_000, 1_000_000]),
    margin=st.sampled_from([0.0, 0.01, 2.0]),
    number=st.integers(0, 2**30),
)
def test_skipping_hopeless_tokens_never_changes_the_ranking(vocabulary, scale, temperature, min_p, margin, number):
    logits = (np.random.default_rng(number).standard_normal(vocabulary) * scale).astype(np.float32)
    sampling = Sampling(temperature, min_p)
    found = every_score(logits, seed_of(number), number % 97, sampling)
    expected = np.flatnonzero(found >= found.max() - margin)
    expected = expected[np.argsort(-found[expected], kind="stable")]
    ranking = rank(logits, seed_of(number), number % 97, sampling, margin)
    assert ranking.tokens.tolist() == expected.tolist()
    assert ranking.scores.tolist() == found[expected].tolist()


def test_greedy_takes_the_lowest_id_of_a_tie():
    logits = np.array([[0.0, 2.0, 2.0, 1.0]], np.float32)
    assert sample(logits, [bytes(32)], [0], [Sampling(0)]).tolist() == [1]


@pytest.mark.parametrize(("temperature", "min_p"), [(800, 0), (1300, 0), (1000, 200_000)])
def test_it_samples_the_softmax_over_the_allowed_set(temperature, min_p):
    logits = np.array([2.0, 1.5, 0.0, -1.0, 1.9, 0.3], np.float32)
    sampling = Sampling(temperature, min_p)
    allowed = logits >= sampling.cut(2.0)
    weights = np.where(allowed, np.exp(logits / sampling.temperature), 0.0)
    expected = weights / weights.sum()
    draws = 3_000
    tokens = [int(rank(logits, seed_of(i), i % 50, sampling).tokens[0]) for i in range(draws)]
    seen = np.bincount(tokens, minlength=len(logits))
    assert (seen[~allowed] == 0).all()
    chi_square = np.sum((seen[allowed] - draws * expected[allowed]) ** 2 / (draws * expected[allowed]))
    assert chi_square < 20.5  # 99.9 % for up to five degrees of freedom


# The protocol's own vectors, at position 5. A change here is a new protocol version.
GOLDEN_LOGITS = (np.arange(49_152, dtype=np.uint64) * 2654435761 % 2**32).astype(np.float64) * 12 / 2**32 - 6
GOLDEN_LOGITS = GOLDEN_LOGITS.astype(np.float32)

GOLDEN = [
    (800, 0, [2804, 45397, 9844, 20981]),
    (1000, 50_000, [2804, 45397, 9844, 20981]),
    (300, 0, [2804, 10336, 42208, 20981]),
]


@pytest.mark.parametrize(("temperature", "min_p", "expected"), GOLDEN)
def test_golden_tokens(temperature, min_p, expected):
    tokens = [int(rank(GOLDEN_LOGITS, seed_of(i), 5, Sampling(temperature, min_p)).tokens[0]) for i in range(4)]
    assert tokens == expected


def test_golden_noise():
    assert noise(seed_of(0), 5, 8).tolist() == [8692, 167742, 23257, 66586, 62589, -42357, 17676, -10968]


def test_every_float_type_batch_and_thread_count_gives_the_same_tokens():
    logits = torch.from_numpy(np.random.default_rng(1).standard_normal((6, 4000)).astype(np.float32) * 4).bfloat16()
    seeds, positions, samplings = [seed_of(i) for i in range(6)], list(range(6)), [Sampling(700 + i) for i in range(6)]
    together = sample(logits, seeds, positions, samplings)
    alone = [sample(logits[i : i + 1].float(), seeds[i : i + 1], [i], samplings[i : i + 1])[0] for i in range(6)]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        threaded = sample(logits.double(), seeds, positions, samplings)
    finally:
        torch.set_num_threads(threads)
    assert together.tolist() == alone == threaded.tolist()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_are_refused(bad):
    logits = np.zeros((1, 50), np.float32)
    logits[0, 7] = bad
    with pytest.raises(EngineError, match="not finite"):
        sample(logits, [bytes(32)], [0], [Sampling(800)])


def test_shapes_and_ranges_are_checked():
    with pytest.raises(EngineError, match="two dimensions"):
        host_logits(np.zeros(5, np.float32))
    with pytest.raises(ProtocolError, match="as many seeds"):
        sample(np.zeros((2, 5), np.float32), [bytes(32)], [0, 0], [Sampling(0)] * 2)
    for wrong in ((-1, 0), (10_001, 0), (800, -1), (800, 1_000_001)):
        with pytest.raises(ProtocolError):
            Sampling(*wrong)


def test_the_logits_processor_leaves_the_token_that_the_seed_picks():
    logits = torch.from_numpy(np.random.default_rng(3).standard_normal((2, 500)).astype(np.float32) * 3)
    seeds, samplings = [seed_of(1), seed_of(2)], [Sampling(900), Sampling(0)]
    processor = SeededSampling(seeds, samplings, prompt_length=4)
    only = processor(torch.zeros((2, 9), dtype=torch.long), logits)
    assert only.argmax(dim=1).tolist() == sample(logits, seeds, [5, 5], samplings).tolist()
    assert torch.isfinite(only).sum() == 2
