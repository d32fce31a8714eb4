"""Under somebody else's server the hub still lets go of a viewer that does not read."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from hubs import defaults, eventually, running
from lanes import LANES
from raw import opened, text
from talk import talking

ITEMS = tuple(f"slow:{n}:".ljust(200, "x") for n in range(15))


@pytest.mark.parametrize("lane", ["uvicorn", "hypercorn"])
async def test_a_viewer_that_does_not_read_is_given_up_and_freed(tmp_path: Path, lane: str) -> None:
    with running(tmp_path, command=LANES[lane].command, **defaults(slow_viewer_s=2)) as hub:
        async with opened(hub, receive_buffer_bytes=4096) as stuck, talking(hub.live, hub.token("u:1")) as user:
            before = hub.rss_bytes()
            question = text({"op": "subscribe", "items": list(ITEMS)})
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(5):
                    for _ in range(5000):
                        await stuck.send(question)
            await user.react(ITEMS[0])
            await eventually(lambda: hub.metric("slow_viewers_total") == 1)
            await eventually(lambda: hub.metric("viewers") == 1, within_s=10)
            await user.react(ITEMS[0], "love")
            assert hub.rss_bytes() - before < 20_000_000
