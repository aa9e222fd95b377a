"""What the first token does to bf16: `python benchmarks/first_tokens.py` (some minutes).

All later tokens rest part of their attention on the first one, whose state has a few enormous elements. After some
first tokens bf16 arrives at another state altogether than float32, and then every logit of the answer is off. Measures
how many of the vocabulary do that, and what it does to a text behind them; writes benchmarks/results/first_tokens.md.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent)]

from subnet.engine.attention import packed_causal  # noqa: E402
from subnet.engine.causal import CausalModel  # noqa: E402
from subnet.models import load_model, load_tokenizer  # noqa: E402
from subnet.verify.matrix import HONEST  # noqa: E402
from subnet.verify.pairs import take_pairs  # noqa: E402
from subnet.verify.spread import measured_noise  # noqa: E402
from subnet.verify.workloads import WORKLOADS  # noqa: E402

MODEL = "smollm2-135m-instruct"
ANOTHER = 0.5
"""Relative difference from which a state counts as another one; rounding alone gives some hundredths."""
BATCH = 64


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, help="how many first tokens to try, drawn at random (default: all)")
    options = parser.parse_args()
    exact: CausalModel = load_model(MODEL, dtype="float32")
    narrow = HONEST["bf16h"].load(MODEL)
    tokenizer = load_tokenizer(MODEL)
    text = WORKLOADS["general"].prompt(tokenizer, 0)
    drawn = random.Random(1).sample(range(exact.vocab_size), min(options.tokens or exact.vocab_size, exact.vocab_size))
    apart = np.concatenate([state_difference(exact, narrow, drawn[i : i + BATCH]) for i in range(0, len(drawn), BATCH)])
    steady = int(np.argsort(apart)[len(apart) // 2])
    chosen = {
        "the chat template's": (text[0], state_difference(exact, narrow, [text[0]])[0]),
        f"median of {len(drawn):,}": (drawn[steady], apart[steady]),
        "worst": (drawn[int(apart.argmax())], apart.max()),
    }
    lines = ["| first token | its state differs by | noise behind it (logits) |", "|---|---|---|"]
    for name, (token, difference) in chosen.items():
        lines.append(f"| {name} | {difference:.3f} | {noise_behind(exact, narrow, token, text[1:]):.3f} |")
    share = float(np.mean(apart > ANOTHER))
    lines += ["", f"{100 * share:.2f} % of {len(drawn):,} first tokens have a state that differs by over {ANOTHER}."]
    (HERE / "results" / "first_tokens.md").write_text("\n".join(lines) + "\n")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def state_difference(exact: CausalModel, narrow: CausalModel, tokens: list[int]) -> NDArray[np.float64]:
    """Relative difference of the final states of one-token texts ([n])."""
    with torch.inference_mode():
        ids, at = torch.tensor(tokens), torch.zeros(len(tokens), dtype=torch.int64)
        ours, theirs = (m.hidden(ids, at, packed_causal([1] * len(tokens))).float() for m in (exact, narrow))
        found: NDArray[np.float64] = ((theirs - ours).norm(dim=1) / ours.norm(dim=1)).double().numpy()
    return found


def noise_behind(exact: CausalModel, narrow: CausalModel, token: int, text: tuple[int, ...]) -> float:
    """Median noise between near competitors (logits) over the positions of a text behind the token."""
    with torch.inference_mode():
        ids, at = torch.tensor([token, *text]), torch.arange(len(text) + 1)
        rows = [m.project(m.hidden(ids, at, packed_causal([len(ids)])))[1:] for m in (exact, narrow)]
        pairs = take_pairs(rows[0], rows[1], WORKLOADS["general"].sampling, 0)
    return float(np.median(measured_noise(pairs, WORKLOADS["general"].sampling, np.random.default_rng(0))))


if __name__ == "__main__":
    sys.exit(main())
