"""Polls made, listed, changed and deleted over HTTP, and what administrators and voters get wrong."""

from __future__ import annotations

import time
from typing import Any

import pytest

from hubs import OwnHub
from polling import Polling, make_key
from talk import talking
from web import check_problem

WISH = {"question": "Which?", "options": ["A", "B"]}


def wish(**fields: Any) -> dict[str, Any]:
    return {**WISH, "closes_at": time.time() + 600, **fields}


async def test_a_poll_is_made_shown_listed_changed_and_deleted(at: Polling) -> None:
    made = await at.make(id="first", answers=[2], results="closed", opens_at="2100-01-01T00:00:00Z", closes_s=1e10)
    assert (made["item"], made["state"], made["quiz"], made["answers"]) == ("poll:first", "upcoming", True, [2])
    assert made["opens_at"] == 4_102_444_800
    path = "/v1/admin/polls/first"
    shown = (await at.web.get(path, headers=at.as_admin)).json()
    assert {**shown, "now": 0} == {**made, "now": 0}
    assert "answers" not in await at.poll("first")
    changed = await at.web.patch(path, json={"opens_at": time.time(), "options": ["X", "Y"]}, headers=at.as_admin)
    assert (changed.json()["options"], changed.json()["state"]) == (["X", "Y"], "open")
    assert (await at.vote("first", 1)).status_code == 200
    locked = await at.web.patch(path, json={"options": ["P", "Q"]}, headers=at.as_admin)
    check_problem(locked, 409, "conflict")
    shown = (await at.web.get(path, headers=at.as_admin)).json()
    assert (shown["counts"], shown["votes"], shown["options"]) == ([1, 0], 1, ["X", "Y"])
    listed = (await at.web.get("/v1/admin/polls?state=open&limit=1", headers=at.as_admin)).json()["polls"]
    assert [poll["id"] for poll in listed] == ["first"]
    assert (await at.web.delete(path, headers=at.as_admin)).status_code == 204
    for answer in (await at.web.get(path, headers=at.as_admin), await at.web.get("/v1/polls/first")):
        check_problem(answer, 404, "not_found")
    check_problem(await at.vote("first", 1), 400, "unknown_kind")
    (row,) = (await at.web.get("/v1/counts", params={"item": "poll:first"})).json()["items"]
    assert (row["counts"], row["hidden"]) == ({}, True)


async def test_a_list_has_pages_the_newest_first(at: Polling) -> None:
    ids = [(await at.make())["id"] for _ in range(3)][::-1]
    seen: list[str] = []
    after = ""
    while len(seen) < 3:
        page = (await at.web.get(f"/v1/admin/polls?limit=2&after={after}", headers=at.as_admin)).json()
        seen += [poll["id"] for poll in page["polls"]]
        after = page["cursor"]
    assert seen[:3] == ids
    for query in ("limit=0", "limit=101", "state=shut", "after=nobody"):
        check_problem(await at.web.get(f"/v1/admin/polls?{query}", headers=at.as_admin), 400, "bad_request")


WRONG: dict[str, dict[str, Any]] = {
    "no end": {**WISH},
    "an end in the past": wish(closes_at=time.time() - 1),
    "an end that is no time": wish(closes_at="tomorrow"),
    "an end that is a list": wish(closes_at=[1]),
    "an end without a zone": wish(closes_at="2100-01-01T00:00:00"),
    "eleven options": wish(options=[str(n) for n in range(11)]),
    "a field that is none": wish(colour="red"),
    "an id that is a number": wish(id=7),
    "an id for no path": wish(id="a/b"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
async def test_what_cannot_be_a_poll_is_refused(wrong: dict[str, Any], at: Polling) -> None:
    check_problem(await at.web.post("/v1/admin/polls", json=wrong, headers=at.as_admin), 400, "bad_request")


async def test_made_twice_with_one_key_it_is_one_poll_and_an_id_is_taken_once(at: Polling) -> None:
    headers = {**at.as_admin, "Idempotency-Key": "launch-poll-1"}
    body = wish()
    first = await at.web.post("/v1/admin/polls", json=body, headers=headers)
    second = await at.web.post("/v1/admin/polls", json=body, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    check_problem(await at.web.post("/v1/admin/polls", json=wish(question="Why?"), headers=headers), 409, "conflict")
    taken = await at.web.post("/v1/admin/polls", json=wish(id=first.json()["id"]), headers=at.as_admin)
    check_problem(taken, 409, "conflict")


async def test_a_key_is_good_for_what_it_says(at: Polling, hub: OwnHub) -> None:
    store = str(hub.settings["store"])

    async def headers(*rights: str, prefix: str = "") -> dict[str, str]:
        return {"Authorization": f"Bearer {await make_key(store, *rights, prefix=prefix)}"}

    made = await at.make()
    path = f"/v1/admin/polls/{made['id']}"
    reads, writes = await headers("read"), await headers("write", prefix="poll:team-")
    assert (await at.web.get(path, headers=reads)).status_code == 200
    check_problem(await at.web.post("/v1/admin/polls", json=wish(), headers=reads), 403, "forbidden")
    check_problem(await at.web.post(f"{path}/close", headers=reads), 403, "forbidden")
    for method in ("patch", "delete"):
        check_problem(await at.web.request(method, path, json={}, headers=reads), 403, "forbidden")
    check_problem(await at.web.post(f"{path}/close", headers=writes), 403, "forbidden")
    check_problem(await at.web.post("/v1/admin/polls", json=wish(id="other"), headers=writes), 403, "forbidden")
    own = await at.web.post("/v1/admin/polls", json=wish(), headers=writes)
    assert own.json()["id"].startswith("team-")
    seen = await at.web.get("/v1/admin/polls", headers=await headers("read", prefix="poll:team-"))
    assert [poll["id"] for poll in seen.json()["polls"]] == [own.json()["id"]]
    check_problem(await at.web.get(path), 401, "unauthenticated")


async def test_votes_that_no_poll_takes_are_refused_and_the_connection_lives(at: Polling, hub: OwnHub) -> None:
    later = await at.make(opens_at=time.time() + 300)
    made = await at.make(choice="multiple")
    async with talking(hub.live, hub.token("u:5")) as user:
        for item, kind, code in (
            (later["item"], "option-1", "closed"),
            (made["item"], "option-1", "unknown_kind"),
            (made["item"], "choice-4", "bad_value"),
            (made["item"], "like", "unknown_kind"),
            ("post:1", "option-1", "unknown_kind"),
            ("poll:nobody", "option-1", "unknown_kind"),
        ):
            answer = await user.ask("react", item=item, kind=kind, value=1)
            assert (answer["ev"], answer["code"]) == ("error", code), answer
        assert (await user.react(made["item"], "choice-1"))["counts"] == {"choice-1": 1}
        assert (await user.react(made["item"], "choice-3"))["mine"] == {"choice-1": 1, "choice-3": 1}
        assert (await user.react(made["item"], "choice-1", 0))["counts"] == {"choice-3": 1}
