"""The hub's app inside the test's own process: asked without a network, looked into, and held up where it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from starlette.applications import Starlette
from starlette.types import Message

from hubs import SECONDS, SECRET, token
from tallycast.app import create_app
from tallycast.service import Service
from tallycast.settings import Settings

HOST = "hub.test"


class Inside(NamedTuple):
    """A hub's app, its service, and a client that calls the app."""

    app: Starlette
    service: Service
    web: httpx.AsyncClient

    async def react(self, item: str, value: int = 1, *, sub: str = "u:1", kind: str = "like") -> dict[str, Any]:
        """A reaction that must be accepted; its answer."""
        headers = {"Authorization": f"Bearer {token(sub)}"}
        answer = await self.web.post(
            "/v1/reactions", json={"item": item, "kind": kind, "value": value}, headers=headers
        )
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


@asynccontextmanager
async def inside(directory: Path, **settings: Any) -> AsyncIterator[Inside]:
    """A hub for one block, with its store in `directory`."""
    store = f"sqlite:///{directory / 'hub.db'}"
    app = create_app(Settings(**{"store": store, "secret": (SECRET,), "reactions_per_second": 0, **settings}))
    service: Service = app.state.service
    await app.state.site.open()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    try:
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as web:
            yield Inside(app, service, web)
    finally:
        await service.drain()
        await service.close()


class Call:
    """One request whose body comes, and whose answer is taken, as the test decides."""

    def __init__(self, app: Starlette, method: str, target: str, *, http_version: str = "1.1", **headers: str) -> None:
        path, _, query = target.partition("?")
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": http_version,
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(b"host", HOST.encode())]
            + [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("192.0.2.1", 50000),
            "server": (HOST, 80),
        }
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.taking = asyncio.Event()
        self.taking.set()
        self._held = asyncio.Event()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.text = ""
        self.ended = False
        self._news = asyncio.Event()
        self.task = asyncio.create_task(self._run(app))

    async def _run(self, app: Starlette) -> None:
        await app(self.scope, self.incoming.get, self._send)

    async def _send(self, message: Message) -> None:
        if not self.taking.is_set():
            self._held.set()
            await self.taking.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.text += message.get("body", b"").decode()
            self.ended = not message.get("more_body", False)
        self._news.set()

    def leave(self) -> None:
        """The client hangs up."""
        self.incoming.put_nowait({"type": "http.disconnect"})

    async def until(self, wanted: str) -> str:
        """Wait until the answer's body holds `wanted`, and take what has come so far out of it."""
        async with asyncio.timeout(SECONDS):
            while wanted not in self.text:
                self._news.clear()
                await self._news.wait()
        text, self.text = self.text, ""
        return text

    def hold(self) -> None:
        """Take no more of the answer until `taking` is set."""
        self._held.clear()
        self.taking.clear()

    async def held(self) -> None:
        """Wait until the app has something to send and cannot."""
        async with asyncio.timeout(SECONDS):
            await self._held.wait()

    async def finished(self) -> None:
        """Wait until the app is done with the request."""
        async with asyncio.timeout(SECONDS):
            await self.task
