"""SIGTERM while Redis is away: a hub with viewers and reactions on their way ends in its time all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from redis_scene import Scene, scene
from redis_servers import RedisServer, cluster, sentinels, single

DRAIN_S = 3
GRACE_S = 10  # a worker is killed 2 s after drain_s; here others may want the same two cores, hence more

Place = AbstractContextManager[tuple[str, list[RedisServer]]]  # a URL, and all servers behind it


@contextmanager
def _one() -> Iterator[tuple[str, list[RedisServer]]]:
    with single() as server:
        yield server.url, [server]


@contextmanager
def _watched() -> Iterator[tuple[str, list[RedisServer]]]:
    with sentinels() as watched:
        yield watched.url, [*watched.servers, *watched.watchers]


@contextmanager
def _shards() -> Iterator[tuple[str, list[RedisServer]]]:
    with cluster() as nodes:
        yield nodes.url, list(nodes.servers)


async def _ends_in_time(on: Scene) -> None:
    for hub in on.hubs:
        hub.terminate()
    codes = await asyncio.gather(*(asyncio.to_thread(hub.wait, DRAIN_S + GRACE_S) for hub in on.hubs))
    assert codes == [0] * len(on.hubs)


@pytest.mark.parametrize(
    ("place", "fault"),
    [(_one, RedisServer.kill9), (_one, RedisServer.pause), (_watched, RedisServer.pause), (_shards, RedisServer.pause)],
)
async def test_a_hub_ends_in_its_time_while_redis_is_away(
    tmp_path: Path, place: Callable[[], Place], fault: Callable[[RedisServer], None]
) -> None:
    with ExitStack() as stack:
        url, servers = await asyncio.to_thread(stack.enter_context, place())
        async with scene(tmp_path, url, drain_s=DRAIN_S) as on:
            for server in servers:
                fault(server)
            await on.all_refused()
            await _ends_in_time(on)
