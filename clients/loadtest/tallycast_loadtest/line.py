"""A WebSocket that costs its process as little as can be: bytes in, whole frames out, nothing awaited.

The handshake is as large as a browser's. Frames are masked with 0, which leaves the text as it is (RFC 6455 §5.3): to
unmask it costs a hub as much as any other mask.
"""

from __future__ import annotations

import asyncio
import functools
import json
import socket
import ssl
from typing import Any, Final, NamedTuple, cast

OPEN_S: Final = 10.0  # until a connection that is not open by then is given up
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
_MOST_HEAD_BYTES: Final = 32 * 1024
_BIND_ADDRESS_NO_PORT: Final = 24  # of <linux/in.h>: the port is chosen by connect(), which knows the other end
_KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="

# What Chromium sends beside Host and the upgrade itself, and the cookies of a site with analytics.
_BROWSER: Final = (
    "Pragma: no-cache\r\nCache-Control: no-cache\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 "
    "Safari/537.36\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\n"
    "Cookie: _ga=GA1.1.1463781120.1763750000; _ga_5XW1R8PLQ3=GS1.1.1763750000.3.1.1763750312.0.0.0; theme=dark; "
    "session=0f3b6c1d7e5a4f2c9b8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f\r\n"
)


class Target(NamedTuple):
    """Where a hub is: its resolved address, and what a request to it says. `path` has no slash at its end."""

    family: socket.AddressFamily
    address: tuple[Any, ...]
    host: str  # as in a Host header
    path: str
    name: str = ""  # that the certificate must hold; empty where there is no TLS

    @property
    def is_loopback(self) -> bool:
        """Whether any address 127.x.y.z can be a connection's own end."""
        return self.family is socket.AF_INET and str(self.address[0]).startswith("127.")


class Refusal(Exception):
    """The hub answered an opening request with something else. `code` is a problem's, else the HTTP status."""

    def __init__(self, status: int, code: str, detail: str, retry_after_s: float | None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.retry_after_s = status, code, detail, retry_after_s


def upgrade(target: Target, token: str | None = None, origin: str | None = None) -> bytes:
    """The request that opens a WebSocket, compression offered as browsers do."""
    return _request(
        target,
        "/v1/live",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {_KEY}\r\nSec-WebSocket-Protocol: tallycast.v1\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
        token,
        origin,
    )


def events_request(target: Target, query: str, token: str | None = None, origin: str | None = None) -> bytes:
    """The request that opens a stream of Server-Sent Events."""
    return _request(
        target, f"/v1/events?{query}", "Connection: keep-alive\r\nAccept: text/event-stream\r\n", token, origin
    )


def _request(target: Target, path: str, headers: str, token: str | None, origin: str | None) -> bytes:
    if token is not None:
        headers += f"Authorization: Bearer {token}\r\n"
    if origin is not None:
        headers += f"Origin: {origin}\r\n"
    return f"GET {target.path}{path} HTTP/1.1\r\nHost: {target.host}\r\n{headers}{_BROWSER}\r\n".encode()


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A client's frame."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((0x80 | opcode,)) + length + bytes(4) + payload


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole frames in `data`, heads included, and what is left."""
    at, found, end = 0, [], len(data)
    while end - at >= 2:
        size, begin = data[at + 1], at + 2
        if size == 126:
            size, begin = int.from_bytes(data[begin : begin + 2], "big"), begin + 2
        elif size == 127:
            size, begin = int.from_bytes(data[begin : begin + 8], "big"), begin + 8
        if begin + size > end:
            break
        found.append(data[at : begin + size])
        at = begin + size
    return found, data[at:]


def payload(frame: bytes) -> bytes:
    """What a frame from a hub carries."""
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


class Line(asyncio.Protocol):
    """One end of a connection that opens, is lost, and may be opened again. Subclasses hear what comes."""

    __slots__ = ("_rest", "close_code", "transport")

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._rest = b""
        self.close_code: int | None = None

    def opened(self, transport: asyncio.Transport) -> None:
        """The hub let us in. Data follow."""
        self.transport, self._rest, self.close_code = transport, b"", None

    def heard(self, text: bytes, frame: bytes) -> None:
        """A message, and the whole frame that it came in."""

    def data_received(self, data: bytes) -> None:
        frames, self._rest = split(self._rest + data)
        for frame_ in frames:
            self.took(frame_)

    def took(self, frame_: bytes) -> None:
        """One whole frame."""
        opcode = frame_[0] & 0x0F
        if opcode == TEXT:
            self.heard(payload(frame_), frame_)
        elif opcode == PING:
            self.transport.write(frame(payload(frame_), PONG))
        elif opcode == CLOSE:
            self.close_code = int.from_bytes(payload(frame_)[:2], "big") or 1005
            self.transport.close()


class _Opening(asyncio.Protocol):
    """A connection until the hub's first answer is there; then the line has it."""

    def __init__(self, line: Line, request: bytes, wanted: bytes) -> None:
        self._line, self._request, self._wanted = line, request, wanted
        self._head = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            if len(self._head) > _MOST_HEAD_BYTES:
                self._fail(Refusal(0, "no_hub", "the answer's head is without an end", None))
            return
        if b"sec-websocket-extensions:" in head.lower():
            self._fail(
                Refusal(101, "extension", "the hub agreed to an extension, which this protocol has none of", None)
            )
        elif head.startswith(self._wanted):
            self._transport.set_protocol(self._line)
            self._line.opened(self._transport)
            if not self.done.done():
                self.done.set_result(None)
            if rest:
                self._line.data_received(rest)
        elif b"content-length" not in head.lower() or len(rest) >= _length(head):
            self._fail(_refusal(head, rest))

    def connection_lost(self, error: Exception | None) -> None:
        head, _, rest = self._head.partition(b"\r\n\r\n")
        self._fail(_refusal(head, rest) if head else ConnectionResetError("the hub hung up"))

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
        self._transport.abort()


async def dial(
    line: Line,
    target: Target,
    request: bytes,
    *,
    source: str | None = None,
    receive_bytes: int = 0,
    events: bool = False,
) -> None:
    """Connect, and hand the connection to `line` once the hub has accepted the request.

    `source` is the address to connect from, `receive_bytes` the kernel's buffer for what is not read yet (0: its own
    choice); `events` wants a stream instead of a socket. Raises Refusal, OSError (TimeoutError too).
    """
    loop = asyncio.get_running_loop()
    opening = _Opening(line, request, b"HTTP/1.1 200" if events else b"HTTP/1.1 101")
    sock = socket.socket(target.family, socket.SOCK_STREAM)
    connected = False
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        if source is not None:
            sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        async with asyncio.timeout(OPEN_S):
            await loop.sock_connect(sock, target.address)
            connected = True
            await loop.create_connection(
                lambda: opening,
                sock=sock,
                ssl=_tls() if target.name else None,
                server_hostname=target.name or None,
            )
            await opening.done
    except BaseException:
        if hasattr(opening, "_transport"):
            opening._transport.abort()
        elif not connected:
            sock.close()
        raise


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _length(head: bytes) -> int:
    for header in head.lower().split(b"\r\n"):
        name, _, value = header.partition(b":")
        if name == b"content-length" and value.strip().isdigit():
            return int(value)
    return 0


def _refusal(head: bytes, body: bytes) -> Refusal:
    """What an answer that is no welcome says, as a problem (RFC 9457) where it is one."""
    words = head.split(b" ", 2)
    status = int(words[1]) if len(words) > 1 and head.startswith(b"HTTP/") and words[1].isdigit() else 0
    try:
        problem = json.loads(body)
        code, detail = str(problem["code"]), str(problem["detail"])
        retry_after_s = problem.get("retry_after")
    except (ValueError, KeyError, TypeError):
        return Refusal(status, f"http_{status}", f"HTTP {status}", None)
    return Refusal(status, code, detail, float(retry_after_s) if isinstance(retry_after_s, int | float) else None)
