"""The detection benchmark: `python benchmarks/detection.py [--data FOLDER] [--quick] [--collect]`.

For every adversary the verified tokens until accusation, for every honest configuration the accusations, in both
tolerance classes, at A = 1e9, beside what others do on the same tokens. Reads the chunks that `detection_collect.py`
stores (`--collect` fills in what is missing first) and writes benchmarks/results/detection.{json,md,png}. Takes about
ten minutes; can be stopped and taken up again (what is finished lies in FOLDER/evaluated).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import detection_honest as honest  # noqa: E402
from detection_baselines import honest_threshold, scores, window_rule, z_rule  # noqa: E402
from detection_collect import DEFAULT_DATA  # noqa: E402
from detection_data import AT_BF16, SUBTLE  # noqa: E402
from detection_floor import floor  # noqa: E402
from detection_power import Chunk, completions, delays, fresh_delays, load_chunks, quantile  # noqa: E402
from detection_report import HONEST_NAMES, draw, noise_left, summary, table  # noqa: E402

from subnet.verify.matrix import MEMBERS  # noqa: E402
from subnet.verify.profile import ToleranceProfile, load_profile  # noqa: E402

CLASSES = ("fp32", "bf16")
ORDINARY = ("general", "held_general")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of stored chunks")
    parser.add_argument("--collect", action="store_true", help="collect what is missing first")
    parser.add_argument("--quick", action="store_true", help="fewer orders and fresh tokens")
    parser.add_argument("--fresh", type=int, default=10_000_000, help="honest tokens with fresh seeds, per class")
    parser.add_argument("--orders", type=int, default=100)
    parser.add_argument(
        "--backwards", action="store_true", help="begin with the last part: a second process beside one"
    )
    parser.add_argument("--partial", action="store_true", help="report without the honest lives that are not finished")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after the part that ends later")
    options = parser.parse_args()
    if options.collect:
        subprocess.run([sys.executable, HERE / "detection_collect.py", "--data", options.data], check=True)
    chunks = load_chunks(options.data)
    if not chunks:
        sys.exit(f"{options.data} holds no chunks: run with --collect")
    fresh, orders = (200_000, 20) if options.quick else (options.fresh, options.orders)
    benchmark = Benchmark(chunks, options.data / ("evaluated-quick" if options.quick else "evaluated"), orders, fresh)
    began = time.monotonic()
    parts = [] if options.partial else list(benchmark.parts().items())
    for name, part in reversed(parts) if options.backwards else parts:
        benchmark.done(name, part)
        if time.monotonic() - began > options.seconds:
            sys.stderr.write("stopped; run again to go on\n")
            return 3
    found = benchmark.report(options.partial)
    results = HERE / "results"
    (results / "detection.json").write_text(json.dumps(found, indent=1) + "\n")
    (results / "detection.md").write_text(table(found))
    (results / "detection_short.md").write_text(summary(found))
    (results / "noise_left.md").write_text(noise_left(benchmark.profiles["bf16"]))
    draw(found, results / "detection.png")
    sys.stdout.write(table(found))
    return 0


class Benchmark:
    """Everything that is reported, in parts that are stored as they are finished."""

    def __init__(self, chunks: Sequence[Chunk], folder: Path, orders: int, fresh: int) -> None:
        self.chunks, self.folder, self.orders, self.fresh = chunks, folder, orders, fresh
        self.profiles = {name: load_profile(f"smollm2-135m-instruct-{name}") for name in CLASSES}
        self.miners = sorted({c.miner for c in chunks})
        folder.mkdir(exist_ok=True)

    def parts(self) -> dict[str, Callable[[], Any]]:
        """What is computed, by name."""
        found: dict[str, Callable[[], Any]] = {}
        found["half.bf16.0"] = lambda: self._half(0)
        found["half.bf16.1"] = lambda: self._half(1)
        found["half.bf16.tight"] = lambda: self._half(2)
        for name in CLASSES:
            for miner in self._judged(name):
                found[f"row.{name}.{miner}"] = lambda n=name, m=miner: self._row(n, m)
            found[f"baselines.{name}"] = lambda n=name: self._baselines(n)
            found[f"real.{name}"] = lambda n=name: self._real(n)
        for name in reversed(CLASSES):
            for workload in sorted({c.workload for c in self._members(name)}):
                found[f"honest.{name}.{workload}"] = lambda n=name, w=workload: self._fresh(n, w)
        return found

    def done(self, name: str, part: Callable[[], Any]) -> Any:
        """A part's result, from the store if it is there for the same data and profiles."""
        files = sorted((c.miner, c.workload, c.batch, len(c.data.tokens)) for c in self.chunks if _concerns(name, c))
        digests = [self.profiles[n].digest().hex() for n in CLASSES if f".{n}" in name]
        key = hashlib.sha256(repr((files, digests, self.orders, self.fresh)).encode()).hexdigest()
        path = self.folder / f"{name}.json"
        if path.exists() and (stored := json.loads(path.read_text()))["key"] == key:
            return stored["value"]
        value = part()
        path.write_text(json.dumps({"key": key, "value": value}))
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {name}\n")
        return value

    def report(self, partial: bool = False) -> dict[str, Any]:
        """All parts together; partial: honest lives only where they are finished."""
        values = {}
        for name, part in self.parts().items():
            if not (partial and name.startswith("honest.") and not (self.folder / f"{name}.json").exists()):
                values[name] = self.done(name, part)
        out: dict[str, Any] = {"threshold": 1e9}
        for field in ("tokens", "agreement", "miss_rate", "delays", "fresh_delays", "floor", "tight_floor"):
            out[field] = {name: {} for name in CLASSES}
            for name in CLASSES:
                for miner in self._judged(name):
                    out[field][name][miner] = values[f"row.{name}.{miner}"][field]
        out["baselines"] = {name: values[f"baselines.{name}"] for name in CLASSES}
        out["honest"] = {}
        for name in CLASSES:
            own = {w.split(".")[2]: v for w, v in values.items() if w.startswith(f"honest.{name}.")}
            out["honest"][name] = values[f"real.{name}"] | {"workloads": own}
        toploc = HERE / "results" / "toploc.json"
        out["toploc"] = json.loads(toploc.read_text()) if toploc.exists() else None
        return out

    def _judged(self, name: str) -> list[str]:
        """Miners that a class's table has: in its own numerics, and in the bf16 class the subtle cheats in float32."""
        own = [m for m in self.miners if m not in HONEST_NAMES and m.endswith(AT_BF16) == (name == "bf16")]
        if name == "bf16":
            own += [m for m in self.miners if m in SUBTLE]
            own += [m for m in self.miners if m not in (*HONEST_NAMES, *SUBTLE) and m + AT_BF16 not in self.miners
                    and not m.endswith(AT_BF16)]  # fmt: skip
        return own + [m for m in HONEST_NAMES if m in self.miners]

    def _members(self, name: str) -> list[Chunk]:
        return [c for c in self.chunks if c.miner in MEMBERS[name]]

    def _half(self, side: int) -> str:
        fit = [c for c in self._members("bf16") if not c.workload.startswith("held_")]
        tokens = 400_000 if self.fresh < 1_000_000 else 1_000_000
        return honest.profile_of_half(fit, "bf16", side, tokens, tight=side == 2).to_json()

    def _profile(self, side: str) -> ToleranceProfile:
        return ToleranceProfile.from_json(self.done(f"half.bf16.{side}", self.parts()[f"half.bf16.{side}"]))

    def _row(self, name: str, miner: str) -> dict[str, Any]:
        own = [c for c in self.chunks if c.miner == miner and c.workload in ORDINARY]
        profile, random = self.profiles[name], np.random.default_rng(7)
        answers = completions(own, profile)
        margins = np.concatenate([a.margins for a in answers])
        fresh = None
        pairs = [c.data for c in own if c.data.pairs is not None]
        if pairs and miner not in HONEST_NAMES:
            longest = 1_000 if name == "fp32" else 4_000
            fresh = fresh_delays(pairs[0].spread_pairs(profile.spread), pairs[0].sampling, profile, 20, longest, random)
        tight = self._profile("tight") if name == "bf16" else profile
        return {
            "tokens": len(margins),
            "agreement": float(np.mean(np.concatenate([a.matches for a in answers]))),
            "miss_rate": float(np.mean(margins > profile.tolerance)),
            "delays": delays(answers, profile, self.orders, random),
            "fresh_delays": fresh,
            "floor": floor(answers, profile),
            "tight_floor": floor(completions(own, tight), tight),
        }

    def _baselines(self, name: str) -> dict[str, Any]:
        """Median delays of the rules of others, and how often they accuse an honest miner of the class."""
        random = np.random.default_rng(3)
        members = self._members(name)
        general = completions([c for c in members if c.workload == "general"])
        fit, rest = general[::2], general[1::2] + completions([c for c in members if c.workload != "general"])
        rules = {}
        for label, kind in (("exact match", "mismatch"), ("mean margin", "margin")):
            rules[label] = (kind, window_rule(honest_threshold(scores(fit, np.arange(len(fit)), kind))))
        values = scores(fit, np.arange(len(fit)), "margin")
        rules["z > 1"] = ("margin", z_rule(float(values.mean()), float(values.std())))
        out: dict[str, Any] = {}
        for label, (kind, rule) in rules.items():
            row: dict[str, Any] = {}
            for miner in self._judged(name):
                if miner in HONEST_NAMES:
                    continue
                answers = completions([c for c in self.chunks if c.miner == miner and c.workload in ORDINARY])
                hits = [rule(scores(answers, random.permutation(len(answers)), kind)) for _ in range(self.orders)]
                median = quantile(hits, 0.5)
                row[miner] = None if np.isinf(median) else median
            hits = [rule(scores(rest, random.permutation(len(rest)), kind)) for _ in range(self.orders)]
            row["honest accused"] = float(np.mean([hit is not None for hit in hits]))
            out[label] = row
        return out

    def _real(self, name: str) -> dict[str, Any]:
        members = self._members(name)
        new = [c for c in members if c.workload.startswith("held_")]
        old = [c for c in members if not c.workload.startswith("held_")]
        shipped = self.profiles[name]
        judges = [self._profile("1"), self._profile("0")] if name == "bf16" else [shipped, shipped]
        widest = np.concatenate([c.data.widest for c in members if c.data.widest is not None])
        return {
            "halves": honest.real(old, judges),
            "new": honest.real(new, [shipped]) if new else None,
            "widest_difference": float(widest.max()),
        }

    def _fresh(self, name: str, workload: str) -> list[dict[str, Any]]:
        """Lives of fresh tokens in one workload: on each half, judged by the profile of the other; new contexts by the
        profile that is shipped.
        """
        own = [c for c in self._members(name) if c.workload == workload and c.data.pairs is not None]
        if not own:
            return []
        share = self.fresh / len({c.workload for c in self._members(name) if not c.workload.startswith("held_")})
        if workload.startswith("held_"):
            return [honest.fresh(own, honest.BOTH, self.profiles[name], 150_000)]
        judges = [self._profile("1"), self._profile("0")] if name == "bf16" else [self.profiles[name]] * 2
        return [honest.fresh(own, side, judge, int(share / 2) + 1) for side, judge in enumerate(judges)]


def _concerns(part: str, chunk: Chunk) -> bool:
    """Whether a part's result depends on a chunk."""
    kind, name, *rest = part.split(".")
    if kind == "row":
        return chunk.miner == rest[0]
    if kind == "honest":
        return chunk.miner in MEMBERS[name] and chunk.workload == rest[0]
    return kind == "baselines" or chunk.miner in MEMBERS[name]


if __name__ == "__main__":
    sys.exit(main())
