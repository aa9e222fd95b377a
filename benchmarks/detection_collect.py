"""Collect the detection benchmark's data: `python benchmarks/detection_collect.py --data FOLDER`. Resumable; run
several at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from detection_data import Models, collect, missing, needed  # noqa: E402

DEFAULT_DATA = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "assay" / "detection"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the stored chunks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after the chunk that ends later")
    parser.add_argument("--only", default="", help="only runs whose name starts with one of these")
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    models, began = Models(), time.monotonic()
    for run, chunk, path in missing(options.data):
        if (options.data / "stop").exists():
            break
        if not run.name.startswith(tuple(options.only.split(","))) or not needed(run, chunk, path):
            continue
        claim = path.with_suffix(".lock")
        if not _claimed(claim):
            continue
        try:
            torch.set_num_threads(2 if run.miner.endswith("threads2") else options.threads)
            start = time.monotonic()
            found = collect(run, chunk, models, path)
            widest = 0.0 if found.widest is None else float(found.widest.max(initial=0.0))
            sys.stdout.write(
                f"{time.monotonic() - began:7.0f} s  {path.stem}: {len(found.tokens)} tokens, "
                f"{time.monotonic() - start:.0f} s, misses {np.mean(found.records.margins > 0.01):.4f}, "
                f"widest {widest:.5f}\n"
            )
            sys.stdout.flush()
        finally:
            claim.unlink()
        if time.monotonic() - began > options.seconds:
            break


def _claimed(path: Path) -> bool:
    """Whether this process may collect the chunk: nobody alive has claimed it."""
    try:
        with path.open("x") as file:
            file.write(str(os.getpid()))
        return True
    except FileExistsError:
        owner = path.read_text()
    if not owner or Path(f"/proc/{owner}").exists():
        return False
    path.unlink(missing_ok=True)
    return _claimed(path)


if __name__ == "__main__":
    main()
