"""What the validator remembers, in and out of SQLite. Every method is one transaction or one read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from subnet.config.gates import Mode
from subnet.evidence.ledger import Entry, leaf_hash
from subnet.evidence.rounds import SignedRound
from subnet.evidence.slashing import Reason
from subnet.protocol import SignedCommitment, SignedResponse, decode, encode
from subnet.protocol.response import FIRST_PREVIOUS
from subnet.validator.state import rows
from subnet.validator.state.database import Database
from subnet.validator.values import (
    Asked,
    Bundle,
    Exchange,
    GateEvent,
    Miner,
    MinerChain,
    Phase,
    Round,
    Settlement,
    Status,
    Times,
)  # fmt: skip
from subnet.verify.verdict import Verdict


@dataclass(frozen=True, slots=True)
class ChainAnswer:
    """An answer in its chain. `selected` is None until its round is settled; `records` are encoded, None unreplayed."""

    exchange: Exchange
    selected: bool | None
    records: bytes | None


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """An entry of the ledger with its index and leaf hash."""

    index: int
    entry: Entry
    leaf: bytes


class Store:
    """The state of one validator on one subnet."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self._db = Database(folder, read_only=read_only)
        self.folder = folder

    def close(self) -> None:
        self._db.close()

    # Chains of answers

    def open_chain(self, miner: str, handshake: SignedCommitment) -> MinerChain:
        """The chain of this handshake's epoch: the stored one, or a new one."""
        epoch = handshake.commitment.epoch
        with self._db.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO chains (miner, epoch, handshake, last_link) VALUES (?, ?, ?, ?)",
                (miner, epoch, encode(handshake), FIRST_PREVIOUS),
            )
        chain = self.chain(miner, epoch)
        assert chain is not None
        return chain

    def chain(self, miner: str, epoch: int) -> MinerChain | None:
        row = self._db.row("SELECT * FROM chains WHERE miner = ? AND epoch = ?", miner, epoch)
        return rows.chain(row) if row else None

    def chain_answers(self, miner: str, epoch: int, piece: int) -> list[ChainAnswer]:
        """The stored answers of one piece in chain order."""
        found = self._db.rows(
            "SELECT * FROM exchanges WHERE miner = ? AND epoch = ? AND piece = ? AND position IS NOT NULL "
            "ORDER BY position",
            miner, epoch, piece,
        )  # fmt: skip
        return [
            ChainAnswer(rows.exchange(row), None if row["selected"] is None else bool(row["selected"]), row["records"])
            for row in found
        ]

    def pieces(self, miner: str) -> list[tuple[int, int]]:
        """(epoch, piece) of this miner's chains with selected answers, the newest first."""
        found = self._db.rows(
            "SELECT epoch, piece FROM exchanges WHERE miner = ? AND selected = 1 AND position IS NOT NULL "
            "GROUP BY epoch, piece ORDER BY epoch DESC, piece DESC",
            miner,
        )
        return [(row["epoch"], row["piece"]) for row in found]

    def round_links(self, number: int) -> list[bytes]:
        """The links of a round's answers, in the order of its tree."""
        found = self._db.rows(
            "SELECT response FROM exchanges WHERE round = ? AND leaf IS NOT NULL ORDER BY leaf", number
        )
        return [decode(SignedResponse, row["response"]).link for row in found]

    def newest_piece(self, miner: str) -> tuple[int, int]:
        """The (epoch, piece) that the miner's newest answers belong to."""
        row = self._db.row("SELECT epoch, piece FROM chains WHERE miner = ? ORDER BY epoch DESC LIMIT 1", miner)
        return (row["epoch"], row["piece"]) if row else (0, 0)

    # Rounds

    def begin_round(self, opened: Round, asked: Sequence[Asked]) -> tuple[Exchange, ...]:
        """Stores a round and its requests, before any is sent. Counters are spent for good."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO rounds (id, phase, opened_block, check_block, secret, opened_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (opened.id, opened.phase, opened.opened_block, opened.check_block, opened.secret, opened.opened_at),
            )
            stored = []
            for item in asked:
                request = item.request
                cursor = db.execute(rows.INSERT_ASKED, rows.asked_values(item))
                stored.append(Exchange(int(cursor.lastrowid or 0), item))
                db.execute(
                    "UPDATE chains SET next_counter = MAX(next_counter, ?) WHERE miner = ? AND epoch = ?",
                    (request.counter + 1, item.miner, request.epoch),
                )
        return tuple(stored)

    def next_round(self) -> int:
        row = self._db.row("SELECT MAX(id) AS top FROM rounds")
        return 1 + int(row["top"] or 0) if row else 1

    def round(self, number: int) -> Round | None:
        row = self._db.row("SELECT * FROM rounds WHERE id = ?", number)
        return rows.round_(row) if row else None

    def unsettled(self) -> list[Round]:
        """Rounds that a crash or a stop left unfinished, oldest first."""
        return [rows.round_(row) for row in self._db.rows("SELECT * FROM rounds WHERE phase < 3 ORDER BY id")]

    def exchanges(self, number: int) -> tuple[Exchange, ...]:
        found = self._db.rows("SELECT * FROM exchanges WHERE round = ? ORDER BY id", number)
        return tuple(rows.exchange(row) for row in found)

    def unplaced(self, miner: str, epoch: int) -> tuple[Exchange, ...]:
        """Answers that have no place in their chain yet, whichever round they are of."""
        found = self._db.rows(
            "SELECT * FROM exchanges WHERE miner = ? AND epoch = ? AND position IS NULL AND response IS NOT NULL "
            "AND COALESCE(reason, 0) != ? ORDER BY counter",
            miner, epoch, Reason.BAD_CHAIN,
        )  # fmt: skip
        return tuple(rows.exchange(row) for row in found)

    def unanswered(self, miner: str, epoch: int) -> tuple[Exchange, ...]:
        """Requests of this chain without an answer: what a gap in the chain may be due to."""
        found = self._db.rows(
            "SELECT * FROM exchanges WHERE miner = ? AND epoch = ? AND response IS NULL ORDER BY counter", miner, epoch
        )
        return tuple(rows.exchange(row) for row in found)

    def unjudged(self, miner: str, epoch: int) -> tuple[Exchange, ...]:
        """Answers of this chain that no settled round has judged yet."""
        found = self._db.rows(
            "SELECT * FROM exchanges WHERE miner = ? AND epoch = ? AND response IS NOT NULL AND selected IS NULL "
            "ORDER BY counter",
            miner, epoch,
        )  # fmt: skip
        return tuple(rows.exchange(row) for row in found)

    def record_late(self, exchange: int, response: SignedResponse) -> None:
        """An answer that came after its time, on asking again: part of the chain, and its fault stays what it was."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE exchanges SET response = ?, timed = 0 WHERE id = ? AND response IS NULL",
                (encode(response), exchange),
            )

    def record_answer(
        self, exchange: int, response: SignedResponse, times: Times | None, *, timed: bool,
        prefix: Sequence[int] = (), opened: bytes | None = None,
    ) -> None:  # fmt: skip
        """An answer that passed every check that needs no model. The first one stays.

        `prefix` are tokens that an earlier attempt streamed and this answer does not begin with.
        """
        sent, first, finished = (times.sent, times.first, times.finished) if times else (None, None, None)
        arrivals = json.dumps(times.arrivals) if times and times.arrivals else None
        with self._db.transaction() as db:
            db.execute(
                "UPDATE exchanges SET status = ?, response = ?, sent_at = ?, first_at = ?, finished_at = ?, "
                "arrivals = ?, timed = ?, prefix = ?, opened = ?, reason = NULL, detail = '' "
                "WHERE id = ? AND response IS NULL",
                (
                    Status.ANSWERED, encode(response), sent, first, finished, arrivals, int(timed), _tokens(prefix),
                    opened, exchange,
                ),
            )

    def record_failure(
        self, exchange: int, status: Status, reason: Reason | None, detail: str, prefix: Sequence[int] = (),
        opened: bytes | None = None,
    ) -> None:  # fmt: skip
        """A request that got no usable answer: the miner's fault of service, or ours. With what was streamed of it."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE exchanges SET status = ?, reason = ?, detail = ?, prefix = ?, opened = ? "
                "WHERE id = ? AND response IS NULL",
                (status, reason, detail[:500], _tokens(prefix), opened, exchange),
            )

    def close_round(self, number: int, commitment: SignedRound, leaves: Mapping[int, int], entry: Entry) -> None:
        """Fixes a round's answers: exchange id → place in the round's tree. The ledger gets its entry with it."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE rounds SET phase = ?, commitment = ? WHERE id = ?", (Phase.CLOSED, encode(commitment), number)
            )
            db.executemany("UPDATE exchanges SET leaf = ? WHERE id = ?", [(leaf, id) for id, leaf in leaves.items()])
            _append(db, (entry,))

    def settle(self, settlement: Settlement) -> None:
        """Stores all that a round changes. Raises StateError where it was settled before: nothing counts twice."""
        with self._db.transaction() as db:
            done = db.execute(
                "UPDATE rounds SET phase = ?, select_hash = ?, seconds = ? WHERE id = ? AND phase = ?",
                (Phase.SETTLED, settlement.select_hash, settlement.seconds, settlement.round, Phase.CLOSED),
            )
            rows.require_one(done.rowcount, settlement.round)
            db.executemany(rows.UPDATE_JUDGED, [rows.judged_values(item) for item in settlement.judged])
            db.executemany(rows.UPSERT_MINER, [rows.miner_values(item) for item in settlement.miners])
            db.executemany(
                "UPDATE chains SET last_link = ?, length = ?, piece = ? WHERE miner = ? AND epoch = ?",
                [(c.last_link, c.length, c.piece, c.miner, c.epoch) for c in settlement.chains],
            )
            db.executemany(
                "UPDATE exchanges SET position = ?, piece = ? WHERE id = ?",
                [(p.position, p.piece, p.exchange) for p in settlement.placed],
            )
            _append(db, settlement.entries)
            _bundles(db, settlement.bundles)
            _gates(db, settlement.gates)
            _meta(db, settlement.meta)

    # Miners, ledger and the rest

    def miners(self) -> dict[str, Miner]:
        return {row["hotkey"]: rows.miner(row) for row in self._db.rows("SELECT * FROM miners")}

    def update_miners(
        self, miners: Iterable[Miner], entries: Sequence[Entry] = (), bundles: Sequence[Bundle] = (),
        meta: Mapping[str, str] | None = None, new_piece: str | None = None, gates: Sequence[GateEvent] = (),
    ) -> None:  # fmt: skip
        """Changes that no round makes: accusations, time that passed for a slashed miner, others' evidence.

        `new_piece` is a miner whose next answers begin evidence of their own.
        """
        with self._db.transaction() as db:
            if new_piece is not None:
                db.execute("UPDATE chains SET piece = piece + 1 WHERE miner = ?", (new_piece,))
            db.executemany(rows.UPSERT_MINER, [rows.miner_values(item) for item in miners])
            _append(db, entries)
            _bundles(db, bundles)
            _gates(db, gates)
            _meta(db, meta or {})

    def reasons(self, miner: str, window: int) -> dict[Reason, int]:
        """How often each reason applied among the miner's newest `window` requests."""
        found = self._db.rows(
            "SELECT reason, COUNT(*) AS count FROM "
            "(SELECT reason FROM exchanges WHERE miner = ? ORDER BY id DESC LIMIT ?) "
            "WHERE reason IS NOT NULL GROUP BY reason",
            miner, window,
        )  # fmt: skip
        return {Reason(row["reason"]): row["count"] for row in found}

    def gate_counts(self) -> dict[tuple[str, Mode], int]:
        """How often each gate decided against a miner, by the mode it was in then."""
        found = self._db.rows("SELECT gate, mode, COUNT(*) AS count FROM gates GROUP BY gate, mode")
        return {(row["gate"], Mode(row["mode"])): row["count"] for row in found}

    def gate_events(self, miner: str, count: int) -> list[GateEvent]:
        """The newest decisions of gates against a miner, oldest first."""
        found = self._db.rows("SELECT * FROM gates WHERE miner = ? ORDER BY id DESC LIMIT ?", miner, count)
        return [GateEvent(row["block"], row["gate"], row["miner"], Mode(row["mode"])) for row in reversed(found)]

    def meta(self, key: str) -> str | None:
        row = self._db.row("SELECT value FROM meta WHERE key = ?", key)
        return row["value"] if row else None

    def ledger(self, start: int = 0, limit: int = 1 << 31) -> list[LedgerRow]:
        found = self._db.rows("SELECT * FROM ledger WHERE idx >= ? ORDER BY idx LIMIT ?", start, limit)
        return [LedgerRow(row["idx"], Entry.from_bytes(row["entry"]), row["leaf"]) for row in found]

    def ledger_tail(self, count: int, skip_kind: int) -> list[LedgerRow]:
        """The newest entries that are not of `skip_kind`, oldest first."""
        found = self._db.rows("SELECT * FROM ledger WHERE kind != ? ORDER BY idx DESC LIMIT ?", skip_kind, count)
        return [LedgerRow(row["idx"], Entry.from_bytes(row["entry"]), row["leaf"]) for row in reversed(found)]

    def leaves(self) -> list[bytes]:
        return [row["leaf"] for row in self._db.rows("SELECT leaf FROM ledger ORDER BY idx")]

    def bundle(self, digest: bytes) -> Bundle | None:
        row = self._db.row("SELECT * FROM bundles WHERE digest = ?", digest)
        return rows.bundle(row) if row else None

    def bundles(self) -> list[Bundle]:
        return [rows.bundle(row) for row in self._db.rows("SELECT * FROM bundles ORDER BY block")]

    def record_weights(
        self, block: int | None, reason: str, planned: Sequence[tuple[int, int]], message: str,
        meta: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """An attempt to set weights, and what is to be known of it."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO weights (block, reason, planned, message) VALUES (?, ?, ?, ?)",
                (block, reason, json.dumps(list(planned)), message[:500]),
            )
            _meta(db, meta or {})

    def last_weights(self) -> tuple[int | None, str, tuple[tuple[int, int], ...], str] | None:
        row = self._db.row("SELECT * FROM weights ORDER BY id DESC LIMIT 1")
        if row is None:
            return None
        planned = tuple((int(uid), int(value)) for uid, value in json.loads(row["planned"]))
        return row["block"], row["reason"], planned, row["message"]

    def record_incentives(self, block: int, shares: Mapping[int, float]) -> None:
        with self._db.transaction() as db:
            db.execute("INSERT OR REPLACE INTO incentives VALUES (?, ?)", (block, json.dumps(shares)))

    def incentives(self, count: int) -> list[tuple[int, dict[int, float]]]:
        found = self._db.rows("SELECT * FROM incentives ORDER BY block DESC LIMIT ?", count)
        return [(r["block"], {int(u): float(s) for u, s in json.loads(r["shares"]).items()}) for r in reversed(found)]

    def peer(self, hotkey: str) -> str | None:
        """How far we followed another validator's ledger: the text that `remember_peer` stored."""
        row = self._db.row("SELECT log FROM peers WHERE hotkey = ?", hotkey)
        return row["log"] if row else None

    def remember_peer(self, hotkey: str, log: str, block: int) -> None:
        with self._db.transaction() as db:
            db.execute("INSERT OR REPLACE INTO peers VALUES (?, ?, ?)", (hotkey, log, block))

    def samples(self, miner: str, count: int) -> list[tuple[Exchange, Verdict | None, int, int, float | None]]:
        """A miner's newest exchanges: with verdict, tokens checked, misses and largest margin. For `explain`."""
        found = self._db.rows("SELECT * FROM exchanges WHERE miner = ? ORDER BY id DESC LIMIT ?", miner, count)
        return [
            (
                rows.exchange(r), Verdict(r["verdict"]) if r["verdict"] else None,
                r["checked"], r["misses"], r["margin"],
            )
            for r in found
        ]  # fmt: skip

    def prune(self, keep_rounds: int) -> int:
        """Forgets exchanges of old rounds whose epoch is over; returns how many. Bundles and the ledger stay."""
        with self._db.transaction() as db:
            done = db.execute(
                "DELETE FROM exchanges WHERE round < ? AND round IN (SELECT id FROM rounds WHERE phase = 3) "
                "AND epoch < (SELECT MAX(epoch) FROM chains WHERE chains.miner = exchanges.miner)",
                (self.next_round() - keep_rounds,),
            )
        return done.rowcount


def _tokens(tokens: Sequence[int]) -> str | None:
    return json.dumps(list(tokens)) if tokens else None


def _append(db, entries: Sequence[Entry]) -> None:
    if not entries:
        return
    size = int(db.execute("SELECT COUNT(*) FROM ledger").fetchone()[0])
    for index, entry in enumerate(entries, start=size):
        body = entry.to_bytes()
        db.execute(
            "INSERT INTO ledger VALUES (?, ?, ?, ?, ?)", (index, entry.block, int(entry.kind), body, leaf_hash(body))
        )


def _bundles(db, bundles: Sequence[Bundle]) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO bundles VALUES (?, ?, ?, ?, ?)",
        [(b.digest, b.miner, b.author, b.block, b.verdict.value) for b in bundles],
    )


def _gates(db, events: Sequence[GateEvent]) -> None:
    db.executemany(
        "INSERT INTO gates (block, gate, miner, mode) VALUES (?, ?, ?, ?)",
        [(event.block, event.gate, event.miner, event.mode.value) for event in events],
    )


def _meta(db, meta: Mapping[str, str]) -> None:
    db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(meta.items()))
