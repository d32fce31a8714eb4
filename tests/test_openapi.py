"""The OpenAPI document: valid, complete, and true of what the running app answers."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate
from starlette.routing import Route

from asgi import HOST, Call, Inside, inside
from described import Described
from hubs import token
from tallycast import kinds
from tallycast.errors import CODES
from tallycast.routes.http import MOST_ITEMS, OPENAPI
from tallycast.wire import ITEM

DOCUMENT: dict[str, Any] = json.loads(OPENAPI)
DESCRIBED = Described(DOCUMENT)
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
BEARER = {"Authorization": f"Bearer {token('u:1')}"}
REACTION = {"item": "a", "kind": "like", "value": 1}
OWN = {"Origin": f"http://{HOST}"}
FORM = {"kind": "like", "value": "1"}


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(tmp_path) as hub:
        yield hub


def check_answer(method: str, path: str, answer: httpx.Response) -> None:
    """An answer is described: its status, its required headers, its type and its body."""
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    assert str(answer.status_code) in responses, f"{method} {path} {answer.status_code} is not described"
    response = DESCRIBED.resolve(responses[str(answer.status_code)])
    for name, header in response.get("headers", {}).items():
        header = DESCRIBED.resolve(header)
        if header.get("required") or name in answer.headers:
            value: str | int = answer.headers[name]
            if header["schema"]["type"] == "integer":
                value = int(value)
            assert DESCRIBED.problems_of(header["schema"], value) == [], name
    if method != "HEAD" and "content" in response:
        media_type = answer.headers["content-type"].partition(";")[0]
        assert media_type in response["content"]
        schema = response["content"][media_type].get("schema")
        if media_type.endswith("json"):
            assert DESCRIBED.problems_of(schema, answer.json()) == []


def test_the_document_is_openapi() -> None:
    validate(DOCUMENT)
    assert DOCUMENT["openapi"] == "3.1.0"


def test_every_example_is_of_its_schema() -> None:
    found = list(DESCRIBED.examples())
    assert len(found) > 15
    assert [problem for schema, example in found for problem in DESCRIBED.problems_of(schema, example)] == []


async def test_every_route_and_method_is_described_and_nothing_else(hub: Inside) -> None:
    served = {
        (method, route.path.replace(":path}", "}"))
        for route in hub.app.routes
        if isinstance(route, Route)
        and not route.path.startswith(("/demo/", "/client/", "/dashboard", "/v1/admin/"))
        and route.path not in ("/", "/v1/live")
        for method in route.methods or ()
    }
    described = {
        (method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods if method.islower()
    }
    assert served == described


def test_the_codes_of_problems_are_those_of_the_hub() -> None:
    assert SCHEMAS["Problem"]["properties"]["code"]["enum"] == list(CODES)


@pytest.mark.parametrize(("name", "pattern"), [("ItemId", ITEM), ("KindName", kinds.NAME)])
def test_names_are_described_as_they_are_checked(name: str, pattern: re.Pattern[str]) -> None:
    described = re.compile(SCHEMAS[name]["pattern"])
    for text in (
        "post:1",
        "a",
        "A",
        "é",
        "",
        " ",
        "a b",
        "x" * 32,
        "x" * 33,
        "x" * 200,
        "x" * 201,
        "-",
        "a\\b",
        "a@/%+=,-",
    ):
        assert bool(described.search(text)) == bool(pattern.fullmatch(text)), text


def test_limits_are_described_as_they_are() -> None:
    properties = SCHEMAS["Reaction"]["properties"]
    assert properties["seq"]["maximum"] == kinds.MAX_SEQ
    assert properties["value"]["oneOf"][0]["maximum"] == kinds.MAX_AMOUNT
    assert set(SCHEMAS["Kind"]["properties"]["rule"]["enum"]) == set(kinds.RULES)
    assert DOCUMENT["components"]["parameters"]["item"]["schema"]["maxItems"] == MOST_ITEMS
    for text in ("12345678", "1234567", "!" * 64, "!" * 65, "with blank", "é" * 8):
        assert bool(re.search(properties["id"]["pattern"], text)) == bool(kinds.EVENT_ID.fullmatch(text)), text


@pytest.mark.parametrize(
    ("method", "path", "query", "status", "options"),
    [
        ("GET", "/v1/counts", "?item=a&item=b", 200, {}),
        ("GET", "/v1/counts", "?item=a&item=b", 200, {"headers": BEARER}),
        ("HEAD", "/v1/counts", "?item=a", 200, {}),
        ("GET", "/v1/counts", "?item=a", 304, {"headers": {"If-None-Match": "*"}}),
        ("HEAD", "/v1/counts", "?item=a", 304, {"headers": {"If-None-Match": "*"}}),
        ("GET", "/v1/counts", "", 400, {}),
        ("GET", "/v1/counts", "?item=a", 401, {"headers": {"Authorization": "Bearer x"}}),
        ("GET", "/v1/counts", "?item=a", 403, {"headers": {"Origin": "https://evil.example"}}),
        ("POST", "/v1/reactions", "", 200, {"headers": BEARER, "json": REACTION}),
        ("POST", "/v1/reactions", "", 400, {"headers": BEARER, "json": {}}),
        ("POST", "/v1/reactions", "", 401, {"json": REACTION}),
        ("POST", "/v1/reactions", "", 413, {"headers": BEARER, "content": b" " * 5000}),
        ("POST", "/v1/visitors", "", 201, {}),
        ("POST", "/v1/visitors", "", 403, {"headers": {"Origin": "https://evil.example"}}),
        ("POST", "/v1/visitors", "", 413, {"content": b" " * 5000}),
        ("GET", "/v1/items/{item}/badge.svg", "?kind=like", 200, {}),
        ("HEAD", "/v1/items/{item}/badge.svg", "?kind=like", 200, {}),
        ("GET", "/v1/items/{item}/badge.svg", "?kind=like", 304, {"headers": {"If-None-Match": "*"}}),
        ("GET", "/v1/items/{item}/badge.svg", "", 400, {}),
        ("POST", "/v1/items/{item}/reactions", "", 303, {"headers": OWN, "data": FORM}),
        ("POST", "/v1/items/{item}/reactions", "", 400, {"headers": OWN, "data": {}}),
        ("POST", "/v1/items/{item}/reactions", "", 401, {"headers": OWN, "data": {**FORM, "token": "x"}}),
        ("POST", "/v1/items/{item}/reactions", "", 403, {"data": FORM}),
        ("POST", "/v1/items/{item}/reactions", "", 403, {"data": FORM, "headers": {"Accept": "application/json"}}),
        ("POST", "/v1/items/{item}/reactions", "", 413, {"headers": OWN, "content": b" " * 5000}),
        ("HEAD", "/v1/events", "?item=a", 200, {}),
        ("GET", "/v1/events", "?item=", 400, {}),
        ("GET", "/v1/config", "", 200, {}),
        ("GET", "/v1/config", "", 304, {"headers": {"If-None-Match": "*"}}),
        ("GET", "/v1/openapi.json", "", 200, {}),
        ("HEAD", "/v1/openapi.json", "", 200, {}),
        ("GET", "/healthz", "", 200, {}),
        ("GET", "/readyz", "", 200, {}),
        ("GET", "/metrics", "", 200, {}),
    ],
)
async def test_what_the_hub_answers_is_what_is_described(
    hub: Inside, method: str, path: str, query: str, status: int, options: dict[str, Any]
) -> None:
    answer = await hub.web.request(method, path.replace("{item}", "post:1") + query, **options)
    assert answer.status_code == status
    check_answer(method, path, answer)


async def test_too_much_at_once_is_answered_as_described(tmp_path: Path) -> None:
    async with inside(tmp_path, visitors_per_minute=1, reactions_per_second=1) as hub:
        for path in ("/v1/visitors", "/v1/reactions"):
            for _ in range(10):
                answer = await hub.web.post(path, headers=BEARER, json=REACTION)
            assert answer.status_code == 429
            check_answer("POST", path, answer)


async def test_a_hub_that_drains_answers_as_described(hub: Inside) -> None:
    await hub.service.drain()
    for path, query in (("/readyz", ""), ("/v1/events", "?item=a")):
        answer = await hub.web.get(path + query)
        assert answer.status_code == 503
        check_answer("GET", path, answer)


async def test_an_event_is_what_the_example_shows(hub: Inside) -> None:
    described = DOCUMENT["paths"]["/v1/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]["example"]
    await hub.react("post:1")
    call = Call(hub.app, "GET", "/v1/events?item=post:1")
    told = await call.until("counts")

    def shape(text: str) -> str:
        return re.sub(r'\d+|"counts":\{[^}]*\}', "#", text)

    assert shape(told) == shape(described)


async def test_the_document_is_served_as_it_is_packaged(hub: Inside) -> None:
    answer = await hub.web.get("/v1/openapi.json")
    assert answer.content == OPENAPI
    assert answer.headers["content-type"] == "application/json"
