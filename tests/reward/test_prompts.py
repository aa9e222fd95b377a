"""Prompts: the same from the same seed, no list to memorise, shaped like organic traffic."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from reward.prompts import (
    DEFAULT_PROFILE,
    RequestShape,
    RoundSecret,
    Sampling,
    generate,
    round_seed,
    variants,
)
from subnet.errors import RewardError

SEED = round_seed(bytes(32), bytes(range(32)), RoundSecret(b"\x07" * 32))


def test_same_seed_gives_the_same_requests_on_every_machine():
    first = generate(SEED, 0)
    assert generate(SEED, 0) == first
    text = "\n".join(f"{r.conversation} {r.sampling}" for r in (generate(SEED, i) for i in range(50)))
    assert hashlib.sha256(text.encode()).hexdigest() == GOLDEN


GOLDEN = "4a6750b9796c06ce81c7c2dae0d0ba5802ea5bba1951476a10e4e82fa1fc9fe1"


def test_grammar_spans_more_than_a_miner_can_store():
    assert variants() > 50_000_000


def test_memorising_a_thousand_prompts_meets_none_again():
    """The attack: a miner stores what it was asked. Without the grammar (a list of a thousand) all would return."""
    seen = {generate(SEED, i).conversation for i in range(1000)}
    other = round_seed(b"\x01" * 32, bytes(range(32)), RoundSecret(b"\x07" * 32))
    again = sum(generate(other, i).conversation in seen for i in range(1000))
    assert again == 0
    assert len(seen) >= 999


def test_prompts_depend_on_block_validator_and_secret():
    secret = RoundSecret(b"\x07" * 32)
    seeds = {
        round_seed(bytes(32), bytes(32), secret),
        round_seed(b"\x01" * 32, bytes(32), secret),
        round_seed(bytes(32), b"\x01" * 32, secret),
        round_seed(bytes(32), bytes(32), RoundSecret(b"\x08" * 32)),
    }
    assert len(seeds) == 4


def test_audits_cannot_be_recomputed_from_public_data_alone():
    """Without the round secret (here: guessed as zeros) a miner computes other prompts."""
    guess = round_seed(bytes(32), bytes(range(32)), RoundSecret(bytes(32)))
    assert all(generate(guess, i).conversation != generate(SEED, i).conversation for i in range(100))


def test_secrets_have_32_bytes():
    with pytest.raises(RewardError, match="32 bytes"):
        RoundSecret(b"short")


def test_drawn_parameters_follow_the_profile():
    counts = Counter(generate(SEED, i).sampling.temperature_milli for i in range(4000))
    total = sum(weight for _, weight in DEFAULT_PROFILE.temperature_milli)
    for value, weight in DEFAULT_PROFILE.temperature_milli:
        assert counts[value] / 4000 == pytest.approx(weight / total, abs=0.03)


def test_profile_follows_organic_traffic():
    organic = [RequestShape(Sampling(850, 30_000, 200), 1, False)] * 2000
    profile = DEFAULT_PROFILE.fitted(organic, pseudo_count=100)
    drawn = [generate(SEED, i, profile).sampling for i in range(2000)]
    assert sum(s.temperature_milli == 850 for s in drawn) / 2000 > 0.9
    assert sum(s.max_tokens == 200 for s in drawn) / 2000 > 0.9
    assert DEFAULT_PROFILE.fitted([]) == DEFAULT_PROFILE


def test_a_client_with_many_odd_values_cannot_grow_the_profile():
    odd = [RequestShape(Sampling(i % 2000, i, 1 + i), 1, False) for i in range(5000)]
    profile = DEFAULT_PROFILE.fitted(odd)
    assert len(profile.temperature_milli) <= 32
    assert len(profile.max_tokens) <= 32


def test_every_conversation_is_well_formed_and_of_organic_length():
    lengths = []
    for i in range(500):
        conversation = generate(SEED, i).conversation
        lengths.append(len(conversation.question.split()))
        assert "{" not in conversation.question
        roles = [message.role for message in conversation.messages if message.role != "system"]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    assert min(lengths) >= 3
    assert max(lengths) <= 60
    assert len(set(lengths)) > 15


def test_negative_index_is_refused():
    with pytest.raises(RewardError):
        generate(SEED, -1)
