"""What people do on the demo page, and what everybody sees of it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext, expect

from hubs import OwnHub
from window import NewPerson, OpenWindow, Start

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

IDENTITY = "tallycast.visitor:/"  # the name under which the page keeps its visitor's token


def reactions(frames: list[str], kind: str) -> list[dict[str, Any]]:
    """The reactions of a kind among the frames that a page sent."""
    messages = [json.loads(frame) for frame in frames]
    return [message for message in messages if message["op"] == "react" and message["kind"] == kind]


async def keep(context: BrowserContext, kept: str) -> None:
    """Put `kept` where the page keeps its identity, before any of its scripts runs for the first time."""
    await context.add_init_script(
        f"localStorage.getItem('was here') ?? localStorage.setItem({json.dumps(IDENTITY)}, {json.dumps(kept)});"
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


async def test_the_number_moves_in_the_frame_of_the_click(hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub)
    script = "button => { button.click(); return [button.ariaPressed, button.querySelector('.count').textContent]; }"
    assert await ada.button("article", "love").evaluate(script) == ["true", "1"]


async def test_a_dislike_takes_the_like_back(hub: OwnHub, window: OpenWindow) -> None:
    ada, ben = await window(hub), await window(hub)
    await ada.click("article", "like")
    await ben.shows("article", "like", 1)
    await ada.click("article", "dislike")
    await ada.shows("article", "like", 0, mine=False)
    await ada.shows("article", "dislike", 1, mine=True)
    await ben.shows("article", "like", 0)
    await ben.shows("article", "dislike", 1)
    await ada.click("article", "dislike")
    await ben.shows("article", "dislike", 0)


async def test_each_click_claps_once_until_the_kinds_maximum(tmp_path: Path, start: Start, window: OpenWindow) -> None:
    kinds = tmp_path / "kinds.toml"
    kinds.write_text('[clap]\nrule = "amount"\nmax = 3\nlabel = "Applaud"\nemoji = "👏"\n', "utf-8")
    hub = start(kinds=kinds)
    ada, ben = await window(hub), await window(hub)
    await expect(ada.page.locator("#article .reactions")).to_have_text("👏0Applaud")
    await ada.click("article", "clap", times=5)
    await ada.says("article", "That is all: 3 from one person.")
    await ben.click("article", "clap")
    await ada.shows("article", "clap", 4)
    await ben.shows("article", "clap", 4)
    await expect(ada.button("article", "clap")).to_have_accessible_name("Applaud, 4, 3 of 3 from you")


async def test_a_share_copies_the_cards_address_and_counts(hub: OwnHub, person: NewPerson, window: OpenWindow) -> None:
    context = await person(permissions=["clipboard-read", "clipboard-write"])
    ada = await window(hub, context)
    await ada.click("video", "share", times=2)
    await ada.says("video", "Link copied.")
    await ada.shows("video", "share", 2)
    assert await ada.page.evaluate("navigator.clipboard.readText()") == f"{hub.http}/#video"
    await ada.page.reload()
    await ada.shows("video", "share", 2)


async def test_a_share_that_is_called_off_does_not_count(hub: OwnHub, person: NewPerson, window: OpenWindow) -> None:
    context = await person()
    await context.add_init_script("navigator.share = async () => { throw new DOMException('no', 'AbortError'); };")
    ada = await window(hub, context)
    await ada.click("article", "share")
    await ada.click("article", "love")
    await ada.shows("article", "love", 1)
    assert reactions(ada.sent, "share") == []


async def test_a_reload_keeps_what_was_said(hub: OwnHub, window: OpenWindow) -> None:
    ada = await window(hub)
    await ada.click("article", "love")
    await ada.click("article", "clap", times=2)
    await expect(ada.button("article", "clap")).to_have_accessible_name("Clap, 2, 2 of 50 from you")
    await ada.page.reload()
    await ada.shows("article", "love", 1, mine=True)
    await ada.click("article", "clap")
    await ada.shows("article", "clap", 3)


async def test_two_windows_of_one_person_count_as_one(hub: OwnHub, person: NewPerson, window: OpenWindow) -> None:
    context = await person()
    left, right = await window(hub, context), await window(hub, context)
    await left.click("article", "clap", times=3)
    await left.click("video", "like")
    await expect(right.button("article", "clap")).to_have_accessible_name("Clap, 3, 3 of 50 from you")
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
        json.dumps({"token": "not.a.token", "expires_ms": (time.time() + 9999) * 1000}),
        json.dumps({"token": "not.a.token", "expires_ms": 1}),
        "{",
    ],
    ids=["wrong", "expired", "broken"],
)
async def test_an_identity_that_is_no_longer_good_is_renewed(
    kept: str, hub: OwnHub, person: NewPerson, window: OpenWindow
) -> None:
    context = await person()
    await keep(context, kept)
    ada = await window(hub, context)
    await ada.click("article", "like")
    await ada.shows("article", "like", 1, mine=True)
    await ada.page.reload()
    await ada.shows("article", "like", 1, mine=True)


async def test_a_refused_click_rolls_back_and_says_why(hub: OwnHub, person: NewPerson, window: OpenWindow) -> None:
    context = await person()
    token = hub.token("u:42", items=["demo:article"])
    await keep(context, json.dumps({"token": token, "expires_ms": (time.time() + 9999) * 1000}))
    ada = await window(hub, context)
    await ada.click("article", "like")
    await ada.shows("article", "like", 1, mine=True)
    await ada.click("video", "like")
    await expect(ada.page.locator("#video .note")).to_contain_text("Not counted: ")
    await ada.shows("video", "like", 0, mine=False)


async def test_clicks_over_the_rate_limit_are_put_off_and_counted_once(start: Start, window: OpenWindow) -> None:
    hub = start(reactions_per_second=2)
    ada, ben = await window(hub), await window(hub)
    await ada.click("article", "like")
    await ben.shows("article", "like", 1)
    await ada.button("article", "clap").evaluate("button => { for (let i = 0; i < 12; i += 1) button.click(); }")
    await ada.shows("article", "clap", 12)
    await ben.shows("article", "clap", 12)
    assert len(reactions(ada.sent, "clap")) > 12
