"""Being signed in: the cookie, what it may, what it may not, and when it is good no more."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from http.cookies import Morsel, SimpleCookie
from pathlib import Path

import httpx
import jwt
import pytest

from admin.scene import Scene, opened
from asgi import HOST
from hubs import OLD_SECRET, SECRET, token
from tallycast.sessions.sessions import COOKIE, SESSION_S
from web import check_problem

OWN = {"Origin": f"http://{HOST}"}
FREEZE = "/v1/admin/items/post:1/freeze"


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as scene:
        yield scene


async def key_of(hub: Scene, *rights: str, prefix: str = "") -> str:
    """A new key."""
    return (await hub.key(*rights, prefix=prefix))["Authorization"].removeprefix("Bearer ")


async def signed_in(hub: Scene, *rights: str, prefix: str = "") -> str:
    """Sign in with a new key of these rights; its id. The client keeps the cookie."""
    answer = await hub.web.post("/dashboard/session", json={"key": await key_of(hub, *rights, prefix=prefix)})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["key"])


def cookie_of(answer: httpx.Response) -> Morsel[str]:
    """The session cookie that an answer sets."""
    return SimpleCookie(answer.headers["set-cookie"])[COOKIE]


async def test_a_key_signs_in_and_the_page_is_told_what_it_may(hub: Scene) -> None:
    key = await key_of(hub, "moderate", "read", prefix="blog/")
    answer = await hub.web.post("/dashboard/session", json={"key": f" {key}\n"})
    told = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert told["name"] == "Ada" and told["rights"] == ["moderate", "read"] and told["prefix"] == "blog/"
    assert told["read_only"] is False and told["viewing"] == "anyone"
    assert 0 <= time.time() + SESSION_S - told["expires_at"] < 10
    again = await hub.web.get("/dashboard/session")
    assert again.json() == told


async def test_the_cookie_is_for_the_hub_s_own_pages_alone_and_holds_no_key(hub: Scene) -> None:
    key = await key_of(hub)
    answer = await hub.web.post("/dashboard/session", json={"key": key})
    cookie = cookie_of(answer)
    assert cookie["httponly"] and cookie["samesite"] == "strict" and cookie["path"] == "/" and not cookie["domain"]
    assert int(cookie["max-age"]) == pytest.approx(SESSION_S, abs=10)
    assert not cookie["secure"]
    _, _, secret = key.split("_", 2)  # which may have more of these
    assert len(secret) == 43 and secret not in answer.text + cookie.value
    behind_tls = await hub.web.post("/dashboard/session", json={"key": key}, headers={"X-Forwarded-Proto": "https"})
    assert cookie_of(behind_tls)["secure"]


async def test_a_plain_form_signs_in_and_is_sent_to_the_page(hub: Scene) -> None:
    answer = await hub.web.post("/dashboard/session", data={"key": await key_of(hub)}, headers=OWN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard")
    assert (await hub.web.get("/dashboard/session")).status_code == 200


async def test_a_wrong_key_is_refused_and_many_are_slowed_down(hub: Scene) -> None:
    wrong = "tk_000000000000_" + "x" * 43
    codes = [(await hub.web.post("/dashboard/session", json={"key": wrong})).json()["code"] for _ in range(40)]
    assert codes[0] == "bad_token" and codes[-1] == "rate_limited"
    links = [(await hub.web.post("/dashboard/session", json={"link": "tl_wrong"})).json()["code"] for _ in range(40)]
    assert links[0] == "bad_token" and links[-1] == "rate_limited"
    assert (await hub.web.get("/dashboard/session")).status_code == 204


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{}", "bad_request"), (b'{"key":1}', "bad_request"), (b"no", "bad_json"), (b"x" * 5000, "too_big")],
)
async def test_what_is_no_sign_in_is_refused(hub: Scene, body: bytes, code: str) -> None:
    answer = await hub.web.post("/dashboard/session", content=body)
    check_problem(answer, 413 if code == "too_big" else 400, code)


async def test_the_cookie_may_do_what_the_key_may(hub: Scene) -> None:
    await signed_in(hub, "read", "moderate")
    await hub.react("post:1")
    assert (await hub.web.get("/v1/admin/items")).json()["items"][0]["counts"] == {"like": 1}
    assert (await hub.web.put(FREEZE, headers=OWN)).status_code == 200
    check_problem(await hub.web.get("/v1/admin/links"), 403, "forbidden")


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "null"}, {"Origin": "https://evil.example"}, {"Origin": f"http://{HOST}.evil.example"}],
    ids=["no origin", "a sandboxed frame", "another site", "a name that begins like it"],
)
async def test_a_forged_request_changes_nothing(hub: Scene, headers: dict[str, str]) -> None:
    await signed_in(hub)
    check_problem(await hub.web.put(FREEZE, headers=headers), 403, "forbidden")
    assert (await hub.web.get("/v1/admin/items/post:1/counts")).json()["frozen"] is None


async def test_another_site_signs_nobody_in_or_out(hub: Scene) -> None:
    elsewhere = {"Origin": "https://evil.example"}
    key = await key_of(hub)
    check_problem(await hub.web.post("/dashboard/session", json={"key": key}, headers=elsewhere), 403, "forbidden")
    await signed_in(hub)
    check_problem(await hub.web.delete("/dashboard/session", headers=elsewhere), 403, "forbidden")
    assert (await hub.web.get("/dashboard/session")).status_code == 200


async def test_signing_out_takes_the_cookie_away(hub: Scene) -> None:
    await signed_in(hub)
    answer = await hub.web.delete("/dashboard/session", headers=OWN)
    assert answer.status_code == 204 and cookie_of(answer)["max-age"] == "0"
    assert (await hub.web.get("/dashboard/session")).status_code == 204
    check_problem(await hub.web.get("/v1/admin/items"), 401, "unauthenticated")


async def test_whose_key_is_revoked_is_signed_out(hub: Scene) -> None:
    id = await signed_in(hub)
    assert await hub.site.access.revoke(id)
    check_problem(await hub.web.get("/dashboard/session"), 401, "unauthenticated")
    check_problem(await hub.web.get("/v1/admin/items"), 401, "unauthenticated")


async def test_no_cookie_is_good_that_the_hub_did_not_sign_for_this(hub: Scene) -> None:
    id = await signed_in(hub)
    good = hub.web.cookies[COOKIE]
    claims = {"key": id, "exp": int(time.time()) + 60}
    forged = [
        token("u:1", key=id),  # what a site signs for its users
        jwt.encode(claims, SECRET, algorithm="HS256"),
        jwt.encode(claims, "", algorithm="none"),
        good[:-2] + ("AA" if good[-2:] != "AA" else "BB"),
        "x" * 5000,
        "\xe4",
    ]
    hub.web.cookies.clear()
    for cookie in forged:
        header = {b"Cookie": f"{COOKIE}={cookie}".encode("latin-1")}
        check_problem(await hub.web.get("/v1/admin/items", headers=header), 401, "unauthenticated")
    check_problem(await hub.web.get("/v1/counts?item=a", headers={"Authorization": f"Bearer {good}"}), 401, "bad_token")


async def test_a_session_outlives_the_secret_and_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    async with opened(tmp_path / "a", secret=(OLD_SECRET,)) as hub:
        await signed_in(hub)
        cookies = hub.web.cookies
    async with opened(tmp_path / "a", secret=(SECRET, OLD_SECRET)) as hub:
        hub.web.cookies = cookies
        assert (await hub.web.get("/dashboard/session")).status_code == 200
        monkeypatch.setattr(hub.site.sessions, "_clock_s", lambda: time.time() + SESSION_S + 1)
        check_problem(await hub.web.get("/dashboard/session"), 401, "token_expired")


async def test_where_viewing_needs_a_token_the_page_gets_one_that_cannot_react(tmp_path: Path) -> None:
    async with opened(tmp_path, viewing="token") as hub:
        check_problem(await hub.web.get("/dashboard/token"), 401, "unauthenticated")
        await signed_in(hub, "read", prefix="blog/")
        made = (await hub.web.get("/dashboard/token")).json()["token"]
        theirs = {"Authorization": f"Bearer {made}"}
        assert (await hub.web.get("/v1/counts?item=blog/1", headers=theirs)).status_code == 200
        check_problem(await hub.web.get("/v1/counts?item=post:1", headers=theirs), 403, "forbidden")
        said = {"item": "blog/1", "kind": "like", "value": 1}
        check_problem(await hub.web.post("/v1/reactions", json=said, headers=theirs), 403, "forbidden")


async def test_where_everybody_may_view_the_page_needs_no_token(hub: Scene) -> None:
    await signed_in(hub)
    assert (await hub.web.get("/dashboard/token")).json() == {"token": None}
