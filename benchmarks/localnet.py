"""Runs the localnet again and again and says how often it kept its promise, and how long it took.

    python benchmarks/localnet.py --runs 20            (about two minutes a run on 2 cores)
    python benchmarks/localnet.py --runs 1 --append    (one more, added to those on file)

Every run is `scripts/localnet.sh` as a person starts it, with a fresh chain, fresh wallets and fresh prompts. Writes
benchmarks/results/localnet_runs.{json,md} after every run, and the last run's printed output to localnet.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
CLOSING = "What happened"


def one_run(folder: Path, arguments: list[str]) -> tuple[dict[str, Any], str]:
    """The run's outcome (with exit code and wall seconds) and all that it printed."""
    started = time.monotonic()
    done = subprocess.run(
        [str(ROOT / "scripts" / "localnet.sh"), "--folder", str(folder), "--page-port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    path = folder / "outcome.json"
    outcome = json.loads(path.read_text()) if path.exists() else {"miners": [], "problems": ["it did not finish"]}
    facts = {"exit_code": done.returncode, "wall_s": time.monotonic() - started, "commit": commit()}
    return {**outcome, **facts}, done.stdout


def commit() -> str:
    """The checkout's commit in short, with "+" where files other than results were changed since."""
    git = ["git", "-C", str(ROOT)]
    name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = [*git, "diff", "--quiet", "HEAD", "--", ".", ":!benchmarks/results"]
    if name.returncode != 0:
        return "unknown"
    return name.stdout.strip() + ("+" if subprocess.run(changed, check=False).returncode else "")


def table(runs: list[dict[str, Any]]) -> str:
    """The summary as Markdown: one line a kind of miner, then the run as a whole."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        for miner in run["miners"]:
            kinds.setdefault(miner["participant"]["kind"], []).append(miner)
    lines = ["| miner | seen | accused | checked tokens, median (range) | largest incentive |", "|---|---|---|---|---|"]
    for kind, miners in kinds.items():
        tokens = [miner["checked_tokens"] for miner in miners]
        accused = sum(bool(miner["accused_by"]) for miner in miners)
        spread = f"{statistics.median(tokens):.0f} ({min(tokens)}–{max(tokens)})"
        lines.append(f"| {kind} | {len(miners)} | {accused} | {spread} | {max(m['incentive'] for m in miners):.3f} |")
    kept = sum(run["exit_code"] == 0 for run in runs)
    finished = [run for run in runs if run.get("first_weights_s") is not None]
    line = f"{kept} of {len(runs)} runs kept the promise (exit code 0)."
    if finished:
        first = statistics.median(run["first_weights_s"] for run in finished)
        whole = statistics.median(run["wall_s"] for run in finished)
        line += f" First weights on the chain {first:.0f} s after the start, whole run {whole:.0f} s (medians)."
    return "\n".join([*lines, "", line]) + "\n"


def transcript(printed: str) -> str:
    """A run's output without the tables in between: the first lines, the last table and the report."""
    lines = printed.splitlines()
    closing = next((i for i, line in enumerate(lines) if line.startswith(CLOSING)), len(lines))
    tables = [i for i, line in enumerate(lines[:closing]) if line.startswith("block ")]
    opening = lines[: tables[0]] if tables else lines
    last = lines[tables[-1] :] if tables else []
    text = "\n".join(line.rstrip() for line in [*opening, "...", *last]).replace(str(ROOT) + "/", "")
    return f"```console\n$ ./scripts/localnet.sh\n{text}\n```\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=ROOT / ".localnet" / f"runs-{time.strftime('%Y%m%d-%H%M%S')}")
    parser.add_argument("rest", nargs="*", help="after --: arguments of localnet.sh")
    parser.add_argument("--append", action="store_true", help="add to the runs on file instead of starting anew")
    args = parser.parse_args(argv)
    stored = RESULTS / "localnet_runs.json"
    runs: list[dict[str, Any]] = json.loads(stored.read_text()) if args.append and stored.exists() else []
    for number in range(len(runs) + 1, len(runs) + args.runs + 1):
        run, printed = one_run(args.folder / f"{number:02}", args.rest)
        runs.append(run)
        RESULTS.mkdir(exist_ok=True)
        stored.write_text(json.dumps(runs, indent=1) + "\n")
        (RESULTS / "localnet_runs.md").write_text(table(runs))
        (RESULTS / "localnet.md").write_text(transcript(printed))
        sys.stdout.write(f"run {number}: exit {run['exit_code']}, {run['wall_s']:.0f} s; {run['problems'] or 'kept'}\n")
        sys.stdout.flush()
    sys.stdout.write(table(runs))
    return 0 if all(run["exit_code"] == 0 for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
