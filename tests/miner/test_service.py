"""The miner's service behind a real axon, asked by a real dendrite; only the engine is a fake."""

import asyncio
import contextlib
from dataclasses import replace

import pytest
from bittensor.sp_core import Keypair

from subnet.chain.values import Head
from subnet.errors import EngineError
from subnet.evidence.selection import CheckPlan
from subnet.miner.answers import AnswerStore
from subnet.miner.app import METRICS
from subnet.miner.beacons import Beacons
from subnet.miner.engine import CompletionResult, Overloaded
from subnet.miner.epochs import EpochBook
from subnet.miner.service import MinerService, Terms
from subnet.protocol import (
    CompletionRequest,
    Hello,
    ModelOffer,
    Standing,
    check_response,
    sign_standing,
)  # fmt: skip
from subnet.telemetry.prometheus import Registry
from subnet.transport.axon import Axon, Identity
from subnet.transport.dendrite import Dendrite, Peer
from subnet.transport.nonces import SharedNonceStore
from subnet.transport.outcomes import Result
from subnet.transport.server import AxonServer, listen

GENESIS, MODEL = b"g" * 32, b"m" * 32
VALIDATOR, MINER = Keypair.create_from_uri("//Validator"), Keypair.create_from_uri("//Miner")
HEAD = 100


def block_hash(number):
    return number.to_bytes(32, "big")


def decode(tokens):
    return "".join(chr(97 + token % 26) for token in tokens)


class FakeEngine:
    """Answers max_tokens tokens that follow from the seed; pauses and fails as told."""

    def __init__(self):
        self.calls, self.gate, self.error, self.stream = 0, asyncio.Event(), None, True
        self.gate.set()
        self.cancelled = 0

    async def complete(self, job):
        self.calls += 1
        if self.error is not None:
            raise self.error
        tokens = tuple(job.seed[: job.request.max_tokens])
        try:
            for token in tokens[:2] if self.stream else ():
                job.emit((token,))
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.stream:
            job.emit(tokens[2:])
        return CompletionResult(tokens, decode(tokens), "length")


@contextlib.asynccontextmanager
async def served(tmp_path, engine, size=8):
    beacons = Beacons(lambda number: asyncio.sleep(0, block_hash(number)))
    beacons.see(Head(HEAD, block_hash(HEAD)))
    answers = AnswerStore(tmp_path)
    terms = Terms(GENESIS, 2, ModelOffer(MODEL, "model", 512), "assay", 16, 64, 8)
    service = MinerService(
        terms,
        MINER,
        engine,
        EpochBook(size, answers.last_epoch()),
        beacons,
        answers,
        Registry("miner", METRICS),
        decode,
    )
    with SharedNonceStore(tmp_path / "nonces.bin", slots=1024) as nonces:
        axon = Axon(Identity(bytes(MINER.public_key), GENESIS, 2), service, lambda hotkey: None, nonces)
        async with (
            AxonServer(axon, listen("127.0.0.1", 0), grace_seconds=1) as server,
            Dendrite(VALIDATOR, allow_private=True) as dendrite,
        ):
            yield service, dendrite, Peer(bytes(MINER.public_key), "127.0.0.1", server.port), beacons
    answers.close()


async def shake(dendrite, peer):
    outcome = await dendrite.hello(peer, Hello((1,), GENESIS, 2), seconds=5)
    assert outcome.ok, outcome.detail
    return outcome.value.capabilities.handshake.commitment


def request(commitment, counter=0, **changes):
    asked = CompletionRequest(
        1, GENESIS, 2, MODEL, (1, 2, 3), 700, 0, 6, bytes(VALIDATOR.public_key), bytes(MINER.public_key), HEAD,
        block_hash(HEAD), bytes([counter]) * 32, commitment.epoch, counter,
    )  # fmt: skip
    return replace(asked, **changes) if changes else asked


async def test_a_streamed_answer_repeats_its_stream_and_opens_the_committed_secret(tmp_path):
    engine, chunks = FakeEngine(), []
    engine.gate.clear()

    def on_chunk(chunk):
        chunks.append(chunk)
        engine.gate.set()

    async with served(tmp_path, engine) as (_, dendrite, peer, _):
        commitment = await shake(dendrite, peer)
        outcome = await dendrite.stream(peer, request(commitment), commitment, seconds=5, on_chunk=on_chunk)
        assert outcome.ok, outcome.detail
        assert len(chunks) >= 2 and sum((chunk.tokens for chunk in chunks), ()) == outcome.value.response.body.tokens
        assert outcome.value.seed == check_response(request(commitment), outcome.value.response, commitment)


async def test_a_retry_gets_the_same_signed_answer_and_nothing_is_computed_twice(tmp_path):
    engine = FakeEngine()
    async with served(tmp_path, engine) as (_, dendrite, peer, _):
        commitment = await shake(dendrite, peer)
        asked = request(commitment)
        first = await dendrite.stream(peer, asked, commitment, seconds=5)
        second = await dendrite.complete(peer, asked, commitment, seconds=5)
        assert first.value.response == second.value.response and engine.calls == 1


async def test_a_caller_that_drops_the_line_finds_its_answer_later(tmp_path):
    engine = FakeEngine()
    engine.gate.clear()
    async with served(tmp_path, engine) as (_, dendrite, peer, _):
        commitment = await shake(dendrite, peer)
        dropped = await dendrite.stream(peer, request(commitment), commitment, seconds=0.5)
        assert dropped.result is Result.TIMEOUT and dropped.prefix
        engine.gate.set()
        again = await dendrite.complete(peer, request(commitment), commitment, seconds=5)
        assert again.ok and engine.calls == 1 and again.value.response.body.tokens[:1] == dropped.prefix[:1]


async def test_work_that_nobody_waits_for_and_that_has_no_token_yet_is_dropped(tmp_path):
    engine = FakeEngine()
    engine.stream = False
    engine.gate.clear()
    async with served(tmp_path, engine) as (service, dendrite, peer, _):
        commitment = await shake(dendrite, peer)
        await dendrite.complete(peer, request(commitment), commitment, seconds=0.3)
        async with asyncio.timeout(3):
            while service.open_requests:
                await asyncio.sleep(0.02)
        assert engine.cancelled == 1
        engine.gate.set()
        assert (await dendrite.complete(peer, request(commitment), commitment, seconds=5)).ok


async def test_a_validator_that_grinds_nonces_gets_one_answer_for_a_counter(tmp_path):
    async with served(tmp_path, FakeEngine()) as (_, dendrite, peer, _):
        commitment = await shake(dendrite, peer)
        assert (await dendrite.complete(peer, request(commitment), commitment, seconds=5)).ok
        other = request(commitment, nonce=b"other nonce".ljust(32, b"."))
        refused = await dendrite.complete(peer, other, commitment, seconds=5)
        assert refused.fault.code == "counter_used"


async def test_a_counter_whose_secret_was_opened_answers_no_other_request_whatever_became_of_the_first(tmp_path):
    """The attack: hear the secret with the first token, hang up, and try nonces against it under the same counter."""

    class GivesUp(FakeEngine):
        async def complete(self, job):
            job.emit((1, 2, 3))
            await asyncio.sleep(0.1)
            raise Overloaded("in the middle of it")

    async with served(tmp_path, GivesUp()) as (_, dendrite, peer, _):
        commitment = await shake(dendrite, peer)
        failed = await dendrite.stream(peer, request(commitment), commitment, seconds=5)
        assert failed.fault.code == "overloaded" and failed.prefix == (1, 2) and len(failed.opened) == 32
        other = request(commitment, nonce=b"other nonce".ljust(32, b"."))
        refused = await dendrite.complete(peer, other, commitment, seconds=5)
        assert refused.fault.code == "counter_used"
        again = await dendrite.stream(peer, request(commitment), commitment, seconds=5)
        assert again.opened == failed.opened


async def test_answers_are_chained_in_the_order_of_signing(tmp_path):
    async with served(tmp_path, FakeEngine()) as (_, dendrite, peer, _):
        commitment = await shake(dendrite, peer)
        asks = [(peer, request(commitment, n), commitment) for n in range(5)]
        outcomes = await dendrite.complete_many(asks, seconds=5)
        previous = {o.value.response.body.previous for o in outcomes}
        links = {o.value.response.link for o in outcomes}
        assert bytes(32) in previous and len(previous) == 5 and previous - {bytes(32)} < links


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"model_id": b"x" * 32}, "unknown_model"),
        ({"max_tokens": 17}, "too_many_tokens"),
        ({"prompt": (1,) * 65}, "too_many_tokens"),
        ({"beacon_block": HEAD - 33, "beacon_hash": block_hash(HEAD - 33)}, "stale_beacon"),
        ({"beacon_block": HEAD - 1, "beacon_hash": block_hash(HEAD)}, "stale_beacon"),
        ({"beacon_block": HEAD + 50, "beacon_hash": block_hash(HEAD + 50)}, "stale_beacon"),
        ({"counter": 8}, "epoch_exhausted"),
        ({"epoch": 5}, "unknown_epoch"),
        ({"extensions": CheckPlan(HEAD, 1, b"s" * 32).extension()}, "stale_beacon"),
    ],
)
async def test_what_is_not_as_agreed_is_refused_before_any_work(tmp_path, changes, code):
    engine = FakeEngine()
    async with served(tmp_path, engine) as (_, dendrite, peer, _):
        commitment = await shake(dendrite, peer)
        outcome = await dendrite.complete(peer, request(commitment, **changes), commitment, seconds=5)
        assert outcome.fault is not None and outcome.fault.code == code and engine.calls == 0


async def test_an_overloaded_engine_leaves_the_counter_askable(tmp_path):
    engine = FakeEngine()
    engine.error = Overloaded("full")
    async with served(tmp_path, engine) as (_, dendrite, peer, _):
        commitment = await shake(dendrite, peer)
        refused = await dendrite.complete(peer, request(commitment), commitment, seconds=5)
        assert refused.fault.code == "overloaded" and refused.fault.retry_after_ms > 0
        engine.error = None
        assert (await dendrite.complete(peer, request(commitment), commitment, seconds=5)).ok


async def test_a_broken_engine_is_a_fault_and_not_a_crash(tmp_path):
    engine = FakeEngine()
    engine.error = EngineError("out of order")
    async with served(tmp_path, engine) as (_, dendrite, peer, _):
        commitment = await shake(dendrite, peer)
        outcome = await dendrite.stream(peer, request(commitment), commitment, seconds=5)
        assert outcome.fault.code == "internal"


async def test_draining_refuses_new_work_and_finishes_what_runs(tmp_path):
    engine = FakeEngine()
    engine.gate.clear()
    async with served(tmp_path, engine) as (service, dendrite, peer, _):
        commitment = await shake(dendrite, peer)
        running = asyncio.create_task(dendrite.complete(peer, request(commitment), commitment, seconds=5))
        async with asyncio.timeout(3):
            while not service.open_requests:
                await asyncio.sleep(0.01)
        service.draining = True
        refused = await dendrite.complete(peer, request(commitment, 1), commitment, seconds=5)
        assert refused.fault.code == "overloaded"
        engine.gate.set()
        await service.idle()
        assert (await running).ok


async def test_a_restart_opens_a_new_epoch_and_forgets_the_old_ones(tmp_path):
    async with served(tmp_path, FakeEngine()) as (_, dendrite, peer, _):
        before = await shake(dendrite, peer)
        assert await shake(dendrite, peer) == before
    async with served(tmp_path, FakeEngine()) as (_, dendrite, peer, _):
        after = await shake(dendrite, peer)
        assert after.epoch > before.epoch and after.root != before.root
        outcome = await dendrite.complete(peer, request(before), before, seconds=5)
        assert outcome.fault.code == "unknown_epoch"


async def test_standings_are_heard_and_kept(tmp_path):
    async with served(tmp_path, FakeEngine()) as (service, dendrite, peer, _):
        told = Standing(
            1, GENESIS, 2, bytes(VALIDATOR.public_key), bytes(MINER.public_key), 7, "active", 500_000, 100_000, 10, 5,
            120, 0, 20_000, (),
        )  # fmt: skip
        assert (await dendrite.send_standing(peer, sign_standing(told, VALIDATOR), seconds=5)).ok
        assert service._answers.standings()[0][2].standing == told
