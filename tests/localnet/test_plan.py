from pathlib import Path

import pytest

from subnet.errors import ConfigError
from subnet.localnet.plan import DEFAULT_ADVERSARIES, HONEST, Participant, parse, participants

ZOO = {"int4": "int4 weights", "wrong_seed": "a seed of its own", "fp8_kv": "fp8 KV cache", "slow": "late"}


def test_default_plan_is_two_validators_and_six_miners_of_which_three_cheat() -> None:
    plan = parse([], ZOO, Path("x"))
    assert len(plan.validators) == 2
    assert [m.kind for m in plan.miners] == [HONEST] * 3 + list(DEFAULT_ADVERSARIES)
    assert [m.cheats for m in plan.miners] == [False] * 3 + [True] * 3
    assert not any(v.cheats for v in plan.validators)


def test_names_are_unique() -> None:
    names = [p.name for p in participants(3, 9, ("int4", "int4", "slow"))]
    assert len(set(names)) == len(names) == 12


def test_adversaries_replace_honest_miners_and_do_not_add_to_them() -> None:
    assert participants(1, 2, ("slow",)) == (
        Participant("validator-1", "validator"),
        Participant("miner-1", HONEST),
        Participant("miner-2", "slow"),
    )


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--adversaries", "int4,int3"], "unknown adversaries int3"),
        (["--miners", "3"], "at least one miner must be honest"),
        (["--validators", "0"], "at least one validator"),
        (["--epochs", "0"], "--epochs is 0"),
        (["--block-time", "0"], "--block-time is 0"),
    ],
)
def test_bad_plans_are_refused_with_the_value_and_the_remedy(argv: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(argv, ZOO, Path("x"))


def test_no_adversaries_at_all() -> None:
    assert not any(m.cheats for m in parse(["--adversaries", ""], ZOO, Path("x")).miners)
