"""The fast lane against the websockets package as oracle: any bytes, cut anywhere, mean the same to both."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Opcode
from websockets.protocol import OPEN, SERVER, Protocol

from echo import MAX_BYTES, Echo, lane
from raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close, frame

TAIL = bytes(2 * MAX_BYTES)  # completes whatever frame is under way, and is then a frame that no client may send


class Heard(NamedTuple):
    """What bytes meant: messages, the payloads of the pongs they got, and the code they were closed with."""

    messages: list[bytes]
    pongs: list[bytes]
    code: int | None


class Wire(asyncio.Transport):
    """A transport to nowhere that keeps what is written, as there are no sockets enough for every example."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


def sort(written: bytes) -> Heard:
    """Take apart what a server wrote."""
    heard = Heard([], [], None)
    at = 0
    while at < len(written):
        opcode, n, start = written[at] & 15, written[at + 1], at + 2
        if n == 126:
            n, start = int.from_bytes(written[at + 2 : at + 4], "big"), at + 4
        payload, at = written[start : start + n], start + n
        if opcode == TEXT:
            heard.messages.append(payload)
        elif opcode == PONG:
            heard.pongs.append(payload)
        elif opcode == CLOSE:
            assert at == len(written), "words after the close frame"
            heard = heard._replace(code=int.from_bytes(payload[:2], "big") if payload else 1005)
    return heard


def ours(stream: bytes, cuts: list[int]) -> Heard:
    """What the fast lane makes of a stream that comes in those pieces."""
    wire = Wire()
    server = lane(wire)
    last = 0
    for cut in [*cuts, len(stream)]:
        if wire.closed:
            break
        if stream[last:cut]:
            server.data_received(stream[last:cut])
        last = max(last, cut)
    heard = sort(wire.written)
    assert isinstance(server.conversation, Echo)
    assert server.conversation.heard == heard.messages
    return heard


def theirs(stream: bytes) -> Heard:
    """What the websockets package makes of it, with this protocol's own rules on top: text in UTF-8 alone."""
    server = Protocol(SERVER, state=OPEN, max_size=MAX_BYTES)
    messages: list[bytes] = []
    message = b""
    code = None
    server.receive_data(stream)
    for event in server.events_received():
        opcode = event.opcode  # type: ignore[union-attr]
        if opcode is Opcode.BINARY:
            code = 1003
            break
        if opcode in (Opcode.TEXT, Opcode.CONT):
            message += event.data  # type: ignore[union-attr]
            if event.fin:  # type: ignore[union-attr]
                try:
                    message.decode()
                except UnicodeDecodeError:
                    code = 1007
                    break
                messages.append(message)
                message = b""
    told = sort(b"".join(server.data_to_send()))
    return Heard(messages, told.pongs, code or told.code)


payloads = st.one_of(
    st.text(max_size=30).map(str.encode),
    st.binary(max_size=30),
    st.integers(120, 130).map(lambda n: b"x" * n),
    st.integers(MAX_BYTES - 2, MAX_BYTES + 2).map(lambda n: b"y" * n),
)
masks = st.binary(min_size=4, max_size=4)
ordinary = st.builds(frame, st.just(TEXT), st.text(max_size=150).map(str.encode), mask=masks)
fragments = st.builds(
    frame, st.sampled_from([TEXT, CONTINUATION, CONTINUATION]), payloads, fin=st.booleans(), mask=masks
)
controls = st.one_of(
    st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=127), mask=masks),
    st.builds(close, st.integers(990, 1020) | st.integers(0, 65535), st.text(max_size=40).map(str.encode)),
    st.builds(frame, st.just(CLOSE), st.binary(max_size=3)),
)
odd = st.builds(
    frame,
    st.integers(0, 15),
    payloads,
    fin=st.booleans(),
    reserved=st.sampled_from([0, 0, 0, 1, 4, 7]),
    mask=st.none() | masks,
    length_bytes=st.sampled_from([8, None]),
)
heads = st.builds(
    lambda first, length: bytes((first, 0xFF)) + length.to_bytes(8, "big"),
    st.integers(0, 255),
    st.integers(0, 2**64 - 1),
)
pieces = st.one_of(ordinary, ordinary, fragments, controls, odd, heads, st.binary(max_size=12))
streams = st.lists(pieces, max_size=8).map(b"".join)


@given(stream=streams, data=st.data())
@settings(max_examples=400, deadline=None)
def test_any_bytes_cut_anywhere_mean_the_same_to_the_fast_lane_and_to_the_websockets_package(
    stream: bytes, data: st.DataObject
) -> None:
    stream += TAIL
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12), label="cuts"))
    ours_, theirs_ = ours(stream, cuts), theirs(stream)
    if theirs_.code in (1003, 1007):  # found behind the package's back: what it wrote afterwards is not to be compared
        ours_, theirs_ = ours_._replace(pongs=[]), theirs_._replace(pongs=[])
    assert ours_ == theirs_


@given(messages=st.lists(st.text(max_size=300), max_size=10), data=st.data())
@settings(max_examples=100, deadline=None)
def test_ordinary_texts_cut_anywhere_all_arrive(messages: list[str], data: st.DataObject) -> None:
    stream = b"".join(frame(TEXT, message.encode()) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20), label="cuts"))
    assert ours(stream, cuts) == Heard([message.encode() for message in messages], [], None)


def test_a_stream_that_comes_a_byte_at_a_time_means_the_same() -> None:
    stream = b"".join(
        (
            frame(TEXT, b"ordinary"),
            frame(TEXT, "first €".encode(), fin=False),
            frame(PING, b"between"),
            frame(CONTINUATION, b" second"),
            frame(TEXT, b"x" * 300),
            close(1000, b"end"),
        )
    )
    assert ours(stream, list(range(len(stream)))) == theirs(stream)
    assert theirs(stream).code == 1000


def test_a_binary_frame_in_any_disguise_is_refused() -> None:
    for data in (frame(BINARY), frame(BINARY, b"x", fin=False), frame(BINARY, b"x" * 200)):
        assert ours(data, []).code == 1003
