"""The command line as an auditor uses it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from subnet.evidence.__main__ import main
from subnet.evidence.bundle import SignedBundle
from subnet.models import builtin_manifest
from tests.evidence.world import caught

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "docs" / "sample-bundle.json"
REMAKE = "the default model's manifest or profile changed: run `python scripts/sample_bundle.py` again"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A sound bundle about a model that this installation doesn't know."""
    path = tmp_path / "bundle.json"
    path.write_bytes(caught()[2].to_bytes())
    return path


def test_the_sample_of_the_documentation_verifies(capsys: pytest.CaptureFixture) -> None:
    bundle = SignedBundle.from_bytes(SAMPLE.read_bytes()).bundle
    assert bundle.model_id == builtin_manifest().digest, REMAKE
    assert main(["verify", str(SAMPLE), "--threads", "1", "--json"]) == 0, REMAKE
    report = json.loads(capsys.readouterr().out)
    assert report["result"] == "follows"
    assert report["own_verdict"] == report["stated_verdict"] == "inconsistent"
    assert report["accused_at"] == bundle.accused_at
    assert all(finding["holds"] for finding in report["findings"])
    assert SAMPLE.stat().st_size < 300_000


def test_an_altered_sample_does_not_verify(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    raw = SAMPLE.read_bytes()
    altered = tmp_path / "altered.json"
    altered.write_bytes(raw.replace(b'"verdict":"inconsistent"', b'"verdict":"consistent"'))
    assert main(["verify", str(altered)]) == 1
    assert "does not follow" in capsys.readouterr().out


def test_a_file_that_is_no_bundle_is_unreadable(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name, content in (("empty", b""), ("text", b"hello"), ("json", b"{}")):
        (tmp_path / name).write_bytes(content)
        assert main(["verify", str(tmp_path / name)]) == 2
        assert "not a bundle" in capsys.readouterr().err
        assert main(["show", str(tmp_path / name)]) == 2
    assert main(["verify", str(tmp_path / "missing")]) == 2
    assert "can't be read" in capsys.readouterr().err


def test_an_unknown_model_is_an_abstention(tiny: Path, capsys: pytest.CaptureFixture) -> None:
    """A stranger's manifest never decides what is loaded: the auditor says which model it trusts."""
    assert main(["verify", str(tiny)]) == 2
    said = " ".join(capsys.readouterr().out.split())
    assert "--model" in said
    assert "nothing is said about the miner" in said


def test_a_chain_that_is_away_is_an_abstention(capsys: pytest.CaptureFixture) -> None:
    assert main(["verify", str(SAMPLE), "--endpoint", "ws://127.0.0.1:9", "--threads", "1", "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["result"] == "abstains"
    assert report["own_verdict"] == "inconsistent"


def test_a_failure_of_our_own_is_no_statement_about_the_bundle(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Python's own exit status for a crash is 1, which here means that the verdict does not follow."""
    monkeypatch.setattr("subnet.evidence.replay.verify_bundle", lambda *given: 1 / 0)
    assert main(["verify", str(tiny)]) == 2
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_show_lists_what_the_bundle_says(tiny: Path, capsys: pytest.CaptureFixture) -> None:
    bundle = caught()[2].bundle
    assert main(["show", str(tiny), "--tokens"]) == 0
    said = capsys.readouterr().out
    for part in (bundle.digest.hex(), "inconsistent", f"at token {bundle.accused_at}", "assay test", "not checked"):
        assert part in said


def test_the_module_runs_as_a_command(tiny: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "subnet.evidence", "show", str(tiny)], cwd=ROOT, capture_output=True, timeout=120
    )
    assert done.returncode == 0
    wrong = subprocess.run([sys.executable, "-m", "subnet.evidence"], cwd=ROOT, capture_output=True, timeout=120)
    assert wrong.returncode == 2
    assert b"usage" in wrong.stderr
