"""What people do in the gallery, and what everybody sees of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.async_api import BrowserContext, expect

from hubs import OwnHub
from window import NewPerson, OpenWindow, Start

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


def reactions(frames: list[str], kind: str) -> list[dict[str, Any]]:
    """The reactions of a kind among the frames that a page sent."""
    messages = [json.loads(frame) for frame in frames]
    return [message for message in messages if message["op"] == "react" and message["kind"] == kind]


async def keep(context: BrowserContext, hub: OwnHub, kept: str) -> None:
    """Put `kept` where the page keeps its identity, before any of its scripts runs for the first time."""
    name = f"tallycast.visitor:{hub.http}/v1/"
    await context.add_init_script(
        f"localStorage.getItem('was here') ?? localStorage.setItem({json.dumps(name)}, {json.dumps(kept)});"
        "localStorage.setItem('was here', 'yes')"
    )


async def test_a_click_moves_the_number_in_everybodys_window(hub: OwnHub, window: OpenWindow) -> None:
    ada, ben = await window(hub), await window(hub)
    await ada.click("article", "like")
    await ada.shows("article", "like", 1, mine=True)
    await ben.shows("article", "like", 1, mine=False)
    await ben.click("article", "like")
    await ada.shows("article", "like", 2, mine=True)
    await ada.shows("video", "like", 0, mine=False)


async def test_a_reload_keeps_what_was_said(hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub)
    await ada.click("article", "love")
    await ada.click("article", "clap", times=2)
    await expect(ada.button("article", "clap")).to_have_accessible_name("Clap, 2, 2/50")
    await ada.page.reload()
    await ada.shows("article", "love", 1, mine=True)
    await ada.click("article", "clap")
    await ada.shows("article", "clap", 3)


async def test_what_is_said_of_a_moment_of_the_film_rises_there_for_everybody(hub: OwnHub, window: OpenWindow) -> None:
    ada, ben = await window(hub), await window(hub)
    slider = ada.page.get_by_role("slider", name="Moment of the film")
    for each in (ada, ben):
        await each.page.locator("#video .film").scroll_into_view_if_needed()
    await slider.fill("8")
    await ada.page.get_by_role("button", name="Clap this moment").click(click_count=3)
    await expect(ada.page.locator(".stage .float").first).to_be_attached()
    for each in (ada, ben):
        await expect(each.page.locator(".bars i").nth(8)).to_have_attribute("style", re.compile("--height: 0.5"))
        await expect(each.page.locator(".stage .float")).to_have_count(0)
    await ben.page.get_by_role("slider", name="Moment of the film").fill("7")
    await ben.page.get_by_role("button", name="Play the film").click()
    await expect(ben.page.locator(".stage .float").first).to_have_text("👏")
    counts = await ada.page.evaluate("fetch('v1/counts?item=demo:film@8').then((answer) => answer.json())")
    assert counts["items"][0]["counts"] == {"clap": 3}


async def test_two_windows_of_one_person_count_as_one(hub: OwnHub, person: NewPerson, window: OpenWindow) -> None:
    context = await person()
    left, right = await window(hub, context), await window(hub, context)
    await left.click("article", "clap", times=3)
    await left.click("video", "like")
    await expect(right.button("article", "clap")).to_have_accessible_name("Clap, 3, 3/50")
    await right.shows("video", "like", 1, mine=True)
    await right.click("article", "clap")
    await right.click("video", "like")
    await left.shows("article", "clap", 4)
    await left.shows("video", "like", 0, mine=False)


async def test_a_reader_gets_no_identity(hub: OwnHub, person: NewPerson, window: OpenWindow) -> None:
    context = await person()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    ada = await window(hub, context)
    visitors = f"POST {hub.http}/v1/visitors"
    assert visitors not in asked
    assert await ada.page.evaluate("localStorage.length") == 0
    await ada.click("article", "like", times=3)
    await ada.shows("article", "like", 1, mine=True)
    assert asked.count(visitors) == 1
    assert await context.cookies() == []


async def test_reactions_count_where_nothing_can_be_kept(hub: OwnHub, person: NewPerson, window: OpenWindow) -> None:
    context = await person()
    await context.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } });"
    )
    ada = await window(hub, context)
    await ada.click("article", "like")
    await ada.click("article", "clap", times=2)
    await ada.shows("article", "like", 1, mine=True)
    await ada.shows("article", "clap", 2)


@pytest.mark.parametrize(
    "kept",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ2OjEiLCJleHAiOjQxMDI0NDQ4MDB9.AAAA",
        "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.AAAA",
        "{",
    ],
    ids=["wrong", "expired", "broken"],
)
async def test_an_identity_that_is_no_longer_good_is_renewed(
    kept: str, hub: OwnHub, person: NewPerson, window: OpenWindow
) -> None:
    context = await person()
    await keep(context, hub, kept)
    ada = await window(hub, context)
    await ada.click("article", "like")
    await ada.shows("article", "like", 1, mine=True)
    await ada.page.reload()
    await ada.shows("article", "like", 1, mine=True)


async def test_a_refused_click_rolls_back_and_says_why(hub: OwnHub, person: NewPerson, window: OpenWindow) -> None:
    context = await person()
    await keep(context, hub, hub.token("u:42", items=["demo:article"]))
    ada = await window(hub, context)
    await ada.click("article", "like")
    await ada.shows("article", "like", 1, mine=True)
    await ada.click("video", "like")
    await expect(ada.page.locator("#video [part=note]")).to_contain_text("Not counted: ")
    await ada.shows("video", "like", 0, mine=False)
    assert [error for error in ada.errors if "the token is not good for demo:video" not in error] == []
    ada.errors.clear()


async def test_reactions_over_the_rate_limit_are_put_off_and_counted_once(start: Start, window: OpenWindow) -> None:
    ada = await window(start(reactions_per_second=2))
    counts = await ada.page.evaluate(
        """async () => {
          const { hub } = await import("/demo/page.js");
          const items = Array.from({ length: 12 }, (_, second) => `demo:film@${second}`);
          await Promise.all(items.map((item) => hub.react(item, "clap")));
          const answer = await fetch("/v1/counts?" + items.map((item) => `item=${item}`).join("&"));
          return (await answer.json()).items.map(({ counts }) => counts.clap);
        }"""
    )
    assert counts == [1] * 12
    assert len(reactions(ada.sent, "clap")) > 12
