"""Share links: who has one sees what it shows and changes nothing, until it ends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from admin.scene import Scene, opened
from asgi import HOST
from tallycast.sessions.links import MOST_LINKS, MOST_TTL_S
from web import check_problem

OWN = {"Origin": f"http://{HOST}"}
WISH = {"name": "Newsroom screen", "prefix": "news:", "page": "#/wall?screen=wall", "ttl_s": 3600}


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as scene:
        yield scene


async def made(hub: Scene, key: dict[str, str], **wish: Any) -> dict[str, Any]:
    """A new link."""
    answer = await hub.web.post("/v1/admin/links", json=WISH | wish, headers=key)
    assert answer.status_code == 201, answer.text
    link: dict[str, Any] = answer.json()
    return link


async def follow(hub: Scene, link: dict[str, Any]) -> httpx.Response:
    """Open a link, and keep its cookie."""
    return await hub.web.post("/dashboard/session", json={"link": link["token"]})


async def test_a_link_shows_its_page_and_its_items_and_no_names(hub: Scene) -> None:
    link = await made(hub, await hub.key("keys", "read"))
    assert link["url"] == f"/dashboard#link={link['token']}"
    for item in ("news:1", "post:1"):
        await hub.react(item)
    told = (await follow(hub, link)).json()
    assert told["page"] == WISH["page"] and told["read_only"] is True and told["prefix"] == "news:"
    assert told["rights"] == ["read"] and told["expires_at"] == link["expires_at"]
    assert [row["item"] for row in (await hub.web.get("/v1/admin/items")).json()["items"]] == ["news:1"]
    assert (await hub.web.get("/v1/admin/history/series?prefix=news:")).status_code == 200
    for what in ("items?prefix=post:", "items/news:1/values", "audit", "links", "webhooks", "export", "changes"):
        path = f"/v1/admin/{what}"
        check_problem(await hub.web.get(path), 403, "forbidden")


async def test_who_follows_a_link_changes_nothing(hub: Scene) -> None:
    await follow(hub, await made(hub, await hub.key("keys", "read", "write", "moderate")))
    check_problem(await hub.web.put("/v1/admin/items/news:1/freeze", headers=OWN), 403, "forbidden")
    check_problem(await hub.web.post("/v1/admin/links", json=WISH, headers=OWN), 403, "forbidden")


async def test_a_revoked_link_ends_at_once(hub: Scene) -> None:
    key = await hub.key("keys")
    link = await made(hub, key)
    await follow(hub, link)
    assert (await hub.web.delete(f"/v1/admin/links/{link['id']}", headers=key)).status_code == 204
    check_problem(await hub.web.get("/dashboard/session"), 401, "unauthenticated")
    check_problem(await follow(hub, link), 401, "bad_token")
    check_problem(await hub.web.delete(f"/v1/admin/links/{link['id']}", headers=key), 404, "not_found")
    assert (await hub.web.get("/v1/admin/links", headers=key)).json() == {"links": []}


async def test_a_link_ends_in_time_and_with_the_key_that_made_it(hub: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await hub.key("keys")
    brief, long = await made(hub, key, ttl_s=60), await made(hub, key, ttl_s=MOST_TTL_S)
    await follow(hub, brief)
    monkeypatch.setattr(hub.site.sessions.links, "_clock_s", lambda: time.time() + 61)
    check_problem(await hub.web.get("/dashboard/session"), 401, "unauthenticated")
    listed = (await hub.web.get("/v1/admin/links", headers=key)).json()["links"]
    assert [link["id"] for link in listed] == [long["id"]] and "token" not in listed[0]
    await follow(hub, long)
    assert (await hub.web.get("/dashboard/session")).status_code == 200
    await hub.site.access.revoke(key["Authorization"].split("_")[1])
    check_problem(await hub.web.get("/dashboard/session"), 401, "unauthenticated")


async def test_a_key_makes_and_sees_links_of_its_own_items_alone(hub: Scene) -> None:
    whole, blog = await hub.key("keys"), await hub.key("keys", prefix="blog/")
    link = await made(hub, whole)
    refused = await hub.web.post("/v1/admin/links", json=WISH, headers=blog)
    check_problem(refused, 403, "forbidden")
    check_problem(await hub.web.delete(f"/v1/admin/links/{link['id']}", headers=blog), 404, "not_found")
    own = await made(hub, blog, prefix="blog/2026")
    assert [one["id"] for one in (await hub.web.get("/v1/admin/links", headers=blog)).json()["links"]] == [own["id"]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "  "},
        {"name": "x" * 81},
        {"name": "two\nlines"},
        {"prefix": "no blanks"},
        {"prefix": 1},
        {"page": "https://evil.example/"},
        {"page": "#/<script>"},
        {"ttl_s": 59},
        {"ttl_s": 3600.5},
        {"ttl_s": True},
        {"ttl_s": MOST_TTL_S + 1},
        {"unknown": 1},
    ],
)
async def test_what_is_no_link_is_refused(hub: Scene, wrong: dict[str, Any]) -> None:
    answer = await hub.web.post("/v1/admin/links", json=WISH | wrong, headers=await hub.key("keys"))
    check_problem(answer, 400, "bad_request")


async def test_links_are_bounded_and_those_that_ended_make_room(hub: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await hub.key("keys")
    monkeypatch.setattr("tallycast.sessions.links.MOST_LINKS", 2)
    assert MOST_LINKS > 2
    for _ in range(2):
        await made(hub, key)
    check_problem(await hub.web.post("/v1/admin/links", json=WISH, headers=key), 409, "conflict")
    monkeypatch.setattr(hub.site.sessions.links, "_clock_s", lambda: time.time() + 3601)
    await made(hub, key)


async def test_who_is_signed_in_with_a_key_stays_so(hub: Scene) -> None:
    key = await hub.key()
    link = await made(hub, key)
    await hub.web.post("/dashboard/session", json={"key": key["Authorization"].removeprefix("Bearer ")})
    answer = await hub.web.post("/dashboard/session", json={"link": link["token"]}, headers=OWN)
    assert answer.json()["page"] == WISH["page"] and answer.json()["read_only"] is False
    assert (await hub.web.get("/dashboard/session")).json()["read_only"] is False


async def test_acts_are_in_the_audit_log_and_the_token_is_nowhere(hub: Scene) -> None:
    key = await hub.key()
    link = await made(hub, key)
    await hub.web.delete(f"/v1/admin/links/{link['id']}", headers=key)
    log = await hub.web.get("/v1/admin/audit", headers=key)
    assert [entry["act"] for entry in log.json()["entries"]] == ["link.revoke", "link.make"]
    secret = link["token"].rpartition("_")[2]
    assert secret not in log.text
    assert all(secret.encode() not in body for body in (await hub.service.store.records.all("links")).values())
