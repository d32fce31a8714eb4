"""Words on their way to a client over plain ASGI, where sending is awaited: the Channel of sockets and event streams.

One task a connection sends what others write. While a send takes its time the conversation is paused, as on the fast
lane: it queues no counts then, only remembers which of its items are stale.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tallycast.viewer import Conversation

HIGH_WATER_BYTES = 16 * 1024


class Outbox:
    """Takes what a conversation writes, whole WebSocket frames, and hands it to `send` piece by piece, in order.

    run() is the sending task. It returns once close() was called and all was sent: `closed` then holds the code and
    reason. Raises TimeoutError when `send` takes nothing for `patience_s` seconds (0: it may take for ever).
    """

    def __init__(self, send: Callable[[bytes], Awaitable[None]], *, patience_s: float) -> None:
        self.conversation: Conversation | None = None
        self.closed: tuple[int, str] | None = None
        self._send = send
        self._patience_s = patience_s or None
        self._frames: list[bytes] = []
        self._size_bytes = 0
        self._paused = False
        self._held = False
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def write(self, frame: bytes) -> None:
        """Send `frame` after what was written before."""
        if self.closed is None:
            self._frames.append(frame)
            self._size_bytes += len(frame)
            self._wake.set()
            if self._size_bytes > HIGH_WATER_BYTES and not self._paused:
                self._pause()

    answer = write  # each message is sent by itself here

    def hold(self) -> None:
        """Do not listen to the client until release()."""
        self._held = True
        self._make_room()

    def release(self) -> None:
        """The end of hold()."""
        self._held = False
        self._make_room()

    def close(self, code: int, reason: str) -> None:
        """End the connection after what was written before."""
        if self.closed is None:
            self.closed = code, reason
            self._wake.set()
            self._make_room()
            if self.conversation is not None:
                self.conversation.gone()

    async def room(self) -> None:
        """Wait until the client may be listened to again: not while answers to it pile up, or it is held."""
        await self._room.wait()

    async def run(self) -> None:
        """Send what is written until close()."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._frames:
                frames, self._frames, self._size_bytes = self._frames, [], 0
                for frame in frames:
                    async with asyncio.timeout(self._patience_s):
                        await self._send(frame)
            if self.closed is not None:
                return
            if self._paused:
                self._paused = False
                self._make_room()
                if self.conversation is not None:
                    self.conversation.resume()

    def _pause(self) -> None:
        self._paused = True
        self._make_room()
        if self.conversation is not None:
            self.conversation.pause()

    def _make_room(self) -> None:
        if self.closed is None and (self._paused or self._held):
            self._room.clear()
        else:
            self._room.set()
