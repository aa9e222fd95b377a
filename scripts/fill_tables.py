"""Puts the benchmarks' tables into the pages that show them, so that no number in the documentation is typed by hand.

A page marks the place with `<!-- table: NAME -->` and `<!-- end -->`; what stands between them is replaced by
benchmarks/results/NAME.md. `--check` changes nothing and exits 1 when a page is out of date.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BLOCK = re.compile(r"(<!-- table: (?P<name>[\w.-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages(root: Path = ROOT) -> list[Path]:
    """Every page that may hold a table."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def filled(text: str, results: Path) -> str:
    """The text with every marked table replaced. Raises FileNotFoundError for a table that no benchmark wrote."""

    def table(match: re.Match[str]) -> str:
        body = (results / f"{match['name']}.md").read_text().strip()
        return f"{match[1]}\n{body}\n\n{match[3]}"

    return BLOCK.sub(table, text)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a page is out of date")
    check = parser.parse_args(argv).check
    stale = []
    for page in pages():
        text = page.read_text()
        new = filled(text, RESULTS)
        if new != text:
            stale.append(page)
            if not check:
                page.write_text(new)
    for page in stale:
        sys.stdout.write(f"{'out of date' if check else 'filled'}: {page.relative_to(ROOT)}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
