"""Real requests, through the same path as the validator's own: an OpenAI-shaped endpoint on this machine.

A miner cannot tell them apart from synthetic ones, and they are checked by the same rules. What is asked here is
stored, and appears in full in a bundle if its answer is selected and convicts.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from reward import Conversation, Message
from reward.prompts import DEFAULT_PROFILE, RequestShape, Sampling, TrafficProfile
from subnet.errors import AssayError
from subnet.validator.questions import Question, Tokenize
from subnet.validator.values import Exchange

AT_ONCE = 8
BODY_BYTES = 256 * 1024
REMEMBERED = 1000


class BadRequest(AssayError):
    """The request cannot be asked."""


class Organic:
    """Takes real requests. `ask` sends a question to one miner and gives its exchange once that is answered."""

    def __init__(self, tokenize: Tokenize, *, prompt_tokens: int, max_tokens: int, model: str) -> None:
        self._tokenize, self._prompt_tokens, self._max_tokens = tokenize, prompt_tokens, max_tokens
        self._model = model
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._seen: deque[RequestShape] = deque(maxlen=REMEMBERED)

    def profile(self) -> TrafficProfile:
        """What synthetic requests are drawn from: shaped like the real ones that came lately."""
        return DEFAULT_PROFILE.fitted(self._seen)

    async def serve(self, request: Request, ask: Callable[[Question], Any] | None) -> Response:
        """POST /v1/chat/completions."""
        if ask is None:
            return _error(503, "the validator is starting")
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _error(415, "send application/json")
        try:
            body = await _bounded_body(request)
            question = self.question(json.loads(body))
        except (BadRequest, AssayError, ValueError) as error:
            return _error(400, str(error))
        if self._slots.locked():
            return _error(429, f"{AT_ONCE} requests are under way; try again")
        async with self._slots:
            try:
                exchange: Exchange = await ask(question)
            except AssayError as error:
                return _error(503, str(error))
        if exchange.response is None:
            return _error(502, f"the miner gave no answer: {exchange.detail}")
        return JSONResponse(_completion(exchange, self._model))

    def question(self, body: Any) -> Question:
        """The question in an OpenAI-shaped request. Raises BadRequest with what is wrong."""
        if not isinstance(body, dict) or not isinstance(body.get("messages"), list) or not body["messages"]:
            raise BadRequest("messages must be a list of {role, content}")
        messages = []
        for message in body["messages"]:
            if not isinstance(message, dict) or not isinstance(message.get("content"), str):
                raise BadRequest("a message is {role, content} with text content")
            messages.append(Message(str(message.get("role")), message["content"]))
        conversation = Conversation(tuple(messages))
        temperature, min_p = _number(body, "temperature", 0.7, 0, 10), _number(body, "min_p", 0.0, 0, 1)
        most = int(_number(body, "max_tokens", self._max_tokens, 1, self._max_tokens))
        if body.get("stream") or body.get("top_p") not in (None, 1, 1.0) or body.get("top_k") is not None:
            raise BadRequest("stream, top_p and top_k are not offered here: they cannot be replayed fairly, use min_p")
        prompt = self._tokenize(conversation)
        if len(prompt) > self._prompt_tokens:
            raise BadRequest(f"the prompt has {len(prompt)} tokens, at most {self._prompt_tokens} are taken")
        sampling = Sampling(round(1000 * temperature), round(1e6 * min_p), most)
        has_system = messages[0].role == "system"
        self._seen.append(RequestShape(sampling, len(messages), has_system))
        return Question(
            f"organic:{secrets.token_hex(8)}", conversation, prompt, sampling.temperature_milli, sampling.min_p_ppm,
            most, organic=True,
        )  # fmt: skip


async def _bounded_body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES:
            raise BadRequest(f"a request has at most {BODY_BYTES} bytes")
    return bytes(body)


def _number(body: dict[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise BadRequest(f"{name} is a number from {low:g} to {high:g}, not {value!r}")
    return value


def _error(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": {"message": text, "type": "assay"}}, status)


def _completion(exchange: Exchange, model: str) -> dict[str, Any]:
    response, request = exchange.response, exchange.asked.request
    assert response is not None
    finish = "stop" if response.body.finish == "eos" else "length"
    used = {"prompt_tokens": len(request.prompt), "completion_tokens": len(response.body.tokens)}
    return {
        "id": request.digest.hex(), "object": "chat.completion", "created": int(time.time()), "model": model,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": response.body.text}, "finish_reason": finish}
        ],
        "usage": {**used, "total_tokens": sum(used.values())},
        "assay": {
            "miner": exchange.miner, "request_digest": request.digest.hex(), "link": response.link.hex(),
            "check_block": exchange.asked.plan.block,
        },
    }  # fmt: skip
