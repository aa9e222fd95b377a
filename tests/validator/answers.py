"""Signed requests and answers, made as a validator and a miner make them, for tests of what happens to them later."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from bittensor.sp_core import Keypair

from reward import Conversation
from subnet.evidence.selection import CheckPlan
from subnet.protocol import (
    CompletionRequest,
    CompletionResponse,
    SecretsCommitment,
    SecretTree,
    SignedResponse,
    sign_commitment,
    sign_response,
)  # fmt: skip
from subnet.protocol.response import FIRST_PREVIOUS
from subnet.validator.values import Asked, Exchange, Status, Times

GENESIS, MODEL, NETUID = b"\1" * 32, b"\2" * 32, 2
VALIDATOR = Keypair.create_from_uri("//Validator")


@dataclass
class FakeMiner:
    """A miner's key, secrets and chain of answers, without a model."""

    name: str
    epoch: int = 1_000_000
    size: int = 64
    last: bytes = FIRST_PREVIOUS
    counter: int = 0
    keypair: Keypair = field(init=False)

    def __post_init__(self) -> None:
        self.keypair = Keypair.create_from_uri(f"//{self.name}")
        self.tree = SecretTree.derive(b"m" * 32, bytes(VALIDATOR.public_key), self.epoch, self.size)
        commitment = SecretsCommitment(
            1, GENESIS, NETUID, bytes(self.keypair.public_key), bytes(VALIDATOR.public_key), self.epoch, self.size,
            self.tree.root, 5,
        )  # fmt: skip
        self.handshake = sign_commitment(commitment, self.keypair)

    @property
    def hotkey(self) -> str:
        return self.keypair.ss58_address

    def asked(self, round_number: int = 1, check_block: int = 20, rate_ppm: int = 1_000_000) -> Asked:
        plan = CheckPlan(check_block, rate_ppm, os.urandom(32))
        request = CompletionRequest(
            1, GENESIS, NETUID, MODEL, (1, 2, 3), 800, 0, 4, bytes(VALIDATOR.public_key),
            bytes(self.keypair.public_key), 5, b"\5" * 32, os.urandom(32), self.epoch, self.counter, plan.extension(),
        )  # fmt: skip
        self.counter += 1
        label = f"{round_number}:0"
        return Asked(round_number, self.hotkey, label, Conversation.of("hello"), request, plan)

    def answer(self, asked: Asked, previous: bytes | None = None) -> SignedResponse:
        """Signs the next answer of the chain; `previous` forks it."""
        request = asked.request
        secret, path = self.tree.open(request.counter)
        body = CompletionResponse(
            1, request.digest, (7, 8, 9, 10), "text", "length", secret, path,
            self.last if previous is None else previous,
        )  # fmt: skip
        response = sign_response(body, request, self.keypair)
        self.last = response.link
        return response

    def exchange(self, number: int, round_number: int = 1, **rest) -> Exchange:
        asked = self.asked(round_number)
        times = Times(1.0, 1.1, 2.0)
        return Exchange(number, asked, Status.ANSWERED, response=self.answer(asked), times=times, **rest)
