"""The app that the hub is mounted in, whose lifespan Starlette does not pass on."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import httpx

from hubs import running
from lanes import LANES
from talk import talking


async def test_the_first_request_starts_the_hub_and_the_other_app_keeps_its_pages(tmp_path: Path) -> None:
    lane = LANES["mounted"]
    with running(tmp_path, command=lane.command, prefix=lane.prefix) as hub:
        async with httpx.AsyncClient(trust_env=False, verify=False) as web:
            own = f"http://{hub.host}:{hub.port}"
            assert (await web.get(f"{own}/own")).json() == "mine"
            assert (await web.get(f"{own}/v1/counts?item=a")).status_code == 404
        async with talking(hub.live, hub.token("u:1")) as first, talking(hub.live) as second:
            await second.subscribe("post:1")
            ack = await first.react("post:1")
            assert (await second.counts("post:1", bool))["v"] == ack["v"]
        hub.terminate()
        assert await asyncio.to_thread(hub.wait) in (0, -signal.SIGTERM)  # uvicorn raises it again when it is done
