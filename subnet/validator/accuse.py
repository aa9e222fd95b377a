"""From a test that reached its threshold to evidence that others can verify, and to the slash ledger."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from subnet.errors import EvidenceError
from subnet.evidence.build import KeptAnswer, make_bundle
from subnet.evidence.bundle import SignedBundle
from subnet.evidence.ledger import Entry, EntryKind
from subnet.evidence.rounds import SignedRound, round_leaf
from subnet.evidence.slashing import Accused, Reason
from subnet.models import Manifest
from subnet.protocol import Signer, merkle, public_key
from subnet.validator.judge import Bench, ScoreChange, apply_event
from subnet.validator.state import DiskFull, Store
from subnet.validator.state.store import ChainAnswer
from subnet.validator.values import Bundle, Miner, Round
from subnet.verify.records import TokenRecords
from subnet.verify.verdict import Verdict

SUFFIX = ".assay"
DOMAIN_LOCAL = b"assay/local-verdict/1\0"


@dataclass(frozen=True, slots=True)
class Maker:
    """What bundles are made with."""

    manifest: Manifest
    signer: Signer
    software: tuple[str, ...]


class Accuser:
    """Turns an accused test into a bundle where the chain of answers allows it, else into a local accusation."""

    def __init__(self, store: Store, maker: Maker) -> None:
        self._store, self._maker = store, maker
        self._folder = store.folder / "bundles"

    def evidence(self, hotkey: str, bench: Bench) -> tuple[SignedBundle | None, bool]:
        """A bundle whose verdict follows, if there is one; and whether waiting for open rounds could still make one."""
        pending = False
        used = self._store.meta(_used_key(hotkey)) or ""
        for epoch, piece in self._store.pieces(hotkey):
            if f"{epoch:020}:{piece:010}" <= used:
                break
            answers = self._store.chain_answers(hotkey, epoch, piece)
            pending = pending or any(answer.selected is None for answer in answers)
            for run in judged_runs(answers):
                bundle = self._try(hotkey, epoch, run, bench)
                if bundle is not None:
                    return bundle, False
        return None, pending

    def _try(self, hotkey: str, epoch: int, judged: Sequence[ChainAnswer], bench: Bench) -> SignedBundle | None:
        chain = self._store.chain(hotkey, epoch)
        if chain is None or not any(answer.selected for answer in judged):
            return None
        rounds = {answer.exchange.asked.round for answer in judged}
        found = {number: self._store.round(number) for number in rounds}
        blocks = {r.check_block: r.select_hash for r in found.values() if r is not None and r.select_hash is not None}
        kept = [self._kept(answer, found) for answer in judged]
        try:
            bundle = make_bundle(
                kept, chain.handshake, self._maker.manifest, bench.profile, blocks, self._maker.software,
                self._maker.signer,
            )  # fmt: skip
        except EvidenceError as error:
            logger.warning("No portable evidence about {} from epoch {}: {}", hotkey[:8], epoch, error)
            return None
        return bundle if bundle.bundle.verdict == Verdict.INCONSISTENT.value else None

    def _kept(self, answer: ChainAnswer, rounds: Mapping[int, Round | None]) -> KeptAnswer:
        exchange = answer.exchange
        assert exchange.response is not None
        asked_in = rounds[exchange.asked.round]
        placement: tuple[SignedRound, int, tuple[bytes, ...]] | None = None
        signed = asked_in.commitment if asked_in is not None else None
        if signed is not None and exchange.leaf is not None and signed.commitment.block < exchange.asked.plan.block:
            leaves = [round_leaf(link) for link in self._store.round_links(exchange.asked.round)]
            placement = (signed, exchange.leaf, tuple(merkle.path(leaves, exchange.leaf)))
        records = TokenRecords.decode(answer.records) if answer.records else None
        return KeptAnswer(exchange.asked.request, exchange.response, exchange.asked.plan, placement, records)

    def accuse(
        self, miner: Miner, bundle: SignedBundle | None, bench: Bench, block: int
    ) -> tuple[Miner, tuple[Entry, ...], tuple[Bundle, ...], ScoreChange]:
        """The miner's new standing with the entries and the bundle to store; the bundle's file is on disk before."""
        subject = public_key(miner.hotkey)
        if bundle is not None:
            digest, evidence_block = bundle.bundle.digest, bundle.bundle.last_block
            write_bundle(self._folder, bundle)
            rows: tuple[Bundle, ...] = (
                Bundle(digest, miner.hotkey, self._maker.signer.ss58_address, block, Verdict.INCONSISTENT),
            )
        else:
            digest = hashlib.sha256(DOMAIN_LOCAL + subject + (miner.test or "").encode()).digest()
            evidence_block, rows = block, ()
        event = Accused(block, evidence_block, digest, bench.validator, bench.stake_rao, portable=bundle is not None)
        first = Entry(EntryKind.ACCUSATION, block, subject, bench.validator, digest, Reason.ACCUSED)
        miner, entries, change = apply_event(miner, event, bench, block)
        return miner, (first, *entries), rows, change


def write_bundle(folder: Path, bundle: SignedBundle) -> Path:
    """Writes the bundle under its digest, whole or not at all, and on the disk when this returns.

    Raises DiskFull.
    """
    path = bundle_path(folder, bundle.bundle.digest)
    draft = path.with_suffix(".tmp")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(bundle.to_bytes())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise DiskFull(f"{path} cannot be written ({error.strerror}): free some room; it is tried again") from error
    return path


def bundle_path(folder: Path, digest: bytes) -> Path:
    return folder / f"{digest.hex()}{SUFFIX}"


def used_evidence(hotkey: str, chains: Sequence[tuple[int, int]]) -> dict[str, str]:
    """What to remember with an accusation: evidence up to these (epoch, piece) pairs has been used."""
    newest = max(chains, default=(0, 0))
    return {_used_key(hotkey): f"{newest[0]:020}:{newest[1]:010}"}


def _used_key(hotkey: str) -> str:
    return f"accused:{hotkey}"


def judged_runs(answers: Sequence[ChainAnswer]) -> list[list[ChainAnswer]]:
    """The stretches of the chain without an answer of a round that is still open, the newest first.

    A miner signs in the order in which it finishes, so a quick answer of a later round may stand before this one's.
    """
    runs: list[list[ChainAnswer]] = [[]]
    for answer in answers:
        if answer.selected is None:
            runs.append([])
        else:
            runs[-1].append(answer)
    return [run for run in reversed(runs) if run]
