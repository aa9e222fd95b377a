"""Fetching from a hub that these tests serve on the loopback, with the hub's own client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from subnet.models.download import download
from subnet.models.errors import MissingModel, UnsafeModel
from subnet.models.fetch import wanted_files
from subnet.models.manifest import Manifest
from tests.models.hub import COMMIT, REPOSITORY, Hub, serving

WEIGHTS = "model.safetensors"


@pytest.fixture
def hub(tiny_folder: Path) -> Iterator[Hub]:
    """A hub with one repository that holds the tiny checkpoint and a script that nobody should fetch."""
    files = {path.name: path.read_bytes() for path in tiny_folder.iterdir()} | {"own.py": b"raise SystemExit"}
    with serving(Hub(files)) as running:
        yield running


def line(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "subnet.models", "--home", str(home), *arguments]


def environment(home: Path, endpoint: str) -> dict[str, str]:
    return os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home / "hf")}


def command(home: Path, endpoint: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line(home, *arguments),
        env=environment(home, endpoint),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def described(hub: Hub, folder: Path) -> Path:
    """The manifest of the hub's model, written by the command."""
    output = folder / "tiny.json"
    made = command(folder / "described", hub.url, "manifest", REPOSITORY, "--output", str(output))
    assert made.returncode == 0, made.stderr
    return output


def test_a_hub_model_is_described_fetched_and_verified(hub: Hub, tmp_path: Path) -> None:
    output = described(hub, tmp_path)
    manifest = Manifest.loads(output.read_text())
    assert (manifest.source.kind, manifest.source.revision, manifest.licence) == ("hub", COMMIT, "mit")
    assert "own.py" not in {record.path for record in manifest.files}
    fetched = command(tmp_path / "two", hub.url, "fetch", str(output))
    assert fetched.returncode == 0, fetched.stderr
    assert manifest.digest.hex() in fetched.stderr
    [bar] = [text for text in fetched.stderr.splitlines() if text.startswith(WEIGHTS)]
    assert "100%" in bar
    assert not list((tmp_path / "two").rglob("own.py"))
    missing = command(tmp_path / "three", hub.url, "verify", str(output))
    assert missing.returncode == 1
    assert "fetch" in missing.stderr


def test_a_killed_fetch_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    output = described(hub, tmp_path)
    half = len(hub.files[WEIGHTS]) // 2
    hub.served.clear()
    hub.stall_after = half
    home = tmp_path / "home"
    first = subprocess.Popen(
        line(home, "fetch", str(output)), env=environment(home, hub.url), stderr=subprocess.DEVNULL
    )
    try:
        assert hub.stalled.wait(60)
        deadline = time.monotonic() + 30
        while _partly_there(home) < half // 2 and time.monotonic() < deadline:
            hub.closing.wait(0.05)
    finally:
        first.kill()
        first.wait()
    kept = _partly_there(home)
    assert 0 < kept <= half
    hub.stall_after = None
    again = command(home, hub.url, "fetch", str(output))
    assert again.returncode == 0, again.stderr
    assert hub.starts(WEIGHTS) == [0, kept], "the second transfer begins where the first was cut"
    assert hub.starts("config.json") == [0], "what was complete is not sent again"
    assert "every hash holds" in again.stderr


def _partly_there(home: Path) -> int:
    return sum(path.stat().st_size for path in home.rglob(f"{WEIGHTS}.part"))


def test_a_connection_that_breaks_is_taken_up_again(hub: Hub, tmp_path: Path) -> None:
    output = described(hub, tmp_path)
    hub.served.clear()
    hub.cut_after = len(hub.files[WEIGHTS]) // 3
    fetched = command(tmp_path / "home", hub.url, "fetch", str(output))
    assert fetched.returncode == 0, fetched.stderr
    starts = hub.starts(WEIGHTS)
    assert len(starts) > 2
    assert starts == sorted(set(starts))


def test_what_is_complete_but_not_in_place_is_kept_and_what_is_too_long_is_not(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    whole = hub.files["config.json"]
    for left, starts in ((whole, []), (whole + b" ", [0]), (whole[:7], [7])):
        hub.served.clear()
        (tmp_path / "config.json.part").write_bytes(left)
        told: list[tuple[int, int | None]] = []
        with httpx.Client() as client:
            url = f"{hub.url}/{REPOSITORY}/resolve/{COMMIT}/config.json"
            download(client, url, path, lambda done, total, told=told: told.append((done, total)))
        assert path.read_bytes() == whole
        assert hub.starts("config.json") == starts
        assert not starts or told[-1] == (len(whole), len(whole))


def test_altered_weights_one_wrong_byte_is_refused(hub: Hub, tmp_path: Path) -> None:
    output = described(hub, tmp_path)
    whole = bytearray(hub.files[WEIGHTS])
    whole[-100] ^= 1
    right, hub.files[WEIGHTS] = hub.files[WEIGHTS], bytes(whole)
    fetched = command(tmp_path / "home", hub.url, "fetch", str(output))
    assert fetched.returncode == 1
    assert f"AlteredModel: {WEIGHTS}: SHA-256" in fetched.stderr
    assert "Traceback" not in fetched.stderr
    hub.files[WEIGHTS] = right
    again = command(tmp_path / "home", hub.url, "fetch", str(output))
    assert again.returncode == 0, again.stderr


def test_poisoned_weights_remote_code_and_pickles_are_refused(hub: Hub, tmp_path: Path) -> None:
    config = json.loads(hub.files["config.json"])
    hub.files["config.json"] = json.dumps(config | {"auto_map": {"AutoModelForCausalLM": "own.Model"}}).encode()
    code = command(tmp_path / "one", hub.url, "manifest", REPOSITORY)
    hub.files["pytorch_model.bin"] = hub.files.pop(WEIGHTS)
    pickled = command(tmp_path / "two", hub.url, "manifest", REPOSITORY)
    for done, reason in ((code, "remote code is never run"), (pickled, "pickled weights are never fetched")):
        assert done.returncode == 1
        assert "UnsafeModel" in done.stderr
        assert reason in done.stderr
        assert "Traceback" not in done.stderr


def test_a_hub_that_is_away_or_empty_is_an_error_not_a_traceback(hub: Hub, tmp_path: Path) -> None:
    unknown = command(tmp_path, hub.url, "manifest", "someone/else")
    away = command(tmp_path, "http://127.0.0.1:9", "manifest", REPOSITORY)
    for done in (unknown, away):
        assert done.returncode == 1
        assert "MissingModel" in done.stderr
        assert "Traceback" not in done.stderr


def test_poisoned_weights_only_safetensors_are_wanted() -> None:
    names = [
        "config.json",
        "pytorch_model.bin",
        "model.safetensors",
        "modeling.py",
        "tokenizer.json",
        "onnx/model.onnx",
    ]
    assert set(wanted_files("a/b", names)) == {"config.json", "tokenizer.json", "model.safetensors"}
    with pytest.raises(UnsafeModel, match="pickled"):
        wanted_files("a/b", ["config.json", "pytorch_model.bin"])
    with pytest.raises(MissingModel, match="safetensors"):
        wanted_files("a/b", ["README.md"])
