"""An echo on the fast lane's transport, so that RFC 6455 can be tested without anything that is talked about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hubs import Hub
from tallycast import frames
from tallycast.keepalive import Keepalive
from tallycast.metrics import Metrics
from tallycast.transport import Lane
from tallycast.viewer import Channel

MAX_BYTES = 4096


class Echo:
    """A conversation that says what it is told."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.heard: list[bytes] = []

    def message(self, data: bytes) -> None:
        self.heard.append(data)
        self.channel.answer(frames.text(data))

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def gone(self) -> None:
        pass

    def bye(self, retry_after_s: float) -> None:
        raise AssertionError("no hub restarts here")


def lane(transport: asyncio.Transport) -> Lane:
    """The fast lane with an echo at its end."""
    keepalive = Keepalive(Metrics(), ping_s=0, slow_viewer_s=0, request_s=0)
    return Lane(transport, Echo, keepalive, max_bytes=MAX_BYTES, lost=lambda: None)


class _Door(asyncio.Protocol):
    """Puts a connection on the fast lane at once, as after a handshake."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_protocol(lane(transport))


@asynccontextmanager
async def echoing() -> AsyncIterator[Hub]:
    """An address to connect to, for one block. No handshake: the first byte is a frame's."""
    server = await asyncio.get_running_loop().create_server(_Door, "127.0.0.1", 0)
    async with server:
        yield Hub(server.sockets[0].getsockname()[1])
