"""The replaying child with the real model: what it finds, and that its failures are abstentions."""

import asyncio
import os
import signal

import pytest

from reward import Conversation
from subnet.engine.decode import DecodeJob, decode
from subnet.models import load_model, load_tokenizer
from subnet.sampling import Sampling
from subnet.validator.replay_client import ReplayClient, ReplayFailed
from subnet.validator.replayer import Examinee, Setup
from subnet.verify.records import TokenRecords

MODEL = "smollm2-135m-instruct"
SEED, OTHER = b"s" * 32, b"o" * 32


@pytest.fixture(scope="module")
def honest():
    """An honest answer of eight tokens, made in this process."""
    model, tokenizer = load_model(MODEL, threads=1), load_tokenizer(MODEL)
    conversation = Conversation.of("Tell me about rivers.")
    prompt = tokenizer.chat(conversation.as_dicts())
    done = decode(model, [DecodeJob(prompt, SEED, Sampling(800, 0), 8)])[0]
    return Examinee(
        prompt, tuple(done.tokens), SEED, 800, 0, 8, done.finish, tokenizer.decode(done.tokens), conversation, True
    )


def changed(item, **values):
    return Examinee(**{**{name: getattr(item, name) for name in Examinee.__slots__}, **values})


async def test_answers_are_examined_and_a_dead_or_slow_child_is_an_abstention(honest):
    client = ReplayClient(Setup(MODEL, "float32", 1, "handmade"))
    try:
        ready = await client.start()
        assert len(ready.model_id) == 32
        items = [
            honest,
            changed(honest, seed=OTHER),
            changed(honest, text="something else"),
            changed(honest, finish="eos" if honest.finish == "length" else "length"),
            changed(honest, replay=False),
        ]
        good, wrong_seed, text, length, unselected = await client.examine(items, batch=2, deadline_s=120)
        assert TokenRecords.decode(good.records).margins.max() == 0 and 0 <= good.quality <= 1 and good.terms
        assert TokenRecords.decode(wrong_seed.records).margins.max() > 0.5
        assert (text.fault[0], length.fault[0]) == ("text", "length")
        assert unselected.records is None and unselected.fault is None and unselected.quality is not None

        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticker = asyncio.create_task(tick())
        slow = await client.examine([honest] * 8, batch=8, deadline_s=0.05)
        ticker.cancel()
        assert all(found.failure and found.records is None for found in slow)

        again = await client.examine([honest], batch=1, deadline_s=120)
        assert again[0].records is not None and client.restarts >= 2

        os.kill(client._process.pid, signal.SIGKILL)
        dead = await client.examine([honest], batch=1, deadline_s=120)
        assert dead[0].failure or dead[0].records
        with pytest.raises(ReplayFailed):
            await client.second_opinion(b"no bundle", {}, deadline_s=120)
    finally:
        await client.close()


async def test_the_child_ends_when_its_validator_is_gone(honest):
    client = ReplayClient(Setup(MODEL, "float32", 1, "handmade"))
    await client.start()
    child = client._process
    client._pipe.close()
    async with asyncio.timeout(10):
        while child.is_alive():
            await asyncio.sleep(0.05)
    client._pipe = None
    await client.close()


async def test_a_validator_whose_own_replay_is_broken_judges_nobody(honest):
    """Weights in bfloat16 make every honest answer look like a cheat's: known answers say so before it judges."""
    client = ReplayClient(Setup(MODEL, "bfloat16", 1, "text"))
    try:
        ready = await client.start()
        assert "narrower than the class allows" in ready.trouble and client.trouble == ready.trouble
        answers = [honest, changed(honest, seed=OTHER)]
        for found in await client.examine(answers, batch=2, deadline_s=60):
            assert found.records is None and "outside its class" in found.failure
        with pytest.raises(ReplayFailed, match="outside its class"):
            await client.second_opinion(b"", {}, deadline_s=60)
    finally:
        await client.close()
