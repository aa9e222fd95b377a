import sqlite3
from dataclasses import replace

import pytest

from subnet.errors import StateError
from subnet.evidence.ledger import NOBODY, Entry, EntryKind, Log
from subnet.evidence.rounds import RoundCommitment, round_leaf, sign_round
from subnet.evidence.slashing import Reason
from subnet.protocol import merkle
from subnet.validator.state import DiskFull, Store
from subnet.validator.state.database import FILE
from subnet.validator.state.schema import MIGRATIONS
from subnet.validator.values import Judged, Miner, Phase, Placed, Round, Settlement, Status, Times
from subnet.verify.verdict import Verdict
from tests.validator.answers import GENESIS, NETUID, VALIDATOR, FakeMiner

VALIDATOR_KEY = bytes(VALIDATOR.public_key)


def begin(store, miner, number=1, count=2):
    chain = store.open_chain(miner.hotkey, miner.handshake)
    assert chain.next_counter == miner.counter
    opened = Round(number, Phase.ASKING, 10, 20, b"s" * 32, 0.0)
    return opened, store.begin_round(opened, [miner.asked(number) for _ in range(count)])


def close(store, number=1):
    answered = [e for e in store.exchanges(number) if e.response is not None]
    root = merkle.root([round_leaf(e.response.link) for e in answered])
    commitment = RoundCommitment(1, GENESIS, NETUID, VALIDATOR_KEY, number, root, len(answered), 12)
    entry = Entry(EntryKind.ROUND, 12, NOBODY, VALIDATOR_KEY, commitment.digest)
    store.close_round(number, sign_round(commitment, VALIDATOR), {e.id: i for i, e in enumerate(answered)}, entry)


def settlement(store, number=1):
    exchanges = store.exchanges(number)
    judged = tuple(
        Judged(e.id, True, Verdict.CONSISTENT, 4, 0, 0.0, b"", 0.5) for e in exchanges if e.response is not None
    )
    placed = tuple(Placed(row.exchange, i, 0) for i, row in enumerate(judged))
    return Settlement(number, b"h" * 32, 1.5, judged, (Miner(exchanges[0].miner, requests=2),), (), placed)


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path)
    yield opened
    opened.close()


def test_requests_are_stored_before_they_are_sent_and_survive_a_kill(tmp_path):
    miner = FakeMiner("Kill")
    store = Store(tmp_path)
    _, exchanges = begin(store, miner)
    store.close()
    again = Store(tmp_path)
    assert [r.id for r in again.unsettled()] == [1]
    kept = again.exchanges(1)
    assert [e.asked.request for e in kept] == [e.asked.request for e in exchanges]
    assert [e.asked.plan for e in kept] == [e.asked.plan for e in exchanges]
    assert again.chain(miner.hotkey, miner.epoch).next_counter == 2
    again.close()


def test_an_answer_is_stored_once_and_the_first_one_stays(store):
    miner = FakeMiner("Once")
    _, (first, second) = begin(store, miner)
    answer = miner.answer(first.asked)
    store.record_answer(first.id, answer, Times(1.0, None, 2.0), timed=True)
    store.record_answer(first.id, miner.answer(second.asked), None, timed=True)
    store.record_failure(first.id, Status.FAULTY, Reason.LATE, "late")
    kept = store.exchanges(1)[0]
    assert kept.response == answer and kept.status is Status.ANSWERED and kept.times.sent == 1.0


def test_a_round_is_settled_once_whatever_happens(store):
    miner = FakeMiner("Twice")
    _, exchanges = begin(store, miner)
    for exchange in exchanges:
        store.record_answer(exchange.id, miner.answer(exchange.asked), None, timed=True)
    with pytest.raises(StateError, match="never closed"):
        store.settle(settlement(store))
    close(store)
    store.settle(settlement(store))
    with pytest.raises(StateError, match="not counted twice"):
        store.settle(replace(settlement(store), miners=(Miner(miner.hotkey, requests=99),)))
    assert store.miners()[miner.hotkey].requests == 2
    assert store.unsettled() == []


def test_a_settlement_that_fails_halfway_changes_nothing(store):
    miner = FakeMiner("Half")
    _, exchanges = begin(store, miner)
    store.record_answer(exchanges[0].id, miner.answer(exchanges[0].asked), None, timed=True)
    close(store)
    good = settlement(store)
    with pytest.raises((StateError, sqlite3.Error, AttributeError)):
        store.settle(replace(good, bundles=(None,)))
    assert store.round(1).phase is Phase.CLOSED and store.miners() == {}


def test_the_ledger_is_the_log_over_its_entries(store):
    miner = FakeMiner("Log")
    begin(store, miner)
    close(store)
    entry = Entry(EntryKind.ACCUSATION, 13, bytes(miner.keypair.public_key), VALIDATOR_KEY, b"d" * 32, Reason.ACCUSED)
    store.update_miners([Miner(miner.hotkey)], [entry])
    log = Log()
    for row in store.ledger():
        log = log.append(row.entry.to_bytes())
    assert [row.index for row in store.ledger()] == [0, 1] and log.size == 2
    assert store.leaves() == [row.leaf for row in store.ledger()]
    assert [row.entry for row in store.ledger_tail(5, EntryKind.ROUND)] == [entry]


def test_a_full_disk_is_its_own_error_and_loses_nothing(store):
    miner = FakeMiner("Full")
    begin(store, miner)
    pages = store._db.row("PRAGMA page_count")[0]
    store._db.row(f"PRAGMA max_page_count={pages + 1}")
    with pytest.raises(DiskFull, match="nothing was lost"):
        for number in range(200):
            store.update_miners([Miner(f"miner-{number}", test="x" * 4000)])
    before = len(store.miners())
    store._db.row("PRAGMA max_page_count=1073741823")
    store.update_miners([Miner("after")])
    assert len(store.miners()) == before + 1
    assert len(store.exchanges(1)) == 2


def test_two_processes_cannot_share_a_folder(store, tmp_path):
    with pytest.raises(StateError, match="in use by another process"):
        Store(tmp_path)


def test_a_newer_database_is_refused_and_left_alone(tmp_path):
    Store(tmp_path).close()
    db = sqlite3.connect(tmp_path / FILE)
    db.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(StateError, match="update it"):
        Store(tmp_path)


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path):
    (tmp_path / FILE).write_bytes(b"this is not a database" * 100)
    with pytest.raises(StateError, match="move it away"):
        Store(tmp_path)


def test_old_exchanges_are_forgotten_but_never_of_the_running_epoch(store):
    old, new = FakeMiner("Prune", epoch=1), FakeMiner("Prune", epoch=2)
    for number, miner in ((1, old), (2, new)):
        begin(store, miner, number)
        close(store, number)
        store.settle(settlement(store, number))
    assert store.prune(keep_rounds=0) == 2
    assert store.exchanges(1) == () and len(store.exchanges(2)) == 2
