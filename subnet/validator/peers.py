"""Other validators: their ledgers against the roots they committed on chain, and their bundles against our own replay.

A cheat that one validator caught loses at all of them, and none of them has to be believed: nothing counts here but
what our own replay of the bundle says.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import httpx
from loguru import logger

from subnet.chain import Chain, ChainAway, ChainRejected, Endpoint, Head, Hotkey, MetagraphSnapshot, Neuron
from subnet.config.gates import Mode
from subnet.errors import AssayError, EvidenceError, TransportError
from subnet.evidence.bundle import SignedBundle
from subnet.evidence.check import inspect
from subnet.evidence.ledger import ENTRY_BYTES, Entry, EntryKind, Log, log_of
from subnet.evidence.slashing import Accused, CaseState, Reason, Replayed
from subnet.protocol import public_key, records, ss58_address
from subnet.transport.addresses import require_public
from subnet.validator.accuse import write_bundle
from subnet.validator.judge import standing_of
from subnet.validator.public import PATH_BUNDLE, PATH_LEDGER
from subnet.validator.punishing import Punisher
from subnet.validator.replay_client import ReplayClient, ReplayFailed
from subnet.validator.state import Store
from subnet.validator.values import Bundle, GateEvent, Miner
from subnet.verify.verdict import Verdict

MARK = "assay1"
MAX_BUNDLE_BYTES = 64 << 20
MAX_PAGE_BYTES = 4 << 20
MAX_PAGES = 100
FETCH_S = 20.0
BUNDLES_PER_PASS = 4
"""Bundles of one validator that are fetched and replayed in a pass: our own rounds need the child as well."""
MAX_TRIES = 5
_ENTRY = re.compile(f"[0-9a-f]{{{2 * ENTRY_BYTES}}}")


class NotThere(EvidenceError):
    """The peer has no such thing."""


class _Later(Exception):
    """The rest of this ledger has to wait for another pass."""


@dataclass(slots=True)
class Budget:
    """How many bundles of this validator may still be fetched in this pass."""

    left: int

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0


@dataclass(frozen=True, slots=True)
class Root:
    """What a validator commits on chain: how many entries its ledger has, and their Merkle root."""

    size: int
    root: bytes

    def text(self) -> str:
        return f"{MARK} {self.size} {self.root.hex()}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The root in a commitment's text, or None for any other text."""
        parts = text.split(" ")
        if len(parts) != 3 or parts[0] != MARK or not parts[1].isdigit() or len(parts[1]) > 12:
            return None
        try:
            root = bytes.fromhex(parts[2])
        except ValueError:
            return None
        return cls(int(parts[1]), root) if len(root) == 32 else None


class LedgerPublisher:
    """Commits the root of our own ledger on chain when it has changed, within the chain's rate limit."""

    def __init__(self, chain: Chain, store: Store, netuid: int, hotkey: Hotkey, every_blocks: int) -> None:
        self._chain, self._store, self._netuid, self._hotkey = chain, store, netuid, hotkey
        self._every, self._next = every_blocks, 0
        self._published: Root | None = None
        self._task: asyncio.Task[None] | None = None

    def on_head(self, head: Head) -> None:
        if head.number < self._next or (self._task is not None and not self._task.done()):
            return
        log = log_of(self._store.leaves())
        root = Root(log.size, log.root)
        if log.size and root != self._published:
            self._next = head.number + self._every
            self._task = asyncio.create_task(self._publish(root), name="publish-ledger")

    async def _publish(self, root: Root) -> None:
        try:
            await self._chain.publish(self._netuid, root.text(), self._hotkey)
        except (ChainAway, ChainRejected) as error:
            logger.warning("The ledger's root is not committed yet: {}", error)
        else:
            self._published = root
            logger.info("Committed the ledger's root over {} entries on chain", root.size)

    async def settle(self, deadline_s: float) -> None:
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=deadline_s)


class PeerClient:
    """Bounded GET requests to other validators' published endpoints. Redirects are never followed."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private

    async def get(self, endpoint: Endpoint, path: str, cap: int) -> bytes:
        """The body of a 200 answer. Raises EvidenceError for anything else."""
        url = f"http://{endpoint}{path}"
        try:
            if not self._allow_private:
                require_public(endpoint.ip)
            async with asyncio.timeout(FETCH_S):
                return await self._read(url, cap)
        except (httpx.HTTPError, TransportError, TimeoutError) as error:
            raise EvidenceError(f"{url}: {error or type(error).__name__}") from error

    async def _read(self, url: str, cap: int) -> bytes:
        async with (
            httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=FETCH_S) as client,
            client.stream("GET", url, headers={"accept-encoding": "identity"}) as answer,
        ):
            if answer.status_code == 404:
                raise NotThere(f"{url} is not there")
            if answer.status_code != 200:
                raise EvidenceError(f"{url} answers with status {answer.status_code}")
            body = bytearray()
            async for part in answer.aiter_raw():
                body += part
                if len(body) > cap:
                    raise EvidenceError(f"{url} is larger than {cap} bytes")
            return bytes(body)


class Peers:
    """Follows the other validators' ledgers. One pass at a time, every `every_blocks` blocks."""

    def __init__(
        self, *, chain: Chain, store: Store, punisher: Punisher, replay: ReplayClient, netuid: int,
        genesis: bytes, hotkey: Hotkey, client: PeerClient, every_blocks: int, deadline_s: float, gate: Mode,
    ) -> None:  # fmt: skip
        self._chain, self._store, self._punisher, self._replay = chain, store, punisher, replay
        self._netuid, self._genesis, self._hotkey, self._client = netuid, genesis, hotkey, client
        self._tries: dict[bytes, int] = {}
        self._every, self._deadline_s, self._gate = every_blocks, deadline_s, gate
        self._next = 0
        self._task: asyncio.Task[None] | None = None

    def on_head(self, head: Head, snapshot: MetagraphSnapshot) -> None:
        busy = self._task is not None and not self._task.done()
        if head.number < self._next or busy or self._gate is Mode.OFF:
            return
        self._next = head.number + self._every
        self._task = asyncio.create_task(self._pass(snapshot), name="peers")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _pass(self, snapshot: MetagraphSnapshot) -> None:
        try:
            published = await self._chain.published(self._netuid)
        except (ChainAway, ChainRejected) as error:
            logger.debug("Reading the validators' commitments: {}", error)
            return
        for neuron in snapshot.neurons:
            found = published.get(neuron.hotkey)
            root = Root.parse(found.text) if found is not None else None
            if root is None or not neuron.validator_permit or neuron.hotkey == self._hotkey.ss58_address:
                continue
            try:
                await self._follow(neuron, root, snapshot)
            except (AssayError, ValueError) as error:
                logger.warning("Validator {}: {}", neuron.hotkey[:8], error)

    async def _follow(self, neuron: Neuron, root: Root, snapshot: MetagraphSnapshot) -> None:
        """Takes in what is new in a peer's ledger, once it is shown to be what the peer committed to."""
        known = self._known(neuron.hotkey)
        if root.size <= known.size or neuron.axon is None:
            return
        entries = await self._fetch_entries(neuron.axon, known.size, root.size)
        log = known
        for raw in entries:
            log = log.append(raw)
        if log.size != root.size or log.root != root.root:
            raise EvidenceError(f"its ledger of {log.size} entries is not the one that it committed on chain")
        budget = Budget(BUNDLES_PER_PASS)
        done = known
        try:
            for raw in entries:
                await self._take_in(Entry.from_bytes(raw), neuron, snapshot, budget)
                done = done.append(raw)
        except _Later as later:
            logger.debug("The rest of {}'s ledger is read later: {}", neuron.hotkey[:8], later)
        finally:
            self._store.remember_peer(neuron.hotkey, _log_to_json(done), snapshot.block)

    def _known(self, hotkey: str) -> Log:
        text = self._store.peer(hotkey)
        return _log_from_json(text) if text else Log()

    async def _fetch_entries(self, endpoint: Endpoint, start: int, end: int) -> list[bytes]:
        entries: list[bytes] = []
        for _ in range(MAX_PAGES):
            if start + len(entries) >= end:
                break
            path = f"{PATH_LEDGER}?from={start + len(entries)}"
            rows = rows_of(await self._client.get(endpoint, path, MAX_PAGE_BYTES))
            if not rows:
                raise EvidenceError(f"{endpoint} gives no entries from {start + len(entries)} on")
            entries.extend(rows)
        return entries[: end - start]

    async def _take_in(self, entry: Entry, neuron: Neuron, snapshot: MetagraphSnapshot, budget: Budget) -> None:
        if entry.author != public_key(neuron.hotkey):
            return
        if entry.kind is EntryKind.ACCUSATION and self._store.bundle(entry.digest) is None:
            if not budget.take():
                raise _Later(f"{BUNDLES_PER_PASS} bundles of one validator are enough for one pass")
            bundle = await self._fetch_bundle(entry, neuron)
            if bundle is not None:
                await self._weigh(bundle, neuron, snapshot)
        elif entry.kind is EntryKind.OPINION and entry.reason in (Reason.UPHELD, Reason.OVERTURNED):
            miner = self._store.miners().get(ss58_address(entry.subject))
            if miner is None or all(case.bundle != entry.digest for case in standing_of(miner).cases):
                return
            event = Replayed(
                snapshot.block, entry.digest, entry.author, entry.reason == Reason.UPHELD, _rao(neuron.stake),
                _rao(snapshot.total_validator_stake),
            )  # fmt: skip
            self._punisher.hear(miner, event)

    async def _fetch_bundle(self, entry: Entry, neuron: Neuron) -> SignedBundle | None:
        """The bundle behind an accusation; None where there is none, or it is about something else than it says.

        Raises _Later where it could not be had now: the peer's ledger is read on from here at the next pass.
        """
        assert neuron.axon is not None
        path = f"{PATH_BUNDLE}/{entry.digest.hex()}"
        try:
            data = await self._client.get(neuron.axon, path, MAX_BUNDLE_BYTES)
        except NotThere:
            return None
        except EvidenceError as error:
            self._again(entry.digest, str(error))
            return None
        try:
            bundle = SignedBundle.from_bytes(data)
        except AssayError as error:
            logger.warning("What {} gives as bundle {} is none: {}", neuron.hotkey[:8], entry.digest.hex()[:16], error)
            return None
        inside = bundle.bundle
        said = (inside.digest, inside.validator, inside.miner, inside.netuid, inside.genesis)
        if said != (entry.digest, entry.author, entry.subject, self._netuid, self._genesis):
            logger.warning("Bundle {} is about another miner, subnet or chain", entry.digest.hex()[:16])
            return None
        return bundle

    def _again(self, digest: bytes, why: str) -> None:
        """Raises _Later, a few times; then the accusation is passed over for good."""
        self._tries[digest] = self._tries.get(digest, 0) + 1
        if self._tries[digest] < MAX_TRIES:
            raise _Later(why)
        logger.warning("Bundle {} is passed over after {} tries: {}", digest.hex()[:16], MAX_TRIES, why)

    async def _weigh(self, bundle: SignedBundle, neuron: Neuron, snapshot: MetagraphSnapshot) -> None:
        """What follows from a peer's bundle: the checks without a model first, then our own replay of it."""
        inside = bundle.bundle
        hotkey = ss58_address(inside.miner)
        cases = standing_of(self._store.miners().get(hotkey) or Miner(hotkey)).cases
        if any(c.state is not CaseState.OVERTURNED and inside.last_block <= c.opened for c in cases):
            return  # this offence is being punished, or was
        try:
            blocks = {b.number: await self._chain.block_hash(b.number) for b in inside.blocks}
        except (ChainAway, ChainRejected) as error:
            return self._again(inside.digest, str(error))
        if inspect(bundle, blocks.get).broken:
            return self._conclude(bundle, hotkey, False, neuron, snapshot)  # not kept: it would only fill the disk
        try:
            opinion = await self._replay.second_opinion(bundle.to_bytes(), blocks, deadline_s=self._deadline_s)
        except ReplayFailed as error:
            return self._again(inside.digest, str(error))
        logger.info(
            "Replayed {} tokens of a bundle by {} about {}: {} ({})", opinion.tokens, neuron.hotkey[:8], hotkey[:8],
            opinion.result, opinion.verdict or "no verdict",
        )  # fmt: skip
        if opinion.result == "abstains":
            return self._again(inside.digest, "; ".join(opinion.findings))
        write_bundle(self._store.folder / "bundles", bundle)
        agrees = opinion.result == "follows" and opinion.verdict == Verdict.INCONSISTENT.value
        return self._conclude(bundle, hotkey, agrees, neuron, snapshot)

    def _conclude(
        self, bundle: SignedBundle, hotkey: str, agrees: bool, neuron: Neuron, snapshot: MetagraphSnapshot
    ) -> None:
        inside, block = bundle.bundle, snapshot.block
        verdict = Verdict.INCONSISTENT if agrees else Verdict.CONSISTENT
        row = Bundle(inside.digest, hotkey, neuron.hotkey, block, verdict)
        own = bytes(self._hotkey.public_key)
        reason = Reason.UPHELD if agrees else Reason.OVERTURNED
        opinion = Entry(EntryKind.OPINION, block, inside.miner, own, inside.digest, reason)
        miner = self._store.miners().get(hotkey) or Miner(hotkey, first_block=block)
        events = [GateEvent(block, "peers", hotkey, self._gate)] if agrees else []
        if not agrees or self._gate is not Mode.ENFORCE:
            self._store.update_miners((), [opinion], [row], gates=events)
            return
        accused = Accused(block, inside.last_block, inside.digest, inside.validator, _rao(neuron.stake))
        miner = self._punisher.hear(miner, accused, [opinion], [row], events)
        mine = snapshot.by_hotkey(self._hotkey.ss58_address)
        agreed = Replayed(
            block, inside.digest, own, True, _rao(mine.stake) if mine else 0, _rao(snapshot.total_validator_stake)
        )
        self._punisher.hear(miner, agreed)


def rows_of(page: bytes) -> list[bytes]:
    """The entries in a page of a peer's ledger. ProtocolError or EvidenceError for whatever else a peer sends."""
    read = records.loads(page, MAX_PAGE_BYTES)
    rows = read.get("entries") if isinstance(read, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, str) and _ENTRY.fullmatch(row) for row in rows):
        raise EvidenceError("this is no page of a ledger: expected entries in hexadecimal")
    return [bytes.fromhex(row) for row in rows]


def _rao(amount: float) -> int:
    return int(amount * 1e9)


def _log_to_json(log: Log) -> str:
    return json.dumps({"size": log.size, "peaks": [peak.hex() for peak in log.peaks]})


def _log_from_json(text: str) -> Log:
    raw = json.loads(text)
    peaks: Sequence[str] = raw["peaks"]
    return Log(int(raw["size"]), tuple(bytes.fromhex(peak) for peak in peaks))
