"""The hub goes away and comes back: every page goes on by itself, and no vote is lost or doubled."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import WebSocketRoute, expect

from hubs import OwnHub
from window import NewPerson, OpenWindow, Start

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_page_goes_on_after_the_hubs_restart(start: Start, window: OpenWindow) -> None:
    hub = start()
    ada, ben = await window(hub), await window(hub)
    await ada.click("article", "like")
    await ada.click("article", "clap", times=3)
    await ben.shows("article", "clap", 3)
    hub.terminate()
    hub.wait()
    await ada.state_is("reconnecting…")
    start()
    await ada.is_live()
    await ben.is_live()
    await ada.shows("article", "like", 1, mine=True)
    await ada.shows("article", "clap", 3)
    await ben.click("article", "like")
    await ada.shows("article", "like", 2, mine=True)
    for window_ in (ada, ben):
        window_.expect_no_hub()


async def test_clicks_while_the_hub_is_away_wait_and_count_once(start: Start, window: OpenWindow) -> None:
    hub = start()
    ada, ben = await window(hub, permissions=["clipboard-read", "clipboard-write"]), await window(hub)
    await ada.click("video", "like")
    await ben.shows("video", "like", 1)
    hub.kill()
    await ada.state_is("reconnecting…")
    ada.sent.clear()
    await ada.click("article", "dislike")
    await ada.click("article", "like")
    await ada.click("article", "clap", times=4)
    await ada.click("article", "share", times=2)
    await ada.shows("article", "clap", 4)
    start()
    for window_ in (ada, ben):
        await window_.is_live()
        await window_.shows("article", "like", 1)
        await window_.shows("article", "dislike", 0)
        await window_.shows("article", "clap", 4)
        await window_.shows("article", "share", 2)
        await window_.shows("video", "like", 1)
        window_.expect_no_hub()
    said = [message for message in map(json.loads, ada.sent) if message["op"] == "react"]
    assert [(message["kind"], message.get("value")) for message in said] == [
        ("like", 1),
        ("clap", 4),
        ("share", None),
        ("share", None),
    ]


async def test_the_first_click_of_all_may_fall_into_an_outage(start: Start, window: OpenWindow) -> None:
    hub = start()
    ada = await window(hub)
    hub.kill()
    await ada.state_is("reconnecting…")
    await ada.click("article", "like")
    start()
    await ada.is_live()
    ada.expect_no_hub()
    ben = await window(hub)
    await ben.shows("article", "like", 1, mine=False)


async def test_a_reaction_whose_answer_was_lost_is_sent_again_the_same(
    hub: OwnHub, person: NewPerson, window: OpenWindow
) -> None:
    """The page's end of the connection is cut after the reaction went out and before it heard the answer."""
    context = await person(permissions=["clipboard-read", "clipboard-write"])
    await context.add_init_script(
        """
        const { send } = WebSocket.prototype;
        WebSocket.prototype.send = function (text) {
          send.call(this, text);
          if (!window.cut && JSON.parse(text).kind === "share") {
            window.cut = true;
            const { onclose } = this;
            this.onmessage = null;
            setTimeout(() => onclose.call(this, { code: 1006 }));
          }
        };
        """
    )
    ada, ben = await window(hub, context), await window(hub)
    await ada.click("article", "share")
    await ada.click("article", "like")
    await ben.shows("article", "like", 1)
    await ada.shows("article", "share", 1)
    await ben.shows("article", "share", 1)
    sent = [json.loads(frame) for frame in ada.sent]
    ids = [message["id"] for message in sent if message.get("kind") == "share"]
    assert len(ids) == 2
    assert len(set(ids)) == 1


async def test_an_older_number_that_comes_late_is_not_shown(hub: OwnHub, person: NewPerson, window: OpenWindow) -> None:
    context = await person()
    lines: list[WebSocketRoute] = []

    def relay(line: WebSocketRoute) -> None:
        line.connect_to_server()
        lines.append(line)

    await context.route_web_socket(lambda url: url.endswith("/v1/live"), relay)
    ada = await window(hub, context)
    await ada.click("article", "like")
    await ada.click("article", "clap")
    await expect(ada.button("article", "clap")).to_have_accessible_name("Clap, 1, 1/50")
    for message in (
        {"ev": "counts", "item": "demo:article", "v": 1, "counts": {"like": 99}},
        {"ev": "something of a later version", "item": "demo:article"},
        {"ev": "counts", "item": "demo:video", "v": 1, "counts": {"like": 7}},
    ):
        lines[-1].send(json.dumps(message))
    await ada.shows("video", "like", 7)
    await ada.shows("article", "like", 1, mine=True)


async def test_where_viewing_needs_a_token_the_page_says_so(start: Start, person: NewPerson) -> None:
    hub = start(viewing="token")
    page = await (await person()).new_page()
    await page.goto(f"{hub.http}/")
    await expect(page.locator(".state .word")).to_have_text("sign-in needed to view")
    await expect(page.locator("#article [part=count]").first).to_have_text("–")
