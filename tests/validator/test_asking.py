import asyncio

import pytest

from subnet.chain.values import Endpoint
from subnet.evidence.slashing import Reason
from subnet.protocol import Fault
from subnet.transport.dendrite import Answer
from subnet.transport.outcomes import Outcome, Result, Timing
from subnet.validator.asking import Asker, failure_of
from subnet.validator.state import Store
from subnet.validator.values import Phase, Round, Status
from tests.validator.answers import FakeMiner


@pytest.mark.parametrize("result", [result for result in Result if result not in (Result.OK, Result.FAULT)])
def test_every_end_of_a_call_has_a_reason_and_none_of_ours_is_the_miners(result):
    failure = failure_of(Outcome(result, detail="detail"))
    if result is Result.OUR_FAILURE:
        assert failure.status is Status.OURS and failure.reason is None
    else:
        assert failure.status is Status.FAULTY and failure.reason.is_service_fault


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("overloaded", Reason.REFUSED), ("forbidden", Reason.REFUSED), ("unknown_model", Reason.WRONG_MODEL),
        ("unknown_epoch", Reason.OFFLINE), ("internal", Reason.REFUSED),
    ],
)  # fmt: skip
def test_faults_are_service_faults(code, reason):
    assert failure_of(Outcome(Result.FAULT, fault=Fault(code, "why"))).reason is reason


def test_what_was_streamed_before_a_drop_is_kept():
    failure = failure_of(Outcome(Result.DROPPED, prefix=(1, 2, 3)))
    assert failure.prefix == (1, 2, 3) and failure.reason is Reason.DROPPED


SECRET = b"s" * 32


class Scripted:
    """A dendrite whose streams end as told, one after the other."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)

    async def stream(self, peer, request, commitment, *, seconds):
        return self.outcomes.pop(0)


def asked_once(folder, *outcomes):
    """What is stored of one request whose attempts end so."""
    store, miner = Store(folder), FakeMiner("Asked")
    chain = store.open_chain(miner.hotkey, miner.handshake)
    asked = miner.asked()
    [exchange] = store.begin_round(Round(1, Phase.ASKING, 5, 20, b"r" * 32, 0.0), [asked])
    response = miner.answer(asked)
    made = [outcome(response) if callable(outcome) else outcome for outcome in outcomes]
    asyncio.run(Asker(Scripted(*made), None, store).ask(exchange, Endpoint("127.0.0.1", 1), chain, 5.0))
    [stored] = store.exchanges(1)
    store.close()
    return stored


def dropped(*tokens):
    return Outcome(Result.DROPPED, prefix=tokens, opened=SECRET, sent_at=1.0)


def answered(response, arrivals=((1.5, 1), (2.0, 4))):
    return Outcome(
        Result.OK, value=Answer(response, b"x" * 32), sent_at=1.0, timing=Timing(0.0, 0.01, 1.25), arrivals=arrivals
    )


def test_of_several_attempts_the_longest_prefix_is_kept_with_its_secret(tmp_path):
    stored = asked_once(tmp_path, dropped(1, 2, 3), dropped(1))
    assert stored.prefix == (1, 2, 3) and stored.opened == SECRET
    assert stored.status is Status.FAULTY and stored.reason is Reason.DROPPED and stored.response is None


def test_a_retry_that_answers_leaves_no_prefix_behind_unless_it_takes_it_back(tmp_path):
    stored = asked_once(tmp_path / "same", dropped(7, 8), answered)
    assert stored.status is Status.ANSWERED and stored.prefix == () and stored.opened is None
    stored = asked_once(tmp_path / "other", dropped(7, 9), answered)
    assert stored.status is Status.ANSWERED and stored.prefix == (7, 9) and stored.opened == SECRET


def test_a_retry_does_not_reset_the_miners_clock_and_its_first_token_is_a_token(tmp_path):
    stored = asked_once(tmp_path / "a", dropped(7), lambda r: answered(r, ((5.5, 1), (6.0, 4))))
    assert stored.times.sent == 1.0 and stored.times.first == 5.5, "not the head of the answer at 1.01"
    assert stored.times.arrivals == ((5.5, 1), (6.0, 4)) and stored.times.finished == 2.25
    stored = asked_once(tmp_path / "b", lambda r: answered(r, ()))
    assert stored.times.first == stored.times.finished == 2.25


def test_a_miner_is_asked_as_many_as_it_offers_to_work_on_within_bounds():
    asker = Asker(None, None, None)
    asker._offers.update(small=1, fair=6, boaster=10_000)
    assert [asker.load(name, 2, 8) for name in ("small", "fair", "boaster", "unknown")] == [2, 6, 8, 2]
    assert asker.load("boaster", 3, 1) == 3
