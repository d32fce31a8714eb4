"""Hubs of later minor versions, which say more than these elements know: all goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Route, WebSocketRoute, expect

from embedding import OpenEmbed, Site
from hubs import OwnHub
from window import NewPerson

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

UNKNOWN: Any = {"from": "1.7", "list": [{"deep": None}], "flag": True}
KINDS = {"stars": {"rule": "average", "scale": 5, "label": "Stars", "emoji": "⭐"}}


def more(message: dict[str, Any]) -> dict[str, Any]:
    """A message with members that nobody knows yet, also in its items."""
    items = message.get("items")
    return message | {"later": UNKNOWN} | ({"items": [row | {"later": UNKNOWN} for row in items]} if items else {})


async def speak_newer(context: BrowserContext) -> list[WebSocketRoute]:
    """Let what the real hub says to a person's pages be said as a newer one would. Gives the connections to come."""
    lines: list[WebSocketRoute] = []

    async def config(route: Route) -> None:
        told = await (await route.fetch()).json()
        kinds = {name: kind | {"later": UNKNOWN} for name, kind in told["kinds"].items()}
        await route.fulfill(json=told | {"kinds": kinds | KINDS, "version": "1.7", "later": UNKNOWN})

    def relay(line: WebSocketRoute) -> None:
        lines.append(line)

        def down(text: str | bytes) -> None:
            line.send(json.dumps({"ev": "weather", "item": "post:1", "v": 9e15, "counts": {"like": 99}}))
            line.send(json.dumps(more(json.loads(text))))

        line.connect_to_server().on_message(down)

    await context.route("**/v1/config", config)
    await context.route_web_socket("**/v1/live", relay)
    return lines


async def test_what_a_newer_hub_says_beside_the_numbers_disturbs_nothing(
    embed: OpenEmbed, hub: OwnHub, site: Site, person: NewPerson
) -> None:
    site.body = '<tally-reactions id="here" item="post:1"></tally-reactions>'  # all kinds, those of later, too
    context = await person()
    lines = await speak_newer(context)
    ada, ben = await embed(context), await embed()
    await ada.is_live()
    await ada.button("like").click()
    await ada.button("clap").click()
    await ben.shows("like", 1)
    await ben.button("dislike").click()
    await ada.shows("dislike", 1)
    await ada.shows("like", 1)
    assert len(lines) == 1


async def test_a_kind_of_a_rule_that_is_not_known_shows_its_number_and_refuses_quietly(
    embed: OpenEmbed, hub: OwnHub, site: Site, person: NewPerson
) -> None:
    site.body = '<tally-reactions id="here" item="post:1" kinds="stars,like"></tally-reactions>'
    context = await person()
    lines = await speak_newer(context)
    ada = await embed(context)
    await ada.is_live()
    lines[0].send(json.dumps({"ev": "counts", "item": "post:1", "v": 1, "counts": {"stars": 4}}))
    await ada.shows("stars", 4)
    await ada.button("stars").click()
    await ada.button("like").click()
    await ada.shows("like", 1)
    await expect(ada.page.locator("#here button")).to_have_count(2)
    ada.warnings.clear()
