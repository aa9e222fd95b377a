"""What the miner does with calls: shakes hands, completes once for each counter, hears how validators see it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from loguru import logger

from subnet.chain import ChainAway, ChainRejected, Hotkey
from subnet.errors import EngineError, StateError
from subnet.evidence.selection import check_block
from subnet.miner.answers import AnswerStore
from subnet.miner.beacons import Beacons
from subnet.miner.engine import CompletionJob, CompletionResult, MinerEngine, Overloaded
from subnet.miner.epochs import Epoch, EpochBook
from subnet.protocol import (
    Capabilities,
    CompletionResponse,
    Hello,
    ModelOffer,
    NoCommonVersion,
    SecretsCommitment,
    SignedCapabilities,
    SignedRequest,
    SignedResponse,
    SignedStanding,
    derive_seed,
    negotiate,
    sign_capabilities,
    sign_commitment,
    sign_response,
)  # fmt: skip
from subnet.protocol.limits import PROTOCOL_VERSION, SUPPORTED_VERSIONS
from subnet.protocol.stream import Chunk, Opening, Progress
from subnet.telemetry.prometheus import Registry
from subnet.transport.axon import Call
from subnet.transport.errors import Refused


@dataclass(frozen=True, slots=True)
class Terms:
    """What this miner offers, and where."""

    genesis: bytes
    netuid: int
    offer: ModelOffer
    software: str
    max_tokens: int
    max_prompt_tokens: int
    concurrency: int


@dataclass(slots=True)
class _Running:
    """A completion under way. Callers come and go; once it has a token it goes on, so that a retry finds the answer."""

    opening: Opening
    tokens: list[int] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    listeners: int = 0
    task: asyncio.Task[SignedResponse] | None = None

    def emit(self, tokens: Sequence[int]) -> None:
        self.tokens.extend(tokens)
        self.wake()

    def wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class MinerService:
    """Handlers of the axon (see `subnet.transport.axon.Handlers`)."""

    def __init__(
        self, terms: Terms, hotkey: Hotkey, engine: MinerEngine, epochs: EpochBook, beacons: Beacons,
        answers: AnswerStore, metrics: Registry, decode: Callable[[Sequence[int]], str],
    ) -> None:  # fmt: skip
        self._terms, self._hotkey, self._engine = terms, hotkey, engine
        self._epochs, self._beacons, self._answers, self._metrics = epochs, beacons, answers, metrics
        self._decode = decode
        self._running: dict[tuple[bytes, int, int], _Running] = {}
        self.draining = False

    @property
    def open_requests(self) -> int:
        return len(self._running)

    async def idle(self) -> None:
        """Returns once nothing is under way."""
        while self._running:
            tasks = {run.task for run in self._running.values() if run.task is not None}
            if not tasks:
                return
            await asyncio.wait(tasks)

    # Calls

    async def hello(self, call: Call, hello: Hello) -> SignedCapabilities:
        try:
            negotiate(SUPPORTED_VERSIONS, hello.versions)
        except NoCommonVersion as error:
            raise Refused("unsupported_version", str(error)) from error
        if self._beacons.head < 0:
            raise Refused("overloaded", "this miner does not know the chain's head yet", 1000)
        epoch = self._epochs.current(call.public_key) or self._open_epoch(call)
        terms = self._terms
        capabilities = Capabilities(
            SUPPORTED_VERSIONS, terms.software, (terms.offer,), terms.max_tokens, terms.concurrency, epoch.handshake
        )
        self._metrics.count("hellos")
        return sign_capabilities(capabilities, self._hotkey)

    def _open_epoch(self, call: Call) -> Epoch:
        number, tree = self._epochs.derive(call.public_key)
        commitment = SecretsCommitment(
            PROTOCOL_VERSION, self._terms.genesis, self._terms.netuid, bytes(self._hotkey.public_key), call.public_key,
            number, tree.size, tree.root, self._beacons.head,
        )  # fmt: skip
        handshake = sign_commitment(commitment, self._hotkey)
        self._answers.open_epoch(call.hotkey, handshake)
        logger.info("Opened epoch {} for validator {} ({} secrets)", number, call.hotkey[:8], tree.size)
        return self._epochs.open(call.public_key, number, tree, handshake)

    async def complete(self, call: Call, request: SignedRequest) -> AsyncGenerator[Progress, None]:
        asked = request.request
        key = (call.public_key, asked.epoch, asked.counter)
        epoch = self._epochs.find(call.public_key, asked.epoch)
        if epoch is None:
            raise Refused("unknown_epoch", f"epoch {asked.epoch} is not open here: shake hands again")
        kept = self._kept(call, request, epoch)
        if kept is not None:
            self._metrics.count("requests", outcome="retried")
            yield kept
            return
        running = self._running.get(key)
        if running is None:
            await self._admit(request, epoch)
            running = self._running.get(key) or self._start(key, call, request, epoch)
        running.listeners += 1
        try:
            async for event in self._follow(running):
                yield event
        finally:
            running.listeners -= 1
            if not running.listeners and not running.tokens and running.task is not None and not running.task.done():
                # Nobody waits and nothing was computed: give the engine's time to others. The counter stays askable.
                running.task.cancel()
                epoch.digests.pop(asked.counter, None)

    def _kept(self, call: Call, request: SignedRequest, epoch: Epoch) -> SignedResponse | None:
        """The answer that was signed before for this very request; Refused where the counter was another's."""
        asked = request.request
        claimed = epoch.digests.get(asked.counter)
        if claimed is None:
            return None
        if claimed != asked.digest:
            raise Refused("counter_used", f"counter {asked.counter} was used for another request")
        if (call.public_key, asked.epoch, asked.counter) in self._running:
            return None
        found = self._answers.answer(call.hotkey, asked.epoch, asked.counter)
        return found.response if found is not None else None

    async def _admit(self, request: SignedRequest, epoch: Epoch) -> None:
        asked, terms = request.request, self._terms
        if self.draining:
            raise Refused("overloaded", "this miner is shutting down", 5000)
        if asked.model_id != terms.offer.model_id:
            raise Refused("unknown_model", f"this miner serves {terms.offer.name} ({terms.offer.model_id.hex()[:16]}…)")
        if asked.max_tokens > terms.max_tokens or len(asked.prompt) > terms.max_prompt_tokens:
            raise Refused("too_many_tokens", f"at most {terms.max_prompt_tokens} + {terms.max_tokens} tokens")
        if len(asked.prompt) + asked.max_tokens > terms.offer.context_tokens:
            raise Refused("too_many_tokens", f"the model reads {terms.offer.context_tokens} tokens")
        if asked.counter >= epoch.tree.size:
            raise Refused("epoch_exhausted", f"epoch {epoch.number} has {epoch.tree.size} secrets: shake hands again")
        decided = check_block(asked.extensions)
        if decided is not None and decided <= self._beacons.head:
            raise Refused("stale_beacon", f"block {decided}, which decides about checking this answer, exists already")
        try:
            await self._beacons.check(asked.beacon_block, asked.beacon_hash)
        except (ChainAway, ChainRejected) as error:
            raise Refused("overloaded", f"this miner cannot check the beacon now: {error}"[:200], 2000) from error

    def _start(self, key: tuple[bytes, int, int], call: Call, request: SignedRequest, epoch: Epoch) -> _Running:
        if not epoch.claim(request.request.counter, request.request.digest):
            raise Refused("counter_used", f"counter {request.request.counter} was used for another request")
        running = self._running[key] = _Running(Opening(*epoch.tree.open(key[2])))
        running.task = asyncio.create_task(self._work(call, request, epoch, running), name=f"completion-{key[2]}")

        def done(task: asyncio.Task[SignedResponse]) -> None:
            self._running.pop(key, None)
            running.wake()
            if not task.cancelled() and task.exception() is not None:
                logger.debug("Completion {} failed: {!r}", key[2], task.exception())

        running.task.add_done_callback(done)
        return running

    async def _work(self, call: Call, request: SignedRequest, epoch: Epoch, running: _Running) -> SignedResponse:
        asked = request.request
        started = asyncio.get_running_loop().time()
        secret, path = running.opening.secret, running.opening.secret_path
        job = CompletionJob(asked, derive_seed(asked.digest, secret), running.emit)
        try:
            result = await self._engine.complete(job)
            response = await self._sign(call, request, epoch, result, secret, path)
        except Overloaded as error:
            if not running.tokens:  # else the secret may be open, and stands for this request for ever
                epoch.digests.pop(asked.counter, None)
            self._metrics.count("requests", outcome="overloaded")
            raise Refused("overloaded", str(error)[:200], 2000) from error
        except EngineError as error:
            self._metrics.count("requests", outcome="failed")
            logger.warning("The engine gave no answer to {}: {}", call.hotkey[:8], error)
            raise Refused("internal", "the engine gave no answer") from error
        self._metrics.count("requests", outcome="answered")
        self._metrics.count("tokens", len(response.body.tokens))
        self._metrics.observe("answer_seconds", asyncio.get_running_loop().time() - started)
        logger.debug(
            "Answered {} counter {}: {} tokens in {:.2f} s", call.hotkey[:8], asked.counter, len(response.body.tokens),
            asyncio.get_running_loop().time() - started,
        )  # fmt: skip
        return response

    async def _sign(
        self, call: Call, request: SignedRequest, epoch: Epoch, result: CompletionResult, secret: bytes,
        path: tuple[bytes, ...],
    ) -> SignedResponse:  # fmt: skip
        asked = request.request
        async with epoch.signing:
            body = CompletionResponse(
                asked.version, asked.digest, result.tokens, result.text, result.finish, secret, path, epoch.last_link
            )
            finish = getattr(self._engine, "finish", None)
            if finish is not None:
                body = dataclasses.replace(await finish(body))
            response = sign_response(body, asked, self._hotkey)
            epoch.last_link = response.link
            try:
                self._answers.keep(call.hotkey, request, response)
            except StateError as error:
                logger.error("An answer could not be kept: {}; it is sent all the same", error)
        return response

    async def _follow(self, running: _Running) -> AsyncGenerator[Progress, None]:
        """Streams a completion to one caller: chunks whose texts add up to the answer's text, then the answer."""
        task = running.task
        assert task is not None
        sent, text = 0, ""
        while not task.done():
            changed = running.changed
            ready = running.tokens[:-1]  # the newest waits: the last chunk needs a token to carry the last text
            if len(ready) > sent:
                if not sent:
                    yield running.opening
                fresh = tuple(ready[sent:])
                grown = _settled(self._decode(ready))
                addition = grown[len(text) :] if grown.startswith(text) else ""
                sent, text = sent + len(fresh), text + addition
                yield Chunk(fresh, addition)
            else:
                await asyncio.wait({task, asyncio.ensure_future(changed.wait())}, return_when=asyncio.FIRST_COMPLETED)
        response = task.result()
        rest = response.body.tokens[sent:]
        if sent and rest:
            yield Chunk(tuple(rest), response.body.text.removeprefix(text))
        yield response

    async def standing(self, call: Call, standing: SignedStanding) -> None:
        seen = standing.standing
        reasons = ", ".join(f"{reason.code} x{reason.count}" for reason in seen.reasons) or "none"
        level = "WARNING" if seen.state == "accused" else "INFO"
        logger.log(
            level, "Validator {} sees us as {}: score {:.3f}, weight {:.3f}, {} of {} requests verified, reasons: {}",
            call.hotkey[:8], seen.state, seen.score_ppm / 1e6, seen.weight_ppm / 1e6, seen.verified, seen.requests,
            reasons,
        )  # fmt: skip
        self._metrics.set("score", seen.score_ppm / 1e6, validator=call.hotkey)
        try:
            self._answers.hear(call.hotkey, standing)
        except StateError as error:
            logger.error("A standing could not be kept: {}", error)


def _settled(text: str) -> str:
    """The part of a decoding that later tokens will not change: without a character that is still incomplete."""
    return text.rstrip("\N{REPLACEMENT CHARACTER}")
