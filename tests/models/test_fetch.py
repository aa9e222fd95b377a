"""Fetching from a hub that this test serves on the loopback, with the hub's own client."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from subnet.models.errors import MissingModel, UnsafeModel
from subnet.models.fetch import wanted_files
from subnet.models.manifest import Manifest

COMMIT = "c" * 40


@pytest.fixture
def hub(tiny_folder: Path) -> Iterator[str]:
    """A hub with one repository, someone/tiny, that holds the tiny checkpoint and a script nobody should fetch."""
    files = {path.name: path.read_bytes() for path in tiny_folder.iterdir()} | {"own.py": b"raise SystemExit"}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            if self.path.startswith("/api/models/someone/tiny"):
                siblings = [{"rfilename": name} for name in files]
                body = {"id": "someone/tiny", "sha": COMMIT, "siblings": siblings, "tags": ["license:mit"]}
                return self.answer(json.dumps(body).encode(), "info")
            name = self.path.split("?")[0].rsplit("/", 1)[-1]
            if self.path.startswith(f"/someone/tiny/resolve/{COMMIT}/") and name in files:
                return self.answer(files[name], hashlib.sha256(files[name]).hexdigest())
            self.send_error(404)

        def answer(self, body: bytes, etag: str) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def command(home: Path, endpoint: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home / "hf")}
    line = [sys.executable, "-m", "subnet.models", "--home", str(home), *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_hub_model_is_described_fetched_and_verified(hub: str, tmp_path: Path) -> None:
    output = tmp_path / "tiny.json"
    made = command(tmp_path / "one", hub, "manifest", "someone/tiny", "--output", str(output))
    assert made.returncode == 0, made.stderr
    manifest = Manifest.loads(output.read_text())
    assert (manifest.source.kind, manifest.source.revision, manifest.licence) == ("hub", COMMIT, "mit")
    assert "own.py" not in {record.path for record in manifest.files}
    fetched = command(tmp_path / "two", hub, "fetch", str(output))
    assert fetched.returncode == 0, fetched.stderr
    assert manifest.digest.hex() in fetched.stderr
    assert not list((tmp_path / "two").rglob("own.py"))
    missing = command(tmp_path / "three", hub, "verify", str(output))
    assert missing.returncode == 1
    assert "fetch" in missing.stderr


def test_a_hub_that_is_away_or_empty_is_an_error_not_a_traceback(hub: str, tmp_path: Path) -> None:
    unknown = command(tmp_path, hub, "manifest", "someone/else")
    away = command(tmp_path, "http://127.0.0.1:9", "manifest", "someone/tiny")
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
