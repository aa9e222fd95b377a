import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.errors import EngineError, ProtocolError
from subnet.sampling import Sampling, noise, sample, scores
from subnet.verify.records import (
    COMPETITORS,
    FAR,
    MATCH,
    NONE,
    RECORD,
    SUSPECTS,
    UNIT,
    TokenRecords,
    check_tokens,
    entropy,
    token_records,
    window,
)

SEED = hashlib.sha256(b"records").digest()
samplings = st.sampled_from([Sampling(800), Sampling(300), Sampling(1500), Sampling(1000, 50_000), Sampling(0)])


def plain_margins(row, position, sampling):
    """The margin of every token, written straight from the formula."""
    values = row.astype(np.float64)
    drawn = noise(SEED, position, len(row)) if sampling.temperature_milli else np.zeros(len(row), np.int32)
    found, cut = scores(row, drawn, sampling), sampling.cut(float(row.max()))
    out = []
    for claimed in range(len(row)):
        over = [min(found[w] - found[claimed], values[w] - cut) for w in range(len(row)) if values[w] >= cut]
        out.append(max(0.0, max(over)) + max(0.0, cut - values[claimed]))
    return np.array(out)


def rows_of(number, rows=2, vocabulary=90):
    random = np.random.default_rng(number)
    return (random.standard_normal((rows, vocabulary)) * random.uniform(0.3, 4) + 5).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(number=st.integers(0, 10**6), sampling=samplings, claimed=st.integers(0, 89))
def test_margin_and_distances_follow_the_formula(number, sampling, claimed):
    rows = rows_of(number)
    records = token_records(rows, [claimed, claimed], SEED, sampling, start=3).rows
    for row, record, position in zip(rows, records, (3, 4), strict=True):
        expected = plain_margins(row, position, sampling)
        assert record["margin"] / UNIT == pytest.approx(expected[claimed], abs=2 / UNIT)
        listed = record["distance"][:COMPETITORS]
        listed = listed[listed != NONE] / UNIT
        nearest = np.sort(expected)[1 : len(listed) + 1]
        assert listed == pytest.approx(nearest, abs=2 / UNIT)
        if record["outcome"] == FAR:
            assert record["margin"] + 2 >= record["distance"][COMPETITORS]


@settings(deadline=None, max_examples=40)
@given(number=st.integers(0, 10**6), sampling=samplings)
def test_what_the_sampler_draws_matches_with_margin_zero(number, sampling):
    rows = rows_of(number, rows=3)
    tokens = sample(rows, [SEED] * 3, [0, 1, 2], [sampling] * 3)
    records = token_records(rows, tokens.tolist(), SEED, sampling)
    assert records.matches.all()
    assert (records.margins == 0).all()


def test_prediction_never_depends_on_the_claimed_token():
    rows = rows_of(11)
    one = token_records(rows, [1, 2], SEED, Sampling(800)).rows
    other = token_records(rows, [70, 71], SEED, Sampling(800)).rows
    for field in ("entropy", "predicted", "distance"):
        assert (one[field] == other[field]).all()


def test_wrong_samplers_are_predicted(logits):
    rows, sampling = logits(60, 3), Sampling(1000)
    honest = [token_records(rows[i : i + 1], [0], SEED, sampling, i).rows[0] for i in range(60)]
    lists = dict.fromkeys(SUSPECTS, 0)
    for position, record in enumerate(honest):
        row = rows[position : position + 1]
        order = np.argsort(-row[0], kind="stable")
        weights = np.exp((row[0][order] - row[0].max()).astype(np.float64))
        kept_k, kept_p = row.copy(), row.copy()
        kept_k[0, order[50:]] = -1e30
        kept_p[0, order[weights.cumsum() - weights >= 0.9 * weights.sum()]] = -1e30
        drawn = {
            "top_k_50": sample(kept_k, [SEED], [position], [sampling])[0],
            "top_p_90": sample(kept_p, [SEED], [position], [sampling])[0],
            "temperature_low": sample(row, [SEED], [position], [Sampling(750)])[0],
            "temperature_high": sample(row, [SEED], [position], [Sampling(1250)])[0],
            "greedy": int(row[0].argmax()),
        }
        for index, name in enumerate(SUSPECTS):
            outcome = token_records(row, [int(drawn[name])], SEED, sampling, position).rows["outcome"][0]
            assert record["predicted"][index] == outcome
            lists[name] += int(outcome != MATCH)
    assert all(count > 0 for count in lists.values())


def test_records_survive_their_bytes():
    records = token_records(rows_of(5), [3, 4], SEED, Sampling(800))
    data = records.encode()
    assert len(data) == 2 * RECORD.itemsize
    assert TokenRecords.decode(data) == records
    assert TokenRecords.join([records, records]).encode() == data * 2
    assert len(TokenRecords.join([])) == 0
    with pytest.raises(ProtocolError, match="multiple"):
        TokenRecords.decode(data[:-1])
    with pytest.raises(ProtocolError, match="outcome"):
        TokenRecords.decode(bytes([FAR + 1]) + data[1:])


def test_records_cannot_be_changed():
    records = token_records(rows_of(5), [3, 4], SEED, Sampling(800))
    with pytest.raises(ValueError, match="read-only"):
        records.rows["outcome"][0] = 1


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_broken_logits_are_our_failure(bad):
    rows = rows_of(1)
    rows[1, 5] = bad
    with pytest.raises(EngineError, match="row 1"):
        token_records(rows, [1, 2], SEED, Sampling(800))


@pytest.mark.parametrize("forged", [[90, 1], [-1, 1], [1.0, 1], [True, 1], ["1", 1], [10**30, 1]])
def test_forged_token_ids_are_refused_before_anything_is_computed(forged):
    with pytest.raises(ProtocolError, match="token 0"):
        token_records(rows_of(1), forged, SEED, Sampling(800))


def test_forged_lengths_are_refused():
    with pytest.raises(ProtocolError, match="3 claimed tokens"):
        token_records(rows_of(1), [1, 2, 3], SEED, Sampling(800))
    assert check_tokens([np.int64(3)], 4) == [3]


def test_entropy_in_nats():
    assert entropy(np.zeros((1, 8), np.float32))[0] == pytest.approx(math.log(8))
    certain = np.full((1, 8), -200.0, np.float32)
    certain[0, 2] = 10.0
    assert entropy(certain)[0] == 0.0


def test_about_seven_competitors_are_listed_at_any_temperature(logits):
    for temperature in (300, 800, 2000):
        records = token_records(logits(40, 1, 5000), [0] * 40, SEED, Sampling(temperature))
        listed = (records.rows["distance"][:, :COMPETITORS] != NONE).sum(axis=1).mean()
        assert 2.0 < listed <= COMPETITORS
    assert window(Sampling(0)) == 0.5
