"""Fresh seeds on pairs must say what real seeds on full logits say."""

import hashlib

import numpy as np
import pytest
import torch

from subnet.sampling import Sampling, sample
from subnet.verify.pairs import HEAD, TAIL, Pairs, fresh_records, take_pairs
from subnet.verify.records import COMPETITORS, FAR, MATCH, NONE, TokenRecords, token_records


def rows(count: int, number: int = 0, vocabulary: int = 600) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(number)
    ours = (random.standard_normal((count, vocabulary)) * random.uniform(2.5, 4.0, (count, 1))).astype(np.float32)
    return ours, ours + (random.standard_normal(ours.shape) * 0.15).astype(np.float32)


def summary(records: TokenRecords) -> np.ndarray:
    """Numbers that must agree: misses, near misses, distances, what wrong samplers draw."""
    table = records.rows
    first = np.where(table["distance"][:, 0] == NONE, 3 * 65536, table["distance"][:, 0]) / 65536
    listed = (table["distance"][:, :COMPETITORS] != NONE).sum(axis=1)
    parts = [table["outcome"] != MATCH, table["outcome"] == 1, table["outcome"] == FAR, records.margins > 0.1]
    parts += [first, listed / COMPETITORS, *((table["predicted"] != MATCH).T)]
    return np.array([np.mean(part) for part in parts])


@pytest.mark.parametrize("sampling", [Sampling(800), Sampling(1500), Sampling(1000, 20_000)])
def test_fresh_seeds_agree_with_the_sampler_on_full_logits(sampling):
    count, repeats = 150, 8
    ours, theirs = rows(count)
    pairs = take_pairs(torch.from_numpy(ours), torch.from_numpy(theirs), sampling, 0)
    random = np.random.default_rng(1)
    fresh = TokenRecords.join([fresh_records(pairs, sampling, random) for _ in range(2 * repeats)])
    real = []
    for repeat in range(repeats):
        seed = hashlib.sha256(bytes([repeat])).digest()
        tokens = sample(theirs, [seed] * count, range(count), [sampling] * count)
        real.append(token_records(ours, tokens.tolist(), seed, sampling))
    assert summary(fresh) == pytest.approx(summary(TokenRecords.join(real)), abs=0.05)


def test_equal_logits_never_miss():
    ours, _ = rows(60)
    pairs = take_pairs(torch.from_numpy(ours), torch.from_numpy(ours), Sampling(900), 0)
    records = fresh_records(pairs, Sampling(900), np.random.default_rng(0))
    assert records.matches.all()
    assert (records.margins == 0).all()


def test_greedy_pairs_compare_the_largest_logits():
    ours, theirs = rows(80)
    pairs = take_pairs(torch.from_numpy(ours), torch.from_numpy(theirs), Sampling(0), 0)
    records = fresh_records(pairs, Sampling(0), np.random.default_rng(0))
    assert (records.matches == (ours.argmax(axis=1) == theirs.argmax(axis=1))).all()


def test_the_mean_margin_is_the_divergence_of_the_two_distributions():
    """E[margin] = T * KL(miner || verifier) for fresh noise without min-p: an identity, here on one position."""
    ours, theirs = rows(1, 5)
    sampling = Sampling(1000)
    pairs = take_pairs(torch.from_numpy(ours), torch.from_numpy(theirs), sampling, 0).at(np.zeros(60_000, np.intp))
    margin = fresh_records(pairs, sampling, np.random.default_rng(2)).margins
    p, q = (torch.log_softmax(torch.from_numpy(side[0].astype(np.float64)), 0) for side in (theirs, ours))
    divergence = float((p.exp() * (p - q)).sum())
    assert margin.mean() == pytest.approx(divergence, abs=5 * margin.std() / np.sqrt(len(margin)))


def test_joining_keeps_completions_apart():
    ours, theirs = rows(3)
    one = take_pairs(torch.from_numpy(ours), torch.from_numpy(theirs), Sampling(800), 0)
    joined = Pairs.join([one, one, one])
    assert joined.completion.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert joined.head.shape == (9, HEAD)
    assert joined.tail.shape == (9, TAIL)
