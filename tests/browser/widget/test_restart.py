"""A hub that is killed and started again while many react."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest
from playwright.async_api import expect

from embedding import OpenEmbed, Site
from hubs import SECONDS, OwnHub
from web import bearer
from window import Start

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

OTHERS = 100
CLICKS = 10
APART_S = 0.02


async def clap(web: httpx.AsyncClient, hub: OwnHub, number: int) -> None:
    """Clap once as somebody else, again and again until the hub has said that it counted."""
    said = {"item": "post:1", "kind": "clap", "value": 1}
    while True:
        try:
            (await web.post("/v1/reactions", json=said, headers=bearer(hub, f"u:{number}"))).raise_for_status()
            return
        except httpx.HTTPError:
            await asyncio.sleep(0.1)


async def test_every_click_counts_once_where_the_hub_is_killed_under_load(
    embed: OpenEmbed, hub: OwnHub, site: Site, start: Start
) -> None:
    windows = [await embed(), await embed()]
    for window in windows:
        await window.is_live()
        await window.button("clap").click()
    await windows[0].shows("clap", 2)
    web = httpx.AsyncClient(base_url=hub.http, trust_env=False, timeout=2)
    async with asyncio.timeout(SECONDS), web, asyncio.TaskGroup() as load:
        for number in range(OTHERS):
            load.create_task(clap(web, hub, number))
            await asyncio.sleep(APART_S)
            if number % 10 == 0 and number < 10 * (CLICKS - 1):
                for window in windows:
                    await window.button("clap").click()
            if number == OTHERS // 3:
                hub.kill()
            elif number == OTHERS // 2:
                await asyncio.to_thread(start, origins=site.origin, reactions_per_second=0)
    for window in windows:
        await window.shows("clap", OTHERS + 2 * CLICKS)
        await expect(window.button("clap")).to_have_accessible_name(re.compile(rf", {CLICKS}/\d+$"))
        window.expect_no_answers()
        window.warnings.clear()
