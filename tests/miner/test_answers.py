import sqlite3

import pytest

from subnet.errors import StateError
from subnet.miner.answers import FILE, MIGRATIONS, AnswerStore
from tests.protocol.examples import signed_call
from tests.validator.answers import VALIDATOR, FakeMiner


def test_signed_answers_survive_a_restart_and_are_forgotten_with_age(tmp_path):
    miner = FakeMiner("Defence")
    asked = miner.asked()
    response = miner.answer(asked)
    store = AnswerStore(tmp_path)
    store.open_epoch("validator", miner.handshake)
    request = signed_call(asked.request, VALIDATOR)
    store.keep("validator", request, response)
    store.close()
    again = AnswerStore(tmp_path)
    kept = again.answer("validator", miner.epoch, 0)
    assert (kept.request, kept.response, again.last_epoch()) == (request, response, miner.epoch)
    assert again.answer("validator", miner.epoch, 1) is None
    assert again.forget_before(0) == 0 and again.forget_before(4e9) == 1 and again.count() == 0
    assert again.last_epoch() == miner.epoch
    again.close()


def test_a_newer_file_is_refused(tmp_path):
    AnswerStore(tmp_path).close()
    db = sqlite3.connect(tmp_path / FILE)
    db.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(StateError, match="update this software"):
        AnswerStore(tmp_path)
