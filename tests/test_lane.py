"""The fast lane between two system calls: answers that go out together, and a client that is not listened to."""

from __future__ import annotations

import asyncio

import pytest

from echo import MAX_BYTES, Echo
from raw import BINARY, CLOSE, PING, TEXT, close, frame
from tallycast import frames
from tallycast.keepalive import Keepalive
from tallycast.metrics import Metrics
from tallycast.transport import HIGH_WATER_BYTES, Lane

HOLD = b"hold"


class Wire(asyncio.Transport):
    """A transport that keeps what is written, piece by piece, and whether it is read from."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.reading = True
        self.closed = False
        self.full = False  # from the next write on
        self.lane: Lane

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))
        if self.full:
            self.lane.pause_writing()

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


class Holding(Echo):
    """An echo that wants to hear no more when it is told so."""

    def message(self, data: bytes) -> None:
        super().message(data)
        if data == HOLD:
            self.channel.hold()


@pytest.fixture
def wire() -> Wire:
    """The transport of a lane that holds."""
    wire = Wire()
    keepalive = Keepalive(Metrics(), ping_s=0, slow_viewer_s=0, request_s=0)
    wire.lane = Lane(wire, Holding, keepalive, max_bytes=MAX_BYTES, lost=lambda: None)
    return wire


def heard(wire: Wire) -> list[bytes]:
    """What the conversation was told."""
    assert isinstance(wire.lane.conversation, Holding)
    return wire.lane.conversation.heard


def test_answers_to_what_came_in_one_read_go_out_in_one_piece_and_in_order(wire: Wire) -> None:
    wire.lane.data_received(frame(TEXT, b"1") + frame(TEXT, b"2") + frame(PING, b"p") + frame(TEXT, b"3"))
    assert wire.pieces == [frames.text(b"1") + frames.text(b"2") + b"\x8a\x01p" + frames.text(b"3")]
    wire.lane.answer(frames.text(b"later"))
    assert wire.pieces[1:] == [frames.text(b"later")]


@pytest.mark.parametrize(
    ("last", "code"), [(frame(BINARY, b"x"), 1003), (frame(TEXT, b"\xff"), 1007), (close(1000), 1000)]
)
def test_a_close_frame_comes_after_the_answers_before_it_and_before_nothing(wire: Wire, last: bytes, code: int) -> None:
    wire.lane.data_received(frame(TEXT, b"1") + last + frame(TEXT, b"2") + frame(PING))
    wire.lane.answer(frames.text(b"late"))
    said = b"".join(wire.pieces)
    first = frames.text(b"1")
    assert said.startswith(first)
    assert said[len(first)] == 0x80 | CLOSE
    assert len(said) == len(first) + 2 + said[len(first) + 1]
    assert int.from_bytes(said[len(first) + 2 :][:2], "big") == code


def test_answers_to_one_read_are_not_collected_without_end_and_no_more_is_read_when_nobody_takes_them(
    wire: Wire,
) -> None:
    wire.full = True
    wire.lane.data_received(frame(TEXT, b"x" * 1000) * 60)
    assert len(wire.pieces) == 1
    assert HIGH_WATER_BYTES <= len(wire.pieces[0]) < HIGH_WATER_BYTES + 1100
    assert not wire.reading
    wire.full = False
    wire.lane.resume_writing()
    assert b"".join(wire.pieces) == frames.text(b"x" * 1000) * 60
    assert max(map(len, wire.pieces)) < HIGH_WATER_BYTES + 1100
    assert wire.reading


def test_who_is_held_is_told_of_nothing_more_and_goes_on_where_it_was(wire: Wire) -> None:
    wire.lane.data_received(frame(TEXT, b"1") + frame(TEXT, HOLD) + frame(TEXT, b"2") + frame(TEXT, HOLD) + b"\x81")
    assert heard(wire) == [b"1", HOLD]
    assert wire.pieces == [frames.text(b"1") + frames.text(HOLD)], "what was answered is said"
    assert not wire.reading
    wire.lane.release()
    assert heard(wire) == [b"1", HOLD, b"2", HOLD]
    assert not wire.reading
    wire.lane.release()
    assert wire.reading
    wire.lane.data_received(frame(TEXT, b"3")[1:])
    assert heard(wire)[-1] == b"3"


def test_who_is_held_and_does_not_read_either_is_read_from_when_both_have_ended(wire: Wire) -> None:
    wire.lane.data_received(frame(TEXT, HOLD) + frame(TEXT, b"2"))
    wire.lane.pause_writing()
    wire.lane.release()
    assert heard(wire) == [HOLD]
    assert not wire.reading
    wire.lane.hold()
    wire.lane.resume_writing()
    assert heard(wire) == [HOLD]
    assert not wire.reading
    wire.lane.release()
    assert heard(wire) == [HOLD, b"2"]
    assert wire.reading


async def test_a_long_read_that_ends_in_a_hold_is_not_read_on(wire: Wire) -> None:
    wire.lane.data_received(frame(TEXT, b"x" * 4000) * 17 + frame(TEXT, HOLD))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not wire.reading
    wire.lane.release()
    assert wire.reading


def test_who_is_held_when_it_is_closed_is_read_from_for_its_close_frame(wire: Wire) -> None:
    wire.lane.data_received(frame(TEXT, HOLD) + frame(TEXT, b"2"))
    wire.lane.close(1012, "restart")
    assert wire.reading
    wire.lane.release()
    wire.lane.data_received(frame(TEXT, b"3") + close(1012))
    assert wire.closed
    assert heard(wire) == [HOLD]


def test_who_has_gone_while_it_was_held_is_told_of_nothing(wire: Wire) -> None:
    wire.lane.data_received(frame(TEXT, HOLD) + frame(TEXT, b"2"))
    wire.lane.connection_lost(None)
    wire.lane.release()
    assert heard(wire) == [HOLD]
    assert not wire.reading
