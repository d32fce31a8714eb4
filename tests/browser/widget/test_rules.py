"""Kinds of the newer rules in the browser: views without a name, stars, numbers of the site's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from embedding import OpenEmbed, Site
from hubs import OwnHub
from tab import OpenTab
from window import Start

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

KINDS = """
[like]
rule = "toggle"
[view]
rule = "unique"
[stars]
rule = "rating"
[comments]
rule = "external"
"""


@pytest.fixture
def hub(start: Start, site: Site, tmp_path: Path) -> OwnHub:
    """A hub with a kind of each rule."""
    file = tmp_path / "kinds.toml"
    file.write_text(KINDS, "utf-8")
    hub = start(kinds=file, origins=site.origin)
    site.hub = hub.http
    return hub


async def test_a_view_counts_once_and_makes_no_visitor(hub: OwnHub, tab: OpenTab) -> None:
    ada = await tab(hub.http)
    await ada.live()
    for _ in range(2):
        assert (await ada.react("view"))["ok"]
        await ada.shows("view", 1)
    assert await ada.page.evaluate("localStorage.length") == 0
    assert (await ada.react("like"))["ok"]  # which takes a name
    assert await ada.page.evaluate("localStorage.length") == 1


async def test_stars_are_given_changed_and_taken_back(hub: OwnHub, tab: OpenTab) -> None:
    ada = await tab(hub.http)
    await ada.live()
    for value, counts in ((4, "stars-4"), (5, "stars-5"), (0, None)):
        assert (await ada.page.evaluate("value => hub.react('post:1', 'stars', value)", value))["ok"]
        await ada.until(
            "[1, 2, 3, 4, 5].filter((n) => states['post:1'].counts['stars-' + n]).join() === "
            f"'{counts[-1] if counts else ''}'"
        )


async def test_an_element_without_kinds_shows_what_can_be_pressed(embed: OpenEmbed, hub: OwnHub, site: Site) -> None:
    site.body = '<tally-reactions id="here" item="post:1"></tally-reactions>'
    ada = await embed()
    await ada.is_live()
    await expect(ada.page.locator("#here button")).to_have_count(1)
    await expect(ada.button("like")).to_be_visible()
