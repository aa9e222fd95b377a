import json
from pathlib import Path

import pytest

from subnet.models.__main__ import main
from subnet.models.manifest import Manifest
from subnet.models.registry import builtin_manifest


def test_list_names_every_built_in_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert builtin_manifest().digest.hex() in out
    assert "smollm2-135m-instruct-bf16" in out


def test_manifest_of_a_folder_then_verify_then_alter(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, output = str(tmp_path / "home"), model_folder / "assay.json"
    described = ["--home", home, "manifest", str(model_folder), "--name", "mine", "--licence", "mit"]
    assert main([*described, "--output", str(output)]) == 0
    manifest = Manifest.loads(output.read_text())
    assert (manifest.name, manifest.licence, manifest.source.kind) == ("mine", "mit", "folder")
    assert main(["--home", home, "verify", str(output)]) == 0
    assert manifest.digest.hex() in capsys.readouterr().err
    data = bytearray((model_folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (model_folder / "model.safetensors").write_bytes(data)
    assert main(["--home", home, "verify", str(output)]) == 1
    assert "AlteredModel" in capsys.readouterr().err


def test_a_profile_is_embedded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "profile.json").write_text(json.dumps({"threshold": 1e9}))
    assert main(["manifest", "smollm2-135m-instruct", "--profile", str(tmp_path / "profile.json")]) == 0
    made = Manifest.loads(capsys.readouterr().out)
    assert made.tolerance.profile == {"threshold": 1e9}
    assert made.digest != builtin_manifest().digest
    (tmp_path / "profile.json").write_text("[]")
    assert main(["manifest", "smollm2-135m-instruct", "--profile", str(tmp_path / "profile.json")]) == 1


@pytest.mark.parametrize("arguments", [["verify", "nonsense"], ["fetch", "/nowhere/manifest.json"]])
def test_an_unknown_model_is_an_error_not_a_traceback(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    assert "ManifestError" in capsys.readouterr().err
