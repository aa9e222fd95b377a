"""The series of prompts that a validator draws from: always the next one is committed to before it is used.

The state is one value in the database, written together with the ledger's entry for the commitment. Opened series
are kept and shown to everybody; `reward.series` says what they prove.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reward.prompts import RoundSecret, TrafficProfile
from reward.series import PromptSeries
from subnet.evidence.ledger import NOBODY, Entry, EntryKind
from subnet.validator.state import Store

META_PROMPTS = "prompts"
SERIES_ROUNDS = 100
"""Rounds that are drawn from one series."""
KEPT_SERIES = 1000
"""Opened series that are kept, newest last."""


@dataclass(frozen=True, slots=True)
class _Book:
    series: PromptSeries
    first_round: int
    following: PromptSeries
    opened: tuple[dict[str, Any], ...]

    def text(self) -> str:
        return json.dumps({
            "current": self.series.to_json(), "first_round": self.first_round,
            "following": self.following.to_json(), "opened": list(self.opened),
        })  # fmt: skip


def series_of_round(
    store: Store, validator: bytes, number: int, block: int, profile: Callable[[], TrafficProfile]
) -> PromptSeries:
    """The series that round `number`, which opens at `block`, draws from; begins the next one when it is time.

    The very first series is committed to at the round that uses it first, every later one a whole series ahead.
    """
    book = _read(store)
    if book is not None and number < book.first_round + SERIES_ROUNDS:
        return book.series
    following = PromptSeries(RoundSecret(secrets.token_bytes(32)), profile())
    new = [following]
    opened: tuple[dict[str, Any], ...] = ()
    if book is None:
        series = PromptSeries(RoundSecret(secrets.token_bytes(32)), profile())
        new.insert(0, series)
    else:
        series, opened = book.following, (*book.opened, _opened(book, number - 1))[-KEPT_SERIES:]
    entries = [Entry(EntryKind.PROMPTS, block, NOBODY, validator, item.commitment) for item in new]
    store.update_miners((), entries, meta={META_PROMPTS: _Book(series, number, following, opened).text()})
    return series


def opened_series(store: Store) -> list[dict[str, Any]]:
    """The series that are over, oldest first: commitment, secret, profile, and the rounds drawn from them."""
    book = _read(store)
    return [] if book is None else list(book.opened)


def _opened(book: _Book, last_round: int) -> dict[str, Any]:
    series = book.series
    return {
        "commitment": series.commitment.hex(), **series.to_json(), "first_round": book.first_round,
        "last_round": last_round,
    }  # fmt: skip


def _read(store: Store) -> _Book | None:
    text = store.meta(META_PROMPTS)
    if text is None:
        return None
    raw = json.loads(text)
    return _Book(
        PromptSeries.from_json(raw["current"]), raw["first_round"], PromptSeries.from_json(raw["following"]),
        tuple(raw["opened"]),
    )  # fmt: skip
