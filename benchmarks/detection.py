"""The detection benchmark: `python benchmarks/detection.py --data FOLDER`, on what detection_collect.py stored.

For every adversary the verified tokens until accusation, for every honest configuration the accusations, in both
tolerance classes at the shipped profiles; then the same honest pairs of logits with fresh seeds. Baselines run over the
same records. Writes benchmarks/results/detection.{json,md,png}. About ten minutes; `--quick` draws fewer seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
matplotlib.use("Agg")

from detection_collect import DEFAULT_DATA  # noqa: E402
from detection_power import Chunk, accusations, completions, delays, load_chunks, quantile  # noqa: E402
from matplotlib import pyplot  # noqa: E402

from subnet.verify.bets import factors  # noqa: E402
from subnet.verify.pairs import fresh_records  # noqa: E402
from subnet.verify.profile import ToleranceProfile, load_profile  # noqa: E402
from subnet.verify.records import TokenRecords  # noqa: E402

RESULTS = Path(__file__).parent / "results"
MODEL = "smollm2-135m-instruct"
CLASSES = ("fp32", "bf16")
HONEST = {"fp32": ("fp32", "fp32-math", "fp32-threads2"), "bf16": ("bf16h", "fp32", "fp32-math", "fp32-threads2")}
"""Configurations that each class allows. bf16h: bf16 layers with the final norm and vocabulary projection in fp32."""
NOT_ALLOWED = ("bf16", "bf16h")
WHAT = {
    "smaller_model": "another model", "smaller_then_prefill": "another model, then the right one's prefill",
    "wrong_seed": "a seed of its own", "copies": "another miner's answer", "int4": "int4 weights, groups of 128",
    "layer_skipped": "one decoder layer skipped", "early_exit": "leaves layers early on easy tokens",
    "int8_dynamic": "int8 weights and activations, per tensor", "greedy": "greedy for T = 0.8",
    "temperature_high": "T = 1.0 for 0.8", "temperature_low": "T = 0.6 for 0.8", "top_p": "top-p 0.9 slipped in",
    "top_k": "top-k 50 slipped in", "prompt_tampering": "system prompt dropped", "prompt_cut": "prompt cut short",
    "evicted_kv": "KV cache evicted", "fp8": "fp8 weights", "fp8_kv": "fp8 KV cache",
    "int8": "int8 weights, per channel",
    "int8_activations": "int8 activations, blocks of 32", "int8_kv": "int8 KV cache", "fine_tuned": "a fine-tuned copy",
    "fine_tuned_light": "a very lightly fine-tuned copy", "one_token": "one arbitrary token in a hundred",
    "answer_token": "one token an answer", "truncates": "stops early, claims eos",
    "selective": "cheats on some answers",
    "lenient_speculation": "a draft's tokens that are nearly right",
}  # fmt: skip


def baseline_rules(honest: Sequence[TokenRecords]) -> dict[str, Callable[[Sequence[TokenRecords]], int | None]]:
    """The rules of other networks, as functions from completions in order to the verified tokens at accusation.

    Each looks after every completion. exact match: fewer than 98 % of the tokens so far match (from 100 tokens on).
    mean margin: the mean of min(margin, 1) so far exceeds 0.004 (Token-DiFR with a fixed threshold, from 100 tokens
    on). z > 1: the completion's mean margin is one standard deviation above the honest mean of this class.
    """
    means = np.array([np.minimum(answer.margins, 1).mean() for answer in honest])
    limit = float(means.mean() + means.std())

    def running(value: Callable[[TokenRecords], np.ndarray], wrong: Callable[[float], bool]):
        def rule(answers: Sequence[TokenRecords]) -> int | None:
            total, tokens = 0.0, 0
            for answer in answers:
                total, tokens = total + float(value(answer).sum()), tokens + len(answer)
                if tokens >= 100 and wrong(total / tokens):
                    return tokens
            return None

        return rule

    def z_rule(answers: Sequence[TokenRecords]) -> int | None:
        tokens = 0
        for answer in answers:
            tokens += len(answer)
            if np.minimum(answer.margins, 1).mean() > limit:
                return tokens
        return None

    return {
        "exact match < 98 %": running(lambda a: a.matches.astype(float), lambda mean: mean < 0.98),
        "mean margin > 0.004": running(lambda a: np.minimum(a.margins, 1), lambda mean: mean > 0.004),
        "z > 1": z_rule,
    }


def rule_delays(
    rule: Callable[[Sequence[TokenRecords]], int | None],
    answers: Sequence[TokenRecords],
    orders: int,
    random: np.random.Generator,
) -> list[int | None]:
    """A rule's delays over random orders of the completions."""
    return [rule([answers[i] for i in random.permutation(len(answers))]) for _ in range(orders)]


def fresh_honest(chunks: Sequence[Chunk], profile: ToleranceProfile, tokens: int, random: np.random.Generator) -> dict:
    """At least `tokens` honest tokens with fresh seeds on stored pairs, one miner a chunk: accusations and peak."""
    drawn = accused = 0
    streams = 8
    while drawn < tokens:
        for chunk in chunks:
            pairs, sampling = chunk.data.pairs, chunk.data.sampling
            if pairs is None or sampling.temperature_milli == 0:
                continue
            rows = random.integers(0, len(pairs), streams * 4096)
            ratios = factors(fresh_records(pairs.at(rows), sampling, random), profile)
            found = accusations(ratios.reshape(streams, 4096, -1), profile)
            accused += sum(value is not None for value in found)
            drawn += len(rows)
            if drawn >= tokens:
                break
    return {"tokens": drawn, "accusations": accused}


def shown(found: Sequence[int | None]) -> str:
    """Median and 90 % of delays; never, where no order led to an accusation."""
    if all(value is None for value in found):
        return "never"
    median, most = quantile(found, 0.5), quantile(found, 0.9)
    return f"{'–' if np.isinf(median) else f'{median:.0f}'} ({'–' if np.isinf(most) else f'{most:.0f}'})"


def evaluate(chunks: Sequence[Chunk], orders: int, fresh: int, random: np.random.Generator) -> dict:
    """Everything that the table shows, as plain values."""
    by_miner: dict[str, list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        by_miner[chunk.miner].append(chunk)
    answers = {miner: completions(found) for miner, found in by_miner.items()}
    out: dict = {"tokens": {}, "miss_rate": {"fp32": {}, "bf16": {}}, "delays": {}, "baselines": {}, "fresh": {}}
    for miner, found in answers.items():
        margins = np.concatenate([answer.margins for answer in found])
        out["tokens"][miner] = len(margins)
        for name in CLASSES:
            out["miss_rate"][name][miner] = float(np.mean(margins > 0.01))
    for name in CLASSES:
        profile = load_profile(f"{MODEL}-{name}")
        out["delays"][name] = {miner: delays(found, profile, orders, random) for miner, found in answers.items()}
        rules = baseline_rules(answers["fp32" if name == "fp32" else "bf16h"])
        out["baselines"][name] = {
            rule: {miner: rule_delays(function, found, orders, random) for miner, found in answers.items()}
            for rule, function in rules.items()
        }
        honest = [chunk for miner in HONEST[name] for chunk in by_miner.get(miner, ())]
        out["fresh"][name] = fresh_honest(honest, profile, fresh, random)
        sys.stdout.write(f"{name}: fresh seeds {out['fresh'][name]}\n")
    return out


def table(values: dict) -> str:
    """The page's table: one row a miner, the fastest caught first, then the honest."""
    rules = list(values["baselines"]["bf16"])
    head = ["miner", "tokens", "misses", "**fp32 class**", "**bf16 class**", *(f"{rule}, bf16" for rule in rules)]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    honest = [miner for miner in values["tokens"] if miner in (*HONEST["bf16"], *NOT_ALLOWED)]
    cheats = [miner for miner in values["tokens"] if miner not in honest]
    cheats.sort(key=lambda miner: quantile(values["delays"]["fp32"][miner], 0.5))
    for miner in (*honest, *cheats):
        fp32 = shown(values["delays"]["fp32"][miner])
        if miner in NOT_ALLOWED:
            fp32 += ", not allowed"
        bf16 = shown(values["delays"]["bf16"][miner])
        name = f"honest {miner}" if miner in honest else WHAT.get(miner, miner)
        cells = [name, f"{values['tokens'][miner]:,}", f"{values['miss_rate']['fp32'][miner]:.4f}", fp32, bf16]
        cells += [shown(values["baselines"]["bf16"][rule][miner]) for rule in rules]
        lines.append("| " + " | ".join(cells) + " |")
    fresh = values["fresh"]
    total = sum(values["tokens"][miner] for miner in honest)
    lines += [
        "",
        f"Verified tokens until accusation, median (90 %) over {values['orders']} orders of the completions, "
        "at A = 10⁹; “never”: in no order within the data. SmolLM2-135M-Instruct, verifier one fp32 prefill; "
        "bf16h is bf16 with final norm and vocabulary projection in fp32, the published bf16 profile. "
        f"Honest tokens decoded and verified: {total:,}. With fresh seeds on stored pairs of honest logits: "
        f"{fresh['fp32']['accusations']} accusations in {fresh['fp32']['tokens']:,} tokens (fp32), "
        f"{fresh['bf16']['accusations']} in {fresh['bf16']['tokens']:,} (bf16).",
    ]
    return "\n".join(lines) + "\n"


def draw(values: dict, path: Path) -> None:
    """Share of orders accused by the number of verified tokens, one curve a miner, one panel a class."""
    figure, axes = pyplot.subplots(1, 2, figsize=(13, 5.5), sharey=True)
    for axis, name in zip(axes, CLASSES, strict=True):
        for miner, found in sorted(values["delays"][name].items(), key=lambda item: quantile(item[1], 0.5)):
            caught = np.sort([value for value in found if value is not None])
            if not len(caught):
                continue
            share = np.arange(1, len(caught) + 1) / len(found)
            axis.step(np.concatenate([caught, [1e5]]), np.concatenate([share, share[-1:]]), where="post", label=miner)
        axis.axhline(0, color="black", linewidth=2, label="honest of the class")
        axis.set(xscale="log", xlim=(1, 2e4), xlabel="verified tokens", title=f"{name} class, A = 1e9")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=6.5, ncol=2, loc="upper left")
    axes[0].set_ylabel("share of orders accused")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder that detection_collect.py filled")
    parser.add_argument("--orders", type=int, default=40)
    parser.add_argument("--fresh", type=int, default=10_000_000, help="honest tokens with fresh seeds, each class")
    parser.add_argument("--quick", action="store_true", help="8 orders and 200,000 fresh tokens")
    args = parser.parse_args(argv)
    chunks = load_chunks(args.data)
    if not chunks:
        parser.error(f"{args.data} holds no data; run benchmarks/detection_collect.py --data {args.data} first")
    orders, fresh = (8, 200_000) if args.quick else (args.orders, args.fresh)
    values = {**evaluate(chunks, orders, fresh, np.random.default_rng(1)), "orders": orders}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "detection.json").write_text(json.dumps(values) + "\n")
    (RESULTS / "detection.md").write_text(table(values))
    draw(values, RESULTS / "detection.png")
    sys.stdout.write(table(values))
    return 0


if __name__ == "__main__":
    sys.exit(main())
