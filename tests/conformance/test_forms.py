"""Without a script: a count as a picture, and a reaction from an HTML form."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest

from hubs import Hub
from web import check_problem

PAGE = "https://good.example/post/1"
FORM = {"Origin": "https://good.example", "Referer": PAGE, "Accept": "text/html"}


def path(item: str, rest: str) -> str:
    return f"/v1/items/{quote(item, safe='')}/{rest}"


@pytest.mark.parametrize("end", ["", "/a//b/", "%2F%25", "+=,@~", "/badge.svg/reactions"])
async def test_a_form_counts_for_the_item_in_its_path_and_the_picture_shows_it(
    web: httpx.AsyncClient, item: str, end: str
) -> None:
    item += end
    answer = await web.post(path(item, "reactions"), data={"kind": "clap", "value": "7"}, headers=FORM)
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    picture = await web.get(path(item, "badge.svg?kind=clap"))
    assert picture.status_code == 200
    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert ">7</text>" in picture.text
    etag = picture.headers["etag"]
    again = await web.get(path(item, "badge.svg?kind=clap"), headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    body = (await web.get("/v1/counts", params={"item": item})).json()
    assert body["items"][0]["counts"] == {"clap": 7}


async def test_a_form_that_comes_again_from_the_same_visitor_counts_once(web: httpx.AsyncClient, item: str) -> None:
    for fields in ({"kind": "like", "value": "1"}, {"kind": "share", "id": "shared-once"}):
        for _ in range(3):
            answer = await web.post(path(item, "reactions"), data=fields, headers=FORM)
            assert answer.status_code == 303
    body = (await web.get("/v1/counts", params={"item": item})).json()
    assert body["items"][0]["counts"] == {"like": 1, "share": 1}
    (cookie,) = web.cookies.jar
    assert (cookie.name, cookie.path) == ("tallycast_visitor", "/")
    assert cookie.has_nonstandard_attr("HttpOnly")


async def test_a_token_in_the_form_is_who_reacts(hub: Hub, web: httpx.AsyncClient, actor: str, item: str) -> None:
    token = hub.token(actor)
    fields = {"kind": "love", "value": "1", "token": token}
    answer = await web.post(path(item, "reactions"), data=fields, headers=FORM)
    assert answer.status_code == 303
    assert "set-cookie" not in answer.headers
    body = (await web.get("/v1/counts", params={"item": item}, headers={"Authorization": f"Bearer {token}"})).json()
    assert body["items"][0]["mine"] == {"love": 1}


@pytest.mark.parametrize(
    ("changed", "more", "status", "code"),
    [
        ({"Origin": "https://evil.example"}, {}, 403, "forbidden"),
        ({"Origin": "null"}, {}, 403, "forbidden"),
        ({}, {"return": "https://evil.example/"}, 400, "bad_request"),
        ({}, {"return": "//evil.example/"}, 400, "bad_request"),
        ({}, {"kind": "nonsense"}, 400, "unknown_kind"),
        ({}, {"value": "2"}, 400, "bad_value"),
        ({}, {"token": "x"}, 401, "bad_token"),
        ({}, {"more": "x" * 9000}, 413, "too_big"),
    ],
)
async def test_a_refusal_is_a_page_or_a_problem_and_counts_nothing(
    web: httpx.AsyncClient, item: str, changed: dict[str, str], more: dict[str, str], status: int, code: str
) -> None:
    fields = {"kind": "like", "value": "1", **more}
    answer = await web.post(path(item, "reactions"), data=fields, headers={**FORM, **changed})
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert "set-cookie" not in answer.headers
    wants = {**FORM, **changed, "Accept": "application/json"}
    check_problem(await web.post(path(item, "reactions"), data=fields, headers=wants), status, code)
    body = (await web.get("/v1/counts", params={"item": item})).json()
    assert body["items"][0]["counts"] == {}


async def test_a_form_from_nowhere_is_refused(web: httpx.AsyncClient, item: str) -> None:
    answer = await web.post(path(item, "reactions"), data={"kind": "like", "value": "1"})
    assert answer.status_code == 403


async def test_a_picture_of_nothing_known_is_a_problem(web: httpx.AsyncClient, item: str) -> None:
    check_problem(await web.get(path(item, "badge.svg?kind=nonsense")), 400, "unknown_kind")
    check_problem(await web.get(path("a b", "badge.svg?kind=like")), 400, "bad_item")
