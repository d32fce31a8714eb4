"""The HTTP part: counts, reactions, visitors, config, health, metrics; problems and CORS."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from hubs import Hub
from lanes import Start
from talk import Talk, talking
from web import bearer, check_problem


async def test_counts_are_those_of_the_socket(web: httpx.AsyncClient, user: Talk, item: str) -> None:
    ack = await user.react(item, "clap", 3)
    answer = await web.get("/v1/counts", params={"item": [item, f"{item}:2"]})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json() == {
        "items": [{"item": item, "v": ack["v"], "counts": {"clap": 3}}, {"item": f"{item}:2", "v": 0, "counts": {}}]
    }
    assert {part.strip() for part in answer.headers["cache-control"].split(",")} == {"public", "max-age=1"}
    assert "set-cookie" not in answer.headers


async def test_counts_with_a_token_say_what_is_mine_and_are_private(
    hub: Hub, web: httpx.AsyncClient, user: Talk, actor: str, item: str
) -> None:
    ack = await user.react(item)
    answer = await web.get("/v1/counts", params={"item": item}, headers=bearer(hub, actor))
    assert answer.json()["items"] == [{"item": item, "v": ack["v"], "counts": {"like": 1}, "mine": {"like": 1}}]
    assert "private" in answer.headers["cache-control"]
    assert "public" not in answer.headers["cache-control"]
    answer = await web.get("/v1/counts", params={"item": item}, headers=bearer(hub, "u:nobody"))
    assert answer.json()["items"][0]["mine"] == {}


async def test_an_etag_is_strong_and_spares_the_body_until_the_counts_move(
    web: httpx.AsyncClient, user: Talk, item: str
) -> None:
    await user.react(item)
    first = await web.get("/v1/counts", params={"item": item})
    etag = first.headers["etag"]
    assert etag.startswith('"')
    assert etag.endswith('"')
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        again = await web.get("/v1/counts", params={"item": item}, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b""), known
        assert again.headers["etag"] == etag
        assert again.headers["cache-control"] == first.headers["cache-control"]
    await user.react(item, "love")
    moved = await web.get("/v1/counts", params={"item": item}, headers={"If-None-Match": etag})
    assert moved.status_code == 200
    assert moved.headers["etag"] != etag


async def test_the_etag_tells_actors_and_lists_of_items_apart(
    hub: Hub, web: httpx.AsyncClient, user: Talk, actor: str, item: str
) -> None:
    await user.react(item)
    answers = [
        await web.get("/v1/counts", params={"item": item}),
        await web.get("/v1/counts", params={"item": item}, headers=bearer(hub, actor)),
        await web.get("/v1/counts", params={"item": item}, headers=bearer(hub, "u:nobody")),
        await web.get("/v1/counts", params={"item": [item, f"{item}:2"]}),
    ]
    assert len({answer.headers["etag"] for answer in answers}) == len({answer.text for answer in answers}) == 4


async def test_100_items_may_be_asked_for_at_once_and_101_are_too_many(web: httpx.AsyncClient, item: str) -> None:
    items = [f"{item}{n}" for n in range(101)]
    answer = await web.get("/v1/counts", params={"item": items[:100]})
    assert [entry["item"] for entry in answer.json()["items"]] == items[:100]
    check_problem(await web.get("/v1/counts", params={"item": items}), 400, "too_many_items")


async def test_counts_of_no_item_or_a_bad_one_are_refused(web: httpx.AsyncClient) -> None:
    check_problem(await web.get("/v1/counts"), 400, "bad_request", "bad_item")
    for wrong in ("", "a%20b", "x" * 201, "%C3%A9", "%00", "%ff%fe", "a&item="):
        check_problem(await web.get(f"/v1/counts?item={wrong}"), 400, "bad_item", "bad_request")


async def test_every_character_of_an_id_goes_through_a_query(hub: Hub, web: httpx.AsyncClient, item: str) -> None:
    item += "az09._~:/@%+=,-"
    body = {"item": item, "kind": "like", "value": 1}
    ack = await web.post("/v1/reactions", json=body, headers=bearer(hub, "u:1"))
    assert ack.json()["item"] == item
    answer = await web.get("/v1/counts", params={"item": item})
    assert answer.json()["items"][0] == {"item": item, "v": ack.json()["v"], "counts": {"like": 1}}


@pytest.mark.parametrize("wrong", ["Bearer x", "bearer x", "Bearer", "Bearer a.b.c"])
async def test_a_bad_token_is_a_401_that_names_the_scheme(web: httpx.AsyncClient, item: str, wrong: str) -> None:
    for answer in (
        await web.get("/v1/counts", params={"item": item}, headers={"Authorization": wrong}),
        await web.post("/v1/reactions", content=b"{}", headers={"Authorization": wrong}),
    ):
        check_problem(answer, 401, "bad_token", "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")  # RFC 9110, 15.5.2: must be there


async def test_another_scheme_which_a_proxy_may_have_added_is_no_identity(web: httpx.AsyncClient, item: str) -> None:
    headers = {"Authorization": "Basic dTpw"}
    answer = await web.get("/v1/counts", params={"item": item}, headers=headers)
    assert answer.json() == {"items": [{"item": item, "v": 0, "counts": {}}]}
    body = {"item": item, "kind": "like", "value": 1}
    check_problem(await web.post("/v1/reactions", json=body, headers=headers), 401, "unauthenticated")


async def test_an_expired_token_is_a_401_as_such(hub: Hub, web: httpx.AsyncClient, item: str) -> None:
    headers = bearer(hub, "u:1", ttl_s=-1)
    check_problem(await web.get("/v1/counts", params={"item": item}, headers=headers), 401, "token_expired")


async def test_a_reaction_is_answered_with_the_ack_without_ev_and_ref(
    hub: Hub, web: httpx.AsyncClient, reader: Talk, actor: str, item: str
) -> None:
    await reader.subscribe(item)
    answer = await web.post(
        "/v1/reactions", json={"item": item, "kind": "like", "value": 1}, headers=bearer(hub, actor)
    )
    assert answer.status_code == 200
    ack = answer.json()
    assert ack == {"item": item, "v": ack["v"], "counts": {"like": 1}, "mine": {"like": 1}}
    assert (await reader.counts(item, bool))["v"] == ack["v"]
    for _ in range(2):
        body = {"item": item, "kind": "share", "id": "one-event"}
        answer = await web.post("/v1/reactions", json=body, headers=bearer(hub, actor))
        assert answer.json()["counts"] == {"like": 1, "share": 1}


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        (b"", {"bad_json"}),
        (b"not json", {"bad_json"}),
        (b"[]", {"bad_json", "bad_request"}),
        (b"null", {"bad_json", "bad_request"}),
        (b"\xff\xfe", {"bad_json"}),
        (b'{"item":"a","item":"b","kind":"like","value":1}', {"bad_json"}),
        (b'{"item":"a","kind":"clap","value":NaN}', {"bad_json"}),
        (b"[" * 3000, {"bad_json"}),
        (b"{}", {"bad_request", "bad_item", "unknown_kind"}),
        (b'{"item":"a b","kind":"like","value":1}', {"bad_item"}),
        (b'{"item":"a","kind":"nonsense","value":1}', {"unknown_kind"}),
        (b'{"item":"a","kind":"like","value":2}', {"bad_value"}),
        (b'{"item":"a","kind":"share","value":1}', {"bad_value"}),
        (b'{"item":"a","kind":"like","value":1,"seq":-1}', {"bad_request"}),
    ],
)
async def test_a_wrong_reaction_is_a_400_with_its_code(
    hub: Hub, web: httpx.AsyncClient, body: bytes, codes: set[str]
) -> None:
    headers = bearer(hub, "u:1") | {"Content-Type": "application/json"}
    check_problem(await web.post("/v1/reactions", content=body, headers=headers), 400, *codes)


async def test_a_reaction_without_a_token_is_unauthenticated(web: httpx.AsyncClient, item: str) -> None:
    answer = await web.post("/v1/reactions", json={"item": item, "kind": "like", "value": 1})
    check_problem(answer, 401, "unauthenticated")
    assert "www-authenticate" in answer.headers


async def test_a_reaction_outside_the_tokens_scope_is_forbidden(hub: Hub, web: httpx.AsyncClient, item: str) -> None:
    headers = bearer(hub, "u:1", items=["post:1"])
    body = {"item": item, "kind": "like", "value": 1}
    check_problem(await web.post("/v1/reactions", json=body, headers=headers), 403, "forbidden")


async def test_a_burst_over_http_is_a_429_with_retry_after(
    hub: Hub, web: httpx.AsyncClient, actor: str, item: str
) -> None:
    headers = bearer(hub, actor)
    for _ in range(300):
        answer = await web.post("/v1/reactions", json={"item": item, "kind": "like", "value": 1}, headers=headers)
        if answer.status_code != 200:
            break
    check_problem(answer, 429, "rate_limited")
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["retry_after"] > 0


async def test_a_body_that_is_too_big_is_a_413(hub: Hub, web: httpx.AsyncClient) -> None:
    body = json.dumps({"item": "a", "kind": "like", "value": 1, "x": "x" * 10_000})
    answer = await web.post("/v1/reactions", content=body, headers=bearer(hub, "u:1"))
    check_problem(answer, 413, "too_big")


async def test_a_body_without_end_is_cut_off(hub: Hub, web: httpx.AsyncClient) -> None:
    """The answer comes before the body has, so a client may see the end of the connection first."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            yield b"x" * 65536
            sent += 65536

    with contextlib.suppress(httpx.TransportError):
        answer = await web.post("/v1/reactions", content=endless(), headers=bearer(hub, "u:1"))
        check_problem(answer, 413, "too_big")
    assert sent < 20_000_000
    assert (await web.get("/healthz")).status_code == 200


async def test_visitors_get_an_identity_that_reacts(hub: Hub, web: httpx.AsyncClient, item: str) -> None:
    answer = await web.post("/v1/visitors")
    assert answer.status_code == 201
    visitor = answer.json()
    assert list(visitor) == ["token", "actor", "expires_in"]
    assert visitor["actor"].startswith("v:")
    assert visitor["expires_in"] > 24 * 3600
    assert "set-cookie" not in answer.headers
    async with talking(hub.live) as talk:
        assert (await talk.ok("auth", token=visitor["token"]))["actor"] == visitor["actor"]
        assert (await talk.react(item))["counts"] == {"like": 1}
    another = (await web.post("/v1/visitors")).json()
    assert another["actor"] != visitor["actor"]


async def test_visitors_of_one_address_are_limited(start: Start) -> None:
    with start(visitors_per_minute=3) as hub:
        async with httpx.AsyncClient(base_url=hub.http, trust_env=False, verify=False) as web:
            answers = [await web.post("/v1/visitors") for _ in range(40)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[0] == 201
    assert set(statuses) == {201, 429}
    refused = answers[statuses.index(429)]
    check_problem(refused, 429, "rate_limited")
    assert int(refused.headers["retry-after"]) >= 1


async def test_config_tells_the_kinds_and_the_tick(web: httpx.AsyncClient) -> None:
    answer = await web.get("/v1/config")
    assert answer.status_code == 200
    assert "max-age" in answer.headers["cache-control"]
    config = answer.json()
    assert config["tick_ms"] == 50
    kinds = config["kinds"]
    assert set(kinds) >= {"like", "dislike", "love", "clap", "share", "download"}
    assert kinds["like"]["rule"] == "toggle"
    assert kinds["like"]["group"] == kinds["dislike"]["group"]
    assert (kinds["clap"]["rule"], kinds["clap"]["max"]) == ("amount", 50)
    assert kinds["share"]["rule"] == "event"
    assert all(kind["label"] and kind["emoji"] for kind in kinds.values())


async def test_a_healthy_hub_is_alive_and_ready(web: httpx.AsyncClient) -> None:
    assert (await web.get("/healthz")).status_code == 200
    assert (await web.get("/readyz")).status_code == 200


async def test_metrics_are_prometheus_text_that_tells_what_happened(
    web: httpx.AsyncClient, reader: Talk, user: Talk, item: str
) -> None:
    await reader.subscribe(item)
    await user.react(item)
    await reader.counts(item, bool)
    async with asyncio.timeout(5):  # gauges are set once a second
        while sum(sample.value for sample in (await families(web))["tallycast_viewers"].samples) < 2:
            await asyncio.sleep(0.1)
    found = await families(web)
    assert [s for f in found.values() for s in f.samples if s.labels.get("kind") == "like" and s.value >= 1]
    for word in ("items", "commit", "fanout", "conflated", "slow", "handshakes", "lag"):
        assert any(word in name for name in found), (word, list(found))


async def families(web: httpx.AsyncClient) -> dict[str, Metric]:
    """What /metrics says, by name. None of it may hold an item's id or an actor's name."""
    answer = await web.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(("text/plain", "application/openmetrics-text"))
    assert "t:" not in answer.text
    assert "u:" not in answer.text
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


async def test_an_unknown_path_is_a_404_and_a_wrong_method_a_405(web: httpx.AsyncClient) -> None:
    check_problem(await web.get("/v1/nonsense"), 404, "not_found")
    for method, path in (("GET", "/v1/reactions"), ("POST", "/v1/counts"), ("DELETE", "/v1/visitors")):
        answer = await web.request(method, path)
        check_problem(answer, 405, "method_not_allowed")
        assert "allow" in answer.headers


async def test_a_plain_get_of_the_socket_is_a_4xx(web: httpx.AsyncClient) -> None:
    answer = await web.get("/v1/live")
    assert 400 <= answer.status_code < 500


async def test_head_answers_like_get_without_a_body(web: httpx.AsyncClient, item: str) -> None:
    answer = await web.head("/v1/counts", params={"item": item})
    assert (answer.status_code, answer.content) == (200, b"")


async def test_an_allowed_origin_may_read_the_answers(web: httpx.AsyncClient, item: str) -> None:
    for origin in ("https://good.example", "https://a.wild.example"):
        answer = await web.get("/v1/counts", params={"item": item}, headers={"Origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
        assert "origin" in answer.headers["vary"].lower()
        assert "access-control-allow-credentials" not in answer.headers
        wrong = await web.get("/v1/counts", headers={"Origin": origin})
        assert wrong.status_code == 400
        assert wrong.headers["access-control-allow-origin"] == origin


async def test_another_origin_may_not_read_nor_react(hub: Hub, web: httpx.AsyncClient, item: str) -> None:
    origin = {"Origin": "https://evil.example"}
    answer = await web.get("/v1/counts", params={"item": item}, headers=origin)
    assert "access-control-allow-origin" not in answer.headers
    body = {"item": item, "kind": "like", "value": 1}
    answer = await web.post("/v1/reactions", json=body, headers=origin | bearer(hub, "u:1"))
    assert "access-control-allow-origin" not in answer.headers
    check_problem(answer, 403, "forbidden")
    check_problem(await web.post("/v1/visitors", headers=origin), 403, "forbidden")
    assert (await web.get("/v1/counts", params={"item": item})).json()["items"][0]["counts"] == {}


async def test_a_preflight_of_an_allowed_origin_lets_a_reaction_with_a_token_through(web: httpx.AsyncClient) -> None:
    ask = {
        "Origin": "https://good.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    answer = await web.options("/v1/reactions", headers=ask)
    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] == "https://good.example"
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed
    assert "content-type" in allowed
    answer = await web.options("/v1/reactions", headers=ask | {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


async def test_the_hubs_own_pages_may_react(hub: Hub, web: httpx.AsyncClient, item: str) -> None:
    headers = bearer(hub, "u:own") | {"Origin": f"http://{hub.host}:{hub.port}"}
    answer = await web.post("/v1/reactions", json={"item": item, "kind": "like", "value": 1}, headers=headers)
    assert answer.status_code == 200


async def test_where_viewing_needs_a_token_reading_without_one_is_a_401(start: Start) -> None:
    with start(viewing="token") as hub:
        async with httpx.AsyncClient(base_url=hub.http, trust_env=False, verify=False) as web:
            for path in ("/v1/counts?item=a", "/v1/events?item=a"):
                check_problem(await web.get(path), 401, "unauthenticated")
            answer = await web.get("/v1/counts?item=a", headers=bearer(hub, "u:1"))
            assert answer.status_code == 200
