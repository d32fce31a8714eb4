"""Frames out, and the measure of frames in, against the websockets package."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import CLIENT, Protocol

from tallycast import frames

SIZES = [0, 1, 125, 126, 127, 65535, 65536]


def received(data: bytes) -> list[Frame]:
    """What a client of the websockets package makes of `data`."""
    client = Protocol(CLIENT, max_size=None)
    client.receive_data(data)
    events = client.events_received()
    assert client.parser_exc is None
    assert all(isinstance(event, Frame) for event in events)
    return [event for event in events if isinstance(event, Frame)]


@pytest.mark.parametrize("size", SIZES)
def test_a_text_of_any_size_is_one_whole_frame(size: int) -> None:
    [frame] = received(frames.text(b"x" * size))
    assert (frame.opcode, frame.fin, frame.data) == (Opcode.TEXT, True, b"x" * size)


def test_texts_that_stand_together_are_told_apart() -> None:
    texts = [b"x" * size for size in SIZES]
    data = b"".join(map(frames.text, texts))
    assert list(frames.payloads(data)) == texts
    assert [frame.data for frame in received(data)] == texts


@pytest.mark.parametrize("code", frames.CLOSE_CODES)
def test_each_close_code_can_be_sent(code: int) -> None:
    [frame] = received(frames.close(code, "because"))
    assert Close.parse(bytes(frame.data)) == Close(code, "because")


def test_a_reason_that_is_too_long_is_cut_between_characters() -> None:
    [frame] = received(frames.close(1008, "ü" * 100))
    assert Close.parse(bytes(frame.data)) == Close(1008, "ü" * 61)


def test_a_ping_is_one() -> None:
    [frame] = received(frames.PING_FRAME)
    assert (frame.opcode, frame.data) == (Opcode.PING, b"")


@given(
    st.sampled_from([Opcode.TEXT, Opcode.BINARY]),
    st.sampled_from([*SIZES, 4096]),
    st.booleans(),
    st.integers(0, 9),
)
def test_a_frame_is_measured_as_soon_as_its_head_is_there(opcode: Opcode, size: int, mask: bool, at: int) -> None:
    data = b"?" * at + Frame(opcode, b"x" * size).serialize(mask=mask)
    head = len(data) - at - size
    for have in range(head):
        assert frames.measure(data[: at + have], at) is None
    assert frames.measure(data[: at + head], at) == (at + head, size)
    assert frames.measure(data, at) == (at + head, size)
