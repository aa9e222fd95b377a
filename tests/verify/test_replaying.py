"""Replay of real completions of a small model: honest ones match, and what an attacker may send is refused first."""

import dataclasses
import hashlib

import numpy as np
import pytest
import torch

from subnet.engine.decode import DecodeJob, decode
from subnet.errors import EngineError, ProtocolError
from subnet.sampling import Sampling
from subnet.verify.detector import start, update
from subnet.verify.measure import Measured, measure
from subnet.verify.profile import load_profile
from subnet.verify.replaying import Claim, check_claim, replayed
from subnet.verify.selftest import machine_suspects, self_test

PROFILE = load_profile("smollm2-135m-instruct-fp32")


def jobs(count: int = 6, tokens: int = 24) -> list[DecodeJob]:
    return [
        DecodeJob(tuple(range(1, 4 + i)), hashlib.sha256(bytes([i])).digest(), Sampling(1000), tokens)
        for i in range(count)
    ]


def claims(model, asked) -> list[Claim]:
    return [
        Claim(job.prompt, done.tokens, job.seed, job.sampling, job.max_tokens, done.finish)
        for job, done in zip(asked, decode(model, asked, batch=4), strict=True)
    ]


def test_honest_completions_match_and_are_never_accused(tiny_model):
    made = claims(tiny_model, jobs())
    records = replayed(tiny_model, made, None)
    state = start(PROFILE)
    for claim, found in zip(made, records, strict=True):
        check_claim(claim, tiny_model.vocab_size, tiny_model.max_positions, tiny_model.eos_ids)
        assert found.matches.all()
        state = update(state, found, PROFILE)
    assert state.accused_at is None
    assert state.tokens == sum(len(claim.tokens) for claim in made)


@pytest.mark.parametrize("attack", ["wrong_seed", "other_temperature", "noisy_weights"])
def test_attacks_are_accused(tiny_model, attack):
    asked = jobs(8)
    if attack == "noisy_weights":
        changed = {name: w + 0.05 * torch.randn_like(w) for name, w in tiny_model.weights.items() if "proj" in name}
        made = claims(tiny_model.with_weights(changed), asked)
    elif attack == "wrong_seed":
        other = [dataclasses.replace(job, seed=bytes(32)) for job in asked]
        made = [dataclasses.replace(c, seed=j.seed) for c, j in zip(claims(tiny_model, other), asked, strict=True)]
    else:
        other = [dataclasses.replace(job, sampling=Sampling(500)) for job in asked]
        made = [dataclasses.replace(c, sampling=Sampling(1000)) for c in claims(tiny_model, other)]
    state = start(PROFILE)
    for found in replayed(tiny_model, made, None):
        state = update(state, found, PROFILE)
    assert state.accused_at is not None


CLAIM = Claim((1, 2), (5, 6, 0), bytes(32), Sampling(800), 8, "eos")


@pytest.mark.parametrize(
    "forged",
    [
        {"tokens": (5, 6, 7)},  # says it ended and did not
        {"tokens": (5, 0, 7), "finish": "length", "max_tokens": 3},  # pads after the end
        {"tokens": (5, 6), "finish": "length"},  # stops early
        {"tokens": (5, 6, 0), "finish": "length", "max_tokens": 3},  # hides the end
        {"tokens": (5,) * 9, "finish": "length"},  # longer than asked
        {"tokens": (), "finish": "length", "max_tokens": 0},
        {"tokens": (5, 400, 0)},
        {"tokens": (5, -1, 0)},
        {"tokens": (5, 1.5, 0)},
        {"prompt": ()},
        {"prompt": (1, 400)},
        {"prompt": (1,) * 256},
        {"finish": "stop"},
    ],
)
def test_claims_that_no_run_can_give_are_refused(forged):
    check_claim(CLAIM, 400, 256, frozenset({0}))
    with pytest.raises(ProtocolError):
        check_claim(dataclasses.replace(CLAIM, **forged), 400, 256, frozenset({0}))


def test_a_false_end_has_a_margin(tiny_model):
    claim = claims(tiny_model, jobs(1, 20))[0]
    tokens = (*claim.tokens[:9], 0)
    truncated = dataclasses.replace(claim, tokens=tokens, finish="eos")
    check_claim(truncated, tiny_model.vocab_size, tiny_model.max_positions, tiny_model.eos_ids)
    assert replayed(tiny_model, [truncated], None)[0].margins[-1] > PROFILE.tolerance


def test_a_broken_replay_is_an_engine_error_not_a_verdict(tiny_model):
    broken = tiny_model.with_weights({"model.norm.weight": torch.full((32,), float("nan"))})
    with pytest.raises(EngineError, match="not finite"):
        replayed(broken, claims(tiny_model, jobs(1)), None)


def test_measurements_survive_their_file(tiny_model, tmp_path):
    found = measure(tiny_model, tiny_model, jobs(3), batch=2, keep_pairs=True)
    assert found.records.matches.all()
    found.save(tmp_path / "a.npz")
    again = Measured.load(tmp_path / "a.npz")
    assert again.records == found.records
    assert [len(a) for a in again.answers()] == found.lengths.tolist()
    assert (again.pairs.completion == found.pairs.completion).all()
    assert again.pairs.head == pytest.approx(found.pairs.head)
    assert float(again.widest.max()) < 1e-3


class Words:
    """Stands for a tokenizer: the tiny model has none."""

    def chat(self, messages):
        return tuple(1 + len(m["content"]) % 50 for m in messages)


def test_self_test_passes_an_honest_engine(tiny_model):
    report = self_test(lambda asked: decode(tiny_model, asked, batch=4), tiny_model, Words(), PROFILE, tokens=160)
    assert report.passed and report.reason == ""
    assert report.agreement == 1.0
    assert report.tokens > 50


@pytest.mark.parametrize(("noise", "told"), [(4e-3, "narrower than the class"), (3e-2, "not the model")])
def test_self_test_refuses_outside_the_class_and_says_why(tiny_model, noise, told):
    random = torch.Generator().manual_seed(3)
    changed = {
        name: w * (1 + noise * torch.randn(w.shape, generator=random))
        for name, w in tiny_model.weights.items()
        if "proj" in name
    }
    other = tiny_model.with_weights(changed)
    report = self_test(lambda asked: decode(other, asked, batch=4), tiny_model, Words(), PROFILE, 400, lambda: [])
    assert not report.passed
    assert told in report.reason
    assert "fp32" in report.reason


def test_self_test_names_a_setting_that_it_finds(tiny_model):
    precision = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert any("float32 products" in found for found in machine_suspects())
    finally:
        torch.set_float32_matmul_precision(precision)
    assert machine_suspects() == []


def test_self_test_recognises_a_wrong_sampler(tiny_model):
    random = np.random.default_rng(0)

    def arbitrary(logits, sequences):
        return [int(random.integers(1, 400)) for _ in sequences]

    def answer(asked):
        return decode(tiny_model, asked, batch=4, choose=arbitrary)

    report = self_test(answer, tiny_model, Words(), PROFILE, 100, lambda: [])
    assert not report.passed
    assert "sampler" in report.reason
