"""Asks miners: handshakes before the clock runs, then all requests of a round at once; every end has a typed reason."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from loguru import logger

from subnet.chain import ChainAway, ChainRejected
from subnet.chain.values import Endpoint, Neuron
from subnet.evidence.slashing import Reason
from subnet.protocol import Hello, SignedCommitment, public_key
from subnet.protocol.limits import SUPPORTED_VERSIONS
from subnet.transport.dendrite import Answer, Dendrite, Peer
from subnet.transport.outcomes import Outcome, Result
from subnet.validator.questions import Network
from subnet.validator.state import Store
from subnet.validator.suspicion import contradicts
from subnet.validator.values import Exchange, MinerChain, Status, Times

HELLO_S = 5.0
RECOVER_S = 5.0
ATTEMPTS = 2
RETRIED = (Result.DROPPED, Result.UNREACHABLE)

_FAULT_REASONS = {"unknown_model": Reason.WRONG_MODEL, "unknown_epoch": Reason.OFFLINE, "timeout": Reason.LATE}
_RESULT_REASONS = {
    Result.TIMEOUT: Reason.LATE,
    Result.UNREACHABLE: Reason.OFFLINE,
    Result.ADDRESS_REFUSED: Reason.OFFLINE,
    Result.DROPPED: Reason.DROPPED,
    Result.REDIRECTED: Reason.MALFORMED,
    Result.TOO_LARGE: Reason.MALFORMED,
    Result.MALFORMED: Reason.MALFORMED,
    Result.BAD_SIGNATURE: Reason.BAD_SIGNATURE,
    Result.MISMATCH: Reason.WRONG_REQUEST,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request has no usable answer."""

    status: Status
    reason: Reason | None
    detail: str
    prefix: tuple[int, ...] = ()
    opened: bytes | None = None


def failure_of(outcome: Outcome) -> Failure:
    """The failure behind an outcome that is not OK. Ours where it was ours, a fault of service otherwise."""
    if outcome.result is Result.OUR_FAILURE:
        return Failure(Status.OURS, None, outcome.detail)
    if outcome.result is Result.FAULT and outcome.fault is not None:
        code = outcome.fault.code
        return Failure(
            Status.FAULTY, _FAULT_REASONS.get(code, Reason.REFUSED), f"{code}: {outcome.detail}", outcome.prefix,
            outcome.opened,
        )  # fmt: skip
    reason = _RESULT_REASONS[outcome.result]
    if outcome.result is Result.MISMATCH and "secret" in outcome.detail:
        reason = Reason.BAD_SECRET
    elif outcome.result is Result.MISMATCH and "tokens" in outcome.detail:
        reason = Reason.BAD_LENGTH
    elif outcome.result is Result.MISMATCH and "streamed" in outcome.detail:
        reason = Reason.BAD_TEXT
    return Failure(Status.FAULTY, reason, outcome.detail, outcome.prefix, outcome.opened)


def peer_of(hotkey: str, endpoint: Endpoint) -> Peer:
    return Peer(public_key(hotkey), endpoint.ip, endpoint.port, endpoint.certificate)


class Asker:
    """Keeps handshakes and sends requests. One for the life of the validator."""

    def __init__(
        self, dendrite: Dendrite, network: Network, store: Store, clock_doubtful: Callable[[], bool] = lambda: False,
        newest_block: Callable[[], Awaitable[int]] | None = None,
    ) -> None:  # fmt: skip
        """What may make a request stale through us: `clock_doubtful` says whether our clock may, and `newest_block`,
        asked of the chain, whether our view of the chain was behind."""
        self._dendrite, self._network, self._store = dendrite, network, store
        self._clock_doubtful, self._newest_block = clock_doubtful, newest_block
        self._handshakes: dict[str, tuple[Endpoint, SignedCommitment, int]] = {}
        self._offers: dict[str, int] = {}
        self._no_miners: dict[str, Endpoint] = {}

    def forget_all_but(self, hotkeys: Collection[str]) -> None:
        """Drops what is known about hotkeys that left the subnet."""
        for known in (self._handshakes, self._no_miners, self._offers):
            for hotkey in known.keys() - set(hotkeys):
                del known[hotkey]

    def load(self, hotkey: str, least: int, most: int) -> int:
        """How many requests to make of a miner at once: as many as it offered to work on, within these bounds."""
        return max(least, min(self._offers.get(hotkey, least), most))

    async def shake_hands(self, neurons: Sequence[Neuron], count: int) -> dict[str, MinerChain | Failure]:
        """A chain with room for `count` requests for every miner, all at once; a failure where there is none."""
        found = await asyncio.gather(*(self._chain_of(neuron, count) for neuron in neurons))
        return {n.hotkey: chain for n, chain in zip(neurons, found, strict=True) if chain is not None}

    async def _chain_of(self, neuron: Neuron, count: int) -> MinerChain | Failure | None:
        """None for a neuron that is no miner (a validator's endpoint answers no handshake)."""
        endpoint = neuron.axon
        if endpoint is None or self._no_miners.get(neuron.hotkey) == endpoint:
            return None
        known = self._handshakes.get(neuron.hotkey)
        if known is not None and known[0] == endpoint:
            chain = self._store.open_chain(neuron.hotkey, known[1])
            if chain.next_counter + count <= known[2]:
                return chain
        hello = Hello(SUPPORTED_VERSIONS, self._network.genesis, self._network.netuid)
        outcome = await self._dendrite.hello(peer_of(neuron.hotkey, endpoint), hello, seconds=HELLO_S)
        if outcome.value is None:
            if outcome.status == 404:
                self._no_miners[neuron.hotkey] = endpoint
                return None
            return self._failure_of(outcome)
        capabilities = outcome.value.capabilities
        if self._network.model_id not in {offer.model_id for offer in capabilities.models}:
            return Failure(Status.FAULTY, Reason.WRONG_MODEL, "the miner does not offer this model")
        handshake = capabilities.handshake
        self._offers[neuron.hotkey] = capabilities.concurrency
        self._handshakes[neuron.hotkey] = (endpoint, handshake, handshake.commitment.size)
        chain = self._store.open_chain(neuron.hotkey, handshake)
        if chain.next_counter + count > handshake.commitment.size:
            return Failure(Status.OURS, None, "the epoch's secrets are used up; the next handshake opens another")
        return chain

    async def ask(self, exchange: Exchange, endpoint: Endpoint, chain: MinerChain, deadline_s: float) -> bool:
        """Sends one stored request and stores what came of it. True where there is an answer."""
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline_s
        peer, request, commitment = (
            peer_of(exchange.miner, endpoint),
            exchange.asked.request,
            chain.handshake.commitment,
        )
        outcome: Outcome[Answer] | None = None
        first_sent: float | None = None
        prefix: tuple[int, ...] = ()
        opened: bytes | None = None
        for _ in range(ATTEMPTS):
            left = until - loop.time()
            if left <= 0:
                break
            outcome = await self._dendrite.stream(peer, request, commitment, seconds=left)
            first_sent = first_sent or outcome.sent_at
            if len(outcome.prefix) > len(prefix):  # of several attempts the longest is kept
                prefix, opened = outcome.prefix, outcome.opened
            if outcome.ok or outcome.result not in RETRIED:
                break
        assert outcome is not None
        if outcome.value is not None:
            times, response = _times(outcome, first_sent), outcome.value.response
            if not contradicts(prefix, response.body.tokens):
                prefix, opened = (), None
            self._store.record_answer(
                exchange.id, response, times, timed=exchange.timed, prefix=prefix, opened=opened
            )  # fmt: skip
            return True
        failure = self._failure_of(outcome)
        if outcome.fault is not None and outcome.fault.code == "stale_beacon" and await self._too_late(exchange):
            failure = Failure(Status.OURS, None, f"our view of the chain was behind: {failure.detail}", failure.prefix)
        if not exchange.timed:
            # Resumed after our own restart: whatever keeps the miner from answering now is not its fault.
            failure = Failure(Status.OURS, None, f"asked again after a restart: {failure.detail}")
        if outcome.fault is not None and outcome.fault.code in ("unknown_epoch", "epoch_exhausted", "counter_used"):
            self._handshakes.pop(exchange.miner, None)
        logger.debug("Round {}: {} gave no answer: {}", exchange.asked.round, exchange.miner[:8], failure.detail)
        self._store.record_failure(exchange.id, failure.status, failure.reason, failure.detail, prefix, opened)
        return False

    def _failure_of(self, outcome: Outcome) -> Failure:
        """The failure behind an outcome; ours where our own clock may have made the request stale."""
        failure = failure_of(outcome)
        if outcome.fault is not None and outcome.fault.code == "stale" and self._clock_doubtful():
            return Failure(Status.OURS, None, f"our clock: {failure.detail}", failure.prefix)
        return failure

    async def _too_late(self, exchange: Exchange) -> bool:
        """Whether the block that selects exists already. An honest deadline ends before it, so we were late, not the
        miner. A chain that does not say so now leaves it open: ours."""
        if self._newest_block is None:
            return False
        try:
            return await self._newest_block() >= exchange.asked.plan.block
        except (ChainAway, ChainRejected):
            return True

    async def recover(self, exchanges: Sequence[Exchange], endpoint: Endpoint, chain: MinerChain) -> int:
        """Asks again, byte for byte, for answers that close a gap in the chain. Their faults stay. How many came."""

        async def again(exchange: Exchange) -> bool:
            outcome = await self._dendrite.complete(
                peer_of(exchange.miner, endpoint), exchange.asked.request, chain.handshake.commitment, seconds=RECOVER_S
            )
            if outcome.value is not None:
                self._store.record_late(exchange.id, outcome.value.response)
            return outcome.ok

        return sum(await asyncio.gather(*(again(exchange) for exchange in exchanges)))


def _times(outcome: Outcome, first_sent: float | None) -> Times | None:
    """Times from the first socket write on: a retry does not reset the miner's clock."""
    timing, sent = outcome.timing, outcome.sent_at
    if sent is None or timing.total is None or first_sent is None:
        return None
    # The head of an answer can be sent before there is anything in it: what counts is the first token.
    first = outcome.arrivals[0][0] if outcome.arrivals else sent + timing.total
    return Times(first_sent, first, sent + timing.total, outcome.arrivals)
