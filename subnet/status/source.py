"""Where the page's data comes from: one source per validator, over HTTP or in the same process."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx
from loguru import logger

from subnet.errors import AssayError
from subnet.status.snapshot import StatusSnapshot

FETCH_TIMEOUT_S = 4.0
"""A validator that doesn't answer within this shows as away; the page stays live for the others."""

MAX_SNAPSHOT_BYTES = 8 << 20
MAX_BUNDLE_BYTES = 256 << 20

FRESH_S = 0.5
"""A snapshot younger than this is served again, so that many open pages cost a validator no more than one."""


class SourceUnavailable(AssayError):
    """A source didn't answer, or answered with something that is not a snapshot or a bundle."""


@dataclass(frozen=True, slots=True)
class Source:
    """One validator's data.

    Attributes:
        name: what to call it where its hotkey has no label.
        snapshot: gives the current snapshot; raises AssayError where it cannot.
        bundle: gives the file of an evidence bundle by its hex digest, None where there is none.
    """

    name: str
    snapshot: Callable[[], Awaitable[StatusSnapshot]]
    bundle: Callable[[str], Awaitable[bytes | None]]


def http_source(url: str, client: httpx.AsyncClient) -> Source:
    """A validator's operations endpoint at a base URL; reads /snapshot.json and /bundle/<digest>."""
    base = url.rstrip("/")

    async def snapshot() -> StatusSnapshot:
        body = await _get(client, f"{base}/snapshot.json", MAX_SNAPSHOT_BYTES)
        if body is None:
            raise SourceUnavailable(f"{base} has no /snapshot.json: is it a validator's operations endpoint?")
        return StatusSnapshot.from_json(body)

    async def bundle(digest: str) -> bytes | None:
        return await _get(client, f"{base}/bundle/{digest}", MAX_BUNDLE_BYTES)

    return Source(base, snapshot, bundle)


async def _get(client: httpx.AsyncClient, url: str, limit: int) -> bytes | None:
    """The body at a URL, None for 404. Raises SourceUnavailable for anything else that is not 200 and within limit."""
    body = bytearray()
    try:
        async with client.stream("GET", url) as response:
            if response.status_code == httpx.codes.NOT_FOUND:
                return None
            if response.status_code != httpx.codes.OK:
                raise SourceUnavailable(f"{url} answered {response.status_code}")
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > limit:
                    raise SourceUnavailable(f"{url} sent more than {limit} bytes")
    except httpx.HTTPError as error:
        raise SourceUnavailable(f"{url} didn't answer: {error or type(error).__name__}") from error
    return bytes(body)


class Watcher:
    """Keeps the last good snapshot of a source, so that a validator that restarts doesn't blank the page."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._lock = asyncio.Lock()
        self._seen: str | None = None
        self._seen_at = 0.0
        self._tried_at = float("-inf")
        self._error: str | None = None

    async def read(self) -> str:
        """The source as JSON text: its last snapshot, its age in seconds, and why it is not newer, if it isn't."""
        async with self._lock:
            if time.monotonic() - self._tried_at >= FRESH_S:
                await self._refresh()
        age = None if self._seen is None else round(time.monotonic() - self._seen_at, 1)
        about = json.dumps({"name": self.source.name, "age_s": age, "error": self._error})
        # A snapshot of a full subnet is a megabyte: it is put in as the text that it is, not parsed and written again.
        return f'{about[:-1]}, "snapshot": {self._seen or "null"}}}'

    async def _refresh(self) -> None:
        try:
            self._seen = (await self.source.snapshot()).to_json()
            self._seen_at = time.monotonic()
            self._error = None
        except AssayError as error:
            if self._error is None:
                logger.warning("status page: {}", error)
            self._error = str(error)
        self._tried_at = time.monotonic()
