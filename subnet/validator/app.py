"""The validator process: wires chain, transport, replay and state together, and runs until it is told to stop."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from loguru import logger
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from reward import Conversation, ScoringRules, WeightRules
from subnet.chain import Chain, ChainAway, ChainRejected, ClockWatch, EpochInfo, Head, Hotkey, load_hotkey
from subnet.chain.membership import Membership, Publisher, external_endpoint
from subnet.config.tree import ValidatorConfig
from subnet.evidence.ledger import EntryKind
from subnet.evidence.slashing import Policy, check_always
from subnet.models import DEFAULT_MODEL, find_model, load_tokenizer
from subnet.status.page import LOCAL_HOSTS, app
from subnet.status.snapshot import StatusSnapshot
from subnet.status.source import Source, SourceUnavailable
from subnet.telemetry.jsonl import JsonLines
from subnet.telemetry.operations import Operations
from subnet.telemetry.process import EXIT_FAILED, EXIT_OK, Supervisor
from subnet.telemetry.prometheus import Registry
from subnet.telemetry.weights_and_biases import WandbSink
from subnet.transport.dendrite import Dendrite
from subnet.transport.server import listen
from subnet.validator.accuse import Accuser, Maker
from subnet.validator.asking import Asker
from subnet.validator.explain import META_UIDS
from subnet.validator.judge import Bench, standing_of
from subnet.validator.metrics import METRICS, record_round
from subnet.validator.organic import Organic
from subnet.validator.peers import LedgerPublisher, PeerClient, Peers
from subnet.validator.profiles import profile_of
from subnet.validator.public import find_bundle, public_routes
from subnet.validator.punishing import Punisher
from subnet.validator.questions import Network
from subnet.validator.replay_client import ReplayClient
from subnet.validator.replayer import Ready, Setup
from subnet.validator.rounds import Report, Rounds
from subnet.validator.state import DiskFull, Store
from subnet.validator.status import View, snapshot_of
from subnet.validator.telling import Teller
from subnet.validator.weighing import WeightSetter
from subnet.verify.detector import TestState
from subnet.verify.selection import EVERYTHING, checking_rate

REPLAY_DTYPE = "float32"
"""The verifier of every tolerance class is one float32 prefill: that is what profiles are calibrated against."""
STALE_HEAD_S = 120.0
BLIND_ROUNDS = 3
"""After so many rounds without one replay no weights are set: the old ones stand, and cheats are not paid on trust."""
SHOWN_EPOCHS, SHOWN_ENTRIES = 60, 60
PERMIT_REMINDER_BLOCKS = 25


@dataclass(slots=True)
class _Now:
    """What the process last learned: read by pages and by the judge, written by the block loop alone."""

    head: Head | None = None
    head_at: float = 0.0
    epoch: EpochInfo | None = None
    round: int = 0
    round_s: float | None = None
    trouble: str = ""
    blind: int = 0
    """Rounds in a row of which nothing that was selected could be replayed."""
    reminded: int = -PERMIT_REMINDER_BLOCKS


class ValidatorApp:
    """One validator. `run()` returns the process's exit code."""

    def __init__(self, config: ValidatorConfig, folder: Path) -> None:
        self._config, self._folder = config, folder
        self._supervisor = Supervisor()
        self._metrics = Registry("validator", METRICS)
        self._lines = JsonLines(folder / "metrics.jsonl", max_bytes=config.metrics.jsonl_max_mb << 20)
        self._now = _Now()
        self._rounds: Rounds | None = None
        self._rules, self._weight_rules = ScoringRules(), WeightRules()
        role = config.validator
        self._policy = Policy(
            role.slash_blocks, role.challenge_blocks, max(1, role.probation_blocks), max(1, role.suspend_blocks)
        )

    async def run(self) -> int:
        config = self._config
        self._supervisor.listen_for_signals()
        self._hotkey: Hotkey = load_hotkey(config.wallet)
        self._manifest = find_model(config.model.path or DEFAULT_MODEL).manifest
        self._profile = profile_of(self._manifest, config.validator.threshold)
        self._store = Store(self._folder)
        self._chain = Chain(config.subtensor.target, timeout_s=config.subtensor.timeout_s)
        self._membership = Membership(
            self._chain, config.netuid, self._hotkey.ss58_address, config.register_command, every_blocks=1
        )
        self._clock = ClockWatch(self._chain)
        self._replay = ReplayClient(
            Setup(config.model.path or DEFAULT_MODEL, REPLAY_DTYPE, config.threads, config.validator.reward)
        )
        self._wandb = WandbSink(config.wandb, self._folder, f"validator-{self._hotkey.ss58_address[:8]}", {})
        operations = Operations(self._routes())
        if config.http.port >= 0:
            await operations.start(config.http.ip, config.http.port, self._folder / "endpoint.json")
        try:
            await self._serve()
        finally:
            await operations.stop()
            await self._supervisor.cancel_all()
            await self._replay.close()
            await self._chain.close()
            self._wandb.close()
            self._store.close()
        logger.info("The validator has stopped")
        return EXIT_FAILED if self._supervisor.failed else EXIT_OK

    async def _serve(self) -> None:
        config = self._config
        tokenizer = await asyncio.to_thread(load_tokenizer, config.model.path or DEFAULT_MODEL)

        def tokenize(conversation: Conversation) -> tuple[int, ...]:
            return tokenizer.chat(conversation.as_dicts())

        started = await self._supervisor.unless_stopped(asyncio.gather(self._start_replay(), self._first_contact()))
        if started is None:
            return
        ready, genesis = started
        network = Network(genesis, config.netuid, self._manifest.digest, bytes(self._hotkey.public_key))
        async with Dendrite(self._hotkey, allow_private=config.validator.allow_private) as dendrite:
            self._teller = Teller(dendrite, self._store, network, self._hotkey)
            self._weights = WeightSetter(
                self._chain, self._store, config.netuid, self._hotkey, every_blocks=config.validator.weights_blocks,
                version_key=config.validator.version_key, rules=self._weight_rules,
                to_owner=config.validator.weights_to_owner,
            )  # fmt: skip
            self._organic = Organic(
                tokenize, prompt_tokens=config.validator.prompt_tokens, max_tokens=config.validator.max_tokens,
                model=self._manifest.name,
            )  # fmt: skip
            accuser = Accuser(self._store, Maker(self._manifest, self._hotkey, ready.software))
            punisher = Punisher(self._store, accuser, self._bench)
            self._rounds = Rounds(
                role=config.validator, chain=self._chain, store=self._store,
                asker=Asker(dendrite, network, self._store, lambda: self._clock.doubtful, self._newest_block),
                replay=self._replay,
                punisher=punisher, network=network,
                signer=self._hotkey, tokenize=tokenize,
                bench=self._bench, rate_of=self._rate_of, on_settled=self._settled,
                profile=self._organic.profile,
            )  # fmt: skip
            self._peers = self._make_peers(punisher, genesis)
            self._ledger = LedgerPublisher(
                self._chain, self._store, config.netuid, self._hotkey, config.validator.commit_blocks
            )
            await self._run_with(self._rounds)

    def _make_peers(self, punisher: Punisher, genesis: bytes) -> Peers:
        role = self._config.validator
        return Peers(
            chain=self._chain, store=self._store, punisher=punisher, replay=self._replay,
            netuid=self._config.netuid, genesis=genesis, hotkey=self._hotkey, client=PeerClient(role.allow_private),
            every_blocks=role.commit_blocks, deadline_s=role.replay_timeout_s, gate=role.gates.mode("peers"),
        )  # fmt: skip

    async def _run_with(self, rounds: Rounds) -> None:
        config = self._config
        public = Operations(public_routes(self._store))
        publisher: Publisher | None = None
        if config.validator.serve:
            listener = listen(config.axon.ip, config.axon.port)
            await public.serve(listener)
            endpoint = external_endpoint(
                config.axon.external_ip, config.axon.external_port, public.port, self._chain.endpoint
            )
            publisher = Publisher(self._chain, config.netuid, self._hotkey, endpoint)
            logger.info("Ledger and bundles are served at {}", endpoint)
        self._supervisor.start(self._follow_chain(rounds, publisher), "chain")
        await self._supervisor.stopped()
        if rounds.open:
            logger.info("Finishing {} rounds, at most {:g} s", rounds.open, config.validator.drain_s)
        await rounds.drain(config.validator.drain_s)
        await self._weights.settle(5.0)
        await self._ledger.settle(5.0)
        await self._peers.close()
        await self._teller.close()
        await public.stop()

    async def _start_replay(self) -> Ready:
        ready = await self._replay.start()
        if ready.model_id != self._manifest.digest:
            logger.debug("The replay holds model {}", ready.model_id.hex())
        logger.info("Replay ready after {:.1f} s: {}, reward {}", ready.seconds, self._manifest.name,
                    ready.reward_identity[:12])  # fmt: skip
        return ready

    async def _first_contact(self) -> bytes:
        async for _ in self._chain.heads:
            try:
                return await self._chain.genesis()
            except ChainAway as error:
                logger.warning("Waiting for the chain: {}", error)
        raise AssertionError("the heads never end")

    async def _newest_block(self) -> int:
        return (await self._chain.head()).number

    # The block loop

    async def _follow_chain(self, rounds: Rounds, publisher: Publisher | None) -> None:
        block_time = 0.0
        async for head in self._chain.heads:
            self._now.head, self._now.head_at = head, time.monotonic()
            self._metrics.set("block", head.number)
            try:
                block_time = block_time or await self._chain.block_time()
                if await self._membership.on_head(head) and publisher is not None:
                    await publisher.on_snapshot(self._membership.me, head.number)
                await self._clock.on_head(head, block_time)
                await self._watch_epoch(head)
                snapshot = self._membership.snapshot
                assert snapshot is not None
                may_ask = self._may_ask(head) and not self._supervisor.stopping
                await rounds.on_head(head, snapshot, block_time, may_ask=may_ask and not self._clock.trouble)
                if may_ask:
                    if self._now.blind < BLIND_ROUNDS and not self._replay.trouble:
                        self._weights.on_head(head, snapshot, rounds.book)
                    self._ledger.on_head(head)
                    if self._config.validator.peers:
                        self._peers.on_head(head, snapshot)
                self._now.trouble = ""
            except (ChainAway, ChainRejected) as error:
                logger.warning("Block {}: {}", head.number, error)
            except DiskFull as error:
                self._now.trouble = str(error)
                logger.error("Block {}: {}; nothing is asked meanwhile", head.number, error)

    def _may_ask(self, head: Head) -> bool:
        me = self._membership.me
        if me is None:
            return False
        if not me.validator_permit and head.number >= self._now.reminded + PERMIT_REMINDER_BLOCKS:
            self._now.reminded = head.number
            logger.warning(
                "No validator permit yet: miners will not answer. It is given at an epoch to the largest stakes "
                "(ours: {:.3f} alpha)", me.stake,
            )  # fmt: skip
        return me.validator_permit

    async def _watch_epoch(self, head: Head) -> None:
        """Reads the epoch once it may have changed, and keeps the incentives that it gave."""
        known = self._now.epoch
        if known is not None and known.next_block is not None and head.number < known.next_block:
            return
        self._now.epoch = epoch = await self._chain.epoch(self._config.netuid)
        snapshot = self._membership.snapshot
        if known is not None and epoch.last_block != known.last_block and snapshot is not None:
            self._store.record_incentives(epoch.last_block, {n.uid: n.incentive for n in snapshot.neurons})
            shown = ", ".join(f"{n.uid}: {n.incentive:.3f}" for n in snapshot.neurons if n.incentive)
            logger.info("Epoch at block {}: incentives {}", epoch.last_block, shown or "none")

    # What rounds ask for

    def _bench(self) -> Bench:
        me = self._membership.me
        return Bench(
            bytes(self._hotkey.public_key), int(me.stake * 1e9) if me else 0, self._profile, self._policy, self._rules,
            self._config.validator.gates,
        )  # fmt: skip

    def _rate_of(self, hotkey: str) -> int:
        """How often this miner's next answers are checked, in millionths: more while it is new, suspected or rich."""
        miner = self._store.miners().get(hotkey)
        if miner is None or (miner.standing and check_always(standing_of(miner))):
            return EVERYTHING
        if self._now.head is not None and miner.suspected_until > self._now.head.number:
            return EVERYTHING
        tokens = TestState.from_json(miner.test).tokens if miner.test else 0
        snapshot = self._membership.snapshot
        uid = snapshot.uids.get(hotkey) if snapshot is not None else None
        earning = [share for share in self._weights.shares.values() if share > 0]
        share = self._weights.shares.get(uid, 0.0) * len(earning) if uid is not None else 0.0
        return checking_rate(round(self._config.validator.check_rate * EVERYTHING), tokens, None, share)

    def _settled(self, report: Report) -> None:
        rounds, snapshot = self._rounds, self._membership.snapshot
        assert rounds is not None
        self._now.round, self._now.round_s = report.round.id, report.seconds
        logger.info(
            "Round {}: {} of {} answered, {} replayed ({} tokens), {} abstained, {:.1f} s{}", report.round.id,
            report.answered, report.asked, report.replayed, report.tokens, report.abstained, report.seconds,
            f", accused: {', '.join(h[:8] for h in report.accused)}" if report.accused else "",
        )  # fmt: skip
        if report.replayed:
            self._now.blind = 0
        elif report.abstained:
            self._now.blind += 1
            if self._now.blind == BLIND_ROUNDS:
                logger.error("The replay has failed for {} rounds: no weights are set until it works", BLIND_ROUNDS)
        record_round(self._metrics, report, self._replay, self._store.gate_counts())
        if snapshot is None or self._now.head is None:
            return
        block = self._now.head.number
        self._teller.tell(
            report.hotkeys, snapshot, rounds.book, self._weights.shares, self._profile, self._rules, block
        )
        status = snapshot_of(self._view())
        rows = [dataclasses.asdict(dataclasses.replace(m, history=())) for m in status.miners]
        if self._config.metrics.jsonl:
            self._lines.write(
                {
                    "at": time.time(), "block": block, "round": report.round.id, "seconds": report.seconds,
                    "asked": report.asked, "answered": report.answered, "replayed": report.replayed,
                    "tokens": report.tokens, "abstained": report.abstained, "accused": report.accused, "miners": rows,
                }
            )  # fmt: skip
        self._wandb.log(
            {"block": block, "round": report.round.id, "round_s": report.seconds, "replayed_tokens": report.tokens},
            {"miners": rows},
        )
        self._store.update_miners((), meta={META_UIDS: json.dumps(snapshot.uids)})
        if report.round.id % 100 == 0:
            self._store.prune(keep_rounds=1000)

    # Pages

    def _view(self) -> View:
        snapshot, rounds = self._membership.snapshot, self._rounds
        assert snapshot is not None and rounds is not None
        return View(
            validator=self._hotkey.ss58_address, subnet=snapshot, epoch=self._now.epoch,
            block=self._now.head.number if self._now.head else snapshot.block, weights_block=self._weights.last_block,
            round=self._now.round, round_s=self._now.round_s, miners=self._store.miners(), book=rounds.book,
            rules=self._rules, shares=self._weights.shares, profile=self._profile,
            incentives=self._store.incentives(SHOWN_EPOCHS),
            ledger=self._store.ledger_tail(SHOWN_ENTRIES, EntryKind.ROUND),
            bundles=frozenset(bundle.digest for bundle in self._store.bundles()),
        )  # fmt: skip

    def _routes(self) -> list[BaseRoute]:
        page = Source("this validator", self._status, self._bundle)
        return [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics_page),
            Route("/snapshot.json", self._snapshot_page),
            Route("/bundle/{digest}", self._bundle_page),
            Route("/v1/chat/completions", self._organic_page, methods=["POST"]),
            Mount("/", app=app([page], allowed_hosts=(*LOCAL_HOSTS, self._config.http.ip))),
        ]

    async def _status(self) -> StatusSnapshot:
        if self._rounds is None or self._membership.snapshot is None:
            raise SourceUnavailable("the validator is starting")
        return snapshot_of(self._view())

    async def _bundle(self, digest: str) -> bytes | None:
        path = find_bundle(self._folder / "bundles", digest)
        return None if path is None else await asyncio.to_thread(path.read_bytes)

    async def _healthz(self, request: Request) -> Response:
        return JSONResponse(
            {"ok": True, "role": "validator", "block": self._now.head.number if self._now.head else None}
        )

    async def _readyz(self, request: Request) -> Response:
        reasons = list(self._unready())
        return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    def _unready(self) -> Iterator[str]:
        if self._rounds is None:
            yield "starting"
            return
        head, role = self._now.head, self._config.validator
        if head is None or time.monotonic() - self._now.head_at > STALE_HEAD_S:
            yield "no block from the chain"
        if self._membership.me is None:
            yield "the hotkey is not registered"
        elif not self._membership.me.validator_permit:
            yield "no validator permit"
        if self._weights.last_block is None:
            yield "no weights set yet"
        elif head is not None and head.number - self._weights.last_block > role.ready_blocks:
            yield f"weights were last set at block {self._weights.last_block}, the chain is at {head.number}"
        if self._now.blind >= BLIND_ROUNDS:
            yield f"nothing could be replayed in the last {self._now.blind} rounds, so no weights are set; see the log"
        if self._replay.trouble:
            yield f"our own replay is broken, so nobody is judged and no weights are set: {self._replay.trouble}"
        if self._now.trouble:
            yield self._now.trouble
        if self._clock.trouble:
            yield f"{self._clock.trouble}, so nothing is asked"
        if self._supervisor.stopping:
            yield "shutting down"

    async def _metrics_page(self, request: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")

    async def _snapshot_page(self, request: Request) -> Response:
        if self._rounds is None or self._membership.snapshot is None:
            return JSONResponse({"error": "starting"}, 503)
        return Response(snapshot_of(self._view()).to_json(), media_type="application/json")

    async def _organic_page(self, request: Request) -> Response:
        if self._rounds is None or self._supervisor.stopping:
            doing = "stopping" if self._supervisor.stopping else "starting"
            return JSONResponse({"error": {"message": f"the validator is {doing}", "type": "assay"}}, 503)
        return await self._organic.serve(request, self._rounds.organic)

    async def _bundle_page(self, request: Request) -> Response:
        path = find_bundle(self._folder / "bundles", request.path_params["digest"])
        if path is None:
            return JSONResponse({"error": "there is no such bundle"}, 404)
        return FileResponse(path, media_type="application/octet-stream", filename=path.name)
