"""Where the axon's processor time goes: each stage of one call by itself, and the whole application without a socket.

The whole is more than its stages: one after the other they find the processor's caches cold. Beside it stands the
application of the bare btauth contender. Writes benchmarks/results/transport_stages.md.

    python -m benchmarks.transport_stages
"""

import asyncio
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bittensor import http_auth

from benchmarks import transport_bare
from benchmarks.transport import RESULTS, machine
from benchmarks.transport_ours import MINER, MINER_KEY, TOKENS, VALIDATOR, Handlers, axon_over, prompt_length
from benchmarks.transport_roles import ANSWER
from subnet.protocol import (
    CompletionRequest,
    CompletionResponse,
    SecretTree,
    SignedRequest,
    completion_path,
    decode,
    encode,
    sign_response,
)
from subnet.protocol.response import FIRST_PREVIOUS
from subnet.transport import btauth
from subnet.transport.nonces import SharedNonceStore
from tests.transport.miner_double import make_request

REQUESTS = 1_000
BODY_BYTES = 1_024
REPEATS = 5


def pairs(headers: dict[str, str], body: bytes) -> list[tuple[bytes, bytes]]:
    """Headers as an ASGI server gives them."""
    all_headers = {"host": "axon", "content-type": "application/json", "content-length": str(len(body)), **headers}
    return [(name.lower().encode(), value.encode()) for name, value in all_headers.items()]


def scope(path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "scheme": "http", "root_path": "",
        "http_version": "1.1", "headers": headers,
    }  # fmt: skip


async def application(app: Any, calls: Sequence[tuple[dict[str, Any], bytes]]) -> float:
    """Microseconds of processor time a call, in the application alone; the best of the parts."""

    async def send(message: dict[str, Any]) -> None:
        pass

    best, part = float("inf"), len(calls) // REPEATS
    for first in range(0, len(calls), part):
        before = time.process_time()
        for given, body in calls[first : first + part]:

            async def receive(body: bytes = body) -> dict[str, Any]:
                return {"type": "http.request", "body": body, "more_body": False}

            await app(given, receive, send)
        best = min(best, (time.process_time() - before) / part)
    return best * 1e6


def stage(work: Callable[[Any], Any], items: Sequence[Any]) -> tuple[float, list[Any]]:
    """Microseconds of processor time an item, the best of several rounds, and the results of the first."""
    results, best = [], float("inf")
    for repeat in range(REPEATS):
        before = time.process_time()
        made = [work(item) for item in items]
        best = min(best, (time.process_time() - before) / len(items))
        results = results if repeat else made
    return best * 1e6, results


def stages(folder: Path) -> list[tuple[str, float]]:
    """The axon's stages in their order, each over the same requests."""
    tree = SecretTree.derive(b"m" * 32, bytes(VALIDATOR.public_key), Handlers.epoch, 4_096)
    found: list[tuple[str, float]] = []

    def run(name: str, work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        took, results = stage(work, items)
        found.append((name, took))
        return results

    with SharedNonceStore(folder / "stages") as nonces:
        axon = axon_over(Handlers(MINER), nonces)
        bodies, heads = [], []
        for counter in range(REQUESTS):
            request = make_request(VALIDATOR, MINER_KEY, counter, prompt_tokens=prompt_length(BODY_BYTES))
            bodies.append(encode(request))
            path = completion_path(request.digest)
            signed = btauth.sign(VALIDATOR, method="POST", path=path, body=bodies[-1], receiver=MINER.ss58_address)
            heads.append((path, pairs(signed, bodies[-1])))
        claims = [claim for claim, _ in run("shapes of the headers", lambda head: axon._check_head(head[1]), heads)]
        signed_calls = list(zip(claims, heads, bodies, strict=True))
        run(
            "signature of the call",
            lambda call: btauth.verify(
                call[0], call[2], method="POST", path=call[1][0], self_hotkey=MINER.ss58_address
            ),
            signed_calls,
        )  # fmt: skip
        run("nonce, shared by processes", lambda claim: nonces.check_and_store(claim.hotkey, claim.nonce_ns), claims)
        run("strict parse of the request", lambda body: decode(CompletionRequest, body), bodies)
        requests = [decode(CompletionRequest, body) for body in bodies]

        def digest(request: CompletionRequest) -> bytes:
            request._digest.clear()
            return request.digest

        run("digest of the request", digest, requests)
        run("proof that the miner keeps", lambda pair: proof(*pair), list(zip(requests, signed_calls, strict=True)))

    def answer(request: CompletionRequest) -> CompletionResponse:
        secret, path = tree.open(request.counter)
        return CompletionResponse(1, request.digest, TOKENS, ANSWER, "length", secret, path, FIRST_PREVIOUS)

    made = run("answer with its opened secret", answer, requests)
    run("its digest", lambda body: (body._digest.clear(), body.digest), made)
    answers = run("its signature", lambda pair: sign_response(*pair, MINER), list(zip(made, requests, strict=True)))
    run("its JSON", encode, answers)
    return found


def proof(request: CompletionRequest, call: tuple[btauth.Claim, Any, bytes]) -> SignedRequest:
    claim, _, body = call
    return SignedRequest(request, claim.scheme, str(claim.nonce_ns), hashlib.sha256(body).digest(), claim.signature)


def ours(folder: Path) -> float:
    with SharedNonceStore(folder / "whole") as nonces:
        handlers = Handlers(MINER)
        handlers.trees[bytes(VALIDATOR.public_key)] = SecretTree.derive(
            b"m" * 32, bytes(VALIDATOR.public_key), handlers.epoch, 4_096
        )
        handlers.size = 4_096
        calls = []
        for counter in range(REQUESTS):
            request = make_request(VALIDATOR, MINER_KEY, counter, prompt_tokens=prompt_length(BODY_BYTES))
            body, path = encode(request), completion_path(request.digest)
            headers = btauth.sign(VALIDATOR, method="POST", path=path, body=body, receiver=MINER.ss58_address)
            calls.append((scope(path, pairs(headers, body)), body))
        axon = axon_over(handlers, nonces)
        took = asyncio.run(application(axon, calls))
        assert axon.outcomes["ok"] == REQUESTS, axon.outcomes
        return took


def bare() -> float:
    path, receiver = transport_bare.PATH, transport_bare.MINER.ss58_address
    calls = []
    for _ in range(REQUESTS):
        body = json.dumps({"prompt": "p" * (BODY_BYTES - 20)}).encode()
        headers = http_auth.sign(transport_bare.VALIDATOR, method="POST", path=path, body=body, receiver_ss58=receiver)
        calls.append((scope(path, pairs(headers, body)), body))
    return asyncio.run(application(transport_bare.application(signed=True), calls))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        rows = stages(Path(name))
        total, other = ours(Path(name)), bare()
    lines = ["| stage of one call in the axon | CPU, microseconds |", "|---|---|"]
    lines += [f"| {title} | {took:.1f} |" for title, took in rows]
    lines += [
        f"| sum of these | {sum(took for _, took in rows):.0f} |",
        f"| **the whole application, without its sockets** | {total:.0f} |",
        f"| the bare application (Starlette, SDK, signed answer) | {other:.0f} |",
        "",
        f"Bodies of 1 KB; {machine()}.",
    ]
    text = "\n".join(lines) + "\n"
    (RESULTS / "transport_stages.md").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
