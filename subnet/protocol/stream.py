"""A streamed completion: one JSON object a line, each with exactly one name.

`{"chunk": ...}` any number of times, then one `{"response": ...}`, the signed trailer over the whole, or one
`{"fault": ...}`. Only the trailer is signed; chunks are a preview which the trailer must confirm.
"""

from dataclasses import dataclass

from subnet.protocol import fields, limits, records
from subnet.protocol.faults import Fault
from subnet.protocol.fields import wire
from subnet.protocol.response import SignedResponse


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some tokens of a completion that is still running, with their text as far as it is decided."""

    tokens: tuple[int, ...] = wire(fields.tokens(1, limits.MAX_COMPLETION_TOKENS))
    text: str = wire(fields.text(limits.MAX_TEXT_BYTES))

    def __post_init__(self) -> None:
        records.check_record(self)


Event = Chunk | SignedResponse | Fault

NAMES: dict[str, type[Chunk] | type[SignedResponse] | type[Fault]] = {
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
        raise records.MalformedMessage("a stream line is an object with one name: chunk, response or fault")
    name, inner = next(iter(value.items()))
    if name not in NAMES:
        raise records.MalformedMessage(f"unknown stream event {name[:40]!r}: expected chunk, response or fault")
    return records.from_json(NAMES[name], inner)
