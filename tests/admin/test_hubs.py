"""Administrators at real hubs: keys from the command line, and acts at one hub that hold at the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

import httpx
import pytest

from admin.conftest import Run, made
from hubs import eventually
from talk import talking
from web import check_problem


@pytest.fixture(params=["on_file", "on_redis"])
def run(request: pytest.FixtureRequest) -> Run:
    """One hub on a file, or two on a Redis."""
    found: Run = request.getfixturevalue(request.param)
    return found


def react(run: Run, item: str, sub: str, value: int = 1, *, at: int = 0, kind: str = "like") -> httpx.Response:
    """A reaction at one of the hubs."""
    headers = {"Authorization": f"Bearer {run.hubs[at].token(sub)}"}
    return run.webs[at].post("/v1/reactions", json={"item": item, "kind": kind, "value": value}, headers=headers)


def refused(run: Run, item: str, sub: str, code: str) -> Callable[[], bool]:
    """Whether the last hub refuses a reaction with that code."""
    return lambda: react(run, item, sub, at=-1).json().get("code") == code


async def test_a_key_of_the_command_line_is_good_until_it_is_revoked(run: Run) -> None:
    key = await asyncio.to_thread(made, run.hubs[0], "Grace", "--right", "read", "--prefix", "blog/", "--ttl", "90d")
    headers = {"Authorization": f"Bearer {key['token']}"}
    for web in run.webs:
        mine = web.get("/v1/admin/key", headers=headers).json()
        assert (mine["name"], mine["rights"], mine["prefix"]) == ("Grace", ["read"], "blog/")
        assert mine["expires_at"] == mine["made_at"] + 90 * 86_400
    revoked = await asyncio.to_thread(run.tallycast, "key", "revoke", key["id"])
    assert revoked.returncode == 0
    for web in run.webs:
        await eventually(lambda web=web: web.get("/v1/admin/key", headers=headers).status_code == 401)  # type: ignore[misc]
    acts = [entry["act"] for entry in run.webs[-1].get("/v1/admin/audit").json()["entries"]]
    assert acts[:2] == ["key.revoke", "key.make"]


def test_keys_are_listed_without_their_secrets_and_what_is_wrong_with_a_command_is_one_line(on_file: Run) -> None:
    key = made(on_file.hubs[0], "Grace", "--right", "read", "--prefix", "blog/")
    listed = on_file.tallycast("key", "list")
    assert f"{key['id']}  'Grace' may read items that begin with blog/, for ever, made " in listed.stdout
    assert key["token"].split("_", 2)[2] not in listed.stdout
    for words in (("key", "revoke", "0123456789ab"), ("key", "make", "x" * 65, "--right", "read")):
        wrong = on_file.tallycast(*words)
        assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)


async def test_what_is_frozen_or_banned_at_one_hub_is_so_at_all(run: Run) -> None:
    assert run.webs[0].put("/v1/admin/items/cold/freeze").status_code == 200
    assert react(run, "cold", "u:1").json()["code"] == "frozen"
    await eventually(refused(run, "cold", "u:1", "frozen"))
    assert run.webs[0].put("/v1/admin/actors/troll/ban").status_code == 200
    assert react(run, "warm", "troll").json()["code"] == "banned"
    await eventually(refused(run, "warm", "troll", "banned"))
    assert run.webs[-1].delete("/v1/admin/items/cold/freeze").status_code == 204
    assert run.webs[-1].delete("/v1/admin/actors/troll/ban").status_code == 204
    await eventually(lambda: react(run, "cold", "troll").status_code == 200)


async def test_whoever_watches_at_any_hub_sees_an_act_at_once(run: Run) -> None:
    last = run.hubs[-1]
    async with talking(last.live, last.token("ada")) as ada:
        await ada.subscribe("seen")
        await ada.react("seen", "clap", 3)
        run.webs[0].put("/v1/admin/items/seen/counts", json={"like": 120, "comments": 7})
        await ada.counts("seen", lambda counts: counts == {"clap": 3, "like": 120, "comments": 7})
        assert run.webs[0].delete("/v1/admin/items/seen/values").json()["counts"] == {}
        await ada.counts("seen", lambda counts: counts == {})
        await ada.until(lambda frame: frame.get("mine") == {})
        again = await ada.react("seen", "clap", 1)
        assert again["counts"] == {"clap": 1}


async def test_a_forgotten_actor_leaves_the_sum_of_what_remains(run: Run) -> None:
    items = [f"post/{number}" for number in range(40)]
    numbers = count()

    async def keep_reacting(sub: str, at: int) -> int:
        """Until refused; how many were taken."""
        headers = {"Authorization": f"Bearer {run.hubs[at].token(sub)}"}
        async with httpx.AsyncClient(base_url=run.hubs[at].http, headers=headers, trust_env=False) as web:
            while True:
                number = next(numbers)
                body = {"item": items[number % len(items)], "kind": "clap", "value": number % 50 + 1}
                answer = await web.post("/v1/reactions", json=body)
                if answer.status_code != 200:
                    check_problem(answer, 403, "banned")
                    return number

    others = [react(run, item, "u:2").status_code for item in items]
    assert others == [200] * len(items)
    leaving = [asyncio.create_task(keep_reacting("u:leaves", at)) for at in range(len(run.hubs))]
    while next(numbers) < 200:
        await asyncio.sleep(0.05)
    begun = await asyncio.to_thread(run.webs[0].post, "/v1/admin/actors/u:leaves/forget")
    assert begun.status_code == 202, begun.text
    await asyncio.gather(*leaving)
    job = f"/v1/admin/jobs/{begun.json()['id']}"
    await eventually(lambda: run.webs[-1].get(job).json()["state"] == "done")
    assert run.webs[-1].get(job).json()["items"] > 0
    for item in items:
        assert run.webs[-1].get(f"/v1/admin/items/{item}/counts").json()["counts"] == {"like": 1}
    checked = await asyncio.to_thread(run.hubs[0].check)
    assert checked.returncode == 0, checked.stdout + checked.stderr


async def test_an_export_of_one_hub_is_imported_by_command_of_any(run: Run) -> None:
    for number in range(5):
        react(run, f"out/{number}", "u:1")
    react(run, "out/0", "u:2", 4, kind="clap")
    export = run.webs[-1].get("/v1/admin/export?what=values&prefix=out/")
    assert run.webs[0].delete("/v1/admin/items/out/0/values").status_code == 200
    headers = {"Content-Type": "application/x-ndjson"}
    answer = run.webs[0].post("/v1/admin/import?what=values", content=export.content, headers=headers)
    assert answer.text.splitlines()[-1].startswith('{"state":"done","rows":6,"done":6')
    listed = run.webs[-1].get("/v1/admin/items?prefix=out/").json()["items"]
    assert {entry["item"]: entry["counts"] for entry in listed} == {
        "out/0": {"like": 1, "clap": 4},
        **{f"out/{number}": {"like": 1} for number in range(1, 5)},
    }
