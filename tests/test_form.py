"""A reaction from a plain HTML form: who reacts, from which page, where the browser goes next, what is refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from asgi import HOST, Call, Inside, inside
from hubs import token
from tallycast.errors import Unavailable
from tallycast.routes import form
from web import check_problem

GOOD = "https://good.example"
EVIL = "https://evil.example"
HTML = "text/html,application/xhtml+xml,*/*;q=0.8"
LIKE = {"kind": "like", "value": "1"}


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(tmp_path, origins=(GOOD, "https://*.wild.example")) as hub:
        yield hub


async def send(
    hub: Inside, fields: dict[str, str] | bytes, *, item: str = "post:1", origin: str | None = GOOD, **headers: str
) -> httpx.Response:
    """A form as a browser sends it; the client keeps cookies."""
    named = {"Accept": HTML, "Content-Type": form.MEDIA_TYPE, **({"Origin": origin} if origin is not None else {})}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    content = fields if isinstance(fields, bytes) else str(httpx.QueryParams(fields)).encode()
    return await hub.web.post(f"/v1/items/{quote(item, safe='')}/reactions", content=content, headers=named)


async def counts(hub: Inside, item: str = "post:1") -> dict[str, int]:
    answer = await hub.web.get("/v1/counts", params={"item": item})
    found: dict[str, int] = answer.json()["items"][0]["counts"]
    return found


def check_page(answer: httpx.Response, status: int, reason: str) -> None:
    """A refusal is a page with the reason, in which nothing can run or load."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    assert "location" not in answer.headers
    assert reason in answer.text
    assert "<script" not in answer.text


def link(answer: httpx.Response) -> str | None:
    match = re.search(r'<a href="([^"]*)">', answer.text)
    return match[1] if match else None


async def test_it_counts_and_sends_the_browser_back(hub: Inside) -> None:
    answer = await send(hub, {**LIKE, "return": "/post/1#reactions"})
    assert (answer.status_code, answer.content) == (303, b"")
    assert answer.headers["location"] == f"{GOOD}/post/1#reactions"
    assert answer.headers["cache-control"] == "no-store"
    assert await counts(hub) == {"like": 1}


@pytest.mark.parametrize("item", ["https://example.com/a//b/", "100%25", "a%2Fb+c=d,@~", "a/reactions", "x" * 200])
async def test_every_item_takes_one(hub: Inside, item: str) -> None:
    assert (await send(hub, LIKE, item=item)).status_code == 303
    assert await counts(hub, item) == {"like": 1}


async def test_all_rules_are_those_of_other_reactions(hub: Inside) -> None:
    for fields in (
        LIKE,
        {"kind": "clap", "value": "7"},
        {"kind": "clap", "value": "9", "id": "", "token": "", "return": "", "more": "x"},
        {"kind": "share", "id": "12345678"},
        {"kind": "dislike", "value": "1"},
    ):
        assert (await send(hub, fields)).status_code == 303, fields
    assert await counts(hub) == {"dislike": 1, "clap": 9, "share": 1}
    assert (await send(hub, {"kind": "dislike", "value": "0"})).status_code == 303
    assert await counts(hub) == {"clap": 9, "share": 1}


# Who reacts


async def test_a_visitor_is_remembered_in_a_cookie_that_scripts_cannot_read(hub: Inside) -> None:
    first = await send(hub, LIKE)
    cookie = first.headers["set-cookie"]
    assert cookie.startswith("tallycast_visitor=")
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert attributes == {"httponly", "max-age=31536000", "path=/", "samesite=lax"}
    again = await send(hub, {"kind": "love", "value": "1"}, item="post:2")
    assert "set-cookie" not in again.headers
    actor = hub.service.identity.verify(hub.web.cookies["tallycast_visitor"]).name
    assert actor.startswith("v:")
    ((_, mine),) = await hub.service.hub.read(["post:2"], actor)
    assert mine == {"love": 1}


async def test_over_tls_the_cookie_comes_along_from_other_sites_and_never_without_tls(hub: Inside) -> None:
    answers = [await send(hub, LIKE, X_Forwarded_Proto="https")]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(hub.app), base_url=f"https://{HOST}") as web:
        answers.append(await send(hub._replace(web=web), LIKE))
    for answer in answers:
        attributes = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
        assert attributes == {"httponly", "max-age=31536000", "path=/", "samesite=none", "secure"}


async def test_nothing_else_reads_or_sets_the_cookie(hub: Inside) -> None:
    await send(hub, LIKE)
    for answer in (
        await hub.web.get("/v1/counts?item=post:1"),
        await hub.web.get("/v1/items/post:1/badge.svg?kind=like"),
        await hub.web.post("/v1/visitors"),
    ):
        assert "cookie" in answer.request.headers
        assert "set-cookie" not in answer.headers
        assert '"mine"' not in answer.text
    check_problem(
        await hub.web.post("/v1/reactions", json={"item": "a", "kind": "like", "value": 1}), 401, "unauthenticated"
    )


@pytest.mark.parametrize("kept", ["", "x", "a.b.c", token("v:old", exp=1)])
async def test_a_cookie_that_is_no_more_good_is_replaced(hub: Inside, kept: str) -> None:
    answer = await send(hub, LIKE, Cookie=f"tallycast_visitor={kept}")
    assert answer.status_code == 303
    assert answer.headers["set-cookie"].startswith("tallycast_visitor=ey")


async def test_a_sites_own_user_is_known_by_the_token_field(hub: Inside) -> None:
    await hub.react("post:1", sub="u:7", kind="love")
    answer = await send(hub, {**LIKE, "token": token("u:7")}, Cookie=f"tallycast_visitor={token('v:1')}")
    assert answer.status_code == 303
    assert "set-cookie" not in answer.headers
    ((_, mine),) = await hub.service.hub.read(["post:1"], "u:7")
    assert mine == {"like": 1, "love": 1}


async def test_a_token_that_is_not_good_is_refused_and_nobody_else_reacts_instead(hub: Inside) -> None:
    for fields, status, reason in (
        ({**LIKE, "token": "x"}, 401, "JWT"),
        ({**LIKE, "token": token("u:7", exp=1)}, 401, "expired"),
        ({**LIKE, "token": token("u:7", items=["post:2"])}, 403, "not good for post:1"),
    ):
        check_page(await send(hub, fields), status, reason)
    assert await counts(hub) == {}


# Sent twice


async def test_a_second_click_before_the_cookie_has_come_counts_once(
    hub: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(form, "TWICE_S", 10**10)  # no border between two spans comes between the clicks
    for fields in (LIKE, {"kind": "share", "id": "shared-1"}):
        answers = await asyncio.gather(*(send(hub, fields, User_Agent="w3m", Cookie="") for _ in range(3)))
        assert [answer.status_code for answer in answers] == [303] * 3
    assert await counts(hub) == {"like": 1, "share": 1}
    hub.web.cookies.clear()
    await send(hub, LIKE, User_Agent="Lynx")
    hub.web.cookies.clear()
    await send(hub, LIKE, User_Agent="w3m", Accept_Language="de")
    assert (await counts(hub))["like"] == 3


async def test_somebody_without_a_cookie_is_another_visitor_on_each_item(
    hub: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(form, "TWICE_S", 10**10)
    names = set()
    for item in ("a", "b"):
        await send(hub, LIKE, item=item, User_Agent="w3m")
        names.add(hub.service.identity.verify(hub.web.cookies["tallycast_visitor"]).name)
        hub.web.cookies.clear()
    assert len(names) == 2


async def test_later_the_same_browser_without_a_cookie_is_somebody_else(
    hub: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1_800_000_000.0
    monkeypatch.setattr("tallycast.routes.form.time.time", lambda: now_s)
    await send(hub, LIKE)
    hub.web.cookies.clear()
    now_s += form.TWICE_S
    await send(hub, LIKE)
    assert await counts(hub) == {"like": 2}


# From which page


@pytest.mark.parametrize("origin", [GOOD, "https://a.wild.example", f"http://{HOST}", f"https://{HOST}"])
async def test_pages_on_the_list_and_the_hubs_own_may(hub: Inside, origin: str) -> None:
    answer = await send(hub, LIKE, origin=origin)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{origin}/")


@pytest.mark.parametrize(
    ("origin", "headers"),
    [
        (EVIL, {}),
        (EVIL, {"Referer": f"{GOOD}/post"}),
        (f"{GOOD}.evil.example", {}),
        ("null", {}),
        ("null", {"Referer": f"{GOOD}/post"}),
        ("", {}),
        (None, {}),
        (None, {"Referer": ""}),
        (None, {"Referer": "about:client"}),
        (None, {"Referer": f"{EVIL}/?{GOOD}/"}),
        (None, {"Referer": f"{EVIL}\\@good.example/"}),
        (None, {"Referer": "https://good.example@evil.example/"}),
    ],
)
async def test_pages_that_are_not_on_the_list_or_not_known_may_not(
    hub: Inside, origin: str | None, headers: dict[str, str]
) -> None:
    answer = await send(hub, {**LIKE, "return": GOOD}, origin=origin, **headers)
    check_page(answer, 403, "page")
    assert link(answer) is None
    assert "access-control-allow-origin" not in answer.headers
    assert await counts(hub) == {}


async def test_a_text_browser_is_known_by_its_referer(hub: Inside) -> None:
    answer = await send(hub, LIKE, origin=None, Referer=f"{GOOD}/post/1?a=b")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{GOOD}/post/1?a=b")


async def test_with_every_origin_allowed_a_page_must_still_say_which_it_is(tmp_path: Path) -> None:
    async with inside(tmp_path, origins=("*",)) as hub:
        for origin in (None, "null", "", "https://a b", "file://", "javascript://x"):
            check_page(await send(hub, LIKE, origin=origin), 403, "page")
        assert (await send(hub, {**LIKE, "return": "/a"}, origin=EVIL)).headers["location"] == f"{EVIL}/a"
        answer = await send(hub, {**LIKE, "return": f"{GOOD}/a"}, origin=EVIL)
        check_page(answer, 400, "return")
        assert link(answer) == f"{EVIL}/"


# Where the browser goes next


@pytest.mark.parametrize(
    ("wanted", "location"),
    [
        ("/", f"{GOOD}/"),
        ("/a?b=c&d#e", f"{GOOD}/a?b=c&d#e"),
        ("/100%25", f"{GOOD}/100%25"),
        ("/na\u00efve/\u65e5", f"{GOOD}/na%C3%AFve/%E6%97%A5"),
        (f"{GOOD}/a", f"{GOOD}/a"),
        (GOOD, GOOD),
        ("https://a.wild.example/x?y", "https://a.wild.example/x?y"),
        (f"http://{HOST}/demo", f"http://{HOST}/demo"),
        ('/"<x>', f"{GOOD}/%22%3Cx%3E"),
    ],
)
async def test_the_way_back_is_where_the_page_wants_it(hub: Inside, wanted: str, location: str) -> None:
    answer = await send(hub, {**LIKE, "return": wanted}, Referer=f"{GOOD}/other")
    assert (answer.status_code, answer.headers["location"]) == (303, location)


@pytest.mark.parametrize(
    "wanted",
    [
        EVIL,
        f"{GOOD}.evil.example/",
        "https://good.example@evil.example/",
        "https://good.example\\@evil.example/",
        "https://good.example:443@evil.example/",
        "https:/good.example",
        "https:good.example",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "\\\\evil.example",
        " /a",
        "a/b",
        "?a",
        "javascript:alert(1)",
        "javascript://good.example/%0aalert(1)",
        "data:text/html,x",
        "/a\r\nSet-Cookie: a=b",
        "/a\x00",
        "ftp://good.example/",
    ],
)
async def test_the_way_back_never_leads_to_another_site(hub: Inside, wanted: str) -> None:
    answer = await send(hub, {**LIKE, "return": wanted})
    check_page(answer, 400, "return must be")
    assert link(answer) == f"{GOOD}/"
    assert await counts(hub) == {}


async def test_a_referer_of_another_site_is_not_gone_back_to(hub: Inside) -> None:
    answer = await send(hub, LIKE, Referer=f"{EVIL}/post")
    assert answer.headers["location"] == f"{GOOD}/"


# What is refused


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "kind must be one of"),
        ({"kind": "<script>", "value": "1"}, "kind must be one of"),
        ({"kind": "like"}, "takes value 1 or 0"),
        ({"kind": "like", "value": "2"}, "takes value 1 or 0"),
        ({"kind": "like", "value": "on"}, "takes value 1 or 0"),
        ({"kind": "like", "value": "-1"}, "takes value 1 or 0"),
        ({"kind": "like", "value": "\u0661"}, "takes value 1 or 0"),
        ({"kind": "like", "id": "12345678"}, "takes a value"),
        ({"kind": "clap", "value": "51"}, "from 0 to 50"),
        ({"kind": "clap", "value": "9" * 2000}, "from 0 to 50"),
        ({"kind": "share", "value": "1"}, "send id"),
        ({"kind": "share"}, "needs an id"),
        ({"kind": "share", "id": "short"}, "needs an id"),
        (b"kind=like&value=1&value=0", "stands twice"),
        (b"kind=like&value=%ff", "UTF-8"),
        (b"kind=like&value=\xff", "UTF-8"),
        (b"\x00\xff", "UTF-8"),
        (b"", "kind must be one of"),
    ],
)
async def test_a_form_that_is_wrong_is_told_why_and_led_back(
    hub: Inside, fields: dict[str, str] | bytes, reason: str
) -> None:
    answer = await send(hub, fields, Referer=f"{GOOD}/post")
    check_page(answer, 400, reason)
    assert (link(answer) or "").startswith(f"{GOOD}/")
    assert await counts(hub) == {}


@pytest.mark.parametrize("item", ["a b", "\u00e9", "x" * 201, "<b>"])
async def test_an_item_that_is_none_is_told(hub: Inside, item: str) -> None:
    check_page(await send(hub, LIKE, item=item), 400, "an item id is")


@pytest.mark.parametrize("media_type", ["", "text/plain", "multipart/form-data; boundary=x", "application/json"])
async def test_another_encoding_is_told(hub: Inside, media_type: str) -> None:
    check_page(await send(hub, LIKE, Content_Type=media_type), 400, form.MEDIA_TYPE)


async def test_the_encoding_may_have_a_parameter(hub: Inside) -> None:
    assert (await send(hub, LIKE, Content_Type=f"{form.MEDIA_TYPE.title()}; charset=utf-8")).status_code == 303


async def test_who_takes_json_and_no_page_gets_a_problem(hub: Inside) -> None:
    for accept in ("application/json", "application/problem+json, */*;q=0.1"):
        check_problem(await send(hub, {}, Accept=accept), 400, "unknown_kind")
        check_problem(await send(hub, LIKE, origin=None, Accept=accept), 403, "forbidden")
    for accept in ("*/*", "", "text/html, application/json"):
        check_page(await send(hub, {}, Accept=accept), 400, "kind")


async def test_a_form_that_is_too_long_or_too_late_is_told(tmp_path: Path) -> None:
    async with inside(tmp_path, request_s=1) as hub:
        own = f"http://{HOST}"
        check_page(await send(hub, b"kind=" + b"x" * 4096, origin=own), 413, "4096 bytes")
        assert (await send(hub, b"kind=like&value=1&x=" + b"x" * 4000, origin=own)).status_code == 303
        late = Call(hub.app, "POST", "/v1/items/a/reactions", origin=own, content_type=form.MEDIA_TYPE)
        await late.finished()
        assert (late.status, late.headers["connection"]) == (408, "close")
        assert "did not come within 1 s" in late.text


async def test_new_visitors_and_their_reactions_are_limited(tmp_path: Path) -> None:
    async with inside(tmp_path, visitors_per_minute=1, reactions_per_second=1) as hub:
        own = f"http://{HOST}"
        assert (await send(hub, LIKE, origin=own)).status_code == 303
        kept = dict(hub.web.cookies)
        hub.web.cookies.clear()
        answer = await send(hub, LIKE, origin=own)
        check_page(answer, 429, "too many new visitors")
        assert int(answer.headers["retry-after"]) > 0
        hub.web.cookies.update(kept)
        answers = [await send(hub, LIKE, origin=own) for _ in range(5)]
        check_page(answers[-1], 429, "too many reactions")


async def test_nonsense_makes_no_visitor(tmp_path: Path) -> None:
    async with inside(tmp_path, visitors_per_minute=1) as hub:
        own = f"http://{HOST}"
        for _ in range(3):
            check_page(await send(hub, {"kind": "like"}, origin=own), 400, "value")
        assert (await send(hub, LIKE, origin=own)).status_code == 303


async def test_what_the_store_cannot_take_is_told_and_may_come_again(
    hub: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> Any:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as fault:
        fault.setattr(hub.service.store, "apply", fail)
        answer = await send(hub, {**LIKE, "return": "/post/1"})
    check_page(answer, 503, "the disk is full")
    assert answer.headers["retry-after"] == "1"
    assert link(answer) == f"{GOOD}/post/1"
    assert (await send(hub, LIKE)).status_code == 303
    assert await counts(hub) == {"like": 1}


async def test_reactions_are_counted_by_kind_and_result(hub: Inside) -> None:
    await send(hub, LIKE)
    await send(hub, {"kind": "clap", "value": "51"})
    await send(hub, {"kind": "nonsense"})
    await send(hub, {**LIKE, "token": "x"})
    lines = hub.service.metrics.render().decode().splitlines()
    for kind, result in (
        ("like", "accepted"),
        ("clap", "bad_value"),
        ("", "unknown_kind"),
        ("like", "bad_token"),
    ):
        assert f'tallycast_reactions_total{{kind="{kind}",result="{result}"}} 1.0' in lines
    assert 'tallycast_http_requests_total{route="/v1/items/{item:path}/reactions",status="303"} 1.0' in lines


async def test_the_path_takes_forms_alone(hub: Inside) -> None:
    answer = await hub.web.get("/v1/items/a/reactions")
    check_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    preflight = await hub.web.options(
        "/v1/items/a/reactions", headers={"Origin": EVIL, "Access-Control-Request-Method": "POST"}
    )
    check_problem(preflight, 403, "forbidden")
