import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.errors import AssayError
from subnet.evidence.ledger import ENTRY_BYTES, Entry, EntryKind, Log
from subnet.validator.peers import Root, _log_from_json, _log_to_json, rows_of


@given(st.integers(0, 10**12 - 1), st.binary(min_size=32, max_size=32))
def test_a_root_survives_the_chain_and_fits_a_commitment(size, root):
    text = Root(size, root).text()
    assert Root.parse(text) == Root(size, root) and len(text.encode()) <= 128


@given(st.text())
def test_any_other_text_is_no_root(text):
    found = Root.parse(text)
    assert found is None or found.text() == text.lower() or found.size == int(text.split(" ")[1])


def test_a_page_of_a_ledger_is_read():
    entry = Entry(EntryKind.ROUND, 7, bytes(32), b"v" * 32, b"d" * 32).to_bytes()
    assert rows_of(json.dumps({"from": 0, "entries": [entry.hex()] * 2}).encode()) == [entry] * 2


@pytest.mark.parametrize(
    "page",
    [b"", b"{}", b"[]", b"1", b"null", b'{"entries":1}', b'{"entries":[1]}', b'{"entries":["00"]}', b'{"entries":{}}',
     b'{"entries":null}', b"[" * 100_000, b'{"a":' * 50_000, b'{"entries":["' + b"zz" * ENTRY_BYTES + b'"]}', b"\xff"],
)  # fmt: skip
def test_what_a_peer_sends_never_stops_us_from_following_the_others(page):
    """Only errors of ours are caught where ledgers are followed: any other ends the pass for all validators."""
    with pytest.raises(AssayError):
        rows_of(page)


@given(st.lists(st.binary(max_size=8), max_size=20))
def test_how_far_a_ledger_was_followed_survives_the_store(entries):
    log = Log()
    for entry in entries:
        log = log.append(entry)
    assert _log_from_json(_log_to_json(log)) == log
