"""The plain requests under /v1/: what docs/protocol.md leaves open, and bodies at the edges of what is taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from asgi import HOST, Call, Inside, inside
from hubs import SECRET, token
from tallycast.app import create_app
from tallycast.errors import Unavailable
from tallycast.routes.incoming import MOST_READ_BYTES
from tallycast.settings import Settings
from web import check_problem

JSON = {"content-type": "application/json"}


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(tmp_path) as hub:
        yield hub


def bearer(sub: str = "u:1", **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(sub, **claims)}"}


def counted(hub: Inside, kind: str, result: str) -> bool:
    """Whether exactly one reaction was answered so."""
    line = f'tallycast_reactions_total{{kind="{kind}",result="{result}"}} 1.0'
    return line in hub.service.metrics.render().decode()


@pytest.mark.parametrize(("store", "error"), [("sqlite:///{}/hub.db", None), ("redis://127.0.0.1:1/0", 0.0081)])
async def test_the_config_says_how_exact_a_unique_kind_is(tmp_path: Path, store: str, error: float | None) -> None:
    kinds = tmp_path / "kinds.toml"
    kinds.write_text('[view]\nrule = "unique"\n[like]\nrule = "toggle"\n')
    app = create_app(Settings(store=store.format(tmp_path), kinds=str(kinds), secret=(SECRET,)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{HOST}") as web:
        found = (await web.get("/v1/config")).json()["kinds"]
    await app.state.service.close()
    assert found["view"].get("approximate") == error
    assert "approximate" not in found["like"]


async def test_items_keep_their_order_and_are_answered_once_each(hub: Inside) -> None:
    answer = await hub.web.get("/v1/counts?item=b&item=a&item=b")
    assert [entry["item"] for entry in answer.json()["items"]] == ["b", "a"]


async def test_the_same_item_a_hundred_and_one_times_is_one_item(hub: Inside) -> None:
    assert (await hub.web.get("/v1/counts?" + "item=a&" * 101)).status_code == 200


async def test_other_parameters_of_the_query_mean_nothing(hub: Inside) -> None:
    assert (await hub.web.get("/v1/counts?item=a&_=1763750000")).status_code == 200


async def test_a_plus_in_a_query_is_a_blank_and_so_no_item(hub: Inside) -> None:
    check_problem(await hub.web.get("/v1/counts?item=a+b"), 400, "bad_item")
    assert (await hub.web.get("/v1/counts?item=a%2Bb")).json()["items"][0]["item"] == "a+b"


async def test_counts_depend_on_identity_and_origin_and_say_so(hub: Inside) -> None:
    for headers in ({}, bearer()):
        answer = await hub.web.get("/v1/counts?item=a", headers=headers)
        assert answer.headers["vary"] == "Authorization, Origin"
        again = await hub.web.get(
            "/v1/counts?item=a", headers={**headers, "If-None-Match": f'"x" , {answer.headers["etag"]}'}
        )
        assert again.status_code == 304
        for name in ("vary", "cache-control", "etag"):
            assert again.headers[name] == answer.headers[name]
        assert "content-type" not in again.headers


async def test_an_etag_in_a_second_if_none_match_header_counts(hub: Inside) -> None:
    etag = (await hub.web.get("/v1/config")).headers["etag"]
    headers = [("If-None-Match", '"x"'), ("If-None-Match", etag)]
    assert (await hub.web.get("/v1/config", headers=headers)).status_code == 304


@pytest.mark.parametrize("known", ["", "x", '"', "W/", '"x', "*x", "\u00e9"])
async def test_an_if_none_match_that_names_no_such_etag_gets_the_answer(hub: Inside, known: str) -> None:
    answer = await hub.web.get("/v1/config", headers=[(b"if-none-match", known.encode("latin-1"))])
    assert answer.status_code == 200


async def test_config_says_every_kind_with_its_rule_and_the_tick(hub: Inside) -> None:
    answer = await hub.web.get("/v1/config")
    assert answer.headers["cache-control"] == "public, max-age=60"
    body = answer.json()
    assert body["tick_ms"] == 50
    assert list(body["kinds"]) == ["like", "dislike", "love", "clap", "share", "download"]
    assert body["kinds"]["clap"] == {"rule": "amount", "max": 50, "label": "Clap", "emoji": "👏"}
    assert body["kinds"]["like"]["group"] == body["kinds"]["dislike"]["group"]


async def test_a_visitor_is_somebody_who_may_react_for_as_long_as_was_said(tmp_path: Path) -> None:
    async with inside(tmp_path, visitor_days=3) as hub:
        answer = await hub.web.post("/v1/visitors", content=b"anything at all")
        assert answer.status_code == 201
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert set(body) == {"token", "actor", "expires_in"}
        assert body["expires_in"] == 3 * 86_400
        assert body["actor"].startswith("v:")
        assert hub.service.identity.verify(body["token"]).name == body["actor"]
        ack = await hub.web.post(
            "/v1/reactions",
            json={"item": "a", "kind": "like", "value": 1},
            headers={"Authorization": f"Bearer {body['token']}"},
        )
        assert ack.json()["mine"] == {"like": 1}


async def test_visitors_of_one_address_are_limited_and_told_to_wait(tmp_path: Path) -> None:
    async with inside(tmp_path, visitors_per_minute=1) as hub:
        assert (await hub.web.post("/v1/visitors")).status_code == 201
        answer = await hub.web.post("/v1/visitors")
        check_problem(answer, 429, "rate_limited")
        wait_s = answer.json()["retry_after"]
        assert 0 < wait_s <= 60
        assert wait_s <= int(answer.headers["retry-after"]) < wait_s + 1


async def test_a_reaction_is_counted_by_kind_and_result(hub: Inside) -> None:
    await hub.react("a")
    assert counted(hub, "like", "accepted")
    for body, kind, code in (
        ({"item": "a", "kind": "clap", "value": 51}, "clap", "bad_value"),
        ({"item": "a", "kind": "nonsense", "value": 1}, "", "unknown_kind"),
        ({"item": "a", "kind": ["like"], "value": 1}, "", "unknown_kind"),
        ({"item": "", "kind": "love", "value": 1}, "love", "bad_item"),
    ):
        answer = await hub.web.post("/v1/reactions", json=body, headers=bearer())
        check_problem(answer, 400, code)
        assert counted(hub, kind, code) or code == "unknown_kind"
    assert 'kind="",result="unknown_kind"} 2.0' in hub.service.metrics.render().decode()
    check_problem(await hub.web.post("/v1/reactions", json={}), 401, "unauthenticated")
    assert counted(hub, "", "unauthenticated")


async def test_a_reaction_that_the_store_cannot_take_is_a_503_and_may_come_again(
    hub: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> Any:
        raise Unavailable("the disk is full", retry_after_s=0.2)

    body = {"item": "a", "kind": "like", "value": 1}
    with monkeypatch.context() as fault:
        fault.setattr(hub.service.store, "apply", fail)
        answer = await hub.web.post("/v1/reactions", json=body, headers=bearer())
    check_problem(answer, 503, "unavailable")
    assert answer.json()["detail"] == "the disk is full"
    assert answer.headers["retry-after"] == "1"
    assert counted(hub, "like", "unavailable")
    assert (await hub.web.post("/v1/reactions", json=body, headers=bearer())).json()["counts"] == {"like": 1}


async def test_a_seq_orders_reactions_as_on_the_socket(hub: Inside) -> None:
    async def say(value: int, seq: int) -> dict[str, int]:
        body = {"item": "a", "kind": "love", "value": value, "seq": seq}
        counts: dict[str, int] = (await hub.web.post("/v1/reactions", json=body, headers=bearer())).json()["counts"]
        return counts

    assert await say(1, 5) == {"love": 1}
    assert await say(0, 7) == {}
    assert await say(1, 6) == {}


@pytest.mark.parametrize("path", ["/v1/reactions", "/v1/visitors"])
async def test_a_body_of_the_most_bytes_is_taken_and_of_one_more_is_not(tmp_path: Path, path: str) -> None:
    body = b'{"item":"a","kind":"like","value":1}'
    async with inside(tmp_path, message_bytes=256) as hub:
        headers = bearer() | JSON
        assert (await hub.web.post(path, content=body.ljust(256), headers=headers)).status_code in (200, 201)
        answer = await hub.web.post(path, content=body.ljust(257), headers=headers)
        check_problem(answer, 413, "too_big")
        assert "connection" not in answer.headers  # it was all read: the next request may follow


@pytest.mark.parametrize(
    "headers", [{"content_length": "4097", "expect": "100-continue"}, {"content_length": "2097153"}]
)
async def test_a_declared_length_far_over_the_limit_is_refused_before_the_body_comes(
    hub: Inside, headers: dict[str, str]
) -> None:
    call = Call(hub.app, "POST", "/v1/visitors", **headers)
    await call.finished()
    assert call.status == 413
    assert call.headers["connection"] == "close"


async def test_a_body_in_chunks_is_not_read_for_ever(hub: Inside) -> None:
    call = Call(hub.app, "POST", "/v1/visitors")
    for _ in range(MOST_READ_BYTES // 65536 + 1):
        call.incoming.put_nowait({"type": "http.request", "body": b" " * 65536, "more_body": True})
    await call.finished()  # though more was to come
    assert call.status == 413
    assert call.headers["connection"] == "close"


async def test_a_body_that_is_too_long_and_stops_coming_is_too_long(tmp_path: Path) -> None:
    async with inside(tmp_path, request_s=1) as hub:
        call = Call(hub.app, "POST", "/v1/visitors")
        call.incoming.put_nowait({"type": "http.request", "body": b" " * 5000, "more_body": True})
        await call.finished()
        assert call.status == 413
        assert call.headers["connection"] == "close"


async def test_a_body_that_does_not_come_is_given_up_after_request_s(tmp_path: Path) -> None:
    async with inside(tmp_path, request_s=1) as hub:
        call = Call(hub.app, "POST", "/v1/reactions", authorization=bearer()["Authorization"])
        call.incoming.put_nowait({"type": "http.request", "body": b'{"item"', "more_body": True})
        await call.finished()
        assert call.status == 408
        assert '"code":"bad_request"' in call.text
        assert call.headers["connection"] == "close"


async def test_request_s_0_waits_for_any_body(tmp_path: Path) -> None:
    async with inside(tmp_path, request_s=0) as hub:
        assert (await hub.react("a"))["counts"] == {"like": 1}


async def test_a_client_that_hangs_up_within_its_body_is_no_defect(
    hub: Inside, caplog: pytest.LogCaptureFixture
) -> None:
    call = Call(hub.app, "POST", "/v1/reactions", authorization=bearer()["Authorization"])
    call.incoming.put_nowait({"type": "http.request", "body": b'{"item"', "more_body": True})
    call.leave()
    await call.finished()
    assert call.status == 400
    assert not caplog.records


async def test_http_2_has_no_connection_header(hub: Inside) -> None:
    call = Call(hub.app, "POST", "/v1/visitors", content_length="2097153", http_version="2")
    await call.finished()
    assert call.status == 413
    assert "connection" not in call.headers


async def test_no_such_path_and_no_such_method_are_problems(hub: Inside) -> None:
    check_problem(await hub.web.get("/v1/nothing"), 404, "not_found")
    check_problem(await hub.web.get("/nothing/at/all"), 404, "not_found")
    answer = await hub.web.delete("/v1/counts?item=a")
    check_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"


async def test_a_defect_is_a_500_that_shows_nothing_and_is_raised_on(
    hub: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> Any:
        raise ZeroDivisionError("the inside of the hub")

    monkeypatch.setattr(hub.service.hub, "read", fail)
    answer = await hub.web.get("/v1/counts?item=a")
    check_problem(answer, 500, "internal")
    assert "inside" not in answer.text
    raising = httpx.ASGITransport(hub.app)
    async with httpx.AsyncClient(transport=raising, base_url="http://hub.test") as web:
        with pytest.raises(ZeroDivisionError):  # to the server, which logs it with its trace
            await web.get("/v1/counts?item=a")


async def test_reactions_at_the_same_time_are_all_answered_and_counted_once(hub: Inside) -> None:
    acks = await asyncio.gather(*(hub.react("a", sub=f"u:{n}") for n in range(50)))
    assert max(ack["counts"]["like"] for ack in acks) == 50
    assert (await hub.web.get("/v1/counts?item=a")).json()["items"][0]["counts"] == {"like": 50}
