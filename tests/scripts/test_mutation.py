"""The script that changes the punishment path: what it changes, and what it leaves alone."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def mutation():
    spec = importlib.util.spec_from_file_location("mutation_script", ROOT / "scripts" / "mutation.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def changed(mutation, body):
    source = "LIMIT = 3\n\ndef f(a, b):\n" + "".join(f"    {line}\n" for line in body.split("\n"))
    return {text.split("\n    ", 1)[1].strip() for _, _, _, text in mutation.mutants(source)}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return a < b", {"return a <= b", "return a >= b"}),
        ("return a and b", {"return a or b"}),
        ("return a + 1", {"return a - 1", "return a + 2"}),
        ("return min(a, b)", {"return max(a, b)"}),
        ("return replace(a, x=b)", {"return replace(a)"}),
        ("return a in b", {"return a not in b"}),
        ("if a:\n    b.clear()", {"if not a:\n        b.clear()", "if a:\n        pass"}),
        ("'a text'\nlogger.info('{}', 3)\nreturn a", set()),
    ],
)
def test_what_is_changed(mutation, body, expected):
    assert changed(mutation, body) == expected


def test_every_target_and_its_tests_exist(mutation):
    for file, tests in mutation.TARGETS.values():
        assert (ROOT / file).is_file() and all((ROOT / test).is_file() for test in tests), file
