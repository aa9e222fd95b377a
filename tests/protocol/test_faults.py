from subnet.protocol import Fault, faults


def test_every_code_has_a_status_and_only_codes_have() -> None:
    assert set(faults.STATUS) == set(faults.CODES) and len(set(faults.CODES)) == len(faults.CODES)
    assert {Fault(code, "").status // 100 for code in faults.CODES} == {4, 5}


def test_overload_is_503_and_a_missing_permit_403() -> None:
    assert Fault("overloaded", "", 1).status == 503 and Fault("forbidden", "").status == 403
