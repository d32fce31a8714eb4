"""The dashboard's files: how they are served, and how small they are."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from admin.scene import Scene, opened
from asgi import HOST
from tallycast.routes.dashboard import FILES, packed_path
from web import check_problem

MOST_BYTES = 60 * 1024
UPLOT_LICENCE = b"Permission is hereby granted, free of charge"


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as scene:
        yield scene


async def test_all_of_it_is_at_most_60_kb_as_served(hub: Scene) -> None:
    """Whether it is packed is for tests/packing.py to see to, as for all of the browser's files."""
    paths = ["/dashboard", "/client/tallycast.js", *(f"/dashboard/{name}" for name in FILES if name != "index.html")]
    sizes = {}
    for path in paths:
        answer = await hub.web.get(path, headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200 and answer.headers["content-encoding"] == "gzip", path
        sizes[path] = int(answer.headers["content-length"])
    assert packed_path("js").exists(), "the dashboard has changed: run PYTHONPATH=tests .venv/bin/python -m packing"
    assert sum(sizes.values()) <= MOST_BYTES, sizes


async def test_pages_run_nothing_but_their_own_files_and_are_framed_by_nobody(hub: Scene) -> None:
    page = await hub.web.get("/dashboard")
    assert page.headers["cache-control"] == "no-store"
    for answer in (page, await hub.web.get("/dashboard/app.js")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in page.text and "style=" not in page.text and "onclick" not in page.text


async def test_a_file_is_kept_until_it_changes(hub: Scene) -> None:
    first = await hub.web.get("/dashboard/app.js")
    again = await hub.web.get("/dashboard/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304 and again.headers["cache-control"] == "no-cache"


async def test_uplot_comes_with_its_licence_and_from_the_one_copy_of_it(hub: Scene) -> None:
    plain = await hub.web.get("/dashboard/uplot.js", headers={"Accept-Encoding": "identity"})
    assert FILES["uplot.js"].plain == plain.content
    assert UPLOT_LICENCE in plain.content and plain.content.rstrip().endswith(b"export default uPlot;")
    assert "content-encoding" not in plain.headers


async def test_inside_another_app_it_finds_its_way(hub: Scene) -> None:
    outer = Starlette(routes=[Mount("/engage", hub.app)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url=f"http://{HOST}") as web:
        page = await web.get("/engage/dashboard")
        for reference in re.findall(r'(?:href|src)="(?!#)([^"]+)"', page.text):
            assert (await web.get(f"/engage/{reference}")).status_code == 200, reference
        key = (await hub.key())["Authorization"].removeprefix("Bearer ")
        answer = await web.post("/engage/dashboard/session", data={"key": key})
        assert answer.headers["location"] == "/engage/dashboard"
        assert (await web.get("/engage/v1/admin/items")).status_code == 200


async def test_what_is_no_file_of_it_is_not_found(hub: Scene) -> None:
    for name in ("uplot.d.ts", "nothing.js", "..%2Fapp.py"):
        check_problem(await hub.web.get(f"/dashboard/{name}"), 404, "not_found")
