"""What a validator shows to others: its ledger, bundles and past prompts, read-only, on its published endpoint."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from subnet.validator.accuse import bundle_path
from subnet.validator.prompting import opened_series
from subnet.validator.state import Store

PATH_LEDGER = "/assay/v1/ledger"
PATH_BUNDLE = "/assay/v1/bundle"
PATH_PROMPTS = "/assay/v1/prompts"
PAGE = 1000
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


def public_routes(store: Store) -> list[Route]:
    """GET /assay/v1/ledger?from=N: up to 1000 entries in hex from index N. GET /assay/v1/bundle/<digest>: a bundle.

    GET /assay/v1/prompts: the prompt series that are over, for `python -m reward.series`.
    """

    async def ledger(request: Request) -> Response:
        text = request.query_params.get("from", "0")
        if not text.isdigit() or len(text) > 12:
            return JSONResponse({"error": "from must be a number"}, 400)
        rows = store.ledger(int(text), PAGE)
        return JSONResponse({"from": int(text), "entries": [row.entry.to_bytes().hex() for row in rows]})

    async def bundle(request: Request) -> Response:
        path = find_bundle(store.folder / "bundles", request.path_params["digest"])
        if path is None:
            return JSONResponse({"error": "there is no such bundle"}, 404)
        return FileResponse(path, media_type="application/octet-stream")

    async def prompts(_request: Request) -> Response:
        return JSONResponse({"series": opened_series(store)})

    return [Route(PATH_LEDGER, ledger), Route(PATH_PROMPTS, prompts), Route(PATH_BUNDLE + "/{digest}", bundle)]


def find_bundle(folder: Path, digest: str) -> Path | None:
    """The file of a bundle that is kept, by the hex digest; None for anything else."""
    if not _DIGEST.match(digest):
        return None
    path = bundle_path(folder, bytes.fromhex(digest))
    return path if path.is_file() else None
