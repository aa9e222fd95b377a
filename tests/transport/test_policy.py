from subnet.transport.policy import Caller, CallerPolicy

CALLERS = {"validator": Caller(5, True), "rich": Caller(1_000, False), "poor": Caller(9, False)}


def admitted(policy: CallerPolicy) -> set[str]:
    return {name for name in (*CALLERS, "stranger") if policy.refusal(name, CALLERS) is None}


def test_by_permit_by_stake_by_registration() -> None:
    assert admitted(CallerPolicy()) == {"validator"}
    assert admitted(CallerPolicy(minimum_stake_rao=10)) == {"validator", "rich"}
    assert admitted(CallerPolicy(minimum_stake_rao=0)) == {"validator", "rich", "poor"}


def test_denied_wins() -> None:
    policy = CallerPolicy(minimum_stake_rao=0, denied=frozenset({"validator", "stranger"}))
    assert admitted(policy) == {"rich", "poor"}
    assert policy.refusal("validator", CALLERS) == "this hotkey is on the deny list"
