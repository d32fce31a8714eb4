"""GET /v1/admin/openapi.json: the administrator's API, put together of what each feature says of its own paths."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tallycast.routes.http import NO_STORE, OPENAPI

SHARED = ("ItemId", "KindName", "Version", "Numbers", "Problem")  # schemas of the public document that this one needs
HEAD: Mapping[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Tallycast, for administrators",
        "version": "1",
        "summary": "Moderation, polls, history, alerts: what a site does with its counts.",
        "description": "See docs/admin.md. Every answer is `Cache-Control: no-store`. Each request needs an API key "
        "with the right that its operation names; a key with a prefix is good for items that begin with it alone.\n\n"
        "New members may be added to answers in later 1.x hubs: ignore those that you do not know.",
        "license": {"name": "MIT", "identifier": "MIT"},
    },
    "security": [{"key": []}, {"session": []}],
}


def merged() -> dict[str, Any]:
    """One document of all fragments, `openapi/*.json` with `paths`, `components` and `tags`.

    Raises ValueError where two describe the same.
    """
    schemas = orjson.loads(OPENAPI)["components"]["schemas"]
    components: dict[str, dict[str, Any]] = {"schemas": {name: schemas[name] for name in SHARED}}
    paths: dict[str, Any] = {}
    tags: list[Any] = []
    fragments = resources.files("tallycast").joinpath("openapi")
    for file in sorted(fragments.iterdir(), key=lambda file: file.name):
        fragment = orjson.loads(file.read_bytes())
        tags += fragment.get("tags", [])
        _add(paths, fragment["paths"], file.name)
        for section, named in fragment.get("components", {}).items():
            _add(components.setdefault(section, {}), named, file.name)
    return {**HEAD, "tags": tags, "paths": paths, "components": components}


def _add(to: dict[str, Any], more: Mapping[str, Any], source: str) -> None:
    if twice := to.keys() & more.keys():
        raise ValueError(f"{source} describes again what another fragment does: {', '.join(sorted(twice))}")
    to.update(more)


@cache
def document() -> bytes:
    """merged() as JSON."""
    return orjson.dumps(merged())


async def openapi(_request: Request) -> Response:
    """This API, described in OpenAPI 3.1."""
    return Response(document(), headers=NO_STORE, media_type="application/json")


routes: list[BaseRoute] = [Route("/v1/admin/openapi.json", openapi)]
