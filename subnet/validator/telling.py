"""Tells miners how they stand: score, weight, checks, evidence and every reason, signed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable

from loguru import logger

from reward import ScoreBook, ScoringRules
from subnet.chain import MetagraphSnapshot
from subnet.evidence.slashing import Reason, check_always
from subnet.protocol import Reason as ReasonCount
from subnet.protocol import SignedStanding, Signer, Standing, public_key, sign_standing
from subnet.protocol.limits import PROTOCOL_VERSION
from subnet.transport.dendrite import Dendrite
from subnet.validator.asking import peer_of
from subnet.validator.judge import is_out, standing_of, test_accuses
from subnet.validator.questions import Network
from subnet.validator.state import Store
from subnet.validator.values import Miner
from subnet.verify.detector import TestState
from subnet.verify.profile import ToleranceProfile

WINDOW = 200
SEND_S = 5.0
AT_ONCE = 32


def state_of(miner: Miner) -> str:
    """One of the protocol's words: active, probation, accused, unverified."""
    if is_out(miner) or test_accuses(miner):
        return "accused"
    if miner.standing and check_always(standing_of(miner)):
        return "probation"
    return "active" if miner.checks else "unverified"


def standing_message(
    miner: Miner, network: Network, block: int, score: float, weight: float, profile: ToleranceProfile,
    reasons: dict[Reason, int],
) -> Standing:  # fmt: skip
    """What the miner is told."""
    test = TestState.from_json(miner.test) if miner.test else None
    if test_accuses(miner):
        reasons = {**reasons, Reason.ACCUSED: 1}
    elif miner.reason is not None and not miner.reason.is_service_fault:
        reasons = {**reasons, miner.reason: max(1, reasons.get(miner.reason, 0))}
    evidence = max(test.evidence(profile), 1.0) if test is not None and test.profile == profile.digest() else 1.0
    return Standing(
        version=PROTOCOL_VERSION, genesis=network.genesis, netuid=network.netuid, validator=network.validator,
        miner=public_key(miner.hotkey), block=block, state=state_of(miner), score_ppm=round(1e6 * min(1.0, score)),
        weight_ppm=round(1e6 * min(1.0, weight)), requests=miner.requests, verified=miner.checks,
        verified_tokens=test.tokens if test is not None else 0, evidence_milli=round(1000 * math.log(evidence)),
        threshold_milli=round(1000 * math.log(profile.threshold)),
        reasons=tuple(ReasonCount(reason.name.lower(), count) for reason, count in sorted(reasons.items())),
    )  # fmt: skip


class Teller:
    """Sends standings in the background, some at a time. A miner that cannot be told is not told again this time."""

    def __init__(self, dendrite: Dendrite, store: Store, network: Network, signer: Signer) -> None:
        self._dendrite, self._store, self._network, self._signer = dendrite, store, network, signer
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task] = set()

    def tell(
        self, hotkeys: Iterable[str], snapshot: MetagraphSnapshot, book: ScoreBook, shares: dict[int, float],
        profile: ToleranceProfile, rules: ScoringRules, block: int,
    ) -> None:  # fmt: skip
        miners = self._store.miners()
        for hotkey in hotkeys:
            neuron, miner = snapshot.by_hotkey(hotkey), miners.get(hotkey)
            if neuron is None or neuron.axon is None or miner is None:
                continue
            message = standing_message(
                miner, self._network, block, book.standing(hotkey, rules).payable, shares.get(neuron.uid, 0.0), profile,
                self._store.reasons(hotkey, WINDOW),
            )  # fmt: skip
            signed = sign_standing(message, self._signer)
            task = asyncio.create_task(self._send(hotkey, neuron.axon, signed), name="standing")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, hotkey: str, endpoint, signed: SignedStanding) -> None:
        async with self._slots:
            outcome = await self._dendrite.send_standing(peer_of(hotkey, endpoint), signed, seconds=SEND_S)
        if not outcome.ok:
            logger.trace("{} was not told its standing: {}", hotkey[:8], outcome.detail)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
