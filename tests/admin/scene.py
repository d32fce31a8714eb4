"""A hub with its administrators, inside the test's own process."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from starlette.applications import Starlette

from asgi import HOST
from hubs import SECRET, token
from tallycast.access import RIGHTS, SPACE, dump_key, new_key
from tallycast.app import create_app
from tallycast.service import Service
from tallycast.settings import Settings
from tallycast.site import Site

KINDS = """
[like]
rule = "toggle"
group = "opinion"
[dislike]
rule = "toggle"
group = "opinion"
[clap]
rule = "amount"
max = 50
[share]
rule = "event"
[comments]
rule = "external"
"""


class Scene(NamedTuple):
    """A hub's app, its service and its site, and a client that calls the app."""

    app: Starlette
    service: Service
    site: Site
    web: httpx.AsyncClient

    async def key(self, *rights: str, prefix: str = "") -> dict[str, str]:
        """The header of a new key with these rights, all of them where none are given."""
        id, token, key = new_key("Ada", rights or RIGHTS, prefix=prefix, now_s=time.time())
        await self.service.store.records.put(SPACE, id, dump_key(key), None)
        return {"Authorization": f"Bearer {token}"}

    async def react(self, item: str, value: int = 1, *, sub: str = "u:1", kind: str = "like") -> httpx.Response:
        """A reaction of a user, accepted or not."""
        headers = {"Authorization": f"Bearer {token(sub)}"}
        body = {"item": item, "kind": kind, "value": value}
        return await self.web.post("/v1/reactions", json=body, headers=headers)

    async def counts(self, item: str) -> dict[str, int]:
        """An item's counts as everybody sees them."""
        answer = await self.web.get("/v1/counts", params={"item": item})
        found: dict[str, int] = answer.json()["items"][0]["counts"]
        return found


@asynccontextmanager
async def opened(directory: Path, **settings: Any) -> AsyncIterator[Scene]:
    """A hub for one block, with its store in `directory`."""
    kinds = directory / "kinds.toml"
    kinds.write_text(KINDS)
    store = f"sqlite:///{directory / 'hub.db'}"
    own = {"store": store, "kinds": str(kinds), "secret": (SECRET,), "reactions_per_second": 0, **settings}
    app = create_app(Settings(**own))
    service: Service = app.state.service
    service.start()
    await app.state.site.mirrors.refresh()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    try:
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as web:
            yield Scene(app, service, app.state.site, web)
    finally:
        await service.drain()
        await service.close()
