"""Every adversary of the zoo meets its fate: in small here, on the real model in the benchmarks and the slow tests."""

import asyncio
import time
from dataclasses import replace

import pytest

from subnet.engine.decode import Completion, DecodeJob, decode
from subnet.evidence.replay import run_test
from subnet.protocol import (
    CompletionResponse,
    MalformedMessage,
    ResponseMismatch,
    SignedResponse,
    check_response,
    encode,
    sign_response,
)
from subnet.protocol import decode as decode_message
from subnet.sampling import Sampling
from subnet.verify.replaying import Claim, check_claim
from tests.evidence.world import EOS, World, tiny_model, tiny_profile
from tests.zoo import DEFAULT_ADVERSARIES, ROWS, Fate, descriptions
from tests.zoo.behaviours import BEHAVIOURS, FORGED_MESSAGES, Unwilling
from tests.zoo.engines import CHEATS, HONEST, Cheat, speculate
from tests.zoo.registry import ZOO
from tests.zoo.sampling import top_k

WORLD = World(rate_ppm=1_000_000)
MINER_ROWS = {
    "smaller_model", "smaller_then_prefill", "quantised", "wrong_sampling", "kv_tricks", "lenient_speculation",
    "early_exit", "one_token", "aborts", "refuses", "prompt_tampering", "truncates", "copies", "tampers", "forges",
    "selective", "slow", "offline", "flaky", "sybil", "hotkey_swap",
}  # fmt: skip

TOKENS = {
    "one_token": 1200,
    "evicted_kv": 500,
    "selective": 500,
    "answer_token": 500,
}
"""Verified tokens within which the tiny model's miner must be accused, where it is not 250."""

ON_THE_TINY_MODEL = {**CHEATS, "top_k": Cheat(choose=top_k(8))}
"""Of 256 tokens, the likeliest 50 are nearly all: top-k is played with 8."""


def job(seed: int = 0, tokens: int = 24, prompt: tuple[int, ...] = tuple(range(40, 60))) -> DecodeJob:
    return DecodeJob(prompt, bytes([seed]) * 32, Sampling(800), tokens)


def test_the_zoo_has_every_row_of_the_threat_model() -> None:
    assert {row.group for row in ROWS.values()} == MINER_ROWS
    assert set(descriptions()) == set(ZOO) == set(ROWS)
    assert set(DEFAULT_ADVERSARIES) <= set(CHEATS)
    for adversary in ZOO.values():
        plays = adversary.cheat is not None or adversary.behaviour is not None
        assert plays == (adversary.fate is not Fate.ECONOMY), adversary.name


def prompts_of(name: str, count: int) -> World:
    """Chats whose first turn can be dropped, for the adversaries that do something to prompts."""
    turn = tuple(range(100, 118))
    prompts = tuple((7, *turn, 7, *(60 + (n * 5 + i) % 150 for i in range(20))) for n in range(count))
    return replace(WORLD, prompts=prompts, secrets=1024)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.fate is Fate.REPLAY])
def test_replay_catches(name: str) -> None:
    limit = TOKENS.get(name, 250)
    world = prompts_of(name, 16)
    length = 96 if name == "evicted_kv" else 24
    kept = world.answers(ON_THE_TINY_MODEL[name], count=3 * limit // (2 * length) + 4, tokens=length)
    state = run_test([answer.records for answer in kept], tiny_profile())
    assert state.accused_at is not None, f"{name}: {state.misses} misses in {state.tokens} tokens"
    assert state.accused_at <= limit


@pytest.mark.parametrize("batch", [1, 3, 32])
def test_an_honest_engine_is_the_engine(batch: int) -> None:
    made = HONEST.engine(tiny_model()).decode([job(n) for n in range(8)], batch)
    assert made == decode(tiny_model(), [job(n) for n in range(8)])


def test_an_honest_miner_is_never_accused() -> None:
    kept = prompts_of("", 16).answers(HONEST, count=64)
    assert run_test([answer.records for answer in kept], tiny_profile()).accused_at is None


def test_a_cheat_changes_only_what_it_says() -> None:
    """Asked for what it does anyway, an adversary of sampling is honest."""
    greedy = replace(job(), sampling=Sampling(0))
    assert CHEATS["greedy"].engine(tiny_model()).decode([greedy]) == decode(tiny_model(), [greedy])
    assert CHEATS["top_k"].engine(tiny_model()).decode([greedy]) == decode(tiny_model(), [greedy])
    assert speculate(tiny_model(), [job(3)], 1, lenience=0.0) == decode(tiny_model(), [job(3)])


def test_speculation_accepts_what_is_nearly_right() -> None:
    jobs = [job(n) for n in range(6)]
    lenient = speculate(tiny_model(), jobs, 6, lenience=2.0)
    assert lenient != decode(tiny_model(), jobs)
    assert all(len(made.tokens) <= 24 for made in lenient)


def test_padding_after_the_end_is_malformed() -> None:
    answer = Completion(tokens=(50, 60, EOS[0]), finish="eos")
    padded = CHEATS["pads"].answer(job(tokens=6), answer, tiny_model())
    claim = Claim((40,), padded.tokens, bytes(32), Sampling(800), 6, padded.finish)
    with pytest.raises(Exception, match="before the end"):
        check_claim(claim, 256, 256, frozenset(EOS))


def signed(name: str) -> SignedResponse:
    kept = WORLD.answers(HONEST, count=2)[1]
    body = BEHAVIOURS[name].body(kept.response.body)
    return sign_response(body, kept.request, WORLD.miner)


def test_forges_a_secret_that_was_not_committed() -> None:
    request, _ = WORLD.request(1)
    with pytest.raises(ResponseMismatch, match="secret"):
        check_response(request, signed("forges"), WORLD.handshake.commitment)


def test_forges_chain_is_seen_by_the_order() -> None:
    from subnet.evidence.rounds import chain_order

    first = WORLD.answers(HONEST, count=1)[0].response
    ordered, strays = chain_order(bytes(32), [signed("forges_chain"), first])
    assert (len(ordered), len(strays)) == (1, 1)


def test_tampers_with_the_text_only() -> None:
    honest = WORLD.answers(HONEST, count=2)[1].response.body
    body = signed("tampers").body
    assert body.text != honest.text
    assert body.tokens == honest.tokens


@pytest.mark.parametrize("name", FORGED_MESSAGES)
def test_forged_messages_are_refused_at_parse(name: str) -> None:
    began = time.perf_counter()
    with pytest.raises(MalformedMessage):
        decode_message(SignedResponse, FORGED_MESSAGES[name])
    assert time.perf_counter() - began < 1.0


def test_forges_a_response_with_numbers_out_of_range() -> None:
    good = encode(WORLD.answers(HONEST, count=1)[0].response)
    for old, new in (
        (b'"version":1', b'"version":-1'),
        (b'"version":1', b'"version":99999999'),
        (b'"counter":0', b'"counter":1e3'),
    ):
        assert old in good
        with pytest.raises(MalformedMessage):
            decode_message(SignedResponse, good.replace(old, new, 1))


@pytest.mark.parametrize(("name", "refused"), [("offline", (0, 1, 2, 3)), ("flaky", (1, 3)), ("refuses", (0, 1, 2, 3))])
def test_those_who_do_not_answer(name: str, refused: tuple[int, ...]) -> None:
    for counter in range(4):
        request, _ = WORLD.request(counter, tokens=64)
        if counter in refused:
            with pytest.raises(Unwilling):
                asyncio.run(BEHAVIOURS[name].before(request))
        else:
            asyncio.run(BEHAVIOURS[name].before(request))


def test_aborts_after_it_saw_its_answer() -> None:
    for counter, hangs_up in ((0, False), (1, False), (2, True)):
        request, _ = WORLD.request(counter)
        if hangs_up:
            with pytest.raises(Unwilling):
                asyncio.run(BEHAVIOURS["aborts"].after(request))
        else:
            asyncio.run(BEHAVIOURS["aborts"].after(request))


def test_refuses_only_what_costs() -> None:
    asyncio.run(BEHAVIOURS["refuses"].before(WORLD.request(0, tokens=8)[0]))


def test_slow_is_slow() -> None:
    from tests.zoo.behaviours import waits

    async def timed() -> float:
        began = time.perf_counter()
        await waits(WORLD.request(0)[0], seconds=0.05)
        return time.perf_counter() - began

    assert asyncio.run(timed()) >= 0.05


def test_a_behaviour_leaves_the_rest_of_the_answer_alone() -> None:
    body = WORLD.answers(HONEST, count=1)[0].response.body
    for name, behaviour in BEHAVIOURS.items():
        if behaviour.body:
            changed = behaviour.body(body)
            differ = [
                f for f in CompletionResponse.__slots__ if f != "_digest" and getattr(changed, f) != getattr(body, f)
            ]
            assert len(differ) == 1, name
