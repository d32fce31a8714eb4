"""Alerts of four hubs on one Redis, of which the one that judges and delivers is killed in the middle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any

import httpx

from hubs import SECONDS, TRACE, OwnHub, defaults, eventually
from redis_servers import single
from tallycast.access import SPACE, dump_key, new_key
from tallycast.settings import Settings, read_kinds
from tallycast.store import open_store
from webhook_target import serving

ITEMS = [f"post:{n}" for n in range(8)]
MARKS = [1, 2, 3]


async def make_key(url: str) -> dict[str, str]:
    """The header of a new administrator."""
    store = open_store(url, read_kinds(Settings()))
    id, token, key = new_key("Ada", ["read", "write"], now_s=time.time())
    await store.records.put(SPACE, id, dump_key(key), None)
    await store.close()
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def four_hubs(directory: Path, url: str) -> AsyncIterator[list[OwnHub]]:
    """On one Redis, for one block; started at once, as each takes a while."""
    own = [directory / f"hub-{n}" for n in range(4)]
    for path in own:
        path.mkdir()
    conf: dict[str, Any] = {**defaults(store=url, reactions_per_second=0, webhook_networks="127.0.0.0/8")}
    hubs = await asyncio.gather(*(asyncio.to_thread(OwnHub, path, **conf) for path in own))
    try:
        yield hubs
    finally:
        for hub in hubs:
            hub.kill()
    assert not [hub.log() for hub in hubs if TRACE.search(hub.log())]


async def like(web: httpx.AsyncClient, hubs: Sequence[OwnHub], actor: str) -> None:
    """One more actor likes all items, through all of the hubs."""
    for n, item in enumerate(ITEMS):
        hub = hubs[n % len(hubs)]
        body = {"item": item, "kind": "like", "value": 1}
        headers = {"Authorization": f"Bearer {hub.token(actor)}"}
        while (answer := await web.post(f"{hub.http}/v1/reactions", json=body, headers=headers)).status_code != 200:
            assert answer.status_code == 503, answer.text  # starved of CPU; said again, it counts once
            await asyncio.sleep(float(answer.headers["retry-after"]))


async def test_each_alert_fires_once_though_the_hub_that_fires_is_killed(tmp_path: Path) -> None:
    with single() as server:
        web_ = httpx.AsyncClient(trust_env=False, timeout=20)
        async with four_hubs(tmp_path, server.url) as hubs, serving() as target, web_ as web:
            key = await make_key(server.url)
            admin = f"{hubs[0].http}/v1/admin"
            made = await web.post(f"{admin}/webhooks", json={"name": "CMS", "url": target.url()}, headers=key)
            assert made.status_code == 201, made.text
            rule = {"name": "Marks", "rule": "count", "target": "post:*", "kind": "like", "marks": MARKS}
            made = await web.post(f"{admin}/alerts", json={**rule, "webhooks": [made.json()["id"]]}, headers=key)
            assert made.status_code == 201, made.text

            await like(web, hubs, "u:1")
            await target.until(lambda: len(target.got) > 2)  # in the middle of the first mark's messages
            metrics = await asyncio.gather(*(asyncio.to_thread(hub.metric, "alerts_fired_total") for hub in hubs))
            _, judge = max(zip(metrics, hubs, strict=True), key=lambda pair: pair[0])
            second = asyncio.create_task(like(web, [hub for hub in hubs if hub is not judge], "u:2"))
            await asyncio.to_thread(judge.kill)
            await second
            living = [hub for hub in hubs if hub is not judge]
            await like(web, living, "u:3")

            due = set(product(ITEMS, MARKS))
            ids: dict[tuple[str, int], set[str]] = {}

            def all_told() -> bool:
                for message in target.got:
                    data = message.json["data"]
                    ids.setdefault((data["item"], data["mark"]), set()).add(message.id)
                return ids.keys() >= due

            await target.until(all_told, within_s=3 * SECONDS)
            assert ids.keys() == due
            assert {item: len(some) for item, some in ids.items() if len(some) > 1} == {}
            admin = f"{living[0].http}/v1/admin"
            fired = (await web.get(f"{admin}/firings?limit=1000", headers=key)).json()["firings"]
            assert len(fired) == len(due)
            await eventually(
                lambda: all(
                    one["state"] == "delivered"
                    for one in httpx.get(f"{admin}/deliveries", headers=key).json()["deliveries"]
                )
            )
