"""A miner for transport tests: real secrets, signatures and chains; its tokens are arithmetic, no model is needed."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import bittensor_core

from subnet.protocol import (
    Capabilities,
    CompletionRequest,
    CompletionResponse,
    Hello,
    ModelOffer,
    SecretsCommitment,
    SecretTree,
    SignedCapabilities,
    SignedRequest,
    SignedResponse,
    SignedStanding,
    sign_capabilities,
    sign_commitment,
    sign_response,
)
from subnet.protocol.response import FIRST_PREVIOUS
from subnet.protocol.stream import Chunk, Opening, Progress
from subnet.transport.axon import Call
from subnet.transport.errors import Refused

GENESIS = bytes.fromhex("9f" * 32)
NETUID = 7
MODEL = bytes.fromhex("4d" * 32)
SIZE = 64


def keypair(uri: str, scheme: int = 1) -> bittensor_core.Keypair:
    return bittensor_core.Keypair.create_from_uri(uri, scheme)


@dataclass
class MinerDouble:
    """Handlers over an in-memory state. `delay` seconds pass before each token batch."""

    signer: bittensor_core.Keypair
    delay: float = 0.0
    size: int = SIZE
    trees: dict[bytes, SecretTree] = field(default_factory=dict)
    answered: dict[tuple[bytes, int], SignedResponse] = field(default_factory=dict)
    previous: dict[bytes, bytes] = field(default_factory=dict)
    standings: list[SignedStanding] = field(default_factory=list)
    asked: list[SignedRequest] = field(default_factory=list)
    cancelled: int = 0
    calls: int = 0
    epoch: int = 1_790_000_000_000_000

    async def hello(self, call: Call, hello: Hello) -> SignedCapabilities:
        tree = self.trees.get(call.public_key)
        if tree is None:
            tree = SecretTree.derive(b"m" * 32, call.public_key, self.epoch, self.size)
            self.trees[call.public_key] = tree
        commitment = SecretsCommitment(
            version=1,
            genesis=GENESIS,
            netuid=NETUID,
            miner=bytes(self.signer.public_key),
            validator=call.public_key,
            epoch=self.epoch,
            size=self.size,
            root=tree.root,
            beacon_block=100,
        )
        capabilities = Capabilities(
            versions=(1,),
            software="test-miner",
            models=(ModelOffer(MODEL, "test-model", 8_192),),
            max_tokens=1_024,
            concurrency=8,
            handshake=sign_commitment(commitment, self.signer),
        )
        return sign_capabilities(capabilities, self.signer)

    async def complete(self, call: Call, signed: SignedRequest) -> AsyncGenerator[Progress, None]:
        self.calls += 1
        self.asked.append(signed)
        request = signed.request
        known = self.answered.get((call.public_key, request.counter))
        if known is not None:
            if known.body.request_digest != request.digest:
                raise Refused("counter_used", f"counter {request.counter} was used for another request")
            yield known
            return
        tree = self.trees.get(call.public_key)
        if tree is None or request.epoch != self.epoch:
            raise Refused("unknown_epoch", "shake hands first")
        tokens = tuple((request.prompt[0] + i) % 50_000 for i in range(request.max_tokens))
        pieces = []
        try:
            for batch in itertools.batched(tokens, 16) if hasattr(itertools, "batched") else _batched(tokens, 16):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if not pieces:
                    yield Opening(*tree.open(request.counter))
                pieces.append(" ".join(map(str, batch)) + " ")
                yield Chunk(tokens=tuple(batch), text=pieces[-1])
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        secret, path = tree.open(request.counter)
        body = CompletionResponse(
            version=1,
            request_digest=request.digest,
            tokens=tokens,
            text="".join(pieces),
            finish="length",
            secret=secret,
            secret_path=path,
            previous=self.previous.get(call.public_key, FIRST_PREVIOUS),
        )
        response = sign_response(body, request, self.signer)
        self.previous[call.public_key] = response.link
        self.answered[call.public_key, request.counter] = response
        yield response

    async def standing(self, call: Call, standing: SignedStanding) -> None:
        self.standings.append(standing)


def _batched(values: tuple[int, ...], size: int) -> list[tuple[int, ...]]:
    return [values[i : i + size] for i in range(0, len(values), size)]


def make_request(
    validator: bittensor_core.Keypair,
    miner: bytes,
    counter: int,
    *,
    prompt_tokens: int = 40,
    max_tokens: int = 24,
    epoch: int = MinerDouble.epoch,
) -> CompletionRequest:
    return CompletionRequest(
        version=1,
        genesis=GENESIS,
        netuid=NETUID,
        model_id=MODEL,
        prompt=tuple(range(1_000, 1_000 + prompt_tokens)),
        temperature_milli=800,
        min_p_ppm=50_000,
        max_tokens=max_tokens,
        validator=bytes(validator.public_key),
        miner=miner,
        beacon_block=100,
        beacon_hash=b"b" * 32,
        nonce=time.time_ns().to_bytes(32, "big"),
        epoch=epoch,
        counter=counter,
    )
