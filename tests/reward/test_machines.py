"""The same score on other machines: other instruction sets and thread counts, each in a process of its own.

PyTorch picks its kernels by the processor. The variables below make it take those of older ones, which add up
in another order; what differs between validators' machines differs here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reward.head import LearnedReward, load_head
from reward.model import Conversation
from reward.training.corpus import panel

AGREE = 1e-4
MACHINES = {
    "two threads": {"OMP_NUM_THREADS": "2"},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "SSE4": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str]]:
    """Good and bad, short and long: scores at both ends and in the steep middle."""
    return [
        (entry.prompt.question, text)
        for entry in panel()[:3]
        for text in (entry.good_short, entry.good_long, entry.wrong_short, entry.wrong_long[:150])
    ]


@pytest.fixture(scope="module")
def here(pairs, reader) -> list[float]:
    scores = LearnedReward(reader, load_head()).score([Conversation.of(p) for p, _ in pairs], [c for _, c in pairs])
    return [score.value for score in scores]


@pytest.mark.parametrize("machine", MACHINES)
def test_another_machine_gives_the_same_scores(machine, pairs, here, tmp_path: Path):
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps({"prompt": prompt, "completion": text}) + "\n" for prompt, text in pairs))
    threads = MACHINES[machine].get("OMP_NUM_THREADS", "1")
    command = [sys.executable, "-m", "reward", "--batch", str(file), "--threads", threads]
    done = subprocess.run(
        command, env={**os.environ, **MACHINES[machine]}, capture_output=True, text=True, timeout=300, check=True
    )
    there = [json.loads(line)["reward"] for line in done.stdout.splitlines()]
    assert there == pytest.approx(here, abs=AGREE)
    assert max(here) - min(here) > 0.3  # else agreement would say little
