"""A reader of GET /v1/events for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx

from hubs import SECONDS


class Event(NamedTuple):
    """One event of the stream; a comment has no name and its text as data."""

    name: str
    id: str
    data: Any


class Stream:
    """An open stream of events."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self, timeout_s: float = SECONDS) -> Event:
        """The next event or comment."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(timeout_s):
            async for line in self._lines:
                if line.startswith(":"):
                    return Event("", "", line)
                if not line and "data" in fields:
                    return Event(fields.get("event", "message"), fields.get("id", ""), json.loads(fields["data"]))
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
        raise EOFError

    async def counts(self) -> Event:
        """The next event that is no comment."""
        while not (event := await self.next()).name:
            pass
        return event


@asynccontextmanager
async def streaming(
    web: httpx.AsyncClient, *items: str, viewers: str | None = None, **headers: str
) -> AsyncIterator[Stream]:
    """The stream of the items for one block."""
    params = {"item": list(items)} | ({} if viewers is None else {"viewers": viewers})
    async with web.stream("GET", "/v1/events", params=params, headers=headers) as answer:
        assert answer.status_code == 200, answer
        yield Stream(answer)
