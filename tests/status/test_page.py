import json
import signal
import subprocess
import sys
from dataclasses import replace

import httpx
import pytest
from starlette.testclient import TestClient

from subnet.status.__main__ import main
from subnet.status.page import app
from subnet.status.source import Source, SourceUnavailable, Watcher, http_source
from tests.status.example import BUNDLE, LABELS, snapshot


def source(seen=None, bundles=None, name="here"):
    async def read():
        if seen is None:
            raise SourceUnavailable("the validator is away")
        return seen

    async def bundle(digest):
        return (bundles or {}).get(digest)

    return Source(name, read, bundle)


def client(*sources, labels=None):
    return TestClient(app(sources, labels), base_url="http://127.0.0.1")


def test_the_page_is_three_files_that_allow_no_others():
    page = client(source(snapshot()))
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
        response = page.get(path)
        assert response.status_code == 200 and response.headers["content-type"].startswith(kind)
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "http://" not in response.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in response.text


def test_status_joins_the_validators_and_names_the_hotkeys():
    status = client(source(snapshot(0)), source(snapshot(1)), labels=LABELS).get("/status.json").json()
    assert status["labels"] == LABELS
    assert [read["snapshot"]["uid"] for read in status["sources"]] == [0, 1]
    assert status["sources"][0]["error"] is None


def test_a_validator_that_is_away_does_not_hide_the_other():
    status = client(source(None), source(snapshot(1))).get("/status.json").json()
    assert status["sources"][0] == {
        "name": "here",
        "snapshot": None,
        "age_s": None,
        "error": "the validator is away",
    }
    assert status["sources"][1]["snapshot"]["round"] == 12


def test_a_bundle_is_served_as_a_file_to_keep():
    page = client(source(snapshot(), {BUNDLE: b"evidence"}))
    response = page.get(f"/evidence/0/{BUNDLE}")
    assert response.content == b"evidence"
    assert response.headers["content-disposition"] == f'attachment; filename="{BUNDLE}.assay"'
    assert response.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "path", [f"/evidence/1/{BUNDLE}", "/evidence/0/..%2F..%2Fetc%2Fpasswd", f"/evidence/0/{'cd' * 32}"]
)
def test_what_is_not_a_bundle_is_not_found(path):
    assert client(source(snapshot(), {BUNDLE: b"evidence"})).get(path).status_code == 404


def test_a_rebound_name_gets_nothing():
    """Attack: a web page makes its own name resolve to 127.0.0.1 and reads the status through the visitor's browser."""
    page = client(source(snapshot()))
    assert page.get("/status.json", headers={"host": "evil.example"}).status_code == 400


async def test_a_restarting_validator_keeps_its_last_snapshot_on_the_page(monkeypatch):
    monkeypatch.setattr("subnet.status.source.FRESH_S", 0.0)
    answers = [snapshot(), SourceUnavailable("restarting"), replace(snapshot(), round=13)]

    async def read():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def no_bundle(digest):
        return None

    watcher = Watcher(Source("here", read, no_bundle))
    first, second, third = [json.loads(await watcher.read()) for _ in range(3)]
    assert first["error"] is None and first["snapshot"]["round"] == 12
    assert second["error"] == "restarting" and second["snapshot"]["round"] == 12
    assert third["error"] is None and third["snapshot"]["round"] == 13


async def test_many_open_pages_ask_a_validator_once():
    asked = []

    async def read():
        asked.append(1)
        return snapshot()

    async def no_bundle(digest):
        return None

    watcher = Watcher(Source("here", read, no_bundle))
    for _ in range(20):
        await watcher.read()
    assert len(asked) == 1


def over_http(handler):
    return http_source("http://validator/", httpx.AsyncClient(transport=httpx.MockTransport(handler)))


async def test_http_source_reads_a_snapshot_and_a_bundle():
    def handler(request):
        if request.url.path == "/snapshot.json":
            return httpx.Response(200, text=snapshot().to_json())
        return (
            httpx.Response(200, content=b"evidence") if request.url.path == f"/bundle/{BUNDLE}" else httpx.Response(404)
        )

    there = over_http(handler)
    assert await there.snapshot() == snapshot()
    assert await there.bundle(BUNDLE) == b"evidence"
    assert await there.bundle("cd" * 32) is None


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx.Response(500), "answered 500"),
        (httpx.Response(404), "has no /snapshot.json"),
        (httpx.Response(200, content=b"x" * (9 << 20)), "more than 8388608 bytes"),
    ],
)
async def test_a_source_that_misbehaves_is_away(response, message):
    with pytest.raises(SourceUnavailable, match=message):
        await over_http(lambda request: response).snapshot()


async def test_a_source_that_refuses_the_connection_is_away():
    def refuse(request):
        raise httpx.ConnectError("refused")

    with pytest.raises(SourceUnavailable, match="didn't answer: refused"):
        await over_http(refuse).snapshot()


@pytest.mark.parametrize("label", ["no-equals", "=text", "hotkey="])
def test_a_label_that_names_nothing_is_refused(label, capsys):
    assert main(["--source", "http://127.0.0.1:1", "--label", label]) == 2
    assert label in capsys.readouterr().err


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_serves_and_ends_at_a_signal(ending):
    command = [sys.executable, "-m", "subnet.status", "--port", "0", "--source", "http://127.0.0.1:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().split()[-1]
            assert httpx.get(url, trust_env=False).status_code == 200
            assert "didn't answer" in httpx.get(f"{url}status.json", trust_env=False).json()["sources"][0]["error"]
            process.send_signal(ending)
            _, errors = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode in (0, -ending)
    assert "Traceback" not in errors


def test_status_json_is_strict_json():
    odd = replace(snapshot(), round_s=float("nan"))
    assert json.loads(client(source(odd)).get("/status.json").text)["sources"][0]["snapshot"]["round_s"] is None
