from hypothesis import given
from hypothesis import strategies as st

from subnet.evidence.ledger import Log
from subnet.validator.peers import Root, _log_from_json, _log_to_json


@given(st.integers(0, 10**12 - 1), st.binary(min_size=32, max_size=32))
def test_a_root_survives_the_chain_and_fits_a_commitment(size, root):
    text = Root(size, root).text()
    assert Root.parse(text) == Root(size, root) and len(text.encode()) <= 128


@given(st.text())
def test_any_other_text_is_no_root(text):
    found = Root.parse(text)
    assert found is None or found.text() == text.lower() or found.size == int(text.split(" ")[1])


@given(st.lists(st.binary(max_size=8), max_size=20))
def test_how_far_a_ledger_was_followed_survives_the_store(entries):
    log = Log()
    for entry in entries:
        log = log.append(entry)
    assert _log_from_json(_log_to_json(log)) == log
