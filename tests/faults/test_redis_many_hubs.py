"""Hubs that die, stand still or are far from Redis, among others that go on. The oracle is that of redis_scene."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_proxy import fault_proxy
from redis_scene import scene
from redis_servers import RedisServer, single

STOPPED_S = 3.0
LATENCY_S = 0.2


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with single() as server:
        yield server


async def test_when_one_of_four_hubs_is_killed_its_actor_goes_on_through_another(
    tmp_path: Path, server: RedisServer
) -> None:
    async with scene(tmp_path, *[server.url] * 4) as on:
        await asyncio.to_thread(on.hubs[1].kill)
        assert len(on.living) == 3
        await on.settled()
        on.go_on()
        await on.more_acks(10)
        await on.settled()
        assert await on.verdict() == []
        assert [actor.refused for actor in on.actors] == [0] * 4


async def test_a_hub_that_stands_still_holds_up_no_other_and_catches_up(tmp_path: Path, server: RedisServer) -> None:
    async with scene(tmp_path, server.url, server.url) as on:
        slow = on.hubs[1]
        os.kill(slow.process.pid, signal.SIGSTOP)
        try:
            await asyncio.gather(on.more_acks(50, of=on.actors[:1]), asyncio.sleep(STOPPED_S))
            await on.settled(but=slow)
            on.go_on()
            await on.more_acks(10, of=on.actors[:1])
        finally:
            os.kill(slow.process.pid, signal.SIGCONT)
        await on.settled()
        assert await on.verdict() == []


async def test_a_hub_far_from_redis_holds_up_no_other_and_catches_up(tmp_path: Path, server: RedisServer) -> None:
    async with fault_proxy(server.port) as proxy:
        async with scene(tmp_path, server.url, f"redis://127.0.0.1:{proxy.port}") as on:
            proxy.latency_s = LATENCY_S
            await asyncio.gather(on.more_acks(50, of=on.actors[:1]), on.more_acks(4))
            await on.settled(but=on.hubs[1])
            on.go_on()
            await on.more_acks(4)
            proxy.latency_s = 0.0
            await on.settled()
            assert await on.verdict() == []
