"""The origin gate and the CORS headers, over the whole app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi import HOST, Call, Inside, inside
from web import check_problem

GOOD = "https://good.example"
EVIL = "https://evil.example"
ALLOW = "access-control-allow-origin"


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(tmp_path, origins=(GOOD,)) as hub:
        yield hub


def cors_headers(answer: httpx.Response) -> set[str]:
    return {name for name in answer.headers if name.startswith("access-control-")}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/counts?item=a"),
        ("HEAD", "/v1/events?item=a"),
        ("GET", "/v1/config"),
        ("GET", "/v1/openapi.json"),
        ("POST", "/v1/visitors"),
        ("POST", "/v1/reactions"),
        ("OPTIONS", "/v1/reactions"),
        ("GET", "/v1/nothing"),
    ],
)
async def test_a_page_of_another_origin_gets_nothing_done(hub: Inside, method: str, path: str) -> None:
    for origin in (EVIL, "null", "", "https://good.example.evil.example"):
        answer = await hub.web.request(method, path, headers={"Origin": origin})
        assert answer.status_code == 403, origin
        assert not cors_headers(answer)
        assert answer.headers["vary"] == "Origin"
    check_problem(await hub.web.get("/v1/config", headers={"Origin": EVIL}), 403, "forbidden")


async def test_a_refused_visitor_is_not_made(tmp_path: Path) -> None:
    async with inside(tmp_path, visitors_per_minute=1) as hub:
        assert (await hub.web.post("/v1/visitors", headers={"Origin": EVIL})).status_code == 403
        assert (await hub.web.post("/v1/visitors")).status_code == 201


async def test_a_page_of_an_allowed_origin_may_read_answers_and_errors(hub: Inside) -> None:
    for path, status in (("/v1/counts?item=a", 200), ("/v1/counts", 400), ("/v1/nothing", 404)):
        answer = await hub.web.get(path, headers={"Origin": GOOD})
        assert answer.status_code == status
        assert answer.headers[ALLOW] == GOOD
        assert answer.headers["access-control-expose-headers"] == "ETag, Retry-After, X-Request-ID"
        assert "access-control-allow-credentials" not in answer.headers
        assert "Origin" in answer.headers["vary"]


async def test_a_304_has_the_headers_too(hub: Inside) -> None:
    etag = (await hub.web.get("/v1/config")).headers["etag"]
    answer = await hub.web.get("/v1/config", headers={"Origin": GOOD, "If-None-Match": etag})
    assert (answer.status_code, answer.headers[ALLOW]) == (304, GOOD)


async def test_a_stream_of_events_has_the_headers_too(hub: Inside) -> None:
    call = Call(hub.app, "GET", "/v1/events?item=a", origin=GOOD)
    await call.until("counts")
    assert call.headers[ALLOW] == GOOD


async def test_a_preflight_allows_what_the_api_takes(hub: Inside) -> None:
    ask = {"Origin": GOOD, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    answer = await hub.web.options("/v1/reactions", headers=ask)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers[ALLOW] == GOOD
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD, POST"
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type, if-none-match, last-event-id"
    assert answer.headers["access-control-max-age"] == "600"


async def test_an_options_that_is_no_preflight_is_a_method_like_any(hub: Inside) -> None:
    check_problem(await hub.web.options("/v1/counts", headers={"Origin": GOOD}), 405, "method_not_allowed")
    check_problem(await hub.web.options("/v1/counts"), 405, "method_not_allowed")


async def test_a_request_without_origin_is_let_in_and_caches_are_told_that_it_mattered(hub: Inside) -> None:
    answer = await hub.web.get("/v1/config")
    assert answer.status_code == 200
    assert not cors_headers(answer)
    assert answer.headers["vary"] == "Origin"


async def test_the_hubs_own_pages_are_let_in(hub: Inside) -> None:
    assert (await hub.web.post("/v1/visitors", headers={"Origin": f"http://{HOST}"})).status_code == 201


async def test_any_origin_may_be_allowed(tmp_path: Path) -> None:
    async with inside(tmp_path, origins=("*",)) as hub:
        answer = await hub.web.get("/v1/config", headers={"Origin": EVIL})
        assert (answer.status_code, answer.headers[ALLOW]) == (200, "*")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/"])
async def test_pages_and_probes_are_left_alone(hub: Inside, path: str) -> None:
    for origin in (GOOD, EVIL):
        answer = await hub.web.get(path, headers={"Origin": origin})
        assert answer.status_code == 200
        assert not cors_headers(answer)


async def test_a_defect_is_not_shown_as_a_failure_of_cors(hub: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(hub.service.hub, "read", fail)
    answer = await hub.web.get("/v1/counts?item=a", headers={"Origin": GOOD})
    check_problem(answer, 500, "internal")
    assert answer.headers[ALLOW] == GOOD


async def test_inside_another_app_the_gate_is_at_the_same_paths(hub: Inside) -> None:
    outer = Starlette(routes=[Mount("/engage", hub.app)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url=f"http://{HOST}") as web:
        check_problem(await web.get("/engage/v1/config", headers={"Origin": EVIL}), 403, "forbidden")
        assert (await web.get("/engage/v1/config", headers={"Origin": GOOD})).headers[ALLOW] == GOOD
        assert (await web.get("/engage/healthz", headers={"Origin": EVIL})).status_code == 200
