"""What a client knows of a streamed completion while it comes in. Pure: events in, no sockets, the clock is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from subnet.protocol import seed
from subnet.protocol.handshake import SecretsCommitment
from subnet.protocol.records import MalformedMessage
from subnet.protocol.request import CompletionRequest
from subnet.protocol.response import ResponseMismatch, SignedResponse, check_response
from subnet.protocol.stream import Chunk, Opening

MARKS = 16
"""Moments kept of one stream: enough to say when its tokens came, whatever its length."""


@dataclass(slots=True)
class Streamed:
    """Tokens as they arrive, and the secret that they were drawn with."""

    request: CompletionRequest
    commitment: SecretsCommitment
    tokens: list[int] = field(default_factory=list)
    opened: bytes | None = None
    _text: list[str] = field(default_factory=list)
    _marks: list[tuple[float, int]] = field(default_factory=list)

    def open(self, opening: Opening) -> None:
        """Raises ResponseMismatch where this is not the committed secret, MalformedMessage where it comes twice."""
        if self.opened is not None or self.tokens:
            raise MalformedMessage("the opening comes once, before the first chunk")
        request, commitment = self.request, self.commitment
        if (commitment.validator, commitment.miner, commitment.epoch) != (
            request.validator, request.miner, request.epoch,
        ):  # fmt: skip
            raise ResponseMismatch("the secrets commitment is of another validator, miner or epoch")
        if not seed.opens(opening.secret, opening.secret_path, request.counter, commitment.size, commitment.root):
            raise ResponseMismatch(f"the opened secret is not number {request.counter} of the committed ones")
        self.opened = opening.secret

    def take(self, chunk: Chunk, moment: float) -> None:
        """Raises MalformedMessage without an opening before it, ResponseMismatch beyond what was asked for."""
        if self.opened is None:
            raise MalformedMessage("a chunk came before the opening: what it was drawn with cannot be known")
        self.tokens.extend(chunk.tokens)
        self._text.append(chunk.text)
        self._marks.append((moment, len(self.tokens)))
        if len(self.tokens) > self.request.max_tokens:
            raise ResponseMismatch("more tokens were streamed than asked for")

    def end(self, response: SignedResponse) -> bytes:
        """The seed (32 bytes) of an answer that passes every check without a model and repeats what was streamed."""
        found = check_response(self.request, response, self.commitment)
        if self.tokens and (tuple(self.tokens), "".join(self._text)) != (response.body.tokens, response.body.text):
            raise ResponseMismatch("the signed trailer does not repeat what was streamed")
        return found

    def unconfirmed(self) -> dict[str, Any]:
        """What an outcome keeps of a stream that did not reach its trailer."""
        return {"prefix": tuple(self.tokens), "opened": self.opened, "arrivals": self.arrivals()}

    def arrivals(self) -> tuple[tuple[float, int], ...]:
        """(moment, tokens so far), ascending, at most MARKS of them: the first, and then evenly by tokens.

        A mark that is left out makes its tokens look later, never sooner.
        """
        marks = self._marks
        if len(marks) <= MARKS:
            return tuple(marks)
        kept = [marks[0]]
        for step in range(1, MARKS):
            wanted = len(self.tokens) * step / (MARKS - 1)
            mark = next(mark for mark in marks if mark[1] >= wanted)
            if mark != kept[-1]:
                kept.append(mark)
        return tuple(kept)
