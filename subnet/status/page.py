"""The status page: one small ASGI app over any number of validators.

The page is three static files and polls /status.json. Everything that comes from outside (hotkeys, reasons, labels) is
put into the document as text by the script, and the content security policy allows nothing but these three files.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from importlib import resources

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from subnet.status.source import FETCH_TIMEOUT_S, Source, SourceUnavailable, Watcher, http_source

LOCAL_HOSTS = ("127.0.0.1", "localhost")
"""Host headers that are served by default: a name that an attacker rebinds to this machine is not among them."""

_FILES = {"/": "page.html", "/page.js": "page.js", "/page.css": "page.css"}
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_DIGEST = re.compile(r"[0-9a-f]{64}")


def app(
    sources: Sequence[str | Source],
    labels: Mapping[str, str] | None = None,
    allowed_hosts: Sequence[str] = LOCAL_HOSTS,
) -> Starlette:
    """The page as an ASGI app.

    Args:
        sources: validators, each a base URL of an operations endpoint or a Source in this process.
        labels: what to call a hotkey, e.g. "honest" or "int4 weights".
        allowed_hosts: Host headers to serve.
    """
    client = httpx.AsyncClient(timeout=FETCH_TIMEOUT_S, trust_env=False)
    watchers = [Watcher(source if isinstance(source, Source) else http_source(source, client)) for source in sources]
    names = dict(labels or {})

    async def status(request: Request) -> Response:
        read = await asyncio.gather(*(watcher.read() for watcher in watchers))
        text = f'{{"labels": {json.dumps(names)}, "sources": [{", ".join(read)}]}}'
        return Response(text, media_type="application/json", headers=_HEADERS)

    async def evidence(request: Request) -> Response:
        index, digest = request.path_params["source"], request.path_params["digest"]
        if index >= len(watchers) or not _DIGEST.fullmatch(digest):
            return JSONResponse({"error": "no such source or digest"}, 404, headers=_HEADERS)
        try:
            bundle = await watchers[index].source.bundle(digest)
        except SourceUnavailable as error:
            return JSONResponse({"error": str(error)}, 502, headers=_HEADERS)
        if bundle is None:
            return JSONResponse({"error": f"the validator has no bundle {digest}"}, 404, headers=_HEADERS)
        named = {"Content-Disposition": f'attachment; filename="{digest}.assay"'}
        return Response(bundle, media_type="application/octet-stream", headers=_HEADERS | named)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    routes = [Route(path, _static(name)) for path, name in _FILES.items()]
    routes += [Route("/status.json", status), Route("/evidence/{source:int}/{digest}", evidence)]
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts))
    return Starlette(routes=routes, middleware=[hosts], lifespan=lifespan)


def _static(name: str) -> Callable[[Request], Awaitable[Response]]:
    body = resources.files("subnet.status").joinpath("static", name).read_bytes()
    media_type = _TYPES[name.rpartition(".")[2]]

    async def serve(request: Request) -> Response:
        return Response(body, media_type=media_type, headers=_HEADERS)

    return serve
