"""Clicks that have no answer yet when their page is loaded again, and a page that loads both modules."""

from __future__ import annotations

import pytest
from playwright.async_api import BrowserContext, Route, WebSocketRoute, expect

from embedding import OpenEmbed
from hubs import OwnHub, eventually
from window import NewPerson, until

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

KEPT = "Object.entries(sessionStorage).flatMap(([name, text]) => (/^tallycast /.test(name) ? JSON.parse(text)[1] : []))"


class Weather:
    """Whether a browser's pages reach the hub."""

    def __init__(self) -> None:
        self.fair = True
        self._lines: list[WebSocketRoute] = []

    async def over(self, context: BrowserContext) -> None:
        """From now on it is this one's."""

        def relay(line: WebSocketRoute) -> None:
            self._lines.append(line)
            if self.fair:
                line.connect_to_server()

        async def request(route: Route) -> None:
            await (route.continue_() if self.fair else route.abort())

        await context.route("**/v1/**", request)
        await context.route_web_socket("**/v1/live", relay)

    async def turn(self) -> None:
        """From fair to foul, or back: the newest connection is cut, and the page dials again."""
        self.fair = not self.fair
        await self._lines[-1].close()


async def test_clicks_made_offline_outlive_a_reload_and_count_once(
    embed: OpenEmbed, hub: OwnHub, person: NewPerson
) -> None:
    context, weather = await person(), Weather()
    await weather.over(context)
    ada, ben = await embed(context), await embed()
    await ada.is_live()
    await ada.button("dislike").click()
    await ben.shows("dislike", 1)

    await weather.turn()
    await ada.button("like").click()
    await ada.button("clap").click(click_count=2)
    await ada.shows("clap", 2)
    await ada.page.reload()
    await eventually(lambda: len(ada.warnings) == 1 and "does not answer" in ada.warnings[0])
    await ben.shows("like", 0)
    await weather.turn()
    for window in (ada, ben):
        await window.shows("like", 1)
        await window.shows("dislike", 0)
        await window.shows("clap", 2)
    await expect(ada.button("like")).to_have_attribute("aria-pressed", "true")
    await expect(ada.button("clap")).to_have_accessible_name("Clap, 2, 2/50")
    await ada.page.reload()
    await ada.shows("clap", 2)
    assert await ada.page.evaluate(KEPT) == []
    ada.warnings.clear()
    ada.expect_no_answers()


async def test_each_of_two_modules_on_a_page_keeps_its_own_clicks_over_a_reload(
    embed: OpenEmbed, hub: OwnHub, person: NewPerson
) -> None:
    context, weather = await person(), Weather()
    await weather.over(context)
    ada, ben = await embed(context), await embed()
    begin = "async (hub) => void (window.line = (await import(`${hub}/client/tallycast.js`)).connect(hub))"
    await ada.is_live()
    await ada.button("dislike").click()  # and has an identity
    await ben.shows("dislike", 1)
    await ada.page.evaluate(begin, hub.http)
    await ada.page.evaluate("line.kinds")
    await weather.turn()
    await ada.button("like").click()
    await ada.page.evaluate("void line.react('post:1', 'clap', 3)")
    await ada.page.reload()
    await ada.page.evaluate(begin, hub.http)
    await eventually(lambda: len(ada.warnings) >= 1)
    await weather.turn()
    for kind, number in {"like": 1, "dislike": 0, "clap": 3}.items():
        await ben.shows(kind, number)
    ada.warnings.clear()
    ada.expect_no_answers()


async def test_a_page_that_loads_both_modules_has_one_socket_and_one_visitor(embed: OpenEmbed, hub: OwnHub) -> None:
    ada = await embed()
    await ada.is_live()
    told = await ada.page.evaluate(
        """async (hub) => {
          const { connect } = await import(`${hub}/client/tallycast.js`);
          const { connect: fromWidget } = await import(`${hub}/client/widget.js`);
          const line = connect(hub);
          line.subscribe("post:1", (state) => (window.state = state));
          await new Promise((resolve) => line.on("status", (status) => status === "live" && resolve()));
          await line.kinds;
          return [connect === fromWidget, (await line.react("post:1", "like")).ok];
        }""",
        hub.http,
    )
    assert told == [False, True]  # two modules, each with its own state
    await ada.shows("like", 1)
    await expect(ada.button("like")).to_have_attribute("aria-pressed", "true")
    await ada.button("like").click()
    await until(ada.page, "!state.counts.like && !state.mine.like")
    await ada.shows("like", 0)
    assert len(ada.sockets) == 1
