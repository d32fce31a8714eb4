"""How many watch, over hubs of which one dies."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from redis_scene import hubs_at
from redis_servers import single
from talk import Talk, talking

ITEM = "post:1"
GONE_S = 15.0  # until a dead hub's viewers count no more


async def _tells(talk: Talk, viewers: int) -> None:
    await talk.until(lambda frame: frame["ev"] == "counts" and frame["viewers"] == viewers)


async def test_the_viewers_of_a_killed_hub_are_soon_not_counted_any_more(tmp_path: Path) -> None:
    with single() as server, hubs_at(tmp_path, [server.url] * 3) as (one, other, killed):
        async with AsyncExitStack() as stack:
            for hub in (one, other, killed, killed):
                talk = await stack.enter_async_context(talking(hub.live))
                await talk.subscribe(ITEM)
            curious = [await stack.enter_async_context(talking(hub.live)) for hub in (one, other)]
            for talk in curious:
                await talk.ok("subscribe", items=[ITEM], viewers=True)
            await asyncio.gather(*(_tells(talk, 6) for talk in curious))
            await asyncio.to_thread(killed.kill)
            async with asyncio.timeout(GONE_S):
                await asyncio.gather(*(_tells(talk, 4) for talk in curious))
