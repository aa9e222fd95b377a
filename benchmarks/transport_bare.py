"""The least that btauth/1 needs, for `benchmarks/transport.py`: Starlette, aiohttp and the SDK, nothing bounded.

Roles as in `transport_ours.py`. With `signed` the answer carries a signature too, which the client verifies.
"""

import hashlib
import json
import sys
from pathlib import Path

import aiohttp
import bittensor_core
from bittensor import http_auth
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.transport_roles import ANSWER, main, run_server

PATH = "/completion"
VALIDATOR = bittensor_core.Keypair.create_from_uri("//BenchmarkValidator", 1)
MINER = bittensor_core.Keypair.create_from_uri("//BenchmarkMiner", 1)
NONCES = http_auth.InMemoryNonceStore()


def application(signed: bool) -> Starlette:
    async def complete(request: Request) -> Response:
        body = await request.body()
        http_auth.verify(
            request.headers,
            body,
            method="POST",
            path=PATH,
            self_hotkey_ss58=MINER.ss58_address,
            nonce_store=NONCES,
        )
        prompt = json.loads(body)["prompt"]
        answer = json.dumps({"completion": ANSWER, "size": len(prompt)}).encode()
        headers = {}
        if signed:
            headers["x-signature"] = MINER.sign(hashlib.sha256(answer).digest()).hex()
        return Response(answer, media_type="application/json", headers=headers)

    return Starlette(routes=[Route(PATH, complete, methods=["POST"])])


class Client:
    """One aiohttp session; `ask` is one signed call."""

    def __init__(self, port: int, body: int, signed: bool) -> None:
        self._url = f"http://127.0.0.1:{port}{PATH}"
        self._prompt = "p" * (body - 20)
        self._signed = signed
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Client":
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=128))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def ask(self) -> None:
        body = json.dumps({"prompt": self._prompt}).encode()
        headers = http_auth.sign(VALIDATOR, method="POST", path=PATH, body=body, receiver_ss58=MINER.ss58_address)
        headers["content-type"] = "application/json"
        assert self._session is not None
        async with self._session.post(self._url, data=body, headers=headers) as response:
            answer = await response.read()
            if response.status != 200:
                raise RuntimeError(f"status {response.status}")
            if self._signed:
                signature = bytes.fromhex(response.headers["x-signature"])
                digest = hashlib.sha256(answer).digest()
                if not bittensor_core.verify(digest, signature, MINER.ss58_address, 1):
                    raise RuntimeError("the answer's signature is wrong")
        if json.loads(answer)["completion"] != ANSWER:
            raise RuntimeError("wrong answer")


if __name__ == "__main__":
    SIGNED = sys.argv[2] == "signed"
    main(
        serve=lambda folder: run_server(application(SIGNED)),
        client=lambda folder, port, body: Client(port, body, SIGNED),
        folder=Path(sys.argv[3]),
    )
