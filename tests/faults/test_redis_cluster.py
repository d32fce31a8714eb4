"""Two hubs on a cluster, under load, while slots change hands. The oracle is that of redis_scene."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_scene import ITEMS, PREFIX, scene
from redis_servers import Cluster, cluster, until

KEY = f"{PREFIX}{{{ITEMS[0]}}}"


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    """Every test leaves it whole."""
    with cluster() as nodes:
        yield nodes


@pytest.fixture
def emptied(nodes: Cluster) -> None:
    """Nothing is stored."""
    for master in nodes.masters():
        master.ask("flushall")


@pytest.mark.usefixtures("emptied")
async def test_a_slot_that_moves_takes_reactions_and_viewers_along(tmp_path: Path, nodes: Cluster) -> None:
    async with scene(tmp_path, nodes.url, nodes.url) as on:
        for _ in range(2):
            target = await asyncio.to_thread(nodes.move, KEY, pause_s=0.3)
            await on.settled()
            on.go_on()
            await on.more_acks(10)
        assert nodes.master_of(KEY) is target
        await on.settled()
        assert await on.verdict() == []


@pytest.mark.usefixtures("emptied")
async def test_nothing_acknowledged_is_lost_when_a_master_dies(tmp_path: Path, nodes: Cluster) -> None:
    async with scene(tmp_path, nodes.url, nodes.url, ack="replica") as on:
        dead = nodes.master_of(KEY)
        replica = nodes.replica_of(dead)
        await asyncio.to_thread(dead.kill9)
        await asyncio.to_thread(until, lambda: replica in nodes.masters(), "the replica is promoted")
        await asyncio.to_thread(nodes.await_whole)
        await on.settled(acknowledged=False)  # as the new master has no replica
        on.go_on()
        await asyncio.to_thread(dead.start)
        await asyncio.to_thread(until, lambda: nodes.replica_of(replica) is dead, "the dead one is back as a replica")
        await asyncio.to_thread(nodes.await_whole)
        await on.settled()
        on.go_on()
        await on.more_acks(10)
        await on.settled()
        assert await on.verdict() == []
