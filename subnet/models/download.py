"""One file from a web server, going on where an earlier attempt was cut off, also by the death of its process."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx

from subnet.models.errors import MissingModel

Told = Callable[[int, int | None], None]
"""(bytes that are here, bytes in all or None where the server does not say)"""


def download(client: httpx.Client, url: str, path: Path, told: Told) -> None:
    """Get `url` into `path`, which appears whole or not at all; what is there so far lies in `path` + ".part".

    A connection that breaks is taken up again for as long as each attempt brings something. The bytes are not verified
    here. Raises httpx.HTTPError, OSError, or MissingModel where another process is at it.
    """
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    with _alone(part) as file:
        while True:
            before = file.seek(0, 2)
            try:
                _go_on(client, url, file, told)
                break
            except httpx.TransportError:
                if file.seek(0, 2) <= before:
                    raise
        part.replace(path)


@contextmanager
def _alone(part: Path) -> Iterator[BinaryIO]:
    with part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MissingModel(f"another process is fetching {part.name.removesuffix('.part')} into {part}") from None
        yield file


def _go_on(client: httpx.Client, url: str, file: BinaryIO, told: Told) -> None:
    have = file.seek(0, 2)
    # identity: offsets into compressed bytes would mean nothing
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == 416:  # nothing follows: it is complete, or longer than the file
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return
            file.truncate(0)
            return _go_on(client, url, file, told)
        response.raise_for_status()
        if have and response.status_code != 206:
            file.truncate(0)
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        told(have, total)
        for block in response.iter_raw():
            file.write(block)
            have += len(block)
            told(have, total)
        file.flush()
