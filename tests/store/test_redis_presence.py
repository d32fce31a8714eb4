"""How many watch at each hub, as Redis has it: heard by the others, forgotten with the hub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis.asyncio import Redis

from redis_servers import RedisServer, single
from tallycast.errors import Unavailable
from tallycast.kinds import Kinds
from tallycast.store import open_store
from tallycast.store.base import VIEWERS_S, Store
from tallycast.store.redis.keys import Keys
from tallycast.store.redis.presence import ITEMS_A_CALL

Opening = Callable[[], Awaitable[Store]]
SERVERS = ["redis_single", "redis_sentinels", "redis_cluster"]


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return f"{tmp_path.name}:"


@pytest.fixture(params=SERVERS)
async def opening(request: pytest.FixtureRequest, prefix: str, kinds: Kinds) -> AsyncIterator[Opening]:
    """Opens another hub's store each time."""
    url = request.getfixturevalue(request.param).url
    async with AsyncExitStack() as opened:

        async def opening() -> Store:
            store = open_store(url, kinds, prefix=prefix)
            opened.push_async_callback(store.close)
            return store

        yield opening


async def test_each_hub_learns_of_the_others_viewers_and_not_of_its_own(opening: Opening) -> None:
    one, two, three = [await opening() for _ in range(3)]
    for store, here in ((one, {"a": 3, "b": 1}), (two, {"a": 4}), (three, {}), (one, {}), (two, {})):
        await store.tell_viewers(here)
    assert await one.count_viewers(["a", "b", "c"]) == {"a": 4}
    assert await two.count_viewers(["a", "b", "c"]) == {"a": 3, "b": 1}
    assert await three.count_viewers(["a", "b"]) == {"a": 7, "b": 1}
    assert await three.count_viewers([]) == {}


async def test_a_number_holds_until_another_is_told_and_0_takes_it_out(opening: Opening) -> None:
    one, two = await opening(), await opening()
    await one.tell_viewers({"a": 3, "b": 1})
    await one.tell_viewers({"a": 2})
    await two.tell_viewers({})
    assert await two.count_viewers(["a", "b"]) == {"a": 2, "b": 1}
    await one.tell_viewers({"a": 0})
    assert await two.count_viewers(["a", "b"]) == {"b": 1}


async def test_a_hub_that_closes_takes_its_viewers_along_at_once(opening: Opening) -> None:
    one, two = await opening(), await opening()
    await one.tell_viewers({"a": 3})
    await two.tell_viewers({})
    assert await two.count_viewers(["a"]) == {"a": 3}
    await one.close()
    assert await two.count_viewers(["a"]) == {}


async def test_more_items_than_fit_into_one_call_are_all_told(opening: Opening) -> None:
    one, two = await opening(), await opening()
    many = {f"item:{number}": number + 1 for number in range(2 * ITEMS_A_CALL + 1)}
    await one.tell_viewers(many)
    await two.tell_viewers({})
    assert await two.count_viewers(many) == many


async def test_what_redis_lost_is_told_again(redis_single: RedisServer, prefix: str, kinds: Kinds) -> None:
    one, two = [open_store(redis_single.url, kinds, prefix=prefix) for _ in range(2)]
    client = Redis.from_url(redis_single.url)
    try:
        await one.tell_viewers({"a": 3})
        async for key in client.scan_iter(match=f"{prefix}*"):
            await client.delete(key)
        await two.tell_viewers({})
        assert await two.count_viewers(["a"]) == {}
        await one.tell_viewers({})
        await two.tell_viewers({})
        assert await two.count_viewers(["a"]) == {"a": 3}
    finally:
        await client.aclose()
        await one.close()
        await two.close()


async def test_what_is_told_ends_with_its_time_unless_it_is_told_again(
    redis_single: RedisServer, prefix: str, kinds: Kinds
) -> None:
    """Redis's own clock is shortened instead of waited for: the keys' time is what is looked at."""
    one, two = [open_store(redis_single.url, kinds, prefix=prefix) for _ in range(2)]
    client = Redis.from_url(redis_single.url)
    keys = Keys(prefix)
    try:
        await one.tell_viewers({"a": 3})
        hubs: list[bytes] = await client.execute_command("ZRANGE", keys.hubs, 0, -1)  # type: ignore[no-untyped-call]
        (hub,) = hubs
        here = keys.here(hub.decode())
        for key in (here, keys.hubs):
            assert 0 < await client.pttl(key) <= VIEWERS_S * 1000
        await client.pexpire(here, 200)
        await one.tell_viewers({})
        assert await client.pttl(here) > VIEWERS_S * 500, "a beat renews it"
        await two.tell_viewers({})
        await client.pexpire(here, 1)
        while await two.count_viewers(["a"]):
            pass
        await client.zadd(keys.hubs, {hub: 1})
        await two.tell_viewers({})
        assert hub not in await client.zrange(keys.hubs, 0, -1), "a hub whose time is over is taken off the list"
    finally:
        await client.aclose()
        await one.close()
        await two.close()


async def test_while_redis_is_away_neither_can_be_done_and_nothing_told_is_lost(prefix: str, kinds: Kinds) -> None:
    with single() as server:
        await _away(server, prefix, kinds)


async def _away(server: RedisServer, prefix: str, kinds: Kinds) -> None:
    one, two = [open_store(server.url, kinds, prefix=prefix) for _ in range(2)]
    try:
        await one.tell_viewers({"a": 3})
        await two.tell_viewers({})
        server.kill9()
        with pytest.raises(Unavailable):
            await one.tell_viewers({"a": 4, "b": 1})
        with pytest.raises(Unavailable):
            await two.count_viewers(["a"])
        server.start()
        await one.tell_viewers({})
        await two.tell_viewers({})
        assert await two.count_viewers(["a", "b"]) == {"a": 4, "b": 1}
    finally:
        await one.close()
        await two.close()
