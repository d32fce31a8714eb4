"""A connection that costs its process little: frames are sent as they are and received without being looked at."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Self, cast

from hubs import Hub

Heard = Callable[[bytes], object]


def frame(message: object) -> bytes:
    """A client's text frame. Its mask is 0, which leaves the text as it is (RFC 6455, 5.3)."""
    text = json.dumps(message, separators=(",", ":")).encode()
    size = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + text


class Line(asyncio.Protocol):
    """A socket to a hub; `heard` gets what comes after the handshake, in pieces as it comes."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._head = b""
        self._open: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def dial(cls, hub: Hub, heard: Heard, *, actor: str | None = None) -> Self:
        """Connect, as `actor` where one is given. Raises ConnectionError when the hub refuses."""
        _, line = await asyncio.get_running_loop().create_connection(lambda: cls(heard), hub.host, hub.port)
        head = (
            f"GET {hub.prefix}/v1/live HTTP/1.1\r\nHost: {hub.host}:{hub.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        )
        if actor is not None:
            head += f"Authorization: Bearer {hub.token(actor)}\r\n"
        line.send(head.encode() + b"\r\n")
        async with asyncio.timeout(10):
            await line._open
        return line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.send = self._transport.write

    def data_received(self, data: bytes) -> None:
        if self._open.done():
            self._heard(data)
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 101"):
            self._open.set_exception(ConnectionError(head.decode()))
            return
        self._open.set_result(None)
        if rest:
            self._heard(rest)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._open.done():
            self._open.set_exception(ConnectionError("the hub hung up"))

    def close(self) -> None:
        """Hang up."""
        self._transport.abort()


class Frames:
    """Puts the pieces of what a hub sends together again: the texts of whole frames. Pings are passed over."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The texts that are whole now."""
        data = self._rest + data
        at, texts = 0, []
        while len(data) >= at + 2:
            size, begin = data[at + 1], at + 2
            if size == 126:
                size, begin = int.from_bytes(data[begin : begin + 2], "big"), begin + 2
            elif size == 127:
                size, begin = int.from_bytes(data[begin : begin + 8], "big"), begin + 8
            if len(data) < begin + size:
                break
            if data[at] == 0x81:
                texts.append(data[begin : begin + size])
            at = begin + size
        self._rest = data[at:]
        return texts
