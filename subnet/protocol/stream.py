"""A streamed completion: one JSON object a line, each with exactly one name.

`{"opening": ...}` and then `{"chunk": ...}` any number of times, then one `{"response": ...}`, the signed trailer over
the whole, or one `{"fault": ...}`. Only the trailer is signed; chunks are a preview which the trailer must confirm.

The opening comes once, before the first chunk: it opens the secret of this request, so that tokens which were streamed
and then dropped can be replayed. That is as safe as opening it in the trailer. The request is signed and fixed by then,
the miner has known its secret since it committed to it, and whoever learns it can use it for nothing else: a counter
that has a token stands for one request digest for ever, so nobody can try another request against an opened secret.
"""

from dataclasses import dataclass

from subnet.protocol import fields, limits, records
from subnet.protocol.faults import Fault
from subnet.protocol.fields import wire
from subnet.protocol.response import SignedResponse


@dataclass(frozen=True, slots=True)
class Opening:
    """The secret that this request opens, with its path to the committed root: what the seed is derived from."""

    secret: bytes = wire(fields.raw(32, "bytes of the opened secret"))
    secret_path: tuple[bytes, ...] = wire(fields.items(fields.raw(32, "bytes of a hash"), limits.MAX_SECRET_PATH))

    def __post_init__(self) -> None:
        records.check_record(self)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some tokens of a completion that is still running, with their text as far as it is decided."""

    tokens: tuple[int, ...] = wire(fields.tokens(1, limits.MAX_COMPLETION_TOKENS))
    text: str = wire(fields.text(limits.MAX_TEXT_BYTES))

    def __post_init__(self) -> None:
        records.check_record(self)


Progress = Opening | Chunk | SignedResponse
"""What a miner yields while it works on a completion."""

Event = Progress | Fault

NAMES: dict[str, type[Opening] | type[Chunk] | type[SignedResponse] | type[Fault]] = {
    "opening": Opening,
    "chunk": Chunk,
    "response": SignedResponse,
    "fault": Fault,
}


def encode_event(event: Event) -> bytes:
    """One line, with its newline."""
    name = next(name for name, cls in NAMES.items() if type(event) is cls)
    return b'{"' + name.encode() + b'":' + records.encode(event) + b"}\n"


def decode_event(line: bytes) -> Event:
    """The event in one line. Raises MalformedMessage."""
    value = records.loads(line, limits.MAX_STREAM_LINE_BYTES)
    if type(value) is not dict or len(value) != 1:
        raise records.MalformedMessage("a stream line is an object with one name: opening, chunk, response or fault")
    name, inner = next(iter(value.items()))
    if name not in NAMES:
        raise records.MalformedMessage(f"unknown stream event {name[:40]!r}: expected one of {', '.join(NAMES)}")
    return records.from_json(NAMES[name], inner)
