"""The localnet's three adversaries and an honest miner on the default model, end to end through a bundle."""

import json

import pytest

from subnet.evidence.replay import Result, verify_bundle
from subnet.models import builtin_manifest, load_model, load_tokenizer
from subnet.verify.profile import ToleranceProfile, load_profile
from tests.evidence.world import World, block_hash
from tests.zoo import DEFAULT_ADVERSARIES
from tests.zoo.engines import CHEATS, HONEST

pytestmark = pytest.mark.slow

QUESTIONS = (
    "Invent a game that can be played with three stones.",
    "Describe the smell of a library to somebody who has never been in one.",
    "Write the first lines of a letter that was never sent.",
    "Which animal would make the best mayor, and why?",
)
WITHIN = {"int4": 40, "wrong_seed": 40, "fp8_kv": 600}
"""Verified tokens until the accusation: about four times what the detection benchmark sees at the median."""


@pytest.fixture(scope="module")
def world() -> World:
    manifest = builtin_manifest()
    profile = (
        ToleranceProfile.from_json(json.dumps(dict(manifest.tolerance.profile)))
        if manifest.tolerance.profile
        else load_profile(f"{manifest.name}-fp32")
    )
    tokenizer = load_tokenizer(manifest)
    return World(
        manifest=manifest,
        profile=profile,
        rate_ppm=1_000_000,
        model=load_model(manifest, dtype="float32", threads=1),
        prompts=tuple(tokenizer.chat([{"role": "user", "content": question}]) for question in QUESTIONS),
        text=tokenizer.decode,
    )


@pytest.mark.parametrize("name", DEFAULT_ADVERSARIES)
def test_the_real_model_catches(name: str, world: World) -> None:
    count = 16 if name == "fp8_kv" else 4
    signed = world.bundle(world.answers(CHEATS[name], count=count, tokens=40))
    report = verify_bundle(signed, lambda manifest: world.model, block_hash)
    assert (report.result, report.verdict) == (Result.FOLLOWS, "inconsistent")
    assert report.accused_at is not None
    assert report.accused_at <= WITHIN[name]


def test_the_real_model_does_not_accuse_an_honest_miner(world: World) -> None:
    signed = world.bundle(world.answers(HONEST, count=12, tokens=64))
    report = verify_bundle(signed, lambda manifest: world.model, block_hash)
    assert report.result is Result.FOLLOWS
    assert report.accused_at is None
    assert report.tokens > 400
