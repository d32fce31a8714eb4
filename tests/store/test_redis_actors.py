"""What hubs tell each other of their actors, over real servers: nothing of whom one alone has, and else all that is
needed for each to be at what Redis has."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import redis

from fault_proxy import fault_proxy
from hubs import eventually
from redis_servers import Cluster, RedisServer, single
from tallycast.kinds import Kinds
from tallycast.store.redis.actors import GATHER_S, LATE_S
from tallycast.store.redis.keys import Keys
from tallycast.store.redis.store import RedisStore
from tallycast.store.redis.url import parse_redis_url

KEYS = Keys("actors:")


class Attending:
    """A store, and what it told of actors."""

    def __init__(self, url: str, kinds: Kinds) -> None:
        self.store = RedisStore(parse_redis_url(url), KEYS, kinds)
        self.known: set[str] = set()
        self.told: Counter[tuple[str, str | None]] = Counter()

    def attend(self, *actors: str) -> None:
        for actor in actors:
            self.store.attend(actor, self)

    def elsewhere(self, actor: str) -> None:
        self.known.add(actor)

    def said(self, actor: str, item: str | None) -> None:
        self.told[actor, item] += 1


@asynccontextmanager
async def attending(kinds: Kinds, *urls: str) -> AsyncIterator[list[Attending]]:
    hubs = [Attending(url, kinds) for url in urls]
    try:
        yield hubs
    finally:
        for hub in hubs:
            await hub.store.close()


def hearing(server: RedisServer, actor: str) -> int:
    """How many hubs hear the actor's channel."""
    return int(server.ask("pubsub", "numsub", KEYS.actor_channel(actor))[1])


@contextmanager
def overhearing(server: RedisServer) -> Iterator[Any]:
    """Whatever is published on channels of actors: `get_message` of redis-py."""
    with redis.Redis(port=server.port) as client, client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.psubscribe(f"{KEYS.prefix}actor:*")
        listener.get_message(timeout=5)
        yield listener


async def test_of_an_actor_whom_one_hub_has_nothing_is_published(redis_single: RedisServer, kinds: Kinds) -> None:
    async with attending(kinds, redis_single.url, redis_single.url) as (one, two):
        with overhearing(redis_single) as listener:
            one.attend(*(f"u:{number}" for number in range(700)))
            two.attend("u:other", "u:699")
            await eventually(lambda: one.known == two.known == {"u:699"})
            published = []
            while (message := await asyncio.to_thread(listener.get_message, timeout=4 * GATHER_S)) is not None:
                published.append(message["channel"].decode())
        assert set(published) == {KEYS.actor_channel("u:699")}


async def test_who_comes_later_and_who_was_there_are_both_told_to_read_anew(
    redis_single: RedisServer, redis_cluster: Cluster, kinds: Kinds
) -> None:
    for url in (redis_single.url, redis_cluster.url):
        async with attending(kinds, url, url, url) as (one, two, three):
            one.attend("u:1")
            await asyncio.sleep(LATE_S)
            two.attend("u:1")
            await eventually(lambda: bool(one.told["u:1", None] and two.told["u:1", None]))
            await eventually(lambda: one.known == two.known == {"u:1"})
            one.store.announce("u:1", "post:1")
            await eventually(lambda: two.told["u:1", "post:1"] == 1)
            three.store.announce("u:1", "post:2")  # a request without a connection
            await eventually(lambda: one.told["u:1", "post:2"] == two.told["u:1", "post:2"] == 1)
            assert one.told["u:1", "post:1"] == 0, "its own words are no news"
            assert not three.told


async def test_what_is_said_at_once_is_told_once(redis_single: RedisServer, kinds: Kinds) -> None:
    async with attending(kinds, redis_single.url, redis_single.url) as (one, two):
        two.attend("u:1")
        await eventually(lambda: hearing(redis_single, "u:1") == 1)
        for _ in range(1000):
            one.store.announce("u:1", "post:1")
        one.store.announce("u:1", "post:2")
        await eventually(lambda: two.told["u:1", "post:2"] == 1)
        assert two.told["u:1", "post:1"] == 1


async def test_who_left_is_told_nothing_and_who_comes_back_in_the_same_moment_learns_who_else_is_there(
    redis_single: RedisServer, kinds: Kinds
) -> None:
    async with attending(kinds, redis_single.url, redis_single.url) as (one, two):
        one.attend("u:1", "u:2")
        two.attend("u:1", "u:2")
        await eventually(lambda: one.known == two.known == {"u:1", "u:2"})
        await eventually(lambda: one.told["u:1", None] >= 1 and one.told["u:2", None] >= 1)
        one.known.clear()
        one.store.unattend("u:1")
        one.store.unattend("u:2")
        one.attend("u:1")
        await eventually(lambda: one.known == {"u:1"})
        await eventually(lambda: hearing(redis_single, "u:2") == 1)
        two.store.announce("u:2", "post:1")
        two.store.announce("u:1", "post:1")
        await eventually(lambda: one.told["u:1", "post:1"] == 1)
        assert one.told["u:2", "post:1"] == 0


async def test_a_store_that_closes_still_tells_what_was_said_just_before(
    redis_single: RedisServer, kinds: Kinds
) -> None:
    async with attending(kinds, redis_single.url, redis_single.url) as (one, two):
        two.attend("u:1")
        await eventually(lambda: hearing(redis_single, "u:1") == 1)
        one.store.announce("u:1", "post:1")
        await one.store.close()
        await eventually(lambda: two.told["u:1", "post:1"] == 1)


@pytest.mark.parametrize("fault", ["cut", "silent"])
async def test_after_an_outage_everything_is_to_be_read_anew(fault: str, kinds: Kinds) -> None:
    with single() as server:
        async with (
            fault_proxy(server.port) as proxy,
            attending(kinds, f"redis://127.0.0.1:{proxy.port}", server.url) as (cut, whole),
        ):
            cut.attend("u:1", "u:2")
            whole.attend("u:1")
            await eventually(lambda: cut.known == whole.known == {"u:1"})
            await eventually(lambda: cut.told["u:1", None] > 0)
            cut.told.clear()
            if fault == "cut":
                proxy.cut()
            else:
                proxy.hold()
                await asyncio.sleep(2.5)
            whole.store.announce("u:1", "post:1")
            cut.store.announce("u:1", "post:2")
            if fault == "silent":
                proxy.release()
            await eventually(lambda: bool(cut.told["u:1", None] and cut.told["u:2", None]))
            await eventually(lambda: whole.told["u:1", "post:2"] == 1)
