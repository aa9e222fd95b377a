"""Database rows to values and back."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from reward import Conversation, Message
from subnet.errors import StateError
from subnet.evidence.rounds import SignedRound
from subnet.evidence.selection import CheckPlan, check_block
from subnet.evidence.slashing import Reason
from subnet.protocol import CompletionRequest, SignedCommitment, SignedResponse, decode, encode
from subnet.validator.values import Asked, Bundle, Exchange, Judged, Miner, MinerChain, Phase, Round, Status, Times
from subnet.verify.verdict import Verdict

INSERT_ASKED = (
    "INSERT INTO exchanges (round, miner, epoch, counter, label, conversation, organic, request, rate_ppm, salt, "
    "status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
UPDATE_JUDGED = (
    "UPDATE exchanges SET selected = ?, verdict = ?, checked = ?, misses = ?, margin = ?, records = ?, quality = ?, "
    "reason = COALESCE(?, reason), detail = COALESCE(?, detail), status = COALESCE(?, status) WHERE id = ?"
)
UPSERT_MINER = (
    "INSERT OR REPLACE INTO miners (hotkey, test, standing, score, aside, requests, answered, checks, history, reason, "
    "first_block, prefix_test, suspected_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def asked_values(item: Asked) -> tuple[Any, ...]:
    request = item.request
    return (
        item.round, item.miner, request.epoch, request.counter, item.label, json.dumps(item.conversation.as_dicts()),
        int(item.organic), encode(item.request), item.plan.rate_ppm, item.plan.salt, Status.ASKED,
    )  # fmt: skip


def judged_values(item: Judged) -> tuple[Any, ...]:
    return (
        None if item.selected is None else int(item.selected), item.verdict.value if item.verdict else None,
        item.checked, item.misses, item.margin, item.records, item.quality, item.reason, item.detail,
        item.status, item.exchange,
    )  # fmt: skip


def miner_values(item: Miner) -> tuple[Any, ...]:
    return (
        item.hotkey, item.test, item.standing, item.score, item.aside, item.requests, item.answered, item.checks,
        json.dumps(item.history), item.reason, item.first_block, item.prefix_test, item.suspected_until,
    )  # fmt: skip


def exchange(row: sqlite3.Row) -> Exchange:
    request = decode(CompletionRequest, row["request"])
    block = check_block(request.extensions)
    if block is None:
        raise StateError(f"exchange {row['id']} was stored without its check plan")
    messages = tuple(Message(turn["role"], turn["content"]) for turn in json.loads(row["conversation"]))
    asked = Asked(
        row["round"], row["miner"], row["label"], Conversation(messages), request,
        CheckPlan(block, row["rate_ppm"], row["salt"]), bool(row["organic"]),
    )  # fmt: skip
    arrivals = tuple((float(at), int(count)) for at, count in json.loads(row["arrivals"] or "[]"))
    times = None if row["sent_at"] is None else Times(row["sent_at"], row["first_at"], row["finished_at"], arrivals)
    return Exchange(
        id=row["id"], asked=asked, status=Status(row["status"]), timed=bool(row["timed"]),
        response=decode(SignedResponse, row["response"]) if row["response"] else None,
        prefix=tuple(json.loads(row["prefix"])) if row["prefix"] else (), opened=row["opened"], times=times,
        reason=None if row["reason"] is None else Reason(row["reason"]), detail=row["detail"], leaf=row["leaf"],
        position=row["position"], piece=row["piece"],
    )  # fmt: skip


def round_(row: sqlite3.Row) -> Round:
    commitment = decode(SignedRound, row["commitment"]) if row["commitment"] else None
    return Round(
        row["id"], Phase(row["phase"]), row["opened_block"], row["check_block"], row["secret"], row["opened_at"],
        commitment, row["select_hash"], row["seconds"],
    )  # fmt: skip


def chain(row: sqlite3.Row) -> MinerChain:
    return MinerChain(
        row["miner"], row["epoch"], decode(SignedCommitment, row["handshake"]), row["next_counter"], row["last_link"],
        row["length"], row["piece"],
    )  # fmt: skip


def miner(row: sqlite3.Row) -> Miner:
    return Miner(
        hotkey=row["hotkey"], test=row["test"], standing=row["standing"], score=row["score"], aside=row["aside"],
        requests=row["requests"], answered=row["answered"], checks=row["checks"],
        history=tuple((int(n), float(e)) for n, e in json.loads(row["history"])),
        reason=None if row["reason"] is None else Reason(row["reason"]), first_block=row["first_block"],
        prefix_test=row["prefix_test"], suspected_until=row["suspected_until"],
    )  # fmt: skip


def bundle(row: sqlite3.Row) -> Bundle:
    return Bundle(row["digest"], row["miner"], row["author"], row["block"], Verdict(row["verdict"]))


def require_one(changed: int, number: int) -> None:
    if changed != 1:
        raise StateError(f"round {number} is settled already, or was never closed: its verdicts are not counted twice")
