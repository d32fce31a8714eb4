"""The page of docs/examples as somebody copies it: on a site of its own, with nothing changed but the hub's address."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from embedding import OpenEmbed, Site
from hubs import OwnHub

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "plain.html"
HUB = "https://hub.example.com"


async def test_the_plain_page_takes_a_click_shows_it_to_others_and_keeps_it(
    embed: OpenEmbed, hub: OwnHub, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = EXAMPLE.read_text("utf-8")
    assert HUB in text
    monkeypatch.setattr(site, "page", text.replace(HUB, hub.http).encode)
    monkeypatch.setattr(site, "policy", str)  # none, as on most sites
    ada, ben = await embed(), await embed()
    await ada.button("like", "tally-reactions").click()
    await ben.shows("like", 1, "tally-reactions")
    await ada.page.reload()
    await ada.shows("like", 1, "tally-reactions")
    await expect(ada.button("like", "tally-reactions")).to_have_attribute("aria-pressed", "true")
