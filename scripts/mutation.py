"""Changes the punishment path line by line and says where no test notices.

From a verdict to a slash, a score and a weight, one flipped comparison punishes an honest miner or pays a cheat. For
every file below each comparison, condition, number, sum, call and `replace` keyword is changed in turn, and the unit
tests of the file must fail. What survives is printed and recorded: it wants a test, or a reason why it changes nothing.

    python scripts/mutation.py                     all files (about half an hour on one core)
    python scripts/mutation.py judge --quick       one file, every fifth change

A process that has imported the libraries forks for every change, so one costs about as much as its tests.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DEADLINE_S = 90

TARGETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "slashing": ("subnet/evidence/slashing.py", ("tests/evidence/test_slashing.py",)),
    "judge": ("subnet/validator/judge.py", ("tests/validator/test_judge.py", "tests/validator/test_suspicion.py")),
    "suspicion": ("subnet/validator/suspicion.py", ("tests/validator/test_suspicion.py",)),
    "accuse": ("subnet/validator/accuse.py", ("tests/validator/test_accuse.py", "tests/validator/test_punishing.py")),
    "punishing": ("subnet/validator/punishing.py", ("tests/validator/test_punishing.py",)),
    "weighing": (
        "subnet/validator/weighing.py",
        ("tests/validator/test_weighing.py", "tests/validator/test_weighing_times.py", "tests/validator/test_judge.py"),
    ),
    "scores": ("reward/scores.py", ("tests/reward/test_score_numbers.py", "tests/reward/test_scores.py")),
    "weights": ("reward/weights.py", ("tests/reward/test_weights.py",)),
}

SWAPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt,
}  # fmt: skip
OTHER: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
PAIRS = {"min": "max", "max": "min", "any": "all", "all": "any"}

Change = Callable[[ast.AST], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One change: where, what, and whether a test noticed ("killed", "hung" or "survived")."""

    file: str
    line: int
    inside: str
    change: str
    outcome: str


def changes_of(node: ast.AST) -> Iterator[tuple[str, Change]]:
    """What can be changed at one node: a description, and a function that changes a copy of it in place."""
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for table in (SWAPPED, TURNED):
                if type(operator) in table:
                    other = table[type(operator)]
                    yield f"{_name(operator)} becomes {_name(other())}", lambda n, p=place, o=other: _set(n.ops, p, o())
    elif isinstance(node, ast.BoolOp):
        op = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield f"{_name(node.op)} becomes {_name(op())}", lambda n: setattr(n, "op", op())
    elif isinstance(node, ast.BinOp) and type(node.op) in OTHER:
        operator = OTHER[type(node.op)]
        yield f"{_name(node.op)} becomes {_name(operator())}", lambda n: setattr(n, "op", operator())
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield f"{node.value} becomes {not node.value}", lambda n: setattr(n, "value", not n.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield f"{node.value} becomes {node.value + 1}", lambda n: setattr(n, "value", n.value + 1)
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield "the condition is turned", lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))
    elif isinstance(node, ast.comprehension) and node.ifs:
        yield "the filter is dropped", lambda n: setattr(n, "ifs", [])
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in PAIRS:
            yield f"{node.func.id} becomes {PAIRS[node.func.id]}", lambda n: setattr(n.func, "id", PAIRS[n.func.id])
        if isinstance(node.func, ast.Name) and node.func.id == "replace":
            for place, keyword in enumerate(node.keywords):
                yield f"replace leaves out {keyword.arg}", lambda n, p=place: n.keywords.pop(p)


def _name(node: ast.AST) -> str:
    return type(node).__name__


def _set(items: list, place: int, value: object) -> None:
    items[place] = value


def sites(tree: ast.Module) -> Iterator[tuple[int, str, str, Change, int]]:
    """(line, function, description, change, number of the node) of all changes, in the order of the file."""
    for number, (node, inside) in enumerate(_walk(tree, "")):
        if inside:
            for description, change in changes_of(node):
                yield getattr(node, "lineno", 0) or _line(node), inside, description, change, number
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.If | ast.For | ast.While | ast.With):
                for place, statement in enumerate(node.body):
                    if _droppable(statement):
                        yield statement.lineno, inside, f"dropped: {ast.unparse(statement)[:60]}", (
                            lambda n, p=place: _set(n.body, p, ast.Pass())
                        ), number  # fmt: skip


def _line(node: ast.AST) -> int:
    return next((child.lineno for child in ast.walk(node) if hasattr(child, "lineno")), 0)


def _droppable(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call | ast.Await):
        return not ast.unparse(statement).startswith("logger.")
    return isinstance(statement, ast.AugAssign | ast.Raise | ast.Continue | ast.Delete)


def _walk(node: ast.AST, inside: str) -> Iterator[tuple[ast.AST, str]]:
    """Every node with the function it is in; not the texts, annotations, defaults of fields, and log lines."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr | ast.arguments):
                continue
            if isinstance(child, ast.Expr) and ast.unparse(child).startswith(("logger.", "'", '"')):
                continue
            within = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else inside
            yield child, within
            yield from _walk(child, within)


def mutants(source: str) -> Iterator[tuple[int, str, str, str]]:
    """(line, function, description, changed source) of every change that gives another program."""
    tree = ast.parse(source)
    plain = ast.unparse(tree)
    for line, inside, description, change, number in list(sites(tree)):
        other = copy.deepcopy(tree)
        node = next(found for count, (found, _) in enumerate(_walk(other, "")) if count == number)
        change(node)
        text = ast.unparse(ast.fix_missing_locations(other))
        if text != plain:
            yield line, inside, description, text


class Instead(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports one module from another source."""

    def __init__(self, module: str, source: str, path: Path) -> None:
        self._module, self._source, self._path = module, source, path

    def find_spec(self, fullname: str, path: object, target: object = None):
        if fullname != self._module:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=str(self._path))

    def get_source(self, fullname: str) -> str:
        return self._source


def run_tests(module: str, source: str, path: Path, tests: tuple[str, ...]) -> str:
    """Runs the tests against the changed module in a fork: "killed", "hung" or "survived"."""
    child = os.fork()
    if child == 0:
        code = 70
        with contextlib.suppress(BaseException):
            code = _in_child(module, source, path, tests)
        os._exit(code)
    deadline = time.monotonic() + DEADLINE_S
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "hung"
        time.sleep(0.01)


def _in_child(module: str, source: str, path: Path, tests: tuple[str, ...]) -> int:
    import hypothesis
    import pytest

    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    sys.meta_path.insert(0, Instead(module, source, path))
    hypothesis.settings.register_profile("mutation", max_examples=25, deadline=None, database=None, derandomize=True)
    return int(
        pytest.main(
            [
                "-x",
                "-q",
                "-p",
                "no:cacheprovider",
                "--no-header",
                "--hypothesis-profile=mutation",
                "-m",
                "not slow",
                *tests,
            ]
        )
    )


def measure(name: str, every: int) -> list[Outcome]:
    path, tests = ROOT / TARGETS[name][0], tuple(t for t in TARGETS[name][1] if (ROOT / t).exists())
    module = TARGETS[name][0].removesuffix(".py").replace("/", ".")
    source = path.read_text()
    if run_tests(module, ast.unparse(ast.parse(source)), path, tests) != "survived":
        raise SystemExit(f"{', '.join(tests)}: red without any change")
    found = []
    for number, (line, inside, change, changed) in enumerate(mutants(source)):
        if number % every:
            continue
        outcome = run_tests(module, changed, path, tests)
        found.append(Outcome(TARGETS[name][0], line, inside, change, outcome))
        if outcome == "survived":
            sys.stdout.write(f"{TARGETS[name][0]}:{line} {inside}: {change}\n")
            sys.stdout.flush()
    return found


def table(found: list[Outcome]) -> str:
    lines = ["| file | changes | noticed by a test | hung | not noticed |", "|---|---:|---:|---:|---:|"]
    for file in dict.fromkeys(row.file for row in found):
        rows = [row.outcome for row in found if row.file == file]
        counts = [rows.count(outcome) for outcome in ("killed", "hung", "survived")]
        lines.append(f"| `{file}` | {len(rows)} | {counts[0]} | {counts[1]} | {counts[2]} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python scripts/mutation.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TARGETS)}; none: all of them")
    parser.add_argument("--quick", action="store_true", help="every fifth change, and nothing is recorded")
    parser.add_argument("--every", type=int, default=0, help="every so many changes")
    options = parser.parse_args()
    names = options.names or list(TARGETS)
    unknown = set(names) - set(TARGETS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(TARGETS)}")
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for library in ("numpy", "torch", "pytest", "hypothesis", "httpx", "starlette", "loguru", "bittensor", "aiosqlite"):
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    every = options.every or (5 if options.quick else 1)
    found = [row for name in names if (ROOT / TARGETS[name][0]).exists() for row in measure(name, every)]
    sys.stdout.write(table(found))
    if every == 1:
        record(found)
    return 0


def record(found: list[Outcome]) -> None:
    """Replaces what is recorded about these files, and keeps what is about others."""
    path = RESULTS / "mutation.json"
    files = {row.file for row in found}
    old = json.loads(path.read_text()) if path.exists() else []
    kept = [Outcome(**row) for row in old if row["file"] not in files]
    rows = [*kept, *found]
    path.write_text("[\n" + ",\n".join(json.dumps(asdict(row)) for row in rows) + "\n]\n")
    (RESULTS / "mutation.md").write_text(table(rows))


if __name__ == "__main__":
    raise SystemExit(main())
