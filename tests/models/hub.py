"""A model hub on the loopback, as far as fetching needs one: model info, HEAD, GET with ranges, faults on demand."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c" * 40
REPOSITORY = "someone/tiny"


@dataclass
class Hub:
    """What the hub holds and does. stall_after: bytes of a body after which it falls silent. cut_after: bytes
    after which it hangs up. served: names and first bytes of what was asked for."""

    files: dict[str, bytes]
    stall_after: int | None = None
    cut_after: int | None = None
    served: list[tuple[str, int]] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def starts(self, name: str) -> list[int]:
        """Where each transfer of a file began."""
        return [start for served, start in self.served if served == name]


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            if self.path.startswith(f"/api/models/{REPOSITORY}"):
                siblings = [{"rfilename": name} for name in hub.files]
                body = {"id": REPOSITORY, "sha": COMMIT, "siblings": siblings, "tags": ["license:mit"]}
                return self.answer("", json.dumps(body).encode(), "info")
            name = self.path.split("?")[0].rsplit("/", 1)[-1]
            if self.path.startswith(f"/{REPOSITORY}/resolve/{COMMIT}/") and name in hub.files:
                return self.answer(name, hub.files[name], hashlib.sha256(name.encode()).hexdigest())
            self.send_error(404)

        def answer(self, name: str, body: bytes, etag: str) -> None:
            start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - start))
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "GET":
                hub.served.append((name, start))
                self.body(body[start:])

        def body(self, data: bytes) -> None:
            limits = [limit for limit in (hub.stall_after, hub.cut_after) if limit is not None]
            limit = min(limits, default=len(data))
            try:
                self.wfile.write(data[:limit])
                self.wfile.flush()
            except ConnectionError:
                return
            if len(data) > limit:
                self.close_connection = True
                if hub.stall_after is not None:
                    hub.stalled.set()
                    hub.closing.wait(60)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        hub.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
