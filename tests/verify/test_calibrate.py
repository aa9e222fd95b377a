"""The command that measures a profile, on a small checkpoint: from nothing to a profile that a manifest can carry."""

import json
from pathlib import Path

import pytest

from subnet.models.describe import describe
from subnet.models.manifest import Source
from subnet.verify.calibrate import main
from subnet.verify.profile import load_profile
from tests.models.tiny import save_tiny


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a small checkpoint, in its folder."""
    folder = save_tiny(tmp_path_factory.mktemp("calibrated"))
    made = describe(
        folder,
        name="tiny",
        source=Source("folder", "tiny", ""),
        licence="mit",
        tolerance_class="bf16",
        store=folder.parent,
    )
    (folder / "assay.json").write_text(made.dumps())
    return folder


@pytest.mark.parametrize("kind", ["bf16", "fp32"])
def test_a_profile_is_measured_and_taken_up_again(small: Path, tmp_path: Path, kind: str, capsys) -> None:
    options = ["--model", str(small / "assay.json"), "--class", kind, "--quick", "--fresh", "20000", "--threads", "1"]
    options += [
        "--data",
        str(tmp_path / "data"),
        "--output",
        str(tmp_path / "p.json"),
        "--plot",
        str(tmp_path / "p.png"),
    ]
    assert main(options) == 0
    profile = load_profile(tmp_path / "p.json")
    assert profile.tolerance_class == kind
    assert profile.measured["fresh_tokens"] >= 10_000
    assert (profile.spread is not None) == (kind == "bf16")
    assert (tmp_path / "p.png").stat().st_size > 10_000
    if profile.spread:
        assert {start[0] for start in profile.spread.starts} == {256}
        assert set(profile.measured["noise_left"]) == set(profile.measured["positions"])
    first = (tmp_path / "p.json").read_text()
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").iterdir()}
    assert main([*options, "--stored"]) == 0
    assert (tmp_path / "p.json").read_text() == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").iterdir()} == stored
    assert json.loads(first)["measured"]["tokens"] > 0


def test_nothing_stored_is_a_clear_error(small: Path, tmp_path: Path, capsys) -> None:
    options = ["--model", str(small / "assay.json"), "--class", "bf16", "--stored", "--data", str(tmp_path / "none")]
    assert main([*options, "--output", str(tmp_path / "p.json")]) == 1
    assert "there are no honest pairs" in capsys.readouterr().err
    assert not (tmp_path / "p.json").exists()
