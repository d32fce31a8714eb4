"""Polls at a hub, with an administrator who makes them."""

from __future__ import annotations

import time
from typing import Any

import httpx

from hubs import Hub, OwnHub
from tallycast.access import SPACE, dump_key, new_key
from tallycast.kinds import parse
from tallycast.store import open_store
from tallycast.store.schema import store_path
from tallycast.store.sqlite_beside import open_records

KINDS = '[like]\nrule = "toggle"'


async def make_key(store: str, *rights: str, prefix: str = "") -> str:
    """A new API key in the store at a URL, beside its hub; with all rights unless some are given."""
    id, token, key = new_key("Ada", rights or ("read", "write", "moderate"), prefix=prefix, now_s=time.time())
    if store.startswith("sqlite:"):
        beside = open_records(store_path(store))
        await beside.records.put(SPACE, id, dump_key(key), None)
        await beside.close()
    else:
        shared = open_store(store, parse(KINDS, "kinds"))
        await shared.records.put(SPACE, id, dump_key(key), None)
        await shared.close()
    return token


class Polling:
    """Whoever makes polls at a hub, and votes by HTTP. `web` is a client of it."""

    def __init__(self, hub: Hub, web: httpx.AsyncClient, key: str) -> None:
        self.hub, self.web, self.key = hub, web, key
        self.as_admin = {"Authorization": f"Bearer {key}"}

    @classmethod
    async def at(cls, hub: OwnHub, web: httpx.AsyncClient) -> Polling:
        """With a new key of the hub's store."""
        return cls(hub, web, await make_key(str(hub.settings["store"])))

    async def make(self, *, closes_s: float = 3600, **fields: Any) -> dict[str, Any]:
        """A new poll, which closes so many seconds from now."""
        wish = {"question": "Which?", "options": ["A", "B", "C"], "closes_at": time.time() + closes_s, **fields}
        answer = await self.web.post("/v1/admin/polls", json=wish, headers=self.as_admin)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def close(self, id: str) -> None:
        """Close a poll by hand. It takes a moment until it has."""
        answer = await self.web.post(f"/v1/admin/polls/{id}/close", headers=self.as_admin)
        assert answer.status_code == 200, answer.text

    async def vote(
        self, id: str, number: int, sub: str = "u:1", *, kind: str = "option", value: int = 1
    ) -> httpx.Response:
        """A user's vote, taken or not."""
        said = {"item": f"poll:{id}", "kind": f"{kind}-{number}", "value": value}
        headers = {"Authorization": f"Bearer {self.hub.token(sub)}"}
        return await self.web.post("/v1/reactions", json=said, headers=headers)

    async def poll(self, id: str, sub: str | None = None) -> dict[str, Any]:
        """The poll as everybody sees it, or as a user does."""
        headers = {"Authorization": f"Bearer {self.hub.token(sub)}"} if sub else {}
        answer = await self.web.get(f"/v1/polls/{id}", headers=headers)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told
