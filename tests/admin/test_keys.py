"""Who may administrate: every path with the wrong key, the audit log, keys over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admin.scene import Scene, opened
from tallycast.access import RIGHTS, Right
from web import check_problem

REQUESTS: list[tuple[str, str, Right]] = [
    ("GET", "/v1/admin/keys", "keys"),
    ("DELETE", "/v1/admin/keys/0123456789ab", "keys"),
    ("GET", "/v1/admin/audit", "moderate"),
    ("GET", "/v1/admin/items", "read"),
    ("GET", "/v1/admin/bars", "moderate"),
    ("GET", "/v1/admin/items/a/counts", "read"),
    ("PUT", "/v1/admin/items/a/counts", "write"),
    ("GET", "/v1/admin/items/a/values", "moderate"),
    ("DELETE", "/v1/admin/items/a/values", "moderate"),
    ("POST", "/v1/admin/items/a/remove", "moderate"),
    ("PUT", "/v1/admin/items/a/freeze", "moderate"),
    ("DELETE", "/v1/admin/items/a/freeze", "moderate"),
    ("PUT", "/v1/admin/actors/u:1/ban", "moderate"),
    ("DELETE", "/v1/admin/actors/u:1/ban", "moderate"),
    ("GET", "/v1/admin/actors/u:1/items", "moderate"),
    ("POST", "/v1/admin/actors/u:1/forget", "moderate"),
    ("GET", "/v1/admin/jobs", "moderate"),
    ("GET", "/v1/admin/jobs/0123456789abcdef", "moderate"),
    ("GET", "/v1/admin/export", "read"),
    ("GET", "/v1/admin/export?what=values", "moderate"),
    ("POST", "/v1/admin/import", "write"),
]

WRONG: list[tuple[str, str, bytes | None, str]] = [
    ("GET", "/v1/admin/items?limit=0", None, "bad_request"),
    ("GET", "/v1/admin/items?limit=x", None, "bad_request"),
    ("GET", "/v1/admin/items?cursor=nonsense", None, "bad_request"),
    ("GET", "/v1/admin/items?prefix=a%20b", None, "bad_item"),
    ("GET", "/v1/admin/items/a/values?cursor=%F0", None, "bad_request"),
    ("GET", "/v1/admin/items/a%20b/counts", None, "bad_item"),
    ("PUT", "/v1/admin/items/a/counts", b"", "bad_json"),
    ("PUT", "/v1/admin/items/a/counts", b"{}", "bad_request"),
    ("PUT", "/v1/admin/items/a/counts", b'{"like":-1}', "bad_value"),
    ("PUT", "/v1/admin/items/a/counts", b'{"like":16777216}', "bad_value"),
    ("PUT", "/v1/admin/items/a/counts", b'{"like":true}', "bad_value"),
    ("PUT", "/v1/admin/items/a/counts", b'{"like":1,"love":1}', "unknown_kind"),
    ("PUT", "/v1/admin/items/a/counts", b'{"like":1,"like":2}', "bad_json"),
    ("PUT", "/v1/admin/items/a/freeze", b'{"why":"x"}', "bad_request"),
    ("PUT", "/v1/admin/items/a/freeze", b'{"reason":1}', "bad_request"),
    ("PUT", "/v1/admin/items/a/freeze", b"[]", "bad_json"),
    ("POST", "/v1/admin/items/a/remove", b'{"actors":[]}', "bad_request"),
    ("POST", "/v1/admin/items/a/remove", b'{"actors":["~start:like"]}', "bad_request"),
    ("POST", "/v1/admin/items/a/remove", b'{"actors":"u:1"}', "bad_request"),
    ("GET", "/v1/admin/audit?before=1-x", None, "bad_request"),
    ("GET", "/v1/admin/export?format=xml", None, "bad_request"),
    ("GET", "/v1/admin/export?what=values&cursor=e30", None, "bad_request"),
    ("GET", "/v1/admin/export?cursor=e30", None, "bad_request"),
    ("POST", "/v1/admin/import", b"", "bad_request"),
    ("POST", "/v1/admin/import?partial=maybe", b"", "bad_request"),
]


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as scene:
        yield scene


async def test_every_path_needs_a_key_with_its_right(hub: Scene) -> None:
    without = {right: await hub.key(*(other for other in RIGHTS if other != right)) for right in RIGHTS}
    for method, target, right in REQUESTS:
        nobody = await hub.web.request(method, target)
        check_problem(nobody, 401, "unauthenticated")
        assert nobody.headers["cache-control"] == "no-store"
        assert nobody.headers["www-authenticate"] == "Bearer"
        check_problem(await hub.web.request(method, target, headers=without[right]), 403, "forbidden")


async def test_a_user_s_token_is_no_key(hub: Scene) -> None:
    answer = await hub.web.get("/v1/admin/items", headers={"Authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x"})
    check_problem(answer, 401, "bad_token")


async def test_a_key_with_a_prefix_sees_and_does_nothing_beyond_it(hub: Scene) -> None:
    key = await hub.key(prefix="blog/")
    for item in ("blog/1", "shop/1"):
        await hub.react(item)
    listed = (await hub.web.get("/v1/admin/items", headers=key)).json()["items"]
    assert [entry["item"] for entry in listed] == ["blog/1"]
    for target in ("/v1/admin/items?prefix=", "/v1/admin/items?prefix=b", "/v1/admin/export?prefix=shop/"):
        check_problem(await hub.web.get(target, headers=key), 403, "forbidden")
    for method, act in (("GET", "counts"), ("PUT", "freeze"), ("DELETE", "values"), ("PUT", "counts")):
        answer = await hub.web.request(method, f"/v1/admin/items/shop/1/{act}", headers=key)
        check_problem(answer, 403, "forbidden")
    assert (await hub.web.put("/v1/admin/items/blog/1/freeze", headers=key)).status_code == 200
    assert len((await hub.web.get("/v1/admin/bars", headers=key)).json()["frozen"]) == 1


async def test_who_asks_is_told_what_they_may(hub: Scene) -> None:
    key = await hub.key("read", "write", prefix="blog/")
    told = (await hub.web.get("/v1/admin/key", headers=key)).json()
    assert (told["name"], told["rights"], told["prefix"]) == ("Ada", ["read", "write"], "blog/")
    assert "hash" not in told


async def test_a_revoked_key_is_good_no_more(hub: Scene) -> None:
    mine, other = await hub.key("keys"), await hub.key("read")
    other_id = other["Authorization"].split("_")[1]
    assert (await hub.web.get("/v1/admin/items", headers=other)).status_code == 200
    ids = [key["id"] for key in (await hub.web.get("/v1/admin/keys", headers=mine)).json()["keys"]]
    assert other_id in ids
    assert (await hub.web.delete(f"/v1/admin/keys/{other_id}", headers=mine)).status_code == 204
    check_problem(await hub.web.get("/v1/admin/items", headers=other), 401, "bad_token")
    check_problem(await hub.web.delete(f"/v1/admin/keys/{other_id}", headers=mine), 404, "not_found")


async def test_every_act_is_in_the_log_newest_first_and_nothing_secret_is(hub: Scene) -> None:
    key = await hub.key("moderate", "write")
    for method, target, body in (
        ("PUT", "/v1/admin/items/a/counts", {"like": 3}),
        ("PUT", "/v1/admin/items/a/freeze", {"reason": "why"}),
        ("DELETE", "/v1/admin/items/a/freeze", None),
        ("PUT", "/v1/admin/actors/secret-name/ban", None),
        ("DELETE", "/v1/admin/items/a/values", None),
    ):
        answer = await hub.web.request(method, target, json=body, headers=key)
        assert answer.status_code in (200, 204), answer.text
    log = (await hub.web.get("/v1/admin/audit?limit=3", headers=key)).json()
    assert [entry["act"] for entry in log["entries"]] == ["item.delete", "actor.ban", "item.thaw"]
    assert log["entries"][0]["about"] == {"item": "a", "counts": {"like": 3}}
    rest = (await hub.web.get(f"/v1/admin/audit?limit=3&before={log['cursor']}", headers=key)).json()
    assert [entry["act"] for entry in rest["entries"]] == ["item.freeze", "item.give"]
    assert rest["cursor"] == ""
    assert all(entry["who"].startswith("Ada (") for entry in log["entries"])
    for secret in (key["Authorization"].split("_", 2)[2], "secret-name"):
        assert secret not in str(log) + str(rest)


async def test_what_is_wrong_with_a_request_is_said(hub: Scene) -> None:
    key = await hub.key()
    for method, target, body, code in WRONG:
        answer = await hub.web.request(method, target, content=body, headers=key)
        check_problem(answer, 400, code)
    log = (await hub.web.get("/v1/admin/audit", headers=key)).json()
    assert log["entries"] == []  # what was refused was no act


async def test_a_body_that_is_too_long_is_refused(hub: Scene) -> None:
    answer = await hub.web.put("/v1/admin/items/a/counts", content=b" " * 70_000, headers=await hub.key())
    check_problem(answer, 413, "too_big")
