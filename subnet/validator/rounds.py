"""Rounds: ask, fix the answers, wait for the block that selects, replay, settle. Several are under way at once.

Each step ends in a transaction, and each can be taken up again from what is stored: a killed validator resumes every
round where it stood. Rounds settle in their order, so that tests and scores see the same sequence on every run.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from loguru import logger

from reward import Sample, ScoreBook
from reward.prompts import TrafficProfile
from subnet.chain import Chain, ChainAway, ChainRejected, Head, MetagraphSnapshot, Neuron
from subnet.config.tree import ValidatorRole
from subnet.errors import StateError
from subnet.evidence.ledger import NOBODY, Entry, EntryKind
from subnet.evidence.rounds import RoundCommitment, round_leaf, sign_round
from subnet.evidence.selection import CheckPlan
from subnet.evidence.slashing import Reason
from subnet.protocol import Signer, merkle, public_key
from subnet.protocol.limits import PROTOCOL_VERSION
from subnet.validator import scorebook
from subnet.validator.asking import Asker, Failure
from subnet.validator.chains import place
from subnet.validator.judge import Bench, Case, is_out, judge, rescore
from subnet.validator.prompting import series_of_round
from subnet.validator.punishing import Punisher
from subnet.validator.questions import Network, Question, Tokenize, addressed, choose, synthetic
from subnet.validator.replay_client import ReplayClient
from subnet.validator.replayer import Examined, Examinee
from subnet.validator.state import Store
from subnet.validator.values import (
    Exchange,
    Miner,
    MinerChain,
    Phase,
    Placed,
    Round,
    Settlement,
    Status,
)

ORGANIC_TRIES = 4
MAX_PACE = 16
"""How many times slower than configured rounds may get while most answers are late."""


@dataclass(frozen=True, slots=True)
class Report:
    """A settled round, for logs, metrics and the miners that are told."""

    round: Round
    seconds: float
    asked: int
    answered: int
    replayed: int
    tokens: int
    abstained: int
    accused: tuple[str, ...]
    hotkeys: tuple[str, ...]


class Rounds:
    """Runs rounds. `bench` and `rate_of` are asked for at each use: stake, policy and rates change with the chain."""

    def __init__(
        self, *, role: ValidatorRole, chain: Chain, store: Store, asker: Asker, replay: ReplayClient,
        punisher: Punisher, network: Network, signer: Signer, tokenize: Tokenize, bench: Callable[[], Bench],
        rate_of: Callable[[str], int], on_settled: Callable[[Report], None], profile: Callable[[], TrafficProfile],
    ) -> None:  # fmt: skip
        self._role, self._chain, self._store, self._asker = role, chain, store, asker
        self._replay, self._punisher, self._network, self._signer = replay, punisher, network, signer
        self._tokenize, self._bench, self._rate_of, self._on_settled = tokenize, bench, rate_of, on_settled
        self._profile = profile
        self._snapshot: MetagraphSnapshot | None = None
        self._block_time = 12.0
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._asking: set[int] = set()
        self._absent: dict[int, tuple[str, ...]] = {}
        self._next_open = 0
        self._pace = 1
        self._interrupted = True  # the first head takes up what an earlier process left
        self.broken: BaseException | None = None

    @property
    def book(self) -> ScoreBook:
        """The scores as the last settled round, and every punishment since, left them."""
        return self._punisher.book

    @property
    def open(self) -> int:
        return len(self._tasks)

    async def on_head(self, head: Head, snapshot: MetagraphSnapshot, block_time: float, *, may_ask: bool) -> None:
        """Takes up interrupted rounds, opens a new one when it is due, and lets time pass for slashed miners."""
        self._snapshot, self._block_time = snapshot, block_time
        self._asker.forget_all_but(snapshot.uids.keys())
        if self.broken is not None:
            raise self.broken
        if self._interrupted and not self._tasks:
            self._interrupted = False
            self._resume()
        self._punisher.pass_time(head.number)
        if may_ask and head.number >= self._next_open and len(self._tasks) < self._role.open_rounds:
            # Heads that waited on the road are old: a request must name a block that is new to its miner.
            newest = await self._chain.head()
            self._next_open = newest.number + self._role.round_blocks * self._pace
            await self._open(newest, snapshot)

    def _resume(self) -> None:
        """Takes up every unsettled round of an earlier process, or of before the disk was full."""
        for opened in self._store.unsettled():
            if opened.id not in self._tasks and opened.id not in self._asking:
                logger.info("Resuming round {} ({})", opened.id, opened.phase.name.lower())
                exchanges = tuple(
                    replace(e, timed=False) if e.status is Status.ASKED else e for e in self._store.exchanges(opened.id)
                )
                self._start(opened, exchanges)

    async def drain(self, deadline_s: float) -> None:
        """Waits for the rounds under way; what is left is taken up by the next start."""
        if self._tasks:
            await asyncio.wait(set(self._tasks.values()), timeout=deadline_s)
        for task in self._tasks.values():
            task.cancel()

    # Opening and asking

    async def _open(self, head: Head, snapshot: MetagraphSnapshot) -> None:
        number, role = self._store.next_round(), self._role
        series = series_of_round(self._store, self._network.validator, number, head.number, self._profile)
        seed = series.seed(head.hash, self._network.validator)
        questions = synthetic(
            number, seed, max(role.requests, role.max_requests), self._tokenize, prompt_tokens=role.prompt_tokens,
            max_tokens=role.max_tokens, profile=series.profile,
        )  # fmt: skip
        neurons = self._candidates(snapshot, number)
        chains = await self._asker.shake_hands(neurons, len(questions))
        wait = math.ceil(role.request_timeout_s / self._block_time) + role.select_after_blocks
        opened = Round(number, Phase.ASKING, head.number, head.number + wait, series.secret.value, time.time())
        ready = {hotkey: chain for hotkey, chain in chains.items() if isinstance(chain, MinerChain)}
        asked = [
            item
            for hotkey, chain in ready.items()
            for item in self._asks(
                opened, hotkey, chain, questions[: self._asker.load(hotkey, role.requests, role.max_requests)], head
            )
        ]
        known = self._store.miners()
        self._absent[number] = tuple(
            hotkey
            for hotkey, failure in chains.items()
            if isinstance(failure, Failure) and failure.status is Status.FAULTY and hotkey in known
        )
        if not asked:
            logger.debug("Block {}: nobody to ask", head.number)
            return
        exchanges = self._store.begin_round(opened, asked)
        logger.debug("Round {} makes {} requests of {} miners", number, len(asked), len(ready))
        self._start(opened, exchanges)

    async def organic(self, question: Question) -> Exchange:
        """Asks one miner a real question at once, in a round of its own; the rest of the round goes on behind it.

        Raises ChainAway without a block or a miner to ask.
        """
        head, snapshot = self._chain.heads.latest, self._snapshot
        if head is None or snapshot is None:
            raise ChainAway("no block from the chain yet")
        neurons = self._candidates(snapshot, self._store.next_round())
        secrets.SystemRandom().shuffle(neurons)
        for neuron in neurons[:ORGANIC_TRIES]:
            chain = (await self._asker.shake_hands([neuron], 1)).get(neuron.hotkey)
            if not isinstance(chain, MinerChain):
                continue
            wait = math.ceil(self._role.request_timeout_s / self._block_time) + self._role.select_after_blocks
            number = self._store.next_round()
            opened = Round(number, Phase.ASKING, head.number, head.number + wait, secrets.token_bytes(32), time.time())
            asked = list(self._asks(opened, neuron.hotkey, chain, [question], head))
            exchanges = self._store.begin_round(opened, asked)
            self._asking.add(number)
            try:
                await self._ask_all(exchanges)
                answered = self._store.exchanges(number)
                self._start(opened, answered)
            finally:
                self._asking.discard(number)
            return answered[0]
        raise ChainAway("no miner shakes hands now")

    def _candidates(self, snapshot: MetagraphSnapshot, number: int) -> list[Neuron]:
        mine = self._signer.ss58_address
        miners = self._store.miners()
        serving = {
            n.hotkey: n
            for n in snapshot.neurons
            if n.axon is not None and n.hotkey != mine and not (n.hotkey in miners and is_out(miners[n.hotkey]))
        }
        return [serving[hotkey] for hotkey in choose(list(serving), number, self._role.sample)]

    def _asks(self, opened: Round, hotkey: str, chain: MinerChain, questions: Sequence[Question], head: Head):
        rate = self._rate_of(hotkey)
        for index, question in enumerate(questions):
            yield addressed(
                question, self._network, round_number=opened.id, miner=hotkey,
                miner_key=public_key(hotkey), beacon=(head.number, head.hash), nonce=secrets.token_bytes(32),
                epoch=chain.epoch, counter=chain.next_counter + index,
                plan=CheckPlan(opened.check_block, rate, secrets.token_bytes(32)),
            )  # fmt: skip

    def _start(self, opened: Round, exchanges: tuple[Exchange, ...]) -> None:
        before = tuple(self._tasks.values())
        task = asyncio.create_task(self._run(opened, exchanges, before), name=f"round-{opened.id}")
        self._tasks[opened.id] = task
        task.add_done_callback(lambda done: self._ended(opened.id, done))

    def _ended(self, number: int, task: asyncio.Task[None]) -> None:
        self._tasks.pop(number, None)
        self._absent.pop(number, None)
        if task.cancelled() or task.exception() is None:
            return
        error = task.exception()
        if isinstance(error, (StateError, ChainAway, ChainRejected)):
            logger.error("Round {} is interrupted and will be taken up again: {}", number, error)
            self._interrupted = True
        else:
            self.broken = error

    async def _run(self, opened: Round, exchanges: tuple[Exchange, ...], before: tuple[asyncio.Task, ...]) -> None:
        began = time.monotonic()
        if opened.phase is Phase.ASKING:
            await self._ask_all(exchanges)
            opened = self._close(opened)
        if before:
            await asyncio.wait(before)
        select_hash = await self._select_hash(opened)
        await self._settle(opened, select_hash, began)

    async def _ask_all(self, exchanges: Sequence[Exchange]) -> None:
        """All requests of the round at once: many hotkeys on one machine share its speed."""
        assert self._snapshot is not None
        asking = []
        for exchange in exchanges:
            if exchange.status is not Status.ASKED:
                continue
            neuron = self._snapshot.by_hotkey(exchange.miner)
            chain = self._store.chain(exchange.miner, exchange.asked.request.epoch)
            if neuron is None or neuron.axon is None or chain is None:
                self._store.record_failure(exchange.id, Status.OURS, None, "the miner left the subnet")
                continue
            asking.append(self._asker.ask(exchange, neuron.axon, chain, self._role.request_timeout_s))
        await asyncio.gather(*asking)

    def _close(self, opened: Round) -> Round:
        """Fixes the answers under a root before the block that selects exists."""
        answered = [e for e in self._store.exchanges(opened.id) if e.response is not None]
        links = [e.response.link for e in answered if e.response is not None]
        head = self._chain.heads.latest
        commitment = RoundCommitment(
            PROTOCOL_VERSION, self._network.genesis, self._network.netuid, self._network.validator, opened.id,
            merkle.root([round_leaf(link) for link in links]), len(links), head.number if head else opened.opened_block,
        )  # fmt: skip
        signed = sign_round(commitment, self._signer)
        entry = Entry(EntryKind.ROUND, commitment.block, NOBODY, self._network.validator, commitment.digest)
        self._store.close_round(opened.id, signed, {e.id: leaf for leaf, e in enumerate(answered)}, entry)
        return replace(opened, phase=Phase.CLOSED, commitment=signed)

    async def _select_hash(self, opened: Round) -> bytes:
        """The hash of the block that selects, once it exists; waits out a chain that is away."""
        after = opened.check_block - 1
        while True:
            head = await self._chain.heads.after(after)
            try:
                return await self._chain.block_hash(opened.check_block)
            except (ChainAway, ChainRejected) as error:  # a node behind another one knows no such block yet
                logger.warning("Round {} waits for the hash of block {}: {}", opened.id, opened.check_block, error)
                after = head.number

    # Settling

    async def _settle(self, opened: Round, select_hash: bytes, began: float) -> None:
        placed, chains, cases = await self._cases(opened, select_hash)
        replayed = await self._examine(cases, scored_of(cases, select_hash, self._role.scored))
        bench, head = self._bench(), self._chain.heads.latest
        block = head.number if head else opened.check_block
        cases = [replace(case, examined=replayed.get(case.exchange.id)) for case in cases]
        miners = self._store.miners()
        judgement = judge(cases, opened.id, miners, bench, block)
        samples = self._fair(judgement.samples, self._absent.get(opened.id, ()), opened)
        known = {**miners, **judgement.miners}
        book, rescored = rescore(self.book, samples, known, bench.rules)
        changed = {h: replace(known[h], score=m.score) if h in known else m for h, m in rescored.items()}
        seconds = time.monotonic() - began
        self._store.settle(
            Settlement(
                opened.id, select_hash, seconds, judgement.judged, tuple({**judgement.miners, **changed}.values()),
                tuple(chains), tuple(placed), gates=judgement.gates, meta=scorebook.meta_of(book),
            )
        )  # fmt: skip
        self._punisher.book = book
        self._adjust_pace(cases, opened.id)
        for event in judgement.gates:
            logger.warning("Gate {} ({}): {} at block {}", event.gate, event.mode.value, event.miner, event.block)
        accused = self._punisher.accuse(judgement.accused, block)
        verdicts = [row for row in judgement.judged if row.selected]
        self._on_settled(
            Report(
                opened, seconds, sum(c.exchange.asked.round == opened.id for c in cases),
                sum(c.exchange.response is not None for c in cases), sum(row.records is not None for row in verdicts),
                sum(row.checked for row in verdicts), sum(row.records is None for row in verdicts), accused,
                tuple(sorted({c.exchange.miner for c in cases})),
            )
        )  # fmt: skip

    async def _cases(self, opened: Round, select_hash: bytes) -> tuple[list[Placed], list[MinerChain], list[Case]]:
        """This round's exchanges, and late answers of earlier ones, in the order of each miner's chain."""
        exchanges = self._store.exchanges(opened.id)
        placed: list[Placed] = []
        chains: list[MinerChain] = []
        broken: set[int] = set()
        for miner, epoch in sorted({(e.miner, e.asked.request.epoch) for e in exchanges}):
            chain, places, bad = await self._place(miner, epoch)
            chains.append(chain)
            placed.extend(places)
            broken.update(e.id for e in bad)
        own = {e.id for e in exchanges}
        late = [e for chain in chains for e in self._late(chain, opened.id) if e.id not in own]
        position = {p.exchange: p.position for p in placed}
        everything = [*self._store.exchanges(opened.id), *late]
        everything.sort(key=lambda e: (e.miner, e.position if e.position is not None else position.get(e.id, -1), e.id))
        cases = []
        for exchange in everything:
            block = exchange.asked.plan.block
            decided = select_hash if block == opened.check_block else await self._chain.block_hash(block)
            selected = exchange.response is not None and exchange.asked.plan.selects(decided, exchange.asked.request)
            cases.append(Case(exchange, selected, None, exchange.id in broken))
        return placed, chains, cases

    def _late(self, chain: MinerChain, round_number: int) -> list[Exchange]:
        """Answers of settled rounds that came on asking again, and were never judged."""
        return [e for e in self._store.unjudged(chain.miner, chain.epoch) if e.asked.round < round_number]

    async def _place(self, miner: str, epoch: int):
        chain = self._store.chain(miner, epoch)
        assert chain is not None
        answered = self._store.unplaced(miner, epoch)
        result = place(chain, answered, some_lost=True)
        if result[0].piece == chain.piece:
            return result
        newest = max(e.asked.request.counter for e in answered)
        lost = [e for e in self._store.unanswered(miner, epoch) if e.asked.request.counter < newest]
        neuron = self._snapshot.by_hotkey(miner) if self._snapshot is not None else None
        if lost and neuron is not None and neuron.axon is not None:
            came = await self._asker.recover(lost[-8:], neuron.axon, chain)
            logger.debug("{} of {} lost answers of {} came on asking again", came, len(lost), miner[:8])
        return place(chain, self._store.unplaced(miner, epoch), some_lost=bool(lost))

    async def _examine(self, cases: Sequence[Case], scored: frozenset[int]) -> dict[int, Examined]:
        items: dict[int, Examinee] = {}
        for case in cases:
            if case.broken_chain or not (case.exchange.response or (case.exchange.prefix and case.exchange.opened)):
                continue
            items[case.exchange.id] = examinee(case, case.exchange.id in scored)
        found = await self._replay.examine(
            list(items.values()), batch=self._role.replay_batch, deadline_s=self._role.replay_timeout_s
        )
        return dict(zip(items, found, strict=True))

    def _fair(self, samples: tuple[Sample, ...], absent: tuple[str, ...], opened: Round) -> tuple[Sample, ...]:
        """The samples with those that did not shake hands; none at all where nobody answered, which looks like us."""
        missing = [Sample(hotkey, f"{opened.id}:absent", 1 + self._role.max_tokens, False) for hotkey in absent]
        together = (*samples, *missing)
        if len({s.hotkey for s in together}) > 1 and not any(s.answered for s in together):
            logger.warning("Round {}: not one of {} miners answered; this counts as our failure", opened.id,
                           len({s.hotkey for s in together}))  # fmt: skip
            return ()
        return together

    def _adjust_pace(self, cases: Sequence[Case], number: int) -> None:
        """Asks less often while most answers are late, as configured again once they come: load must not pile up."""
        own = [case.exchange for case in cases if case.exchange.asked.round == number]
        late = sum(exchange.reason is Reason.LATE for exchange in own)
        before = self._pace
        self._pace = min(2 * self._pace, MAX_PACE) if 2 * late > len(own) else max(1, self._pace // 2)
        if self._pace > before:
            logger.warning("Most answers of round {} were late: a round every {} blocks from now on", number,
                           self._pace * self._role.round_blocks)  # fmt: skip

    def known_miners(self) -> Mapping[str, Miner]:
        return self._store.miners()


def scored_of(cases: Sequence[Case], select_hash: bytes, most: int) -> frozenset[int]:
    """The exchanges whose quality is scored: at most so many answers of a miner, chosen by a block that came after."""
    chosen: set[int] = set()
    answers: dict[str, list[tuple[bytes, int]]] = {}
    for case in cases:
        if case.exchange.response is not None:
            lot = hashlib.sha256(select_hash + case.exchange.response.link).digest()
            answers.setdefault(case.exchange.miner, []).append((lot, case.exchange.id))
    for lots in answers.values():
        chosen.update(number for _, number in sorted(lots)[:most])
    return frozenset(chosen)


def examinee(case: Case, score: bool) -> Examinee:
    """An answer as it is, or what was streamed of one that never came."""
    from subnet.protocol import derive_seed

    exchange, request = case.exchange, case.exchange.asked.request
    common = (request.temperature_milli, request.min_p_ppm, request.max_tokens)
    if exchange.response is None:
        assert exchange.opened is not None
        seed = derive_seed(request.digest, exchange.opened)
        return Examinee(
            request.prompt, exchange.prefix, seed, *common, "length", "", exchange.asked.conversation, replay=True,
            score=False, partial=True,
        )  # fmt: skip
    body = exchange.response.body
    return Examinee(
        request.prompt, body.tokens, derive_seed(request.digest, body.secret), *common, body.finish, body.text,
        exchange.asked.conversation, case.selected, score,
    )  # fmt: skip
