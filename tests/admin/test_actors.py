"""Actors under an administrator's hands: banned, let back in, forgotten."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from admin.scene import KINDS, Scene, opened
from hubs import eventually, token
from tallycast.kinds import parse
from tallycast.store.check import check
from web import check_problem

WHO = "u:42/a b?%2F#"  # what a path could trip over


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as scene:
        yield scene


def path(actor: str, act: str) -> str:
    return f"/v1/admin/actors/{quote(actor, safe='')}/{act}"


async def test_a_banned_actor_reacts_to_nothing_and_what_they_said_stays(hub: Scene) -> None:
    key = await hub.key("moderate")
    await hub.react("a", sub=WHO)
    answer = await hub.web.put(path(WHO, "ban"), json={"reason": "spam"}, headers=key)
    assert answer.status_code == 200, answer.text
    assert answer.json()["actor"] == WHO
    for item in ("a", "b"):
        check_problem(await hub.react(item, 0, sub=WHO), 403, "banned")
    assert (await hub.react("a", sub="u:1")).json()["counts"] == {"like": 2}
    bars = (await hub.web.get("/v1/admin/bars", headers=key)).json()
    assert [(one["actor"], one["reason"]) for one in bars["banned"]] == [(WHO, "spam")]
    values = (await hub.web.get("/v1/admin/items/a/values", headers=key)).json()["values"]
    assert {"actor": WHO, "values": {"like": 1}, "banned": True} in values
    assert (await hub.web.delete(path(WHO, "ban"), headers=key)).status_code == 204
    assert (await hub.react("a", 0, sub=WHO)).json()["counts"] == {"like": 1}


async def test_a_forgotten_actor_is_in_no_count_and_nowhere_in_the_store_also_if_the_hub_is_restarted_meanwhile(
    tmp_path: Path,
) -> None:
    posts = [f"post:{number}" for number in range(8)]
    async with opened(tmp_path) as hub:
        key = await hub.key("moderate", "write")
        for item in posts:
            await hub.react(item, sub=WHO)
            await hub.react(item, sub="u:1")
        await hub.react("post:7", 3, sub=WHO, kind="clap")
        await hub.web.put(path(WHO, "ban"), json={}, headers=key)
        begun = await hub.web.post(path(WHO, "forget"), headers=key)
        assert begun.status_code == 202, begun.text
        assert begun.json()["state"] == "running"
        check_problem(await hub.react("post:1", sub=WHO), 403, "banned")
        again = await hub.web.post(path(WHO, "forget"), headers=key)
        assert again.json() == begun.json()
        id = begun.json()["id"]
    async with opened(tmp_path) as hub:
        jobs = hub.site.moderator.forgetting.jobs
        assert jobs[id].actor == WHO
        await eventually(lambda: jobs[id].ended_at is not None)
        job = (await hub.web.get(f"/v1/admin/jobs/{id}", headers=key)).json()
        assert (job["state"], job["items"], job["actor"]) == ("done", len(posts), None)
        assert [await hub.counts(item) for item in posts] == [{"like": 1}] * len(posts)
        assert (await hub.web.get(path(WHO, "items"), headers=key)).json()["items"] == []
    with sqlite3.connect(tmp_path / "hub.db") as db:
        assert not any(WHO in line for line in db.iterdump())
    report = check(f"sqlite:///{tmp_path / 'hub.db'}", parse(KINDS, "kinds"), repair=False)
    assert report.ok, report


async def test_whose_watches_is_shown_at_once_what_is_left(hub: Scene) -> None:
    key = await hub.key("moderate")
    await hub.react("a", sub=WHO)
    await hub.react("a", sub="u:2")
    answer = await hub.web.post("/v1/admin/items/a/remove", json={"actors": [WHO, "u:3"]}, headers=key)
    assert answer.json()["counts"] == {"like": 1}
    assert answer.json()["removed"] == 1
    assert await hub.counts("a") == {"like": 1}
    mine = await hub.web.get("/v1/counts?item=a", headers={"Authorization": f"Bearer {token(WHO)}"})
    assert mine.json()["items"][0]["mine"] == {}


@pytest.mark.parametrize("actor", ["~start:like", "x" * 129, "é"])
async def test_a_name_that_nobody_can_have_is_refused(hub: Scene, actor: str) -> None:
    key = await hub.key("moderate")
    for method, act in (("PUT", "ban"), ("POST", "forget")):
        check_problem(await hub.web.request(method, path(actor, act), headers=key), 400, "bad_request")


async def test_acts_on_actors_need_a_key_of_the_whole_site(hub: Scene) -> None:
    key = await hub.key("moderate", prefix="blog/")
    for method, target in (
        ("PUT", path("u:1", "ban")),
        ("DELETE", path("u:1", "ban")),
        ("POST", path("u:1", "forget")),
        ("GET", path("u:1", "items")),
        ("GET", "/v1/admin/jobs"),
        ("GET", "/v1/admin/audit"),
    ):
        check_problem(await hub.web.request(method, target, headers=key), 403, "forbidden")
