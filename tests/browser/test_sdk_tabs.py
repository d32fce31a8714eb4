"""A browser's tabs and their one socket: who has it, who takes it over, and where there can be none for all."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser

from hubs import SECONDS, OwnHub
from tab import OpenTab
from window import NewPerson

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_browsers_tabs_share_a_socket_which_another_takes_over(
    hub: OwnHub, person: NewPerson, tab: OpenTab
) -> None:
    context = await person()
    first = await tab(hub.http, context)
    second = await tab(hub.http, context)
    third = await tab(hub.http, context)
    assert [first.sockets, second.sockets, third.sockets] == [1, 0, 0]
    assert (await second.react("like"))["ok"]
    await first.shows("like", 1, mine=1)
    await third.shows("like", 1, mine=1)
    await second.page.evaluate("void watch('post:2', { viewers: true })")
    await second.until("states['post:2']?.viewers === 1")
    await first.page.evaluate("watch('post:2')()")  # watched and let go of at once, beside who goes on watching
    ben = await tab(hub.http)
    await ben.react("love", "post:2")
    await second.shows("love", 1, item="post:2")

    await first.page.close()
    assert (await second.react("share"))["ok"]
    await ben.shows("share", 1)
    assert second.sockets + third.sockets == 1
    await third.shows("share", 1)
    await ben.react("love")
    await third.shows("love", 1, mine=0)


async def test_a_tab_that_leads_and_no_longer_answers_loses_the_lead(
    hub: OwnHub, person: NewPerson, tab: OpenTab
) -> None:
    context = await person()
    first = await tab(hub.http, context)
    second = await tab(hub.http, context)
    session = await context.new_cdp_session(first.page)
    await session.send("Debugger.enable")
    await session.send("Debugger.pause")  # a page that hangs: it still holds the lock
    await second.page.evaluate("dispatchEvent(new Event('online'))")
    assert (await second.react("like"))["ok"]
    assert second.sockets == 1
    await session.send("Debugger.disable")
    await first.shows("like", 1, mine=1)
    assert await first.page.evaluate("hub.status") == "live"


async def test_tabs_that_together_watch_too_much_for_one_connection_each_get_their_own(
    hub: OwnHub, person: NewPerson, tab: OpenTab
) -> None:
    context = await person()
    tabs = [await tab(hub.http, context) for _ in range(3)]
    for number, each in enumerate(tabs):
        script = "(number) => Array.from({ length: 150 }, (_, i) => watch(`card:${number}:${i}`)) && 0"
        await each.page.evaluate(script, number)
    for number, each in enumerate(tabs):
        await each.until(
            f"Array.from({{ length: 150 }}, (_, i) => states[`card:{number}:${{i}}`]?.known).every(Boolean)"
        )
    ben = await tab(hub.http)
    for number, each in enumerate(tabs):
        for place in (0, 75, 149):
            await ben.react("love", f"card:{number}:{place}")
            await each.shows("love", 1, item=f"card:{number}:{place}")
        assert (await each.react("share"))["ok"]
    for each in (*tabs, ben):
        await each.shows("share", 3)
        assert each.lines == []
    async with asyncio.timeout(SECONDS):
        while [each.open_sockets for each in tabs] != [1, 1, 1]:
            await asyncio.sleep(0.05)


async def test_a_page_that_watches_too_much_for_one_connection_is_told_once_and_tries_again_later(
    hub: OwnHub, person: NewPerson, tab: OpenTab
) -> None:
    context = await person()
    await context.clock.install()
    ada = await tab(hub.http, context)
    await ada.page.evaluate("window.ends = Array.from({ length: 250 }, (_, i) => watch(`card:${i}`)), 0")
    known = "Array.from({ length: 250 }, (_, i) => states[`card:${i}`]?.known).filter(Boolean).length"
    await ada.until(f"{known} > 150")
    async with asyncio.timeout(SECONDS):
        while not ada.lines:
            await asyncio.sleep(0.05)
    assert (await ada.react("like", "card:249"))["ok"]
    assert await ada.page.evaluate(known) < 200
    assert ["200 items" in line for line in ada.lines] == [True], ada.lines
    assert ada.sockets == 2  # at first one for all tabs, then one of its own
    await ada.page.evaluate("ends.slice(0, 60).forEach((end) => end())")
    await ada.page.clock.fast_forward(31_000)
    await ada.until(f"{known} === 250")
    assert ada.sockets == 2


async def test_a_page_that_comes_back_from_the_page_cache_goes_on(
    hub: OwnHub, whole_chromium: Browser, tab: OpenTab
) -> None:
    context = await whole_chromium.new_context()
    ada, ben = await tab(hub.http, context), await tab(hub.http)
    await ada.react("like")
    await ada.page.evaluate("addEventListener('pageshow', (event) => (window.kept = event.persisted))")
    await ada.page.goto(f"{hub.http}/v1/openapi.json")
    await ben.react("like")
    await ada.page.evaluate("history.back()")
    await ada.until("window.kept")
    await ada.shows("like", 2, mine=1)
    await ada.react("love")
    await ben.shows("love", 1)


@pytest.mark.parametrize(
    "lacking",
    [
        "Object.defineProperty(navigator, 'locks', { value: undefined })",
        "window.BroadcastChannel = class { constructor() { throw new DOMException('no', 'SecurityError'); } }",
    ],
    ids=["locks", "channels"],
)
async def test_where_a_browser_has_not_what_sharing_takes_each_tab_has_a_socket(
    lacking: str, hub: OwnHub, person: NewPerson, tab: OpenTab
) -> None:
    context = await person()
    await context.add_init_script(lacking)
    first, second = await tab(hub.http, context), await tab(hub.http, context)
    assert (await first.react("like"))["ok"]
    await second.shows("like", 1)
    assert (await second.react("love"))["ok"]
    await first.shows("love", 1)
    assert [first.sockets, second.sockets] == [1, 1]


async def test_a_tab_that_nobody_looks_at_is_told_as_well(hub: OwnHub, person: NewPerson, tab: OpenTab) -> None:
    """Browsers draw no frames there."""
    context = await person()
    await context.add_init_script(
        "Object.defineProperty(document, 'hidden', { value: true }); window.requestAnimationFrame = () => 0;"
    )
    ada, ben = await tab(hub.http, context), await tab(hub.http)
    await ben.react("like")
    await ada.shows("like", 1)
