"""The main job as a person starts it, small: real chain, real processes, real model."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 420


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "subnet.localnet", "--folder", str(folder), "--page-port", "0", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
    )


def left_behind(folder: Path) -> list[str]:
    """Command lines of living processes that belong to the run in `folder`."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if any(str(folder) in word for word in words) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(" ".join(words))
    return found


def test_a_cheat_ends_with_zero_incentive_and_its_evidence_verifies(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = start(folder, "--validators", "1", "--miners", "2", "--adversaries", "wrong_seed", "--epochs", "3")
    printed, _ = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 0, printed
    outcome = json.loads((folder / "outcome.json").read_text())
    miners = {miner["participant"]["kind"]: miner for miner in outcome["miners"]}
    assert miners["wrong_seed"]["incentive"] == 0 and miners["wrong_seed"]["accused_by"] == ["validator-1"]
    assert miners["honest"]["incentive"] > 0 and miners["honest"]["accused_by"] == []
    bundle = folder / "evidence" / f"{miners['wrong_seed']['bundle']}.bundle"
    assert f"subnet.evidence verify {bundle}\n" in printed, "the report says how to verify the evidence"
    verify = [sys.executable, "-m", "subnet.evidence", "verify", str(bundle)]
    checked = subprocess.run(verify, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert left_behind(folder) == []


def test_ctrl_c_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = start(folder, "--validators", "1", "--miners", "2", "--adversaries", "int4")
    until = time.monotonic() + DEADLINE_S
    while not any("miner-2" in line for line in left_behind(folder)):
        assert run.poll() is None and time.monotonic() < until
        time.sleep(0.2)
    run.send_signal(signal.SIGINT)
    printed, _ = run.communicate(timeout=60)
    assert run.returncode == 130, printed
    assert "nothing is left running" in printed
    assert left_behind(folder) == []
