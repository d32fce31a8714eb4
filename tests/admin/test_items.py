"""Items under an administrator's hands: lists, starting counts, who says what, freezing, deleting."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admin.scene import Scene, opened
from web import check_problem


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as scene:
        yield scene


async def test_a_starting_count_is_given_and_people_add_to_it(hub: Scene) -> None:
    key = await hub.key("read", "write")
    await hub.react("post:1")
    answer = await hub.web.put("/v1/admin/items/post:1/counts", json={"like": 120, "comments": 7}, headers=key)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["counts"] == {"like": 121, "comments": 7}
    assert answer.json()["given"] == {"like": 120, "comments": 7}
    await hub.react("post:1", 0)
    assert await hub.counts("post:1") == {"like": 120, "comments": 7}
    again = await hub.web.put("/v1/admin/items/post:1/counts", json={"like": 120}, headers=key)
    assert again.json()["counts"] == {"like": 120, "comments": 7}
    read = await hub.web.get("/v1/admin/items/post:1/counts", headers=key)
    assert read.json() == {**again.json(), "frozen": None}


async def test_a_frozen_item_takes_no_reaction_until_it_is_thawed(hub: Scene) -> None:
    key = await hub.key("read", "moderate")
    await hub.react("a/b:1")
    answer = await hub.web.put("/v1/admin/items/a/b:1/freeze", json={"reason": "a fight"}, headers=key)
    assert answer.status_code == 200, answer.text
    assert answer.json()["frozen"]["reason"] == "a fight"
    check_problem(await hub.react("a/b:1", 0), 403, "frozen")
    check_problem(await hub.react("a/b:1", sub="u:2"), 403, "frozen")
    assert (await hub.react("a/b:2")).status_code == 200
    listed = (await hub.web.get("/v1/admin/items?prefix=a/", headers=key)).json()
    assert [(entry["item"], entry["frozen"]) for entry in listed["items"]] == [("a/b:1", True), ("a/b:2", False)]
    assert (await hub.web.delete("/v1/admin/items/a/b:1/freeze", headers=key)).status_code == 204
    assert (await hub.react("a/b:1", 0)).status_code == 200


async def test_a_deleted_item_has_zeros_and_may_be_reacted_to_again(hub: Scene) -> None:
    key = await hub.key("write", "moderate")
    await hub.web.put("/v1/admin/items/a/counts", json={"like": 3}, headers=key)
    v = (await hub.react("a")).json()["v"]
    answer = await hub.web.delete("/v1/admin/items/a/values", headers=key)
    assert answer.json()["counts"] == {}
    assert answer.json()["v"] > v
    assert await hub.counts("a") == {}
    assert (await hub.react("a")).json()["counts"] == {"like": 1}
