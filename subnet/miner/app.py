"""The miner process: wires engine, axon and chain together, and runs until it is told to stop."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from loguru import logger
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from subnet.chain import Chain, ChainAway, ChainRejected, ClockWatch, Head, Hotkey, load_hotkey
from subnet.chain.membership import Membership, Publisher, external_endpoint
from subnet.config.tree import MinerConfig
from subnet.errors import StateError
from subnet.miner.answers import AnswerStore
from subnet.miner.beacons import Beacons
from subnet.miner.engine import MinerEngine, load_factory
from subnet.miner.epochs import EpochBook
from subnet.miner.selftest import require_class
from subnet.miner.service import MinerService, Terms
from subnet.models import DEFAULT_MODEL, Manifest, find_model, load_tokenizer
from subnet.protocol import ModelOffer
from subnet.telemetry.jsonl import JsonLines
from subnet.telemetry.operations import Operations
from subnet.telemetry.process import EXIT_FAILED, EXIT_OK, Supervisor
from subnet.telemetry.prometheus import Registry
from subnet.telemetry.weights_and_biases import WandbSink
from subnet.transport.axon import Axon, AxonLimits, Identity
from subnet.transport.connections import ConnectionLimits
from subnet.transport.nonces import SharedNonceStore
from subnet.transport.pinning import server_context
from subnet.transport.policy import Caller, CallerPolicy
from subnet.transport.server import AxonServer, listen

Decode = Callable[[Sequence[int]], str]
SOFTWARE = "assay"
STALE_HEAD_S = 120.0
REPORT_BLOCKS = 10
METRICS = {
    "hellos": "Handshakes answered",
    "requests": "Completion requests by outcome",
    "tokens": "Tokens generated in signed answers",
    "answer_seconds": "Seconds from request to signed answer",
    "score": "Score that a validator gives us",
    "block": "Newest finalised block",
    "incentive": "Our incentive on the chain, a fraction of all",
    "emission": "Our emission in alpha per epoch",
    "stake": "Our stake in alpha",
    "open_requests": "Completions under way",
    "kept_answers": "Signed answers kept",
    "axon_calls": "Axon calls by outcome",
}


class MinerApp:
    """One miner. `run()` returns the process's exit code."""

    def __init__(self, config: MinerConfig, folder: Path) -> None:
        self._config, self._folder = config, folder
        self._supervisor = Supervisor()
        self._metrics = Registry("miner", METRICS)
        self._lines = JsonLines(folder / "metrics.jsonl", max_bytes=config.metrics.jsonl_max_mb << 20)
        self._engine_ready = False
        self._head_at = 0.0
        self._head = -1

    async def run(self) -> int:
        config = self._config
        self._supervisor.listen_for_signals()
        self._hotkey: Hotkey = load_hotkey(config.wallet)
        manifest = find_model(config.model.path or DEFAULT_MODEL).manifest
        engine = load_factory(config.miner.engine)(manifest, config.miner.engine_options, config)
        self._answers = AnswerStore(self._folder)
        self._chain = Chain(config.subtensor.target, timeout_s=config.subtensor.timeout_s)
        self._clock = ClockWatch(self._chain)
        self._wandb = WandbSink(config.wandb, self._folder, f"miner-{self._hotkey.ss58_address[:8]}", {})
        self._membership = Membership(
            self._chain, config.netuid, self._hotkey.ss58_address, config.register_command, every_blocks=1
        )
        operations = Operations(self._routes())
        if config.http.port >= 0:
            await operations.start(config.http.ip, config.http.port, self._folder / "endpoint.json")
        try:
            await self._serve(manifest, engine)
        finally:
            await operations.stop()
            await self._supervisor.cancel_all()
            await self._chain.close()
            self._wandb.close()
            self._answers.close()
        logger.info("The miner has stopped")
        return EXIT_FAILED if self._supervisor.failed else EXIT_OK

    async def _serve(self, manifest: Manifest, engine: MinerEngine) -> None:
        started = await self._supervisor.unless_stopped(
            asyncio.gather(self._start_engine(engine, manifest), self._first_contact())
        )
        if started is None:
            await _call(engine, "close")
            return
        genesis = started[1]
        tokenizer = await asyncio.to_thread(load_tokenizer, self._config.model.path or DEFAULT_MODEL)
        beacons = Beacons(self._chain.block_hash)
        service = self._service(manifest, engine, genesis, beacons, tokenizer.decode)
        tls, certificate = server_context(self._folder / "tls") if self._config.axon.tls else (None, None)
        server = self._axon(service, genesis, tls)
        await server.start()
        endpoint = external_endpoint(
            self._config.axon.external_ip, self._config.axon.external_port, server.port, self._chain.endpoint
        )
        endpoint = replace(endpoint, certificate=certificate)
        self._publisher = Publisher(self._chain, self._config.netuid, self._hotkey, endpoint)
        logger.info("Axon listens on {} port {} and is published as {}", self._config.axon.ip, server.port, endpoint)
        self._supervisor.start(self._follow_chain(beacons, service, server.axon), "chain")
        await self._supervisor.stopped()
        await self._drain(service, server, engine)

    async def _drain(self, service: MinerService, server: AxonServer, engine: MinerEngine) -> None:
        service.draining = True
        if service.open_requests:
            logger.info("Finishing {} requests, at most {:g} s", service.open_requests, self._config.miner.drain_s)
            await asyncio.wait({asyncio.ensure_future(service.idle())}, timeout=self._config.miner.drain_s)
        await server.stop()
        await _call(engine, "close")

    async def _start_engine(self, engine: MinerEngine, manifest: Manifest) -> None:
        began, config = time.monotonic(), self._config
        await _call(engine, "start")
        if config.miner.self_test:
            await require_class(
                engine, manifest, model=config.model.path or None, tokens=config.miner.self_test,
                threads=config.threads or None,
            )  # fmt: skip
        self._engine_ready = True
        logger.info("Engine ready after {:.1f} s", time.monotonic() - began)

    async def _first_contact(self) -> bytes:
        """The chain's genesis hash, as soon as the chain answers."""
        async for _ in self._chain.heads:
            try:
                return await self._chain.genesis()
            except ChainAway as error:
                logger.warning("Waiting for the chain: {}", error)
        raise AssertionError("the heads never end")

    def _service(
        self, manifest: Manifest, engine: MinerEngine, genesis: bytes, beacons: Beacons, decode
    ) -> MinerService:
        role = self._config.miner
        terms = Terms(
            genesis, self._config.netuid, ModelOffer(manifest.digest, manifest.name, manifest.max_positions), SOFTWARE,
            role.max_tokens, role.max_prompt_tokens, role.max_batch,
        )  # fmt: skip
        epochs = EpochBook(role.secrets, after=self._answers.last_epoch())
        return MinerService(terms, self._hotkey, engine, epochs, beacons, self._answers, self._metrics, decode)

    def _axon(self, service: MinerService, genesis: bytes, tls: ssl.SSLContext | None) -> AxonServer:
        config = self._config
        self._nonces = SharedNonceStore(self._folder / "nonces.bin")
        identity = Identity(bytes(self._hotkey.public_key), genesis, config.netuid)
        bounds = AxonLimits(in_flight=config.miner.max_batch + config.miner.max_waiting)
        axon = Axon(identity, service, self._admit, self._nonces, bounds)
        listener = listen(config.axon.ip, config.axon.port)
        limits = ConnectionLimits(total=config.axon.max_connections * 4)
        return AxonServer(axon, listener, limits, tls, grace_seconds=2.0)

    def _admit(self, hotkey: str) -> str | None:
        role, snapshot = self._config.miner, self._membership.snapshot
        if hotkey in role.allow:
            return None
        if snapshot is None:
            return "this miner does not know the subnet yet"
        least = None if role.require_permit else int(role.min_stake * 1e9)
        policy = CallerPolicy(least, frozenset(role.refuse))
        callers = {
            n.hotkey: Caller(int(n.stake * 1e9), n.validator_permit) for n in snapshot.neurons if n.hotkey == hotkey
        }
        refusal = policy.refusal(hotkey, callers)
        if refusal is None and callers[hotkey].stake_rao < role.min_stake * 1e9:
            return f"at least {role.min_stake:g} alpha of stake are needed"
        return refusal

    async def _follow_chain(self, beacons: Beacons, service: MinerService, axon: Axon) -> None:
        forgot_at, block_time = 0.0, 0.0
        async for head in self._chain.heads:
            self._head, self._head_at = head.number, time.monotonic()
            beacons.see(head)
            try:
                block_time = block_time or await self._chain.block_time()
                await self._clock.on_head(head, block_time)
                if await self._membership.on_head(head):
                    await self._publisher.on_snapshot(self._membership.me, head.number)
            except (ChainAway, ChainRejected) as error:
                logger.warning("Block {}: {}", head.number, error)
            if head.number % REPORT_BLOCKS == 0:
                self._report(head, service, axon)
            if time.monotonic() - forgot_at > 3600 and not self._clock.doubtful:
                forgot_at = time.monotonic()
                self._forget_answers()

    def _forget_answers(self) -> None:
        try:
            self._answers.forget_before(time.time() - self._config.miner.keep_hours * 3600)
        except StateError as error:
            logger.error("Old answers stay: {}", error)

    def _report(self, head: Head, service: MinerService, axon: Axon) -> None:
        me = self._membership.me
        values = {
            "block": head.number, "open_requests": service.open_requests, "kept_answers": self._answers.count(),
            "incentive": me.incentive if me else 0.0, "emission": me.emission if me else 0.0,
            "stake": me.stake if me else 0.0,
        }  # fmt: skip
        for name, value in values.items():
            self._metrics.set(name, value)
        for outcome, count in axon.outcomes.items():
            self._metrics.set("axon_calls", count, outcome=outcome)
        if self._config.metrics.jsonl:
            self._lines.write(
                {"at": time.time(), "uid": me.uid if me else None, **values, "calls": dict(axon.outcomes)}
            )
        self._wandb.log(values)
        if me is not None:
            logger.info(
                "Block {}: uid {}, incentive {:.4f}, {} calls answered, {} under way",
                head.number, me.uid, me.incentive, axon.outcomes["ok"], service.open_requests,
            )  # fmt: skip

    # Operations

    def _routes(self) -> Sequence[Route]:
        return [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics_page),
            Route("/standing.json", self._standing_page),
        ]

    async def _healthz(self, request: Request) -> Response:
        return JSONResponse({"ok": True, "role": "miner", "block": self._head})

    async def _readyz(self, request: Request) -> Response:
        reasons = list(self._unready())
        return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    def _unready(self) -> Iterator[str]:
        if not self._engine_ready:
            yield "the engine is not loaded"
        if time.monotonic() - self._head_at > STALE_HEAD_S:
            yield "no block from the chain"
        if self._clock.trouble:
            yield f"{self._clock.trouble}, so every request is refused as stale"
        if self._membership.me is None:
            yield "the hotkey is not registered"
        elif not getattr(self, "_publisher", None) or not self._publisher.published:
            yield "the endpoint is not on the chain"
        if self._supervisor.stopping:
            yield "shutting down"

    async def _metrics_page(self, request: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")

    async def _standing_page(self, request: Request) -> Response:
        from subnet.miner.commands import standing_rows

        return JSONResponse(standing_rows(self._answers))


async def _call(engine: MinerEngine, name: str) -> None:
    method = getattr(engine, name, None)
    if method is not None:
        await method()
