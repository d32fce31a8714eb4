"""One person at several hubs on one Redis: each of their connections ends at what Redis has."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

import httpx

from fault_proxy import fault_proxy
from hubs import OwnHub
from redis_scene import hubs_at
from redis_servers import single
from talk import Talk, talking

ACTOR = "u:1"
ITEMS = ("post:1", "post:2")
KINDS = ("like", "dislike")
CONVERGED_S = 5.0


class Device:
    """A connection that takes `mine` as docs/protocol.md says."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.mine: dict[str, dict[str, int]] = {}
        self._v = dict.fromkeys(ITEMS, -1)
        self._ref = 0

    async def run(self) -> None:
        while True:
            frame = await self.talk.next()
            for entry in frame.get("items", (frame,)):
                if "mine" in entry and entry["v"] >= self._v[entry["item"]]:
                    self.mine[entry["item"]], self._v[entry["item"]] = entry["mine"], entry["v"]

    async def react(self, item: str, kind: str, value: int) -> None:
        self._ref += 1
        await self.talk.send({"op": "react", "ref": self._ref, "item": item, "kind": kind, "value": value})


async def stored(hub: OwnHub) -> dict[str, dict[str, int]]:
    async with httpx.AsyncClient(base_url=hub.http, trust_env=False) as web:
        headers = {"Authorization": f"Bearer {hub.token(ACTOR)}"}
        answer = await web.get("/v1/counts", params={"item": list(ITEMS)}, headers=headers)
        return {entry["item"]: entry["mine"] for entry in answer.json()["items"]}


async def test_every_device_at_every_hub_ends_at_what_redis_has_whatever_happens_to_a_link(tmp_path: Path) -> None:
    rng = random.Random(7)
    with single() as server:
        async with fault_proxy(server.port) as proxy:
            urls = [server.url, server.url, f"redis://127.0.0.1:{proxy.port}"]
            with hubs_at(tmp_path, urls) as hubs:
                async with AsyncExitStack() as stack:
                    devices: list[Device] = []
                    for hub in (*hubs, hubs[0]):
                        device = Device(await stack.enter_async_context(talking(hub.live, hub.token(ACTOR))))
                        devices.append(device)
                        stack.callback(asyncio.create_task(device.run()).cancel)
                        await device.talk.send({"op": "subscribe", "ref": 0, "items": ITEMS})

                    async def all_follow(react_at: int) -> None:
                        """Some reactions, through one device or through all; then all are at what stands."""
                        for _ in range(15):
                            device = devices[react_at] if react_at >= 0 else rng.choice(devices)
                            await device.react(rng.choice(ITEMS), rng.choice(KINDS), rng.randint(0, 1))
                            await asyncio.sleep(rng.random() * 0.03)
                        async with asyncio.timeout(CONVERGED_S):
                            before = None
                            while True:
                                now = await stored(hubs[0])
                                if now == before and all(device.mine == now for device in devices):
                                    return
                                before = now
                                await asyncio.sleep(0.1)

                    for react_at in (0, 1, 2, 3, -1):
                        await all_follow(react_at)
                    proxy.cut()
                    await all_follow(0)
                    proxy.hold(b"SUBSCRIBE")  # the feed of the third hub alone
                    await devices[0].react(ITEMS[0], "like", 1)
                    await devices[0].react(ITEMS[0], "dislike", 0)
                    await asyncio.sleep(2.5)
                    proxy.release()
                    await all_follow(1)
