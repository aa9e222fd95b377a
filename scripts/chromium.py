"""Drives a headless Chromium through its DevTools protocol: enough for screenshots and for browser tests.

The browser gets a fresh profile and talks to nothing but the page it is given.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import connect
from websockets.sync.connection import Connection

from subnet.errors import AssayError

BINARIES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
START_DEADLINE_S = 40.0
CALL_DEADLINE_S = 60.0
POLL_S = 0.05


class BrowserError(AssayError):
    """Chromium is missing, didn't start, or a page didn't do what was awaited."""


def find_chromium() -> str | None:
    """Path of a Chromium on this machine, None where there is none."""
    return next((path for path in map(shutil.which, BINARIES) if path), None)


class Tab:
    """One page of the browser."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One DevTools call; events that come meanwhile are kept in `events`. Raises BrowserError where it fails."""
        number = next(self._ids)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        deadline = time.monotonic() + CALL_DEADLINE_S
        while True:
            try:
                message = json.loads(self._connection.recv(timeout=max(deadline - time.monotonic(), 0)))
            except TimeoutError:
                raise BrowserError(f"{method}: Chromium didn't answer within {CALL_DEADLINE_S:.0f} s") from None
            if message.get("id") == number:
                if "error" in message:
                    raise BrowserError(f"{method}: {message['error']['message']}")
                return message["result"]
            self.events.append(message)

    def open(self, url: str, width: int, height: int, dark: bool = False) -> None:
        """Goes to a page with a viewport in CSS pixels, in light or dark."""
        self.call("Page.enable")
        self.call("Runtime.enable")
        self.call("Log.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """The JSON value of a JavaScript expression. Raises BrowserError where it throws."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise BrowserError(f"{expression}: {result['exceptionDetails']['exception'].get('description')}")
        return result["result"].get("value")

    def wait_for(self, expression: str, timeout_s: float = 20.0) -> Any:
        """Waits until an expression is true in the page, and returns its value."""
        deadline = time.monotonic() + timeout_s
        while True:
            # While a page loads its document and even its context may not be there.
            try:
                value, why = self.evaluate(expression), ""
            except BrowserError as error:
                value, why = None, f": {error}"
            if value:
                return value
            if time.monotonic() > deadline:
                raise BrowserError(f"the page didn't reach {expression} within {timeout_s:.0f} s{why}")
            time.sleep(POLL_S)

    def complaints(self) -> list[str]:
        """Errors that the page logged or threw so far."""
        self.evaluate("0")
        found = []
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(params["exceptionDetails"].get("text", "exception"))
            elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
                found.append(params["entry"]["text"])
        return found

    def screenshot(self, path: Path) -> None:
        """Writes the whole page, below the fold too, as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def chromium(binary: str | None = None) -> Iterator[Tab]:
    """A headless browser with one empty tab; ends with the block."""
    found = binary or find_chromium()
    if found is None:
        raise BrowserError("no Chromium here: apt-get install -y chromium")
    with tempfile.TemporaryDirectory(prefix="assay-chromium-", ignore_cleanup_errors=True) as profile:
        command = [found, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = _debugging_port(process, Path(profile))
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=START_DEADLINE_S) as response:
                pages = [target for target in json.load(response) if target["type"] == "page"]
            with connect(pages[0]["webSocketDebuggerUrl"], max_size=None, proxy=None) as connection:
                yield Tab(connection)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _debugging_port(process: subprocess.Popen[bytes], profile: Path) -> int:
    announcement = profile / "DevToolsActivePort"
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BrowserError(f"Chromium ended with status {process.returncode} before it was ready")
        if announcement.exists() and (lines := announcement.read_text().splitlines()):
            return int(lines[0])
        time.sleep(POLL_S)
    raise BrowserError(f"Chromium wasn't ready within {START_DEADLINE_S:.0f} s")
