"""`explain <uid>`: why a miner earns what it earns, from the validator's own records."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from reward import ScoringRules, WeightRules
from reward.explain import explain_standing
from subnet.config.gates import GATES, Mode
from subnet.errors import StateError
from subnet.evidence.slashing import CaseState
from subnet.validator.judge import describe_test, standing_of
from subnet.validator.scorebook import META_KEY, load_book
from subnet.validator.state import Store
from subnet.validator.telling import state_of
from subnet.validator.values import Miner, Status
from subnet.validator.weighing import META_BLOCK, barred, held
from subnet.verify.profile import ToleranceProfile

META_UIDS = "uids"
SAMPLES = 20


def find_miner(store: Store, who: str) -> tuple[str, dict[str, int]]:
    """The hotkey meant by a uid or by (the beginning of) a hotkey, and the uids as of the last round."""
    uids: dict[str, int] = json.loads(store.meta(META_UIDS) or "{}")
    if who.isdigit():
        found = [hotkey for hotkey, uid in uids.items() if uid == int(who)]
    else:
        found = [hotkey for hotkey in {*uids, *store.miners()} if hotkey.startswith(who)]
    if len(found) != 1:
        known = ", ".join(f"{uid}: {hotkey[:8]}" for hotkey, uid in sorted(uids.items(), key=lambda item: item[1]))
        raise StateError(f"{who} names {len(found)} miners; known are {known or 'none yet'}")
    return found[0], uids


def explain(store: Store, who: str, profile: ToleranceProfile, console: Console) -> int:
    """Prints everything that decides a miner's weight. 0 where the miner is known."""
    hotkey, uids = find_miner(store, who)
    miners = store.miners()
    miner = miners.get(hotkey)
    console.print(f"[bold]uid {uids.get(hotkey, '(not registered)')}[/bold]  {hotkey}", highlight=False)
    if miner is None:
        console.print("never asked: no published endpoint, or no handshake yet")
        return 0
    for line in (*_standing(store, miner), *_gates(store, miner), *_test(miner, profile)):
        console.print(line, highlight=False)
    book = load_book(miners, store.meta(META_KEY))
    console.print(explain_standing(hotkey, book, ScoringRules(), WeightRules(), uids), highlight=False)
    for line in _weight(store, miners, hotkey):
        console.print(line, highlight=False)
    _show_reasons(store, hotkey, console)
    _show_samples(store, hotkey, console)
    return 0


def _standing(store: Store, miner: Miner) -> Iterator[str]:
    yield f"standing: {state_of(miner)}" + (f"; last told: {miner.reason.text}" if miner.reason else "")
    for case in standing_of(miner).cases:
        until = f", returns at block {case.returns_at}" if case.state is CaseState.OUT else ""
        kept = store.bundle(case.bundle)
        evidence = f"GET /bundle/{case.bundle.hex()} of this validator" if kept else "local evidence only"
        yield f"  case of block {case.opened}: {case.state.name.lower()}{until}; {evidence}"


def _gates(store: Store, miner: Miner) -> Iterator[str]:
    if miner.suspected_until:
        yield f"suspected by what it streamed and dropped: every answer is checked before block {miner.suspected_until}"
    for event in store.gate_events(miner.hotkey, SAMPLES):
        done = "did" if event.mode is Mode.ENFORCE else "would"
        yield f"  gate {event.gate} ({event.mode.value}) at block {event.block}: it {done} {GATES[event.gate]}"


def _test(miner: Miner, profile: ToleranceProfile) -> Iterator[str]:
    test = describe_test(miner, profile)
    yield (
        f"running test: {test['tokens']} tokens checked, {test['misses']} missed, evidence 10^{test['evidence_log10']} "
        f"of 10^{test['threshold_log10']}, {test['verdict']}"
    )
    yield f"requests: {miner.requests}, answered {miner.answered}, replayed {miner.checks}"


def _weight(store: Store, miners: dict[str, Miner], hotkey: str) -> Iterator[str]:
    last = store.last_weights()
    if hotkey in barred(miners):
        yield "weight: zero while it is out or its test accuses it"
    if last is None:
        yield "weights: none set yet"
        return
    block, reason, _, message = last
    yield f"newest attempt: {reason} at block {block} {message}".rstrip()
    given = held(store).get(hotkey)
    share = given.share if given is not None else 0.0
    yield f"weights on the chain are of block {store.meta(META_BLOCK) or 'none'}, this miner {share:.4f}"


def _show_reasons(store: Store, hotkey: str, console: Console) -> None:
    for reason, count in sorted(store.reasons(hotkey, 1000).items(), key=lambda item: -item[1]):
        console.print(f"  {count} x {reason.name.lower()}: {reason.text}", highlight=False)


def _show_samples(store: Store, hotkey: str, console: Console) -> None:
    table = Table(title=f"the newest {SAMPLES} requests", title_justify="left", box=None, pad_edge=False)
    for column in ("round", "counter", "outcome", "tokens", "verdict", "checked", "missed", "margin", "detail"):
        table.add_column(column, justify="right" if column not in ("outcome", "verdict", "detail") else "left")
    for exchange, verdict, checked, misses, margin in store.samples(hotkey, SAMPLES):
        outcome = exchange.reason.name.lower() if exchange.reason else exchange.status.name.lower()
        if exchange.status is Status.OURS:
            outcome = "our failure"
        table.add_row(
            str(exchange.asked.round), str(exchange.asked.request.counter), outcome, str(len(exchange.tokens)),
            verdict.value if verdict else "", str(checked or ""), str(misses or ""),
            "" if margin is None else f"{margin:.3f}", exchange.detail[:60],
        )  # fmt: skip
    console.print(table)
