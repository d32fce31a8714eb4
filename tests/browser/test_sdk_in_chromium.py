"""The SDK in Debian's Chromium against real hubs: frames, blocked sockets, sleep, offline, bad input."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from playwright.async_api import WebSocketRoute

from fault_proxy import fault_proxy
from hubs import SECONDS, OwnHub
from tab import OpenTab
from window import NewPerson, Start

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

NO_SOCKETS = """
window.WebSocket = class {
  constructor() { setTimeout(() => this.onclose?.({ code: 1006 })); }
  close() {}
};
"""


async def test_a_click_shows_in_its_own_frame_and_everywhere(hub: OwnHub, tab: OpenTab) -> None:
    ada, ben = await tab(hub.http), await tab(hub.http)
    shown = await ada.page.evaluate(
        """async () => {
          await hub.kinds;
          const answer = hub.react("post:1", "like");
          return [states["post:1"].counts.like, states["post:1"].pending, (await answer).ok];
        }"""
    )
    assert shown == [1, True, True]
    await ben.shows("like", 1, mine=0)
    await ada.react("dislike")
    await ben.shows("like", 0)
    await ben.shows("dislike", 1)
    assert ada.lines == []


async def test_however_many_callers_a_page_has_one_socket(hub: OwnHub, tab: OpenTab) -> None:
    ada = await tab(hub.http)
    await ada.page.evaluate(
        """() => {
          window.others = Array.from({ length: 50 }, (_, i) => {
            const other = connect(location.origin + "/");
            other.subscribe(`card:${i}`, (state) => (states[state.item] = state), { viewers: i === 7 });
            return other;
          });
        }"""
    )
    await ada.until("Array.from({ length: 50 }, (_, i) => states[`card:${i}`]?.known).every(Boolean)")
    await ada.until("states['card:7'].viewers === 1")
    assert ada.sockets == 1
    await ada.page.evaluate("hub.subscribe('card:7', (state) => (window.late = state)) && 0")
    await ada.until("window.late?.known")  # also who comes when all is known is told
    await ada.page.evaluate("others.forEach((other) => other.close())")
    assert (await ada.react("love"))["ok"]
    await ada.page.evaluate("hub.close()")
    assert await ada.page.evaluate("hub.status") == "closed"
    async with asyncio.timeout(SECONDS):
        while ada.open_sockets:
            await asyncio.sleep(0.05)


async def test_a_caller_is_called_once_a_frame_however_much_comes_in(
    hub: OwnHub, person: NewPerson, tab: OpenTab
) -> None:
    context = await person()
    lines: list[WebSocketRoute] = []

    def relay(line: WebSocketRoute) -> None:
        line.connect_to_server()
        lines.append(line)

    await context.route_web_socket("**/v1/live", relay)
    ada = await tab(hub.http, context)
    await ada.page.evaluate(
        """() => {
          window.calls = [];
          hub.subscribe("post:1", ({ v }) => calls.push([document.timeline.currentTime, v]));
        }"""
    )
    for version in range(1, 301):
        lines[0].send(json.dumps({"ev": "counts", "item": "post:1", "v": version, "counts": {"clap": version}}))
    await ada.until("calls.at(-1)?.[1] === 300")
    frames = [frame for frame, _ in await ada.page.evaluate("calls")]
    assert len(frames) == len(set(frames)) < 300


async def test_a_hub_that_says_when_to_come_back_is_left_alone_until_then(
    hub: OwnHub, person: NewPerson, tab: OpenTab
) -> None:
    wait_s = 1.6  # without a word from the hub the first wait is half a second at most
    context = await person()
    at_s: list[float] = []

    async def relay(line: WebSocketRoute) -> None:
        at_s.append(time.monotonic())
        line.connect_to_server()
        if len(at_s) == 1:
            first.set_result(line)

    first: asyncio.Future[WebSocketRoute] = asyncio.get_running_loop().create_future()
    await context.route_web_socket("**/v1/live", relay)
    ada = await tab(hub.http, context)
    line = await first
    said_s = time.monotonic()
    line.send(json.dumps({"ev": "bye", "reason": "restart", "retry_after": wait_s}))
    await line.close(code=1012)
    await ada.until("hub.status === 'waiting'")
    await ada.live()
    assert at_s[1] - said_s >= wait_s


async def test_where_sockets_are_blocked_it_listens_and_reacts_over_http(
    hub: OwnHub, person: NewPerson, tab: OpenTab
) -> None:
    context = await person()
    await context.add_init_script(NO_SOCKETS)
    ada, ben = await tab(hub.http, context), await tab(hub.http)
    assert (await ada.react("like"))["ok"]
    await ada.shows("like", 1, mine=1)
    await ben.shows("like", 1, mine=0)
    await ben.react("dislike")
    await ada.shows("dislike", 1, mine=0)
    await ada.page.evaluate("void watch('post:2', { viewers: true })")
    await ada.until("states['post:2']?.viewers === 1")
    await ben.react("love", "post:2")
    await ada.shows("love", 1, item="post:2")
    other = await tab(hub.http, context)
    await other.shows("like", 1, mine=1)
    await other.react("like")
    await ada.shows("like", 0, mine=0)


async def test_a_link_that_died_while_the_machine_slept_is_found_within_ten_seconds(
    hub: OwnHub, person: NewPerson, tab: OpenTab
) -> None:
    ben = await tab(hub.http)
    async with fault_proxy(hub.port) as proxy:
        context = await person()
        await context.clock.install()
        ada = await tab(f"http://127.0.0.1:{proxy.port}", context)
        proxy.hold()
        await ben.react("like")
        await ada.page.clock.fast_forward(600_000)
        await ada.until("hub.status !== 'live'", within_s=10)
        proxy.release()
        await ada.shows("like", 1)


async def test_clicks_made_offline_wait_and_count_once(hub: OwnHub, person: NewPerson, tab: OpenTab) -> None:
    ben = await tab(hub.http)
    context = await person()
    ada = await tab(hub.http, context)
    await ada.react("clap")
    await context.set_offline(True)
    hub_lost = "hub.status === 'offline'"
    await ada.until(hub_lost)
    answers = await ada.page.evaluate_handle(
        """() => Promise.allSettled([
          hub.react("post:1", "like"), hub.react("post:1", "dislike"), hub.react("post:1", "clap"),
          hub.react("post:1", "clap"), hub.react("post:1", "share"),
        ]).then((answers) => (window.answers = answers), 0) && 0"""
    )
    await answers.dispose()
    await ada.shows("dislike", 1, mine=1)
    await ada.shows("clap", 3, mine=3)
    await ada.shows("share", 1)
    await context.set_offline(False)
    await ada.until("window.answers?.every(({ value }) => value.ok)")
    for kind, count in {"like": 0, "dislike": 1, "clap": 3, "share": 1}.items():
        await ben.shows(kind, count)
        await ada.shows(kind, count)


async def test_a_page_goes_on_by_socket_when_its_hub_is_back(start: Start, tab: OpenTab) -> None:
    hub = start()
    ada = await tab(hub.http)
    await ada.react("clap")
    hub.kill()
    await ada.until("hub.status === 'waiting'")
    await ada.page.evaluate("hub.react('post:1', 'clap').then((answer) => (window.answer = answer)) && 0")
    await ada.shows("clap", 2, mine=2)
    async with asyncio.timeout(SECONDS):
        while not any("does not answer" in line for line in ada.lines):
            await asyncio.sleep(0.05)
    hub = start()
    await ada.until("window.answer?.ok")
    assert ada.sockets >= 2
    assert not await ada.page.evaluate(
        "performance.getEntriesByType('resource').some(({ name }) => /events/.test(name))"
    )
    ben = await tab(hub.http)
    await ben.shows("clap", 2)


async def test_another_device_of_the_same_person_is_followed(hub: OwnHub, tab: OpenTab) -> None:
    options = f"{{ token: () => '{hub.token('u:42')}' }}"
    phone, desk = await tab(hub.http, options=options), await tab(hub.http, options=options)
    await phone.react("like")
    await desk.shows("like", 1)
    await desk.page.evaluate("document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))")
    await desk.shows("like", 1, mine=1)


async def test_a_token_that_is_no_longer_good_is_asked_for_again(hub: OwnHub, tab: OpenTab) -> None:
    old, new = hub.token("u:42", exp=1), hub.token("u:42")
    ada = await tab(
        hub.http, options=f"{{ token: async () => (window.asked ? '{new}' : ((window.asked = 1), '{old}')) }}"
    )
    assert (await ada.react("like"))["ok"]
    await ada.shows("like", 1, mine=1)


async def test_bad_input_is_one_line_on_the_console_each(start: Start, hub: OwnHub, tab: OpenTab) -> None:
    ada = await tab(hub.http)
    told = await ada.page.evaluate(
        """async (expired) => {
          const codes = [];
          hub.on("error", ({ code }) => codes.push(code));
          const nowhere = connect("not://a hub");
          nowhere.subscribe("post:1", () => {});
          hub.subscribe("post 1", () => {});
          hub.subscribe("post 1", () => {});
          const old = connect(location.origin, { token: expired });
          const silent = connect(location.origin, { visitor: false });
          const page = connect(location.origin + "/readyz");
          const answers = await Promise.all([
            hub.react("post 1", "like"), hub.react("post:1", "nope"), hub.react("post:1", "clap", 51),
            nowhere.react("post:1", "like"), old.react("post:1", "like"), silent.react("post:1", "like"),
          ]);
          return [codes, answers.map(({ code }) => code), nowhere.status, await nowhere.kinds, await page.kinds];
        }""",
        hub.token("u:42", exp=1),
    )
    assert told == [
        ["bad_item", "bad_item", "bad_item", "unknown_kind", "bad_value"],
        ["bad_item", "unknown_kind", "bad_value", "closed", "token_expired", "unauthenticated"],
        "closed",
        {},
        {},
    ]
    assert len(ada.lines) == len(set(ada.lines)), ada.lines
    for part in ("not://a hub", '"post 1"', "nope", "clap", "expired", "needs a token", "not_found"):
        assert any(part in line for line in ada.lines), (part, ada.lines)


async def test_a_page_of_an_origin_that_is_not_listed_is_told_so(hub: OwnHub, tab: OpenTab) -> None:
    elsewhere = hub.http.replace("127.0.0.1", "localhost")
    ada = await tab(elsewhere, hub_url=hub.http, live=False)
    await ada.until("hub.status === 'waiting'")
    async with asyncio.timeout(SECONDS):
        while not any("TALLYCAST_ORIGINS" in line for line in ada.lines):
            await asyncio.sleep(0.05)
    assert await ada.page.evaluate("hub.kinds") == {}
