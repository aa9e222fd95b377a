import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import fill_tables

PAGE = "before\n<!-- table: speed -->\nold numbers\n<!-- end -->\nafter\n"


def test_a_table_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "speed.md").write_text("| a |\n|---|\n| 1 |\n")
    text = fill_tables.filled(PAGE, tmp_path)
    assert text == "before\n<!-- table: speed -->\n\n| a |\n|---|\n| 1 |\n\n<!-- end -->\nafter\n"
    assert fill_tables.filled(text, tmp_path) == text


def test_a_table_that_no_benchmark_wrote_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fill_tables.filled(PAGE, tmp_path)


def test_every_number_in_the_documentation_is_what_the_benchmarks_wrote() -> None:
    assert fill_tables.main(["--check"]) == 0
