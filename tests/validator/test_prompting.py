"""The validator's series of prompts: committed to a whole series ahead, opened when over, kept over restarts."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from reward.prompts import DEFAULT_PROFILE, RequestShape, Sampling
from reward.series import PromptSeries, read_series
from subnet.evidence.ledger import NOBODY, EntryKind
from subnet.validator.prompting import SERIES_ROUNDS, opened_series, series_of_round
from subnet.validator.public import PATH_PROMPTS, public_routes
from subnet.validator.state import Store

KEY = b"\x02" * 32


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path)
    yield opened
    opened.close()


def draw(store: Store, number: int, profile=DEFAULT_PROFILE) -> PromptSeries:
    return series_of_round(store, KEY, number, 10 * number, lambda: profile)


def committed(store: Store) -> dict[bytes, int]:
    rows = [row.entry for row in store.ledger() if row.entry.kind is EntryKind.PROMPTS]
    assert all(entry.subject == NOBODY and entry.author == KEY for entry in rows)
    return {entry.digest: entry.block for entry in rows}


def test_every_series_but_the_first_is_committed_to_before_its_first_block(store):
    """Else a validator could try secrets, once it knows the block hash, until it likes the prompts."""
    used = {}
    for number in range(1, 4 * SERIES_ROUNDS, SERIES_ROUNDS // 2):
        used.setdefault(draw(store, number).commitment, 10 * number)
    ledger = committed(store)
    assert len(used) == 4
    first, *later = used
    assert ledger[first] == used[first]
    assert all(ledger[series] <= used[series] - 10 * SERIES_ROUNDS for series in later)


def test_a_series_is_opened_only_when_it_is_over_and_fits_its_commitment(store):
    series = draw(store, 1)
    assert draw(store, SERIES_ROUNDS) == series
    assert opened_series(store) == []
    assert draw(store, SERIES_ROUNDS + 1) != series
    client = TestClient(Starlette(routes=public_routes(store)))
    text = client.get(PATH_PROMPTS).text
    assert read_series(text) == [(series, series.commitment)]
    assert [(row["first_round"], row["last_round"]) for row in opened_series(store)] == [(1, SERIES_ROUNDS)]
    assert series.commitment in committed(store)
    assert draw(store, SERIES_ROUNDS + 1).secret.value.hex() not in text


def test_a_restart_goes_on_with_the_same_series(tmp_path):
    store = Store(tmp_path)
    series = draw(store, 1)
    store.close()
    again = Store(tmp_path)
    assert draw(again, 2) == series
    assert len(committed(again)) == 2
    again.close()


def test_organic_traffic_shapes_the_series_after_the_next(store):
    organic = DEFAULT_PROFILE.fitted([RequestShape(Sampling(850, 30_000, 200), 1, False)] * 500)
    draw(store, 1)
    assert draw(store, SERIES_ROUNDS + 1, organic).profile == DEFAULT_PROFILE
    assert draw(store, 2 * SERIES_ROUNDS + 1).profile == organic
