"""A webhook's target on loopback, which answers as the test says and remembers what came."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import orjson

from hubs import SECONDS

HANG = 0  # as a status: no answer, until the other end hangs up


class Message(NamedTuple):
    """A request: its path, its headers by their names in lower case, its body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class Target:
    """Answers with `status`, or with what `answer` gives for the path; `body` goes with it."""

    def __init__(self) -> None:
        self.status = 204
        self.answer: Callable[[str], int] = lambda _path: self.status
        self.headers: list[str] = []
        self.body = b""
        self.port = 0
        self.got: list[Message] = []
        self.hung_up = 0  # clients that went without an answer
        self.open = 0  # requests that are being answered, and the most that there were at a time
        self.most_open = 0
        self._news = asyncio.Condition()
        self._answering = asyncio.Event()
        self._answering.set()

    def hold(self) -> None:
        """Answer nobody until let_go()."""
        self._answering.clear()

    def let_go(self) -> None:
        """Answer everybody again."""
        self._answering.set()

    def url(self, path: str = "/hook", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    @property
    def ids(self) -> list[str]:
        """Of all messages that came, in order."""
        return [message.id for message in self.got]

    async def until(self, condition: Callable[[], object], *, within_s: float = SECONDS) -> None:
        """Wait until the condition holds; it is asked when something has come or somebody has hung up."""
        async with asyncio.timeout(within_s), self._news:
            await self._news.wait_for(condition)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            path = head[0].split(" ")[1]
            self.got.append(Message(path, headers, body))
            self.open += 1
            self.most_open = max(self.open, self.most_open)
            try:
                status = self.answer(path)
                async with self._news:
                    self._news.notify_all()
                if status == HANG:
                    await reader.read()
                    self.hung_up += 1
                else:
                    await self._answering.wait()
                    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(self.body)}", *self.headers, "", ""]
                    writer.write("\r\n".join(lines).encode() + self.body)
                    await writer.drain()
            finally:
                self.open -= 1
                async with self._news:
                    self._news.notify_all()
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


@asynccontextmanager
async def serving(*, host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> AsyncIterator[Target]:
    """A target for one block, on a free port; with TLS where there is a context."""
    target = Target()
    server = await asyncio.start_server(target.serve, host, 0, ssl=context)
    target.port = server.sockets[0].getsockname()[1]
    try:
        yield target
    finally:
        server.close()
