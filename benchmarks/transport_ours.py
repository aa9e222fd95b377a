"""Our axon and dendrite for `benchmarks/transport.py`, every limit on, both directions signed and verified.

Roles as in `transport_roles.py`; VARIANT is `plain`. A request is made, signed by its call, answered with a signed
response that opens a secret, and checked in full by the client.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from benchmarks.transport_roles import ANSWER, announce, main
from subnet.protocol import CompletionResponse, Hello, SignedRequest, SignedResponse, encode, sign_response
from subnet.protocol.handshake import SecretsCommitment
from subnet.protocol.response import FIRST_PREVIOUS
from subnet.protocol.stream import Chunk
from subnet.transport.axon import Axon, AxonLimits, Call, Identity
from subnet.transport.dendrite import Dendrite, Peer
from subnet.transport.nonces import SharedNonceStore
from subnet.transport.rates import Rate
from subnet.transport.server import AxonServer, listen
from tests.transport.miner_double import GENESIS, NETUID, MinerDouble, keypair, make_request

VALIDATOR = keypair("//BenchmarkValidator")
MINER = keypair("//BenchmarkMiner")
MINER_KEY = bytes(MINER.public_key)
TOKENS = tuple(range(5_000, 5_024))


class Handlers(MinerDouble):
    """The tests' miner with a constant completion and without memory of old answers: only transport is measured."""

    async def complete(self, call: Call, signed: SignedRequest) -> AsyncGenerator[Chunk | SignedResponse, None]:
        request = signed.request
        secret, path = self.trees[call.public_key].open(request.counter % self.size)
        body = CompletionResponse(
            version=1,
            request_digest=request.digest,
            tokens=TOKENS,
            text=ANSWER,
            finish="length",
            secret=secret,
            secret_path=path,
            previous=self.previous.get(call.public_key, FIRST_PREVIOUS),
        )
        response = sign_response(body, request, self.signer)
        self.previous[call.public_key] = response.link
        yield response


def axon_over(handlers: MinerDouble, nonces: SharedNonceStore) -> Axon:
    bounds = AxonLimits(address_rate=Rate(1e6, 10**6), hotkey_rate=Rate(1e6, 10**6))
    return Axon(
        Identity(bytes(handlers.signer.public_key), GENESIS, NETUID), handlers, lambda hotkey: None, nonces, bounds
    )


async def serve(folder: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with SharedNonceStore(folder / f"nonces-{time.time_ns()}") as nonces:
        async with AxonServer(axon_over(Handlers(MINER, size=4_096), nonces), listen("127.0.0.1", 0)) as server:
            announce(server.port, lambda: loop.call_soon_threadsafe(stop.set))
            await stop.wait()


def prompt_length(body: int) -> int:
    """Tokens with which a signed request has about `body` bytes."""
    empty = len(encode(make_request(VALIDATOR, MINER_KEY, 0, prompt_tokens=1)))
    two = len(encode(make_request(VALIDATOR, MINER_KEY, 0, prompt_tokens=1_001)))
    return max(1, int((body - empty) / ((two - empty) / 1_000)))


class Client:
    """One dendrite; `ask` is one completion, from making the request to the last check of the answer."""

    def __init__(self, port: int, body: int) -> None:
        self._peer = Peer(MINER_KEY, "127.0.0.1", port)
        self._prompt = prompt_length(body)
        self._dendrite = Dendrite(VALIDATOR, allow_private=True)
        self._commitment: SecretsCommitment | None = None
        self._counter = -1

    async def __aenter__(self) -> "Client":
        await self._dendrite.__aenter__()
        greeted = await self._dendrite.hello(self._peer, Hello((1,), GENESIS, NETUID), seconds=10)
        assert greeted.value is not None, greeted
        self._commitment = greeted.value.capabilities.handshake.commitment
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._dendrite.__aexit__()

    async def ask(self) -> None:
        self._counter = (self._counter + 1) % 4_096
        request = make_request(VALIDATOR, MINER_KEY, self._counter, prompt_tokens=self._prompt)
        assert self._commitment is not None
        outcome = await self._dendrite.complete(self._peer, request, self._commitment, seconds=30)
        if outcome.value is None:
            raise RuntimeError(str(outcome))


if __name__ == "__main__":
    main(serve=serve, client=lambda folder, port, body: Client(port, body), folder=Path(sys.argv[3]))
