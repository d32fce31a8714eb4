"""A client for tests that writes any bytes to a hub, right or wrong, and reads only when it is told to."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from hubs import SECONDS, Hub

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = b"\x11\x22\x33\x44"


class Frame(NamedTuple):
    """A frame as it came off the wire. Servers do not mask."""

    opcode: int
    payload: bytes
    fin: bool = True
    reserved: int = 0


class Answer(NamedTuple):
    """An HTTP answer: header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = MASK,
    length_bytes: int | None = None,
) -> bytes:
    """A client's frame. `length_bytes` 0, 2 or 8 says how its length is written; None: the shortest, as it must be."""
    n = len(payload)
    if length_bytes is None:
        length_bytes = 0 if n < 126 else 2 if n < 65536 else 8
    short = {0: n, 2: 126, 8: 127}[length_bytes]
    head = bytes((fin << 7 | reserved << 4 | opcode, (mask is not None) << 7 | short))
    head += n.to_bytes(length_bytes, "big") if length_bytes else b""
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def text(message: object) -> bytes:
    """A text frame with an object as JSON, or with a text as it is."""
    return frame(TEXT, (message if isinstance(message, str) else json.dumps(message)).encode())


def close(code: int, reason: bytes = b"") -> bytes:
    """A close frame."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


def upgrade(path: str, host: str, **headers: str | None) -> bytes:
    """The request of a good handshake; headers with `_` for `-` replace or, when None, remove its own."""
    lines: dict[str, str | None] = {
        "host": host,
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": base64.b64encode(bytes(range(16))).decode(),
    }
    lines |= {name.replace("_", "-").lower(): value for name, value in headers.items()}
    fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode("latin-1")


class Raw:
    """A TCP connection without any reading of its own: bytes stay in the kernel until they are asked for."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._rest = b""

    async def send(self, data: bytes) -> None:
        """Write all of it. OSError when the hub has closed; TimeoutError when it takes no more."""
        async with asyncio.timeout(SECONDS):
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def _more(self) -> None:
        async with asyncio.timeout(SECONDS):
            data = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        if not data:
            raise EOFError
        self._rest += data

    async def read(self, n: int) -> bytes:
        """Exactly n bytes. EOFError when the connection ends before, OSError when it is reset."""
        while len(self._rest) < n:
            await self._more()
        data, self._rest = self._rest[:n], self._rest[n:]
        return data

    async def frame(self) -> Frame:
        """The next frame."""
        head = await self.read(2)
        n = head[1]
        assert n < 128, "a server must not mask"
        if n > 125:
            n = int.from_bytes(await self.read(2 if n == 126 else 8), "big")
        return Frame(head[0] & 15, await self.read(n), bool(head[0] >> 7), head[0] >> 4 & 7)

    async def message(self) -> dict[str, Any]:
        """The next frame's object; it must be a whole text frame."""
        got = await self.frame()
        assert got.opcode == TEXT and got.fin and not got.reserved, got
        message: dict[str, Any] = json.loads(got.payload)
        return message

    async def answer(self) -> Answer:
        """An HTTP answer; its body as far as Content-Length says."""
        while b"\r\n\r\n" not in self._rest:
            await self._more()
        head, self._rest = self._rest.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Answer(int(first.split()[1]), headers, await self.read(int(headers.get("content-length", 0))))

    async def shake(self, hub: Hub, **headers: str | None) -> Answer:
        """Send a handshake and return the answer, which may be a refusal."""
        await self.send(upgrade(hub.prefix + "/v1/live", f"{hub.host}:{hub.port}", **headers))
        return await self.answer()

    async def close_code(self) -> int:
        """Read until the hub closes and return the code of its close frame: 1005 it had none, 1006 no frame came."""
        code = 1006
        try:
            while True:
                got = await self.frame()
                if got.opcode == CLOSE and code == 1006:
                    code = int.from_bytes(got.payload[:2], "big") if got.payload else 1005
        except (EOFError, ConnectionError):
            return code


@asynccontextmanager
async def connected(hub: Hub, *, receive_buffer_bytes: int | None = None) -> AsyncIterator[Raw]:
    """A bare connection for one block. A small receive buffer fills soon when nobody reads."""
    sock = socket.socket()
    try:
        sock.setblocking(False)
        if receive_buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        async with asyncio.timeout(SECONDS):
            await asyncio.get_running_loop().sock_connect(sock, (hub.host, hub.port))
        yield Raw(sock)
    finally:
        sock.close()


@asynccontextmanager
async def opened(hub: Hub, *, receive_buffer_bytes: int | None = None, **headers: str | None) -> AsyncIterator[Raw]:
    """A connection for one block whose handshake went well."""
    async with connected(hub, receive_buffer_bytes=receive_buffer_bytes) as raw:
        answer = await raw.shake(hub, **headers)
        assert answer.status == 101, answer
        yield raw
