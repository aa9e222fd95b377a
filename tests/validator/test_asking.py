import pytest

from subnet.evidence.slashing import Reason
from subnet.protocol import Fault
from subnet.transport.outcomes import Outcome, Result
from subnet.validator.asking import failure_of
from subnet.validator.values import Status


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
