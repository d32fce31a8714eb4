"""The files of the gallery as they are served, and that its snippets are what runs in it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape

import httpx
import pytest
from starlette.applications import Starlette

from tallycast.routes import demo

PART = re.compile(r'<(div class="hero"|section [^>]*id="(?P<id>\w+)").*?(?=<section|</main>)', re.DOTALL)
SNIPPET = re.compile(r'<figure class="snippet"(?P<how>[^>]*)>.*?<code>(?P<code>.*?)</code>.*?</figure>', re.DOTALL)


@pytest.fixture
async def web() -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app that has nothing but the page."""
    transport = httpx.ASGITransport(Starlette(routes=demo.routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://hub.example:8000") as web:
        yield web


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/demo/wall.html", "text/html; charset=utf-8"),
        ("/demo/overlay.html", "text/html; charset=utf-8"),
        ("/demo/gallery.css", "text/css; charset=utf-8"),
        ("/demo/gallery.js", "text/javascript; charset=utf-8"),
        ("/demo/icon.svg", "image/svg+xml"),
    ],
)
async def test_each_file_has_its_type_and_cannot_be_taken_for_another(
    path: str, media_type: str, web: httpx.AsyncClient
) -> None:
    answer = await web.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await web.head(path)).headers["content-length"] == str(len(answer.content))


async def test_a_file_that_the_browser_has_is_not_sent_again(web: httpx.AsyncClient) -> None:
    first = await web.get("/demo/page.js")
    again = await web.get("/demo/page.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = await web.get("/demo/film.js", headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2fsettings.py", "%2e%2e/errors.py", "__init__.py", "", "INDEX.HTML"]
)
async def test_there_is_nothing_below_demo_but_its_files(name: str, web: httpx.AsyncClient) -> None:
    assert (await web.get(f"/demo/{name}")).status_code == 404


async def test_the_policy_lets_the_page_talk_to_its_own_hub_alone(web: httpx.AsyncClient) -> None:
    policy = (await web.get("/")).headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert "connect-src 'self' ws://hub.example:8000 wss://hub.example:8000" in policy


@pytest.mark.parametrize("host", ["a; script-src *", "a b", "a,b", "*", "", "[::1", "evil.example;"])
async def test_a_host_that_is_no_host_does_not_get_into_the_policy(host: str, web: httpx.AsyncClient) -> None:
    policy = (await web.get("/", headers={"Host": host})).headers["content-security-policy"]
    assert "connect-src 'self';" in policy


async def test_an_address_may_be_the_host(web: httpx.AsyncClient) -> None:
    policy = (await web.get("/", headers={"Host": "[::1]:8000"})).headers["content-security-policy"]
    assert "connect-src 'self' ws://[::1]:8000 wss://[::1]:8000;" in policy


async def test_the_snippet_under_each_example_is_what_runs(web: httpx.AsyncClient) -> None:
    page = (await web.get("/")).text
    head = page[: page.index("</head>")]
    seen = []
    for part in PART.finditer(page):
        running = "\n".join(line.strip() for line in SNIPPET.sub("", part[0]).splitlines())
        for snippet in SNIPPET.finditer(part[0]):
            seen.append(part["id"])
            code = unescape(snippet["code"])
            if file := re.search(r'data-file="([\w.]+)"', snippet["how"]):
                assert code == (await web.get(f"/demo/{file[1]}")).text.rstrip()
                assert f'"demo/{file[1]}"' in head
            elif "data-addresses" in snippet["how"]:
                assert [(await web.get(f"/{address}")).status_code for address in code.splitlines()] == [200, 200]
            elif "data-head" in snippet["how"]:
                script, element = code.splitlines()
                assert script in head
                assert element in running
            else:
                assert code in running
    assert seen == [None, "article", "clap", "watching", "video", "video", "cards", "themes", "themes", "screens"]


async def test_all_that_the_gallery_counts_is_its_own(web: httpx.AsyncClient) -> None:
    items = re.findall(r'\bitem="([^"]*)"', (await web.get("/")).text)
    assert len(set(items)) >= 55
    assert [item for item in items if not item.startswith("demo:")] == []


@pytest.mark.parametrize("path", ["/", "/demo/wall.html", "/demo/overlay.html"])
async def test_the_pages_load_nothing_from_elsewhere(path: str, web: httpx.AsyncClient) -> None:
    assert re.findall(r'(?:src|href)="(?:\w+:|//)', (await web.get(path)).text) == []
