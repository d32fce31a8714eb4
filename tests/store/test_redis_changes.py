"""The journal of changes in Redis: its size is bounded, and on a cluster it outlives that its own shard is away."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from filling import taken
from redis_servers import RedisServer, cluster
from tallycast.errors import Unavailable
from tallycast.kinds import Kinds, Reaction
from tallycast.store import open_store
from tallycast.store.records import CHANGES
from tallycast.store.redis import changes as redis_changes
from tallycast.store.redis.keys import Keys
from tallycast.store.redis.store import RedisStore
from tallycast.store.redis.url import parse_redis_url

KEYS = Keys("changes:")


async def test_fewer_are_kept_where_they_are_large(
    redis_single: RedisServer, kinds: Kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_changes, "MEASURE_S", 0.0)
    monkeypatch.setattr(redis_changes, "MOST_BYTES", 500_000)
    monkeypatch.setattr(redis_changes, "LEAST_CHANGES", 1)
    store = RedisStore(parse_redis_url(redis_single.url), KEYS, kinds)
    items = [f"post:{number:0100}" for number in range(100)]  # a large entry: some 13 KB
    turn = 0
    while turn < 100 or store.journal.changes.most > 100:
        turn += 1
        assert turn < 1_000
        await store.apply([Reaction(item, f"u:{turn}", "love", 1) for item in items])
    await store.close()
    assert redis_single.ask("memory", "usage", KEYS.journal(CHANGES)) < 1_000_000


async def test_what_moved_while_the_journals_shard_was_away_is_added_when_it_is_back(kinds: Kinds) -> None:
    with cluster(node_timeout_ms=60_000) as nodes:  # nobody takes the paused one's place
        away = nodes.master_of(KEYS.journal(CHANGES))
        item = next(item for item in map("post:{}".format, range(100)) if nodes.master_of(KEYS.item(item)) is not away)
        store = open_store(nodes.url, kinds, prefix=KEYS.prefix)
        await store.apply([Reaction(item, "u:0", "love", 1)])
        assert len(await store.journal.after(CHANGES, "", limit=10)) == 1
        away.pause()
        try:
            for number in range(1, 6):
                assert await taken(store, Reaction(item, f"u:{number}", "love", 1)) == {"love": number + 1}
            with pytest.raises(Unavailable):  # that an attempt to add has failed, too
                await store.journal.after(CHANGES, "", limit=10)
        finally:
            away.resume()

        async def added() -> int:
            try:
                entries = await store.journal.after(CHANGES, "", limit=10)
            except Unavailable:  # the store rests a moment after a failure
                return 0
            return sum(by["love"] for entry in entries for _, _, by in orjson.loads(entry.body))

        async with asyncio.timeout(20):
            while await added() < 6:
                await asyncio.sleep(0.05)
        assert await added() == 6
        await store.close()
