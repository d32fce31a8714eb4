"""Where no script runs: a form on a site's page, and a count as a picture."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from playwright.async_api import expect

from embedding import serving
from hubs import Hub, OwnHub
from window import NewPerson, Start

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PAGE = """<!doctype html><title>A post</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; form-action 'self' {hub}; img-src {hub}">
<img src="{hub}/v1/items/post%3A1/badge.svg?kind=like" alt="likes">
<form method="post" action="{hub}/v1/items/post%3A1/reactions">
  <input type="hidden" name="kind" value="like"><input type="hidden" name="return" value="/post/1?again#form">
  <button name="value" value="1">Like</button><button name="value" value="0">Take it back</button>
</form>"""


class Site:
    """Another site than the hub's: its every page has a form and a picture of post:1, and no script."""

    def __init__(self) -> None:
        self.page = b""
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(site.page)))
                self.end_headers()
                self.wfile.write(site.page)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"

    def show(self, hub: Hub) -> None:
        """Make pages for `hub`."""
        self.page = PAGE.format(hub=hub.http).encode()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    with serving(site.server):
        yield site


async def likes(hub: Hub) -> int:
    async with httpx.AsyncClient(base_url=hub.http, trust_env=False) as web:
        answer = await web.get("/v1/counts?item=post:1")
    return int(answer.json()["items"][0]["counts"].get("like", 0))


async def test_a_form_counts_once_and_leads_back_with_scripts_off(start: Start, person: NewPerson, site: Site) -> None:
    hub = start(origins=site.origin)
    site.show(hub)
    page = await (await person(java_script_enabled=False)).new_page()
    for button, standing in (("Like", 1), ("Like", 1), ("Take it back", 0), ("Like", 1)):
        await page.goto(f"{site.origin}/post/1")
        await page.get_by_role("button", name=button).click()
        await page.wait_for_url(f"{site.origin}/post/1?again#form")
        assert await likes(hub) == standing


async def test_a_form_of_a_site_that_is_not_on_the_list_leads_to_the_reason_and_not_back(
    start: Start, person: NewPerson, site: Site
) -> None:
    hub = start(origins="https://www.example.com")
    site.show(hub)
    page = await (await person(java_script_enabled=False)).new_page()
    await page.goto(f"{site.origin}/post/1")
    await page.get_by_role("button", name="Like").click()
    await expect(page.get_by_role("heading")).to_have_text("Not counted")
    await expect(page.locator("p")).to_contain_text("pages of this origin may not use this hub")
    assert await page.get_by_role("link").count() == 0
    assert await likes(hub) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_picture_shows_on_other_sites_pages_and_goes_by_the_readers_theme(
    hub: OwnHub, person: NewPerson, site: Site, scheme: str
) -> None:
    site.show(hub)
    page = await (await person(color_scheme=scheme)).new_page()
    await page.goto(f"{site.origin}/post/1")
    size = await page.get_by_role("img", name="likes").evaluate("(image) => [image.naturalWidth, image.naturalHeight]")
    assert size[0] > 40
    assert size[1] == 20
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    await page.goto(f"{hub.http}/v1/items/post%3A1/badge.svg?kind=like&label=Likes")
    number = page.locator("text.n")
    assert await number.evaluate("(text) => getComputedStyle(text).fill") == {
        "light": "rgb(255, 255, 255)",
        "dark": "rgb(13, 18, 38)",
    }[scheme]  # fmt: skip
    assert errors == []  # its policy lets its style be
    # What is drawn is as wide as was thought, in a font that is there: no character is squeezed or torn apart.
    drawn, thought = await page.locator("text.t").evaluate(
        "(text) => { const thought = text.textLength.baseVal.value; text.removeAttribute('textLength');"
        " return [text.getComputedTextLength(), thought] }"
    )
    assert drawn == pytest.approx(thought, rel=0.1)
