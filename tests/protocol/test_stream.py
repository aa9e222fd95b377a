import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.protocol import Fault, MalformedMessage
from subnet.protocol.stream import Chunk, Event, decode_event, encode_event
from tests.protocol.examples import answered


@pytest.mark.parametrize("event", [Chunk((1, 2), "a\nb"), answered(), Fault("overloaded", "later", 10)])
def test_events_are_single_lines_and_survive(event: Event) -> None:
    line = encode_event(event)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert decode_event(line) == event


@given(st.binary(max_size=60) | st.sampled_from([b"{}", b"[]", b'{"chunk":{}}', b'{"chunk":1,"fault":2}', b'{"x":{}}']))
def test_fuzz_other_lines_are_refused(line: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_event(line)
