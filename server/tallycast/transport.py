"""The fast lane: one WebSocket after its handshake, straight on the transport.

The ordinary frame, a whole small masked text, is taken apart in place. Any other goes to the websockets package's
Sans-I/O protocol, which is made only then and let go of as soon as no fragmented message is under way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from websockets.frames import Opcode
from websockets.protocol import OPEN, SERVER
from websockets.protocol import Protocol as SansIO
from websockets.speedups import apply_mask

from tallycast import frames
from tallycast.keepalive import Keepalive
from tallycast.viewer import Channel, Conversation

HIGH_WATER_BYTES = 16 * 1024  # unsent bytes of one viewer at which it counts as not reading
LONG_READ_BYTES = 64 * 1024  # at once from one client, who then waits until the others had their turn
MAX_FRAGMENTS = 1024  # of one message

sans_io_log = logging.getLogger("tallycast.websockets")
sans_io_log.setLevel(logging.WARNING)  # one line a connection otherwise


class Lane(asyncio.Protocol):
    """One WebSocket after its handshake: frames to messages for a conversation, its words to the transport.

    `converse` makes the conversation and is given the lane as its Channel; `lost` is called once the connection is
    gone. Nothing here knows what is talked about, so that a test can plug in an echo.
    """

    __slots__ = (
        "_answers",
        "_fragments",
        "_keepalive",
        "_lost",
        "_max_bytes",
        "_rest",
        "_slow",
        "closing",
        "conversation",
        "heard",
        "held",
        "paused",
        "transport",
        "write",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        converse: Callable[[Channel], Conversation],
        keepalive: Keepalive,
        *,
        max_bytes: int,
        lost: Callable[[], None],
    ) -> None:
        self.transport = transport
        self.write: Callable[[bytes], object] = transport.write
        self._keepalive = keepalive
        self._max_bytes = max_bytes
        self._lost = lost
        self._rest = b""
        self._slow: SansIO | None = None
        self._fragments: tuple[bytearray, int] | None = None
        self._answers: bytearray | None = None  # while a read is taken apart: to go out in one system call
        self.heard = True
        self.paused = False
        self.held = False
        self.closing = False
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self.conversation = converse(self)
        keepalive.add(self)

    # From the network

    def data_received(self, data: bytes) -> None:
        self.heard = True
        if self._rest:
            data, self._rest = self._rest + data, b""
        self._answers = bytearray()
        at, end = 0, len(data)
        while end - at >= 2 and (self.closing or not (self.paused or self.held)):
            length = data[at + 1] - frames.MASKED
            if data[at] == frames.TEXT and 0 <= length <= 126 and end - at >= 6 and self._slow is None:
                start = at + 6
                if length == 126:
                    start = at + 8
                    length = int.from_bytes(data[at + 2 : at + 4], "big")
                if length <= self._max_bytes:
                    if start + length > end:
                        break
                    at = start + length
                    payload = apply_mask(data[start:at], data[start - 4 : start])
                    if self.closing:
                        continue
                    if payload.isascii() or _is_utf8(payload):
                        self.conversation.message(payload)
                    else:
                        self.close(1007, "not UTF-8")
                    continue
            taken = self._take_slowly(data, at)
            if not taken:
                break
            at += taken
        answers, self._answers = self._answers, None
        if answers:
            self.write(bytes(answers))
        if at < end and not self.transport.is_closing():
            self._rest = data[at:]
        if end >= LONG_READ_BYTES and not self.closing:
            # uvloop reads up to 32 times as much from one socket before it looks at the next one.
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        if not (self.paused or self.held):
            self.transport.resume_reading()

    def _take_slowly(self, data: bytes, at: int) -> int:
        """Give one whole frame that is not the ordinary one to the Sans-I/O protocol; how many bytes it had, or 0.

        A frame that is too long to be taken or that no client may send is not waited for: it is refused by its head.
        """
        measured = frames.measure(data, at)
        if measured is None:
            return 0
        start, length = measured
        whole = start + length
        if whole > len(data):
            if length <= self._max_bytes and data[at + 1] & frames.MASKED:
                return 0
            whole = len(data)
        if self.closing:  # our close frame is out: of what comes only the peer's is of interest
            if data[at] == frames.CLOSE:
                self.transport.close()
            return whole - at
        if data[at] == frames.PONG and self._slow is None and length <= 125:
            return whole - at  # heard, and no answer: each viewer sends one a ping
        if self._slow is None:
            self._slow = SansIO(SERVER, state=OPEN, max_size=self._max_bytes, logger=sans_io_log)
        self._slow.receive_data(data[at:whole])
        self._answer_slowly(self._slow)
        return whole - at

    def _answer_slowly(self, slow: SansIO) -> None:
        for event in slow.events_received():
            opcode = event.opcode  # type: ignore[union-attr]
            if opcode is Opcode.BINARY:
                self.close(1003, "text frames only")
                return
            if opcode is Opcode.TEXT or opcode is Opcode.CONT:
                self._take_fragment(bytes(event.data), event.fin)  # type: ignore[union-attr]
                if self.closing:
                    return
        for words in slow.data_to_send():
            if words:
                self.answer(words)
            else:  # Sans-I/O's sign that this side is done
                closed_by_peer = slow.close_rcvd is not None
                self._hang_up()
                if closed_by_peer:
                    self.transport.close()
                return
        if slow.current_size is None:
            self._slow = None

    def _take_fragment(self, data: bytes, fin: bool) -> None:
        message, number = self._fragments or (bytearray(), 0)
        message += data
        number += 1
        if not fin:
            self._fragments = message, number
            if number > MAX_FRAGMENTS:  # empty ones cost the sender next to nothing and reach no size limit
                self.close(1008, "too many fragments")
            return
        self._fragments = None
        if _is_utf8(message):
            self.conversation.message(bytes(message))
        else:
            self.close(1007, "not UTF-8")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closing:
            self.closing = True
            self.conversation.gone()
        self._keepalive.remove(self)
        self._lost()

    def pause_writing(self) -> None:
        """What waits to be sent is over the high-water mark: take no more, and read no more that wants an answer."""
        self.paused = True
        if not self.closing:
            self.transport.pause_reading()
            self._keepalive.pause(self, time.monotonic())
            self.conversation.pause()

    def resume_writing(self) -> None:
        self.paused = False
        if self.closing:
            return
        self._keepalive.resume(self)
        self.conversation.resume()
        self._listen_again()

    def hold(self) -> None:
        """Read nothing more until release(), not even what was received with the message that is being told."""
        if not (self.held or self.closing):
            self.held = True
            self.transport.pause_reading()

    def release(self) -> None:
        """The end of hold(); also where the connection has gone meanwhile."""
        self.held = False
        self.heard = True  # it was not listened to
        if not self.closing:
            self._listen_again()

    def _listen_again(self) -> None:
        if self.paused or self.held or self.transport.is_closing():
            return
        self.transport.resume_reading()
        if self._rest:
            self.data_received(b"")

    # To the network

    def answer(self, frame: bytes) -> None:
        """Say `frame` after what was said before, at the latest when all that came with its question is taken apart."""
        if self.closing:
            return
        if self._answers is None:
            self.write(frame)
            return
        self._answers += frame
        if len(self._answers) >= HIGH_WATER_BYTES:
            self._say_answers()

    def _say_answers(self) -> None:
        if self._answers:
            answers, self._answers = self._answers, bytearray()
            self.write(bytes(answers))

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.write(frames.PING_FRAME)

    def unsent_bytes(self) -> int:
        """What waits to be sent, without what the kernel has already taken."""
        return self.transport.get_write_buffer_size()

    def close(self, code: int, reason: str) -> None:
        """Send a close frame and wait a little for the peer's; whatever else it sends is dropped."""
        if self.closing:
            return
        self.answer(frames.close(code, reason))
        self._hang_up()

    def _hang_up(self) -> None:
        """A close frame is out, ours or our answer: the conversation ends, and soon the connection.

        The transport is not closed at once where the peer may still send: the kernel would answer that with a reset,
        and the close frame might be lost with it.
        """
        self._say_answers()
        self.closing = True
        self.conversation.gone()
        self._slow = None
        self._keepalive.close(self, time.monotonic())
        if self.paused or self.held:
            self.transport.resume_reading()

    def abort(self) -> None:
        """Cut the connection now, whatever waits to be sent."""
        self.transport.abort()


def _is_utf8(data: bytes | bytearray) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
