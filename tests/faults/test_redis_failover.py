"""Two hubs behind sentinels, under load, while the master dies or is cut off. The oracle is that of redis_scene."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from fault_proxy import FaultProxy, fault_proxy
from hubs import eventually
from redis_scene import CONVERGED_S, Scene, scene
from redis_servers import RedisServer, Sentinels, sentinels, sentinels_over, single


async def test_nothing_acknowledged_is_lost_when_the_master_dies(tmp_path: Path) -> None:
    with ExitStack() as stack:
        watched = await asyncio.to_thread(stack.enter_context, sentinels())
        async with scene(tmp_path, watched.url, watched.url, ack="replica") as on:
            former = await asyncio.to_thread(watched.kill_master)
            await asyncio.to_thread(watched.await_master_after, former)
            await on.settled(acknowledged=False)  # as there is no replica
            on.go_on()
            await asyncio.to_thread(watched.follow_master, former)
            await on.settled()
            on.go_on()
            await on.more_acks(10)
            await on.settled()
            assert await on.verdict() == []


@asynccontextmanager
async def cut_off(directory: Path, ack: str) -> AsyncIterator[tuple[Scene, FaultProxy, Sentinels]]:
    """A master that has just lost its replica and its sentinels, but not the hubs."""
    with single() as primary:
        async with fault_proxy(primary.port) as proxy:
            with ExitStack() as stack:
                watched = await asyncio.to_thread(stack.enter_context, sentinels_over(primary, proxy.port))
                async with scene(directory, watched.url, watched.url, ack=ack) as on:
                    proxy.hold(b"REPLCONF", b"sentinel-")
                    yield on, proxy, watched


def _hubs_connections(server: RedisServer) -> list[str]:
    with server.client() as client:
        return [one["name"] for one in client.client_list() if one["name"].startswith("tallycast")]


async def _healed(proxy: FaultProxy, watched: Sentinels) -> None:
    former = watched.servers[0]
    await asyncio.to_thread(watched.await_master_after, former)
    proxy.release()
    await asyncio.to_thread(watched.follow_master, former)


async def test_nothing_acknowledged_is_lost_when_the_master_is_cut_off(tmp_path: Path) -> None:
    async with cut_off(tmp_path, "replica") as (on, proxy, watched):
        await on.all_refused()
        await _healed(proxy, watched)
        await on.settled()
        on.go_on()
        await on.more_acks(10)
        await on.settled()
        assert await on.verdict() == []


async def test_control_without_waiting_for_a_replica_the_oracle_sees_the_loss(tmp_path: Path) -> None:
    async with cut_off(tmp_path, "memory") as (on, proxy, watched):
        await on.more_acks(20)  # which nobody else has
        former = watched.servers[0]
        assert _hubs_connections(former)
        await asyncio.to_thread(watched.await_master_after, former)
        await eventually(lambda: not _hubs_connections(former), within_s=CONVERGED_S)  # although it works
        await on.settled()
        await _healed(proxy, watched)
        found = await on.verdict()
        shares = [one for one in found if "shares" in one]
        assert shares
        assert all(one.startswith("lost: ") for one in shares)
        assert await on.flaws() == []
