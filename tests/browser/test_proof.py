"""proof.js in Chromium: somebody new reacts while a burst lasts and the hub asks for a proof of work."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from hubs import SECONDS, OwnHub
from tab import OpenTab
from window import Start

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def flood(hub: OwnHub) -> None:
    """Newcomers from one network, until the hub asks the next one for a proof."""
    async with httpx.AsyncClient(base_url=hub.http, trust_env=False) as web:
        async with asyncio.timeout(SECONDS):
            while (made := await web.post("/v1/visitors")).status_code == 201:
                headers = {"Authorization": f"Bearer {made.json()['token']}"}
                body = {"item": "post:9", "kind": "like", "value": 1}
                assert (await web.post("/v1/reactions", json=body, headers=headers)).status_code == 200
    assert made.json()["code"] == "proof_needed"


async def test_somebody_new_reacts_by_a_proof_that_the_module_finds(start: Start, tab: OpenTab) -> None:
    hub = start(proof="bursts")
    await flood(hub)
    ben = await tab(hub.http)
    refused = await ben.react("like")
    assert (refused["ok"], refused["code"]) == (False, "proof_needed")
    ada = await tab(hub.http)
    await ada.page.evaluate("import('/client/proof.js').then(() => 0)")
    assert (await ada.react("like"))["ok"]
    await ben.shows("like", 1, mine=0)
