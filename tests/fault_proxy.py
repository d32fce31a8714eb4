"""A TCP proxy on loopback that fails on command: what lies between a hub and its Redis.

async with fault_proxy(redis_port) as proxy:      # connect to proxy.port
    proxy.hold()                                  # takes bytes, passes none on, ends nothing: a link without a FIN
    proxy.hold(b"SUBSCRIBE")                      # only of the connections that have sent this (or this) so far
    proxy.release()                               # what was held passes on, late; or cut(), which loses it
    proxy.latency_s = 0.2                         # so much later, each way
    proxy.refusing = True                         # new connections are reset
    proxy.cut()                                   # all present connections are reset
    proxy.lose_answer_to(b"EVALSHA")              # the next such request is executed, its answer is lost with the link
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK_BYTES = 65536
SEEN_BYTES = 65536  # of what a client sent, kept to know it by


class Passage:
    """One client's connection through the proxy."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.ends = (client, server)
        self.open = asyncio.Event()
        self.open.set()
        self.sent = b""  # the last that the client sent
        self.doomed = False  # its next answer is lost

    def cut(self) -> None:
        """Reset both sides."""
        for writer in self.ends:
            reset(writer)


class FaultProxy:
    """Passes bytes between `port`, its own, and a server's port, until it is told not to."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self.port = 0
        self.refusing = False
        self.latency_s = 0.0
        self.lost_answers = 0
        self._holding: tuple[bytes, ...] = ()
        self._losing: bytes | None = None
        self._passages: set[Passage] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def hold(self, *having_sent: bytes) -> None:
        """Let nothing pass any more in either direction, on connections of now and later on which the client has sent
        something of `having_sent`; without it on all."""
        self._holding = having_sent or (b"",)
        for passage in self._passages:
            self._hold(passage)

    def _hold(self, passage: Passage) -> None:
        if any(sent in passage.sent for sent in self._holding):
            passage.open.clear()

    def release(self) -> None:
        """Let everything pass again, what was held first."""
        self._holding = ()
        for passage in self._passages:
            passage.open.set()

    def lose_answer_to(self, request: bytes) -> None:
        """Pass on the next chunk with `request` in it, and reset its connection when the server answers."""
        self._losing = request

    def cut(self) -> None:
        """Reset all connections of now."""
        for passage in list(self._passages):
            passage.cut()

    async def start(self) -> None:
        """Listen."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Reset everything."""
        self._listener.close()
        self.cut()
        self.release()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            if self.refusing:
                reset(writer)
                return
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            reset(writer)
            return
        passage = Passage(writer, server_writer)
        self._passages.add(passage)
        self._hold(passage)
        try:
            with suppress(OSError):
                await asyncio.gather(
                    self._pass(passage, reader, server_writer, answers=False),
                    self._pass(passage, server_reader, writer, answers=True),
                )
        finally:
            self._passages.discard(passage)
            passage.cut()

    async def _pass(
        self, passage: Passage, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while data := await source.read(CHUNK_BYTES):
            if not answers:
                passage.sent = (passage.sent + data)[-SEEN_BYTES:]
                self._hold(passage)
                if self._losing is not None and self._losing in data:
                    self._losing = None
                    passage.doomed = True
            await passage.open.wait()
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            if sink.transport.is_closing():
                break
            if answers and passage.doomed:
                self.lost_answers += 1
                passage.cut()
                return
            sink.write(data)
            await sink.drain()
        passage.cut()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with an RST instead of a FIN."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def fault_proxy(server_port: int) -> AsyncIterator[FaultProxy]:
    """A proxy for one block."""
    proxy = FaultProxy(server_port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
