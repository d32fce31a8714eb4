"""The feed against real servers: whatever breaks, followed items end at what Redis has, and no version goes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
from redis.exceptions import RedisError

from fault_proxy import fault_proxy
from hubs import eventually
from redis_servers import Cluster, RedisServer, cluster, sentinels, single
from tallycast.errors import Unavailable
from tallycast.store.base import Snapshot
from tallycast.store.redis.channels import Channels
from tallycast.store.redis.client import connect
from tallycast.store.redis.feed import Feed
from tallycast.store.redis.keys import HEADER, Keys, make_header, parse_header
from tallycast.store.redis.link import SILENCE_S
from tallycast.store.redis.url import parse_redis_url

KEYS = Keys("feed:")


class Other:
    """Another hub's writing, at its simplest: an item's counts under its key, and published in the same turn."""

    def __init__(self, place: RedisServer | Cluster) -> None:
        self.place = place

    def at(self, item: str) -> RedisServer:
        return self.place if isinstance(self.place, RedisServer) else self.place.master_of(KEYS.item(item))

    def put(self, item: str, likes: int, *, v: int | None = None, silently: bool = False) -> None:
        v = time.time_ns() // 1000 if v is None else v
        header = make_header(v, {"like": likes})
        server = self.at(item)
        server.ask("hset", KEYS.item(item), HEADER, header)
        if not silently:
            server.ask("publish" if server is self.place else "spublish", KEYS.channel(item), header)


class Listening:
    """A feed and what it told, by item in order."""

    def __init__(self, url: str) -> None:
        self.client = connect(parse_redis_url(url), name="feed-test")
        self.told: dict[str, list[Snapshot]] = {}
        self.reads = 0
        self.channels = Channels(parse_redis_url(url), KEYS)
        self.feed = Feed(self.channels, KEYS, self.read, lambda _: None)

    async def read(self, items: Collection[str]) -> dict[str, Snapshot]:
        self.reads += 1
        found: dict[str, Snapshot] = {}
        try:
            for item in items:
                header: Any = await self.client.hget(KEYS.item(item), HEADER.decode())
                found[item] = Snapshot(item, *parse_header(header)) if header else Snapshot(item, 0, {})
        except (RedisError, OSError) as error:
            raise Unavailable(str(error)) from error
        return found

    def heard(self, snapshot: Snapshot) -> None:
        self.told.setdefault(snapshot.item, []).append(snapshot)

    def follow(self, *items: str) -> None:
        self.feed.follow(items, self.heard)

    def likes(self, item: str) -> int | None:
        """What was told last; None for nothing yet."""
        told = self.told.get(item)
        return told[-1].counts.get("like", 0) if told else None

    async def comes_to(self, item: str, likes: int, *, within_s: float = 10.0) -> None:
        await eventually(lambda: self.likes(item) == likes, within_s=within_s)

    def check_order(self) -> None:
        for told in self.told.values():
            versions = [snapshot.v for snapshot in told]
            assert versions == sorted(versions)


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Listening]:
    listener = Listening(url)
    try:
        yield listener
    finally:
        await listener.feed.close()
        await listener.channels.close()
        await listener.client.aclose()
    listener.check_order()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with single() as one:
        yield one


def channels(server: RedisServer, *, shard: bool = False) -> set[str]:
    """The items whose channels somebody is subscribed to at `server`."""
    found = server.ask("pubsub", "shardchannels" if shard else "channels", "feed:{*")
    return {KEYS.item_of(channel) for channel in found}


async def test_what_others_change_is_told_and_only_of_followed_items(server: RedisServer) -> None:
    other = Other(server)
    other.put("a", 1)
    async with listening(server.url) as here:
        here.follow("a", "b")
        await here.comes_to("a", 1)
        await here.comes_to("b", 0)
        other.put("a", 2)
        other.put("b", 3)
        other.put("c", 4)
        await here.comes_to("a", 2)
        await here.comes_to("b", 3)
        assert here.likes("c") is None
        assert channels(server) == {"a", "b"}


async def test_what_is_unfollowed_is_left_and_told_no_more(server: RedisServer) -> None:
    other = Other(server)
    async with listening(server.url) as here:
        here.follow("a", "b")
        await eventually(lambda: channels(server) == {"a", "b"})
        here.feed.unfollow(("a", "never"))
        await eventually(lambda: channels(server) == {"b"})
        other.put("a", 1)
        other.put("b", 2)
        await here.comes_to("b", 2)
        assert not here.likes("a")


async def test_leaving_and_coming_back_in_any_order_ends_as_was_wished_last(server: RedisServer) -> None:
    async with listening(server.url) as here:
        for turn in range(20):
            here.follow("a", "b")
            here.feed.unfollow(("b",))
            if turn % 3 == 0:
                await asyncio.sleep(0)
            here.feed.unfollow(("a",))
            if turn % 5 == 0:
                await asyncio.sleep(0.01)
            here.follow("a")
        await eventually(lambda: channels(server) == {"a"})
        Other(server).put("a", 7)
        await here.comes_to("a", 7)


async def test_many_items_are_subscribed_and_read_in_few_commands(server: RedisServer) -> None:
    items = [f"i:{n}" for n in range(3000)]
    async with listening(server.url) as here:
        server.ask("config", "resetstat")
        here.follow(*items)
        await eventually(lambda: len(here.told) == len(items))
        stats = server.ask("info", "commandstats").decode()
        (line,) = (line for line in stats.splitlines() if line.startswith("cmdstat_subscribe:"))
        assert int(line.split("calls=")[1].split(",")[0]) <= 10
        assert here.reads <= 40
        here.feed.unfollow(items)
        await eventually(lambda: not channels(server))


async def _killed(server: RedisServer, other: Other) -> None:
    server.kill9()
    await asyncio.to_thread(server.start)
    other.put("a", 2, silently=True)


async def _cut(server: RedisServer, other: Other) -> None:
    other.put("a", 2, silently=True)  # as if it had been published while the connection was away
    server.ask("client", "kill", "type", "pubsub")


async def _stopped(server: RedisServer, other: Other) -> None:
    server.pause()
    await asyncio.sleep(SILENCE_S + 1)
    server.resume()
    other.put("a", 2, silently=True)


@pytest.mark.parametrize("fault", [_killed, _cut, _stopped])
async def test_after_a_fault_what_was_missed_is_read(
    server: RedisServer, fault: Callable[[RedisServer, Other], Any]
) -> None:
    other = Other(server)
    async with listening(server.url) as here:
        other.put("a", 1)
        # So many that the sweep, which would come by in time too, takes far longer than this test waits.
        here.follow("a", *(f"i:{n}" for n in range(2000)))
        await here.comes_to("a", 1)
        await eventually(lambda: "a" in channels(server))
        await fault(server, other)
        await here.comes_to("a", 2, within_s=5)
        await eventually(lambda: "a" in channels(server))
        other.put("a", 3)
        await here.comes_to("a", 3, within_s=5)


@pytest.mark.parametrize("held", [b"SUBSCRIBE", b""])
async def test_a_link_that_goes_silent_is_found_by_its_probe(
    server: RedisServer, caplog: pytest.LogCaptureFixture, held: bytes
) -> None:
    """Only the subscriber's connection is dead, or all are; nobody sends a FIN."""
    caplog.set_level("INFO")
    other = Other(server)
    async with fault_proxy(server.port) as proxy, listening(f"redis://127.0.0.1:{proxy.port}") as here:
        here.follow("a")
        await here.comes_to("a", 0)
        await eventually(lambda: channels(server) == {"a"})
        proxy.hold(held)
        other.put("a", 1)
        await eventually(lambda: "not heard" in caplog.text, within_s=SILENCE_S + 2)
        other.put("a", 2)
        proxy.release()
        await here.comes_to("a", 2, within_s=5)
        await eventually(lambda: "heard again" in caplog.text)
    assert caplog.text.count("not heard") == caplog.text.count("heard again") == 1


def _subscriber(server: RedisServer) -> str | None:
    with server.client() as watcher:
        found = watcher.client_list(_type="pubsub")
    return found[0]["id"] if found else None


async def test_a_store_that_lost_its_data_is_found_and_versions_grow(server: RedisServer) -> None:
    other = Other(server)
    async with listening(server.url) as here:
        for item in ("a", "b"):
            other.put(item, 5)
        here.follow("a", "b")
        await here.comes_to("a", 5)
        await here.comes_to("b", 5)
        server.ask("flushall")
        await here.comes_to("a", 0)
        await here.comes_to("b", 0)
        for item in ("a", "b"):
            assert here.told[item][-1].v > here.told[item][0].v
            v, counts = parse_header(server.ask("hget", KEYS.item(item), HEADER))
            assert (v, counts) == (here.told[item][-1].v, {}), "other hubs must see the same"
        other.put("a", 1)
        await here.comes_to("a", 1)


async def test_a_clock_that_is_behind_after_a_loss_hides_nothing(server: RedisServer) -> None:
    async with listening(server.url) as here:
        Other(server).put("a", 5)
        here.follow("a")
        await here.comes_to("a", 5)
        server.ask("flushall")
        await here.comes_to("a", 0)
        for likes in (1, 2):
            Other(server).put("a", likes, v=1_000_000 + likes)
            await here.comes_to("a", likes)


async def test_what_is_no_publication_of_ours_is_passed_over(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    other = Other(server)
    async with listening(server.url) as here:
        here.follow("a")
        await here.comes_to("a", 0)
        for junk in ("", "7", '{"item": "a", "v": 3}', b"\x01" + b"\xff" * 30):
            server.ask("publish", KEYS.channel("a"), junk)
        other.put("a", 1)
        await here.comes_to("a", 1)
    assert "somebody else publishes" in caplog.text


async def test_an_error_of_whoever_is_told_harms_no_other(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(snapshot: Snapshot) -> None:
        raise RuntimeError("the hub's own")

    async with listening(server.url) as here:
        here.feed.follow(("a",), fails)
        here.follow("b")
        Other(server).put("a", 1)
        Other(server).put("b", 2)
        await here.comes_to("b", 2)
    assert "telling of a failed" in caplog.text


async def test_without_a_server_it_waits_for_one(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    server.kill9()
    async with listening(server.url) as here:
        here.follow("a")
        await eventually(lambda: "not heard" in caplog.text)
        await asyncio.to_thread(server.start)
        Other(server).put("a", 4)
        await here.comes_to("a", 4, within_s=5)
        await eventually(lambda: "heard again" in caplog.text)
    assert caplog.text.count("not heard") == caplog.text.count("heard again") == 1


async def test_it_closes_at_any_time_and_leaves_no_connection(server: RedisServer) -> None:
    for pause_s in (0, 0.001, 0.2):
        async with listening(server.url) as here:
            here.follow("a", "b")
            await asyncio.sleep(pause_s)
        await eventually(lambda: _subscriber(server) is None)
    async with listening(server.url):
        pass


# Sentinels and a cluster

ITEMS = [f"c:{n}" for n in range(60)]


async def test_behind_sentinels_a_new_primary_is_followed() -> None:
    with sentinels() as watched:
        async with listening(watched.url) as here:
            former = watched.master()
            Other(former).put("a", 1)
            here.follow("a")
            await here.comes_to("a", 1)
            former.kill9()
            server = await asyncio.to_thread(watched.await_master_after, former)
            await eventually(lambda: channels(server) == {"a"}, within_s=5)
            Other(server).put("a", 2)
            await here.comes_to("a", 2, within_s=5)


async def test_in_a_cluster_each_item_is_heard_at_its_shard(redis_cluster: Cluster) -> None:
    other = Other(redis_cluster)
    async with listening(redis_cluster.url) as here:
        here.follow(*ITEMS)
        await eventually(lambda: len(here.told) == len(ITEMS))
        await eventually(lambda: set().union(*(channels(m, shard=True) for m in redis_cluster.masters())) == set(ITEMS))
        for master in redis_cluster.masters():
            mine = channels(master, shard=True)
            assert mine == {item for item in ITEMS if other.at(item) is master}
        for n, item in enumerate(ITEMS):
            other.put(item, n + 1)
        for n, item in enumerate(ITEMS):
            await here.comes_to(item, n + 1)


async def test_a_slot_that_moves_takes_its_subscribers_along() -> None:
    with cluster() as nodes:
        other = Other(nodes)
        async with listening(nodes.url) as here:
            here.follow(*ITEMS)
            await eventually(lambda: len(here.told) == len(ITEMS))
            item = ITEMS[0]
            target = await asyncio.to_thread(nodes.move, KEYS.item(item))
            await eventually(lambda: item in channels(target, shard=True))
            for n, one in enumerate(ITEMS):
                other.put(one, n + 1)
            for n, one in enumerate(ITEMS):
                await here.comes_to(one, n + 1)


async def test_a_master_that_dies_is_followed_to_its_replica() -> None:
    with cluster() as nodes:
        other = Other(nodes)
        async with listening(nodes.url) as here:
            here.follow(*ITEMS)
            await eventually(lambda: len(here.told) == len(ITEMS))
            dead = other.at(ITEMS[0])
            replica = nodes.replica_of(dead)
            dead.kill9()
            await eventually(lambda: replica in nodes.masters())
            await asyncio.to_thread(nodes.await_whole)
            for n, item in enumerate(ITEMS):
                try:
                    other.put(item, n + 1)
                except redis.RedisError:
                    await asyncio.to_thread(nodes.await_whole)
                    other.put(item, n + 1)
            for n, item in enumerate(ITEMS):
                await here.comes_to(item, n + 1)
