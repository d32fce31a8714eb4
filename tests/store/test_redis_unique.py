"""How many different people there were, in Redis: an estimate, whose error is bounded and which never goes down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest

from redis_servers import RedisServer
from tallycast.kinds import Kinds, Reaction, parse
from tallycast.store import open_store
from tallycast.store.base import OpenStore
from tallycast.store.redis.check import check
from tallycast.store.redis.keys import HEADER, Keys, make_header
from tallycast.store.redis.servers import command

POST = "post:1"
AT_ONCE = 10_000
PREFIXES = (f"unique{number}:" for number in count())


@pytest.fixture(scope="module")
def kinds() -> Kinds:
    return parse('[view]\nrule = "unique"\n[love]\nrule = "toggle"\n', "kinds of these tests")


@pytest.fixture
def keys() -> Keys:
    return Keys(next(PREFIXES))


@pytest.fixture
async def store(redis_single: RedisServer, kinds: Kinds, keys: Keys) -> AsyncIterator[OpenStore]:
    opened = open_store(redis_single.url, kinds, prefix=keys.prefix)
    yield opened
    await opened.close()


async def views(store: OpenStore, *actors: str) -> int:
    """The count after these came."""
    applied = await store.apply([Reaction(POST, actor, "view", 1) for actor in actors])
    return applied.outcomes[0].snapshot.counts["view"]


def come(server: RedisServer, key: str, people: int) -> None:
    """Let people come past the store, of whom there are too many to go through it one by one."""
    with server.client() as client:
        connection = client.connection_pool.get_connection()
        for begin in range(0, people, AT_ONCE):
            names = map(str, range(begin, min(begin + AT_ONCE, people)))
            connection.send_packed_command([command("PFADD", key, *names)])
            connection.read_response()
        client.connection_pool.release(connection)


@pytest.mark.parametrize("people", [10, 1_000, 1_000_000])
async def test_the_error_is_within_its_bound(
    people: int, store: OpenStore, redis_single: RedisServer, keys: Keys
) -> None:
    last = min(people, 1_000)  # enough that one of them makes a difference
    await asyncio.to_thread(come, redis_single, keys.people(POST, "view"), people - last)
    counted = await views(store, *(f"u:{number}" for number in range(last)))
    assert abs(counted / people - 1) < 0.03


async def test_whoever_comes_one_by_one_is_counted(store: OpenStore) -> None:
    for number in range(20):
        assert await views(store, f"u:{number}", f"u:{number // 2}") == number + 1


async def test_a_count_never_goes_down(store: OpenStore, redis_single: RedisServer, keys: Keys) -> None:
    redis_single.ask("hset", keys.item(POST), HEADER, make_header(1, {"view": 5}))  # as it came from another store
    assert [await views(store, f"u:{number}") for number in range(7)] == [5, 5, 5, 5, 5, 6, 7]


async def test_what_is_deleted_begins_anew(store: OpenStore, redis_single: RedisServer, keys: Keys) -> None:
    await views(store, "u:ann", "u:bob")
    assert (await store.moderation.delete(POST)).counts == {}
    assert redis_single.ask("exists", keys.people(POST, "view")) == 0
    assert await views(store, "u:ann") == 1


async def test_one_of_them_cannot_be_taken_out(store: OpenStore) -> None:
    await views(store, "u:ann", "u:bob")
    await store.apply([Reaction(POST, "u:ann", "love", 1)])
    removed = await store.moderation.remove(POST, ["u:ann"])
    assert removed.snapshot.counts == {"view": 2}
    assert removed.values.keys() == {"u:ann"}
    assert removed.values["u:ann"].keys() == {"love"}


@pytest.mark.parametrize("declared", [True, False])
async def test_a_check_asks_for_no_sum_of_them(
    declared: bool, store: OpenStore, kinds: Kinds, redis_single: RedisServer, keys: Keys
) -> None:
    await views(store, "u:ann", "u:bob")
    await store.apply([kinds.given(POST, "view", 1_000)])
    report = await asyncio.to_thread(
        check, redis_single.url, kinds if declared else None, prefix=keys.prefix, repair=True
    )
    assert report.findings == []
    assert (report.items, report.values) == (1, 1)
    assert await views(store, "u:eve") == 1_003
