"""Two hubs on one Redis while it, the links or a hub fails under load.

The oracle, after each fault: within two seconds all viewers of all hubs are at what Redis has, and all that was being
said is acknowledged; counts are the sums of values, no acknowledged reaction is lost, none counts twice when all of
them are said again, and no viewer saw a version go back.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fault_proxy import FaultProxy, fault_proxy
from hubs import eventually
from redis_scene import ITEMS, PREFIX, Scene, hubs_at, scene
from redis_servers import RedisServer, single
from talk import talking

PAUSED_S = 3.0
CUT = "overcoming of output buffer limits"  # what Redis logs


class Place:
    """Two hubs on one server, the second through a proxy."""

    def __init__(self, server: RedisServer, proxy: FaultProxy, on: Scene) -> None:
        self.server, self.proxy, self.on = server, proxy, on

    async def ask(self, *command: object) -> Any:
        """One command to Redis."""
        return await asyncio.to_thread(self.server.ask, *command)


@asynccontextmanager
async def place(directory: Path, **conf: Any) -> AsyncIterator[Place]:
    """For one block; `conf` is Redis's own."""
    with single(**conf) as server:
        async with (
            fault_proxy(server.port) as proxy,
            scene(directory, server.url, f"redis://127.0.0.1:{proxy.port}") as on,
        ):
            yield Place(server, proxy, on)


async def _nothing(at: Place) -> None:
    pass


async def _redis_killed(at: Place) -> None:
    await asyncio.to_thread(at.server.kill9)
    await at.on.all_refused()
    await asyncio.to_thread(at.server.start)


async def _redis_stopped(at: Place) -> None:
    at.server.pause()
    await asyncio.sleep(PAUSED_S)
    at.server.resume()


async def _redis_paused(at: Place) -> None:
    await at.ask("client", "pause", int(PAUSED_S * 1000), "all")
    await asyncio.sleep(PAUSED_S)


async def _writes_paused(at: Place) -> None:
    """Subscribers and readers are served, reactions and what publishes are not."""
    await at.ask("client", "pause", int(PAUSED_S * 1000), "write")
    await asyncio.sleep(PAUSED_S)


async def _black_hole(at: Place) -> None:
    at.proxy.hold()
    await asyncio.sleep(4)
    at.proxy.cut()
    at.proxy.release()


async def _subscriber_held(at: Place) -> None:
    at.proxy.hold(b"SUBSCRIBE")
    await asyncio.sleep(4)
    at.proxy.release()


async def _links_cut(at: Place) -> None:
    for _ in range(5):
        at.proxy.cut()
        await asyncio.sleep(0.1)


async def _answers_lost(at: Place) -> None:
    for _ in range(5):
        lost = at.proxy.lost_answers
        at.proxy.lose_answer_to(b"EVALSHA")
        await eventually(lambda lost=lost: at.proxy.lost_answers > lost)  # type: ignore[misc]


async def _subscribers_cut(at: Place) -> None:
    for _ in range(5):
        assert await at.ask("client", "kill", "type", "pubsub") >= 0
        await asyncio.sleep(0.1)


async def _subscriber_over_its_buffer(at: Place) -> None:
    """A hub does not read while more is published to it than Redis keeps for a subscriber."""
    await at.ask("config", "set", "client-output-buffer-limit", "pubsub 65536 0 0")
    stopped = at.on.hubs[0].process.pid
    os.kill(stopped, signal.SIGSTOP)
    try:
        # News of version 0, which no hub minds. They fill what the kernel holds for it, then Redis's own buffer.
        news = bytes(1_000_000)
        while CUT not in at.server.log():
            await at.ask("publish", f"{PREFIX}{{post:1}}", news)
        await at.on.more_acks(20, of=at.on.actors[1:])  # which that hub's viewers miss
    finally:
        os.kill(stopped, signal.SIGCONT)


async def _scripts_forgotten(at: Place) -> None:
    for _ in range(3):
        await at.ask("script", "flush")
        await at.on.more_acks(5)


Fault = Callable[[Place], Coroutine[Any, Any, None]]
FAULTS: list[Fault] = [
    _nothing,
    _redis_killed,
    _redis_stopped,
    _redis_paused,
    _writes_paused,
    _black_hole,
    _subscriber_held,
    _links_cut,
    _answers_lost,
    _subscribers_cut,
    _subscriber_over_its_buffer,
    _scripts_forgotten,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
async def test_nothing_is_lost_or_doubled_and_all_see_the_same(tmp_path: Path, fault: Fault) -> None:
    async with place(tmp_path, appendonly="yes", appendfsync="always") as at:
        await fault(at)
        await at.on.settled()
        at.on.go_on()
        await at.on.more_acks(10)
        await at.on.settled()
        assert await at.on.verdict() == []


async def _restarted_empty(at: Place) -> None:
    await _redis_killed(at)


async def _flushed(at: Place) -> None:
    await at.ask("flushall")


@pytest.mark.parametrize("fault", [_restarted_empty, _flushed], ids=lambda fault: fault.__name__.strip("_"))
async def test_a_redis_that_lost_everything_is_followed_and_versions_grow(tmp_path: Path, fault: Fault) -> None:
    async with place(tmp_path) as at:
        await fault(at)
        await at.on.settled()
        at.on.go_on()
        await at.on.more_acks(20)
        await at.on.settled()
        # and where nobody reacts any more
        await at.ask("flushall")
        assert await at.on.settled() == {item: {} for item in ITEMS}
        assert await at.on.flaws() == []


async def test_a_reaction_on_one_hub_reaches_a_viewer_of_the_other(tmp_path: Path) -> None:
    with single() as server, hubs_at(tmp_path, [server.url, server.url]) as (one, other):
        async with talking(one.live, one.token("u:1")) as here, talking(other.live) as there:
            await there.subscribe("post:1")
            ack = await here.react("post:1")
            frame = await there.counts("post:1", lambda counts: counts == {"like": 1})
            assert frame["v"] == ack["v"]
            await here.react("post:1", value=0)
            await there.counts("post:1", lambda counts: counts == {})
