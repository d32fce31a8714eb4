"""The examples of docs/ as somebody copies them: on a site of its own, with nothing changed but the hub's address."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from pathlib import Path

import httpx
import pytest
from playwright.async_api import expect

from embedding import OpenEmbed, Site
from hubs import OwnHub, eventually
from nodejs import HERE, MODULES, install, node

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

EXAMPLES = HERE.parent.parent / "docs" / "examples"
HUB = "https://hub.example.com"
PAGE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>A post</title><body>{}</body></html>'


def serve(site: Site, html: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the site's page be this, under no policy, as most sites have none."""
    monkeypatch.setattr(site, "page", html.encode)
    monkeypatch.setattr(site, "policy", str)


def example(name: str, hub: OwnHub) -> str:
    """An example with the hub's address in it."""
    text = (EXAMPLES / name).read_text("utf-8")
    assert HUB in text
    return text.replace(HUB, hub.http)


def bundled(entry: Path) -> str:
    """A page's module with all that it imports in it, for developers: React tells then what it finds wrong."""
    install()
    done = node(
        MODULES / "esbuild" / "bin" / "esbuild",
        entry,
        *("--bundle", "--format=esm", "--jsx=automatic", '--define:process.env.NODE_ENV="development"'),
        NODE_PATH=os.fspath(MODULES),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_the_plain_page_takes_a_click_shows_it_to_others_and_keeps_it(
    embed: OpenEmbed, hub: OwnHub, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(site, example("plain.html", hub), monkeypatch)
    ada, ben = await embed(), await embed()
    await ada.button("like", "tally-reactions").click()
    await ben.shows("like", 1, "tally-reactions")
    await ada.page.reload()
    await ada.shows("like", 1, "tally-reactions")
    await expect(ada.button("like", "tally-reactions")).to_have_attribute("aria-pressed", "true")


async def test_react_sets_attributes_hears_events_and_takes_elements_away(
    embed: OpenEmbed, hub: OwnHub, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = bundled(Path(__file__).parent / "react_page.tsx")
    assert HUB in script
    serve(site, PAGE.format(f'<script type="module">{script.replace(HUB, hub.http)}</script>'), monkeypatch)
    ada, ben = await embed(), await embed()
    assert await ada.page.locator(f'script[src="{hub.http}/client/widget.js"]').count() == 1
    await ada.is_live()
    await ada.button("like").click()
    await ada.button("clap").click()
    await expect(ada.page.locator("output")).to_have_text("2")
    await ada.shows("like", 1, "#first")
    await ben.shows("like", 1)
    await ada.page.get_by_role("button", name="Next post").click()
    await ada.shows("like", 0)
    await ada.button("like").click()
    await ada.shows("like", 1)
    await ada.shows("like", 1, "#first")
    await ada.page.get_by_role("button", name="Next post").click()
    await ada.shows("like", 0)
    await expect(ada.page.locator("tally-reactions")).to_have_count(1)
    await expect(ada.page.locator("output")).to_have_text("3")
    await ada.page.evaluate("watched.shifts.length = 0")  # what React put in after the page was there


async def test_what_wordpress_and_hugo_print_are_live_reactions_to_two_items(
    embed: OpenEmbed, hub: OwnHub, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As their own functions would fill it in; Hugo escapes a sign or two that an item may have."""
    php = example("tallycast.php", hub).replace("' . get_the_ID() . '", "7")
    (post,) = re.findall(r"'(<tally-reactions .*></tally-reactions>)'", php)
    hugo = re.sub(r"^{{-.*-}}\n", "", (EXAMPLES / "tallycast.html").read_text("utf-8"))
    hugo = hugo.replace("{{ .Site.Params.tallycast }}", hub.http).replace(
        "{{ .RelPermalink }}", "/gr%C3%BC%C3%9Fe-&#43;/"
    )
    assert "{{" not in hugo
    serve(site, PAGE.format(f'<div id="wordpress">{post}</div><div id="hugo">{hugo}</div>'), monkeypatch)
    ada = await embed()
    for place in ("#wordpress", "#hugo"):
        await ada.is_live(place)
        await ada.button("like", place).click()
    ben = await embed()
    for place in ("#wordpress", "#hugo"):
        await ben.shows("like", 1, place)
    await ben.page.evaluate("watched.shifts.length = 0")  # these pages reserve no room


@pytest.mark.parametrize("pinned", ["what is served", "something else"])
async def test_a_page_that_pins_the_script_runs_exactly_that_or_nothing(
    pinned: str, embed: OpenEmbed, hub: OwnHub, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{hub.http}/client/1/widget.js"
    async with httpx.AsyncClient(trust_env=False) as web:
        served = (await web.get(url)).content
    digest = hashlib.sha384(served if pinned == "what is served" else b"").digest()
    integrity = f"sha384-{base64.b64encode(digest).decode()}"
    script = f'<script type="module" src="{url}" integrity="{integrity}" crossorigin></script>'
    serve(
        site, PAGE.format(f'{script}<tally-button id="here" item="post:1" kind="like">41</tally-button>'), monkeypatch
    )
    ada = await embed()
    if pinned == "what is served":
        await ada.is_live()
    else:
        await eventually(lambda: [error for error in ada.errors if "integrity" in error])
        assert await ada.page.evaluate("customElements.get('tally-button')") is None
        await expect(ada.page.locator("#here")).to_have_text("41")
        ada.errors.clear()
