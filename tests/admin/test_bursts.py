"""Bursts over HTTP: seen, taken out and put back; and new visitors who must work meanwhile."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from admin.scene import Scene, opened
from hubs import SECONDS, eventually
from tallycast.bursts.burst import load_chunk, space_of
from web import check_problem

CROWD = 70


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path, proof="bursts", visitors_per_minute=0) as scene:
        await scene.site.daily.renew()
        yield scene


async def newcomer(hub: Scene, item: str, body: object = None) -> httpx.Response:
    """Somebody new who likes the item."""
    made = await hub.web.post("/v1/visitors", json=body)
    return await like(hub, item, made.json()["token"]) if made.status_code == 201 else made


async def like(hub: Scene, item: str, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return await hub.web.post("/v1/reactions", json={"item": item, "kind": "like", "value": 1}, headers=headers)


async def flooded(hub: Scene, item: str) -> str:
    """The id of a burst on the item, which has one honest like besides."""
    await hub.react(item)
    for _ in range(CROWD):
        token, _ = hub.service.identity.visitor()
        assert (await like(hub, item, token)).status_code == 200
    async with asyncio.timeout(SECONDS):
        while sum(burst.marked for burst in hub.site.bursts.bursts.values()) < CROWD:
            await asyncio.sleep(0.05)
    (id,) = hub.site.bursts.bursts
    return id


def solution(challenge: dict[str, Any]) -> dict[str, str]:
    """The body of a request that solves the challenge."""
    number = next(
        number
        for number in range(challenge["maxnumber"] + 1)
        if hashlib.sha256(f"{challenge['salt']}{number}".encode()).hexdigest() == challenge["challenge"]
    )
    return {"proof": base64.b64encode(json.dumps({**challenge, "number": number}).encode()).decode()}


async def test_a_burst_is_listed_taken_out_and_put_back(hub: Scene) -> None:
    key = await hub.key("read", "moderate")
    assert (await hub.web.get("/v1/admin/bursts", headers=key)).json() == {"bursts": [], "lasting": False}
    id = await flooded(hub, "post:1")
    answer = await hub.web.get("/v1/admin/bursts", headers=key)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["lasting"]
    (listed,) = answer.json()["bursts"]
    assert (await hub.web.get(f"/v1/admin/bursts/{id}", headers=key)).json() == listed
    assert (listed["id"], listed["item"], listed["state"]) == (id, "post:1", "open")
    assert (listed["marked"], listed["networks"], listed["kinds"]) == (CROWD, 1, {"like": CROWD})
    assert listed["removal"] is None
    for _ in range(2):
        answer = await hub.web.post(f"/v1/admin/bursts/{id}/removal", headers=key)
        assert answer.status_code == 200, answer.text
        removal = answer.json()["removal"]
        assert (removal["state"], removal["taken"], removal["actors"]) == ("removed", {"like": CROWD}, CROWD)
        assert removal["by"].startswith("Ada")
        assert await hub.counts("post:1") == {"like": 1}
    for _ in range(2):
        answer = await hub.web.delete(f"/v1/admin/bursts/{id}/removal", headers=key)
        assert answer.json()["removal"] is None
        assert await hub.counts("post:1") == {"like": 1 + CROWD}
    acts = [entry["act"] for entry in (await hub.web.get("/v1/admin/audit", headers=key)).json()["entries"]]
    assert acts == ["burst.put_back", "burst.put_back", "burst.remove", "burst.remove"]


async def test_who_is_forgotten_is_not_put_back(hub: Scene) -> None:
    key = await hub.key("read", "moderate")
    id = await flooded(hub, "post:1")
    (space,) = (await hub.service.store.records.all(space_of(id))).values()
    await hub.web.post(f"/v1/admin/bursts/{id}/removal", headers=key)
    begun = await hub.web.post(f"/v1/admin/actors/{load_chunk(space).actors[0]}/forget", headers=key)
    jobs = hub.site.moderator.forgetting.jobs
    await eventually(lambda: jobs[begun.json()["id"]].ended_at is not None)
    await hub.web.delete(f"/v1/admin/bursts/{id}/removal", headers=key)
    assert await hub.counts("post:1") == {"like": CROWD}  # one honest like, and all but one of them


async def test_bursts_are_for_those_whose_key_is_good_for_the_item(hub: Scene) -> None:
    id = await flooded(hub, "post:1")
    path = f"/v1/admin/bursts/{id}"
    elsewhere, reader = await hub.key("read", "moderate", prefix="video:"), await hub.key("read", prefix="post:")
    assert (await hub.web.get("/v1/admin/bursts", headers=elsewhere)).json()["bursts"] == []
    check_problem(await hub.web.get(path, headers=elsewhere), 403, "forbidden")
    check_problem(await hub.web.post(f"{path}/removal", headers=elsewhere), 403, "forbidden")
    assert (await hub.web.get(path, headers=reader)).status_code == 200
    check_problem(await hub.web.post(f"{path}/removal", headers=reader), 403, "forbidden")
    check_problem(await hub.web.delete(f"{path}/removal", headers=reader), 403, "forbidden")
    check_problem(await hub.web.get(path), 401, "unauthenticated")
    check_problem(await hub.web.get("/v1/admin/bursts/none", headers=reader), 404, "not_found")
    for query, bursts in (("open=true", 1), ("item=post:1", 1), ("item=post:2", 0), ("limit=1&open=false", 1)):
        answer = await hub.web.get(f"/v1/admin/bursts?{query}", headers=reader)
        assert len(answer.json()["bursts"]) == bursts, query
    for query in ("open=maybe", "limit=0", "limit=x"):
        check_problem(await hub.web.get(f"/v1/admin/bursts?{query}", headers=reader), 400, "bad_request")


async def test_while_a_burst_lasts_somebody_new_works_first(hub: Scene) -> None:
    await flooded(hub, "post:1")
    refused = await newcomer(hub, "post:2")
    check_problem(refused, 403, "proof_needed")
    body = solution(refused.json()["challenge"])
    assert (await newcomer(hub, "post:2", body)).json()["counts"] == {"like": 1}
    again = await newcomer(hub, "post:2", body)
    check_problem(again, 403, "proof_needed")
    assert again.json()["challenge"]["salt"] != refused.json()["challenge"]["salt"]
    # Who is somebody already has nothing to prove, and a form tells a newcomer what is wanted.
    assert (await hub.react("post:2", sub="u:2")).json()["counts"] == {"like": 2}
    form = await hub.web.post(
        "/v1/items/post:2/reactions", data={"kind": "like", "value": "1"}, headers={"Origin": str(hub.web.base_url)}
    )
    assert form.status_code == 403 and "proof of work" in form.text
