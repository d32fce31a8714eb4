"""A client for tests that speaks the protocol over the websockets package and keeps every frame that it was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hubs import SECONDS

Frame = dict[str, Any]


class Talk:
    """One connection. `frames` holds everything received, in order, whoever waited for it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[Frame] = []
        self._ref = 1000

    async def send(self, message: object) -> None:
        """Send an object as JSON, or text and bytes as they are."""
        await self.socket.send(message if isinstance(message, (str, bytes)) else json.dumps(message))

    async def next(self) -> Frame:
        """The next frame, whatever it is. ConnectionClosed when there is none."""
        async with asyncio.timeout(SECONDS):
            text = await self.socket.recv(decode=True)
        frame = json.loads(text)
        assert isinstance(frame, dict)
        self.frames.append(frame)
        return frame

    async def until(self, wanted: Callable[[Frame], object]) -> Frame:
        """The next frame that is wanted; what comes before it is only kept."""
        while True:
            frame = await self.next()
            if wanted(frame):
                return frame

    async def say(self, message: object) -> Frame:
        """Send anything and return the next frame."""
        await self.send(message)
        return await self.next()

    async def ask(self, op: str, **fields: object) -> Frame:
        """Send an operation with a fresh ref and return its answer."""
        self._ref += 1
        ref = self._ref
        await self.send({"op": op, "ref": ref, **fields})
        return await self.until(lambda frame: frame.get("ref") == ref)

    async def ok(self, op: str, **fields: object) -> Frame:
        """`ask`, and the answer must not be an error."""
        answer = await self.ask(op, **fields)
        assert answer["ev"] != "error", answer
        return answer

    async def react(self, item: str, kind: str = "like", value: object = 1, **fields: object) -> Frame:
        """A reaction that must be acknowledged. Returns the ack."""
        return await self.ok("react", item=item, kind=kind, value=value, **fields)

    async def subscribe(self, *items: str) -> list[Frame]:
        """Subscribe and return the snapshot's items."""
        items_now: list[Frame] = (await self.ok("subscribe", items=list(items)))["items"]
        return items_now

    async def counts(self, item: str, wanted: Callable[[Frame], object]) -> Frame:
        """The next `counts` frame of the item whose counts are as wanted."""
        return await self.until(
            lambda frame: frame["ev"] == "counts" and frame["item"] == item and wanted(frame["counts"])
        )

    async def came_meanwhile(self) -> list[Frame]:
        """What the hub had sent when it answered a ping: nothing else was on its way. Without the pong."""
        before = len(self.frames)
        await self.ok("ping")
        return self.frames[before:-1]

    async def closed(self) -> int:
        """Read to the end and return the close code that the hub sent (1006: none)."""
        try:
            while True:
                await self.next()
        except ConnectionClosed as end:
            return end.rcvd.code if end.rcvd is not None else 1006


@asynccontextmanager
async def talking(live: str, token: str | None = None, **options: Any) -> AsyncIterator[Talk]:
    """A connection for one block, authenticated when there is a token. Options as for websockets' `connect`."""
    options = {"open_timeout": SECONDS, "close_timeout": SECONDS, "ping_interval": None, "proxy": None, **options}
    async with connect(live, **options) as socket:
        talk = Talk(socket)
        if token is not None:
            await talk.ok("auth", token=token)
        yield talk
