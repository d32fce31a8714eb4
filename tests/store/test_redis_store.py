"""What the Redis store does beyond the contract: faults of Redis, starts that cannot work, what it writes."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from filling import taken
from redis_servers import Cluster, RedisServer, Sentinels, cluster, free_port, sentinels, single, until
from tallycast.errors import ConfigError, Unavailable
from tallycast.kinds import Kinds, Reaction, Said
from tallycast.store import open_store
from tallycast.store.base import OpenStore, Store
from tallycast.store.redis.keys import HEADER, MOST_VALUE, Keys, make_header, make_record, parse_header, parse_record

POST, VIDEO, ANN, BOB = "post:1", "video:2", "u:ann", "u:bob"
LOVE = Reaction(POST, ANN, "love", 1)
SHARE = Reaction(POST, ANN, "share", 1, id="id-00000001")


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that the test may harm; what it took is there again after its end."""
    with single(appendonly="yes", appendfsync="everysec") as own:
        yield own


@pytest.fixture
async def own(server: RedisServer, kinds: Kinds) -> AsyncIterator[OpenStore]:
    """A store on that server."""
    store = open_store(server.url, kinds)
    yield store
    await store.close()


async def test_a_script_that_redis_forgot_is_loaded_again(server: RedisServer, own: Store) -> None:
    await own.apply([LOVE])
    server.ask("script", "flush")
    assert (await own.apply([LOVE._replace(actor=BOB)])).outcomes[0].snapshot.counts == {"love": 2}


async def test_versions_grow_also_when_all_data_is_lost(server: RedisServer, own: Store) -> None:
    before = (await own.apply([LOVE])).outcomes[0].snapshot
    server.ask("flushall")
    after = (await own.apply([LOVE])).outcomes[0].snapshot
    assert after.counts == {"love": 1}
    assert after.v > before.v


async def test_what_was_acknowledged_is_there_after_kill_9_and_nothing_is_counted_twice(
    server: RedisServer, own: Store
) -> None:
    acknowledged: list[Reaction] = []
    stop = asyncio.Event()

    async def react() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            batch = [Reaction(POST, f"u:{number}-{n}", "share", 1, id=f"id-{number:08}") for n in range(20)]
            await taken(own, *batch)
            acknowledged.extend(batch)

    reacting = asyncio.create_task(react())
    for _ in range(2):
        was = len(acknowledged)
        while len(acknowledged) < was + 200:
            await asyncio.sleep(0.01)
        server.kill9()
        with pytest.raises(Unavailable):
            for _ in range(100):
                await own.read([POST], [])
        await asyncio.to_thread(server.start)
    was = len(acknowledged)
    while len(acknowledged) < was + 200:
        await asyncio.sleep(0.01)
    stop.set()
    await reacting
    assert await taken(own, *acknowledged) == {"share": len(acknowledged)}


async def test_a_redis_that_hangs_is_unavailable_and_is_used_again_once_it_answers(
    server: RedisServer, own: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await own.apply([LOVE])
    server.pause()
    try:
        with pytest.raises(Unavailable, match="in time"):
            await own.apply([SHARE])
        began_s = time.monotonic()
        with pytest.raises(Unavailable):  # at once: nothing queues up behind a store that is away
            await own.apply([SHARE])
        assert time.monotonic() - began_s < 1
    finally:
        server.resume()
    assert await taken(own, SHARE) == {"love": 1, "share": 1}
    lines = [record.message for record in caplog.records if record.name == "tallycast.redis"]
    assert len([line for line in lines if "does not answer" in line]) == 1
    assert len([line for line in lines if "takes reactions again" in line]) == 1


async def test_a_blip_is_waited_for(server: RedisServer, own: Store) -> None:
    await own.apply([LOVE])
    server.ask("client", "pause", 300)
    assert (await own.apply([SHARE])).outcomes[0].snapshot.counts == {"love": 1, "share": 1}
    server.ask("client", "kill", "type", "normal", "skipme", "no")
    assert (await own.apply([LOVE._replace(actor=BOB)])).outcomes[0].snapshot.counts == {"love": 2, "share": 1}


async def test_another_programs_key_is_named(server: RedisServer, own: Store, caplog: pytest.LogCaptureFixture) -> None:
    server.ask("set", Keys("tallycast:").item(POST), "x")
    with pytest.raises(Unavailable, match="another program's key"):
        await own.apply([LOVE])
    assert "tallycast:{post:1}" in caplog.text
    server.ask("del", Keys("tallycast:").item(POST))
    assert await taken(own, LOVE) == {"love": 1}


async def test_a_full_redis_takes_nothing_and_is_still_read(
    server: RedisServer, own: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await own.apply([LOVE])
    server.ask("config", "set", "maxmemory", "1mb")
    with pytest.raises(Unavailable, match="out of memory"):
        await own.apply([SHARE])
    assert "maxmemory" in caplog.text
    assert (await own.read([POST], [])).snapshots[POST].counts == {"love": 1}
    with pytest.raises(Unavailable):
        await own.ping()
    server.ask("config", "set", "maxmemory", "0")
    assert await taken(own, SHARE) == {"love": 1, "share": 1}


async def test_a_redis_that_is_away_at_the_start_is_used_when_it_comes(
    kinds: Kinds, caplog: pytest.LogCaptureFixture
) -> None:
    with single() as server:
        server.stop()
        store = open_store(server.url, kinds)
        assert "starts without it" in caplog.text
        with pytest.raises(Unavailable):
            await store.ping()
        await asyncio.to_thread(server.start)
        assert await taken(store, LOVE) == {"love": 1}
        await store.close()


def test_a_wrong_password_ends_the_start_and_is_not_repeated(kinds: Kinds) -> None:
    with single() as server:
        server.ask("config", "set", "requirepass", "right")
        with pytest.raises(ConfigError, match="user or password") as refusal:
            open_store(f"redis://:hunter2@127.0.0.1:{server.port}", kinds)
    assert "hunter2" not in str(refusal.value)


async def test_servers_of_another_sort_than_the_url_says_are_refused(
    kinds: Kinds, redis_single: RedisServer, redis_sentinels: Sentinels, redis_cluster: Cluster
) -> None:
    replica = next(one for one in redis_sentinels.servers if one is not redis_sentinels.master())
    sentinel = redis_sentinels.watchers[0]
    for url, what in {
        redis_single.url.replace("redis:", "redis+cluster:"): "a single server and no cluster",
        redis_single.url.replace("redis:", "redis+sentinel:") + "/mymaster": "is no sentinel",
        redis_cluster.url.replace("redis+cluster:", "redis:"): "part of a cluster",
        f"redis+sentinel://127.0.0.1:{sentinel.port}/another": "no service another",
        sentinel.url: "is a sentinel",
        replica.url: "read-only replica",
    }.items():
        with pytest.raises(ConfigError, match=what):
            open_store(url, kinds)


async def test_an_acknowledgement_waits_for_a_replica(kinds: Kinds, redis_sentinels: Sentinels) -> None:
    replica = next(one for one in redis_sentinels.servers if one is not redis_sentinels.master())
    store = open_store(redis_sentinels.url, kinds, prefix="replica:", ack="replica")
    await store.apply([LOVE])
    replica.pause()
    try:
        for _ in range(3):  # the first has written; the others, which change nothing, must wait as well
            with pytest.raises(Unavailable):
                await applied_once(store, SHARE)
    finally:
        replica.resume()
    assert await taken(store, SHARE) == {"love": 1, "share": 1}
    await store.close()


async def applied_once(store: Store, reaction: Reaction) -> None:
    """One try that comes to Redis."""
    await asyncio.sleep(0.3)  # longer than the store rests after a failure
    await store.apply([reaction])


async def test_a_repeated_reaction_is_written_again(server: RedisServer, own: Store) -> None:
    batch = [LOVE, SHARE, Reaction(VIDEO, ANN, "clap", 0)]
    first = await own.apply(batch)
    server.ask("config", "resetstat")
    for _ in range(2):
        again = await own.apply(batch)
        assert again.changed == []
        assert again.outcomes == first.outcomes
    assert b"cmdstat_hset:calls=2," in server.ask("info", "commandstats")  # VIDEO's never became anything


async def test_event_ids_last_a_day_and_then_go(server: RedisServer, own: Store) -> None:
    await own.apply([SHARE])
    sets = [name for name in Keys("tallycast:").events(POST) if server.ask("exists", name)]
    assert len(sets) == 1
    assert 24 * 3600 <= server.ask("ttl", sets[0]) <= 48 * 3600


async def test_an_event_of_yesterday_is_known(server: RedisServer, own: Store) -> None:
    await own.apply([SHARE])
    even, odd = Keys("tallycast:").events(POST)
    today, other = (even, odd) if server.ask("exists", even) else (odd, even)
    server.ask("rename", today, other)
    assert (await own.apply([SHARE])).changed == []


async def test_counts_are_the_sums_of_what_hubs_let_people_say(server: RedisServer, kinds: Kinds) -> None:
    stores = [open_store(server.url, kinds, prefix="hubs:") for _ in range(2)]
    rounds, items, actors = 60, [POST, VIDEO, "post:3"], [f"u:{n}" for n in range(12)]
    chance = random.Random(3)

    def some() -> Reaction:
        kind = chance.choice(list(kinds.values()))
        item, actor, seq = chance.choice(items), chance.choice(actors), chance.choice([0, chance.randrange(1, 50)])
        if kind.rule == "event":
            return Reaction(item, actor, kind.name, 1, seq, f"id-{chance.randrange(30):08}")
        return Reaction(item, actor, kind.name, chance.randint(0, kind.max or 1), seq)

    async def hub(store: Store) -> None:
        for _ in range(rounds):
            await store.apply([some() for _ in range(chance.randrange(1, 40))])

    await asyncio.gather(*(hub(store) for store in stores))
    keys = Keys("hubs:")
    for item in items:
        stored = server.ask("hgetall", keys.item(item))
        fields = dict(zip(stored[::2], stored[1::2], strict=True))
        _, counts = parse_header(fields.pop(HEADER))
        sums: Counter[str] = Counter()
        for record in fields.values():
            said = parse_record(record, list(counts))
            sums.update({kind: value for kind, (value, _) in said.items()})
            assert sum(said[kind].value for kind in ("like", "dislike") if kind in said) <= 1
        assert {kind: n for kind, n in counts.items() if n} == {kind: n for kind, n in sums.items() if n}
        snapshots = [(await store.read([item], [])).snapshots[item] for store in stores]
        assert snapshots[0] == snapshots[1]
    for store in stores:
        await store.close()


async def test_who_goes_through_all_items_sees_all_though_redis_was_started_again(
    server: RedisServer, own: OpenStore
) -> None:
    items = {f"post:{number}" for number in range(200)}
    await own.apply([Reaction(item, ANN, "love", 1) for item in items])
    seen, cursor = await own.moderation.items("post:", "", 20)
    server.stop()
    await asyncio.to_thread(server.start)
    await taken(own, LOVE)
    names = {snapshot.item for snapshot in seen}
    while cursor:
        page, cursor = await own.moderation.items("post:", cursor, 20)
        names |= {snapshot.item for snapshot in page}
    assert names == items


async def test_events_of_one_actor_on_one_item_are_counted_as_far_as_there_is_room(
    server: RedisServer, own: Store
) -> None:
    header, record = make_header(1, {"share": MOST_VALUE}), make_record({"share": Said(MOST_VALUE, 0)}, ["share"])
    server.ask("hset", Keys("tallycast:").item(POST), HEADER, header, ANN, record)
    assert (await own.apply([SHARE])).changed == []
    assert await taken(own, SHARE._replace(actor=BOB)) == {"share": MOST_VALUE + 1}


@pytest.mark.parametrize("seq", [0, 1_763_750_000_000_000])
async def test_one_actors_value_takes_at_most_100_bytes(server: RedisServer, kinds: Kinds, seq: int) -> None:
    """2^15 actors fill their hash table as 2^20 do."""
    store = open_store(server.url, kinds)
    actors = 2**15 - 8
    for begin in range(0, actors, 4000):
        await store.apply(
            [
                Reaction(POST, f"v:{number:022}", "like", 1, seq and seq + number)
                for number in range(begin, min(begin + 4000, actors))
            ]
        )
    used = server.ask("memory", "usage", Keys("tallycast:").item(POST), "samples", 0)
    assert used / actors <= 100
    await store.close()


def test_nobody_listens_there_and_the_hub_starts_all_the_same(kinds: Kinds) -> None:
    for url in (f"redis+cluster://127.0.0.1:{free_port()}", f"redis+sentinel://127.0.0.1:{free_port()}/mymaster"):
        open_store(url, kinds)


async def test_an_item_whose_slot_is_on_its_way_is_counted(redis_cluster: Cluster, kinds: Kinds) -> None:
    store = open_store(redis_cluster.url, kinds, prefix="moving:")
    key = Keys("moving:").item(POST)
    await store.apply([LOVE, SHARE])
    source = redis_cluster.master_of(key)
    target = next(one for one in redis_cluster.masters() if one is not source)
    slot = source.ask("cluster", "keyslot", key)
    target_id, source_id = target.ask("cluster", "myid"), source.ask("cluster", "myid")

    async def react(expected: int) -> None:
        counts = await taken(store, Reaction(POST, f"u:{expected}", "love", 1), SHARE)
        assert counts == {"love": expected, "share": 1}

    target.ask("cluster", "setslot", slot, "importing", source_id)
    source.ask("cluster", "setslot", slot, "migrating", target_id)
    await react(2)
    names = source.ask("cluster", "getkeysinslot", slot, 10)
    source.ask("migrate", "127.0.0.1", target.port, "", 0, 5000, "keys", *names)
    await react(3)  # ASK
    for one in (target, source):
        one.ask("cluster", "setslot", slot, "node", target_id)
    await react(4)  # MOVED
    await store.close()


async def outlives(store: Store, lose: Callable[[], object]) -> None:
    """What was acknowledged before and after `lose` is there, once."""
    batches = [
        [Reaction(item, f"u:{number}", "share", 1, id=f"id-{number:08}") for item in (POST, VIDEO, "post:3")]
        for number in range(60)
    ]
    for number, batch in enumerate(batches):
        if number == 30:
            await asyncio.to_thread(lose)
        await taken(store, *batch)
    for batch in batches:
        assert await taken(store, *batch) == {"share": len(batches)}
    reading = await store.read([POST, VIDEO], [])
    assert [snapshot.counts for snapshot in reading.snapshots.values()] == [{"share": len(batches)}] * 2
    await store.ping()
    await store.close()


async def test_a_failover_of_sentinels_is_followed_and_loses_nothing_that_a_replica_has(kinds: Kinds) -> None:
    with sentinels() as watched:

        def lose() -> None:
            former = watched.kill_master()
            watched.await_master_after(former)
            former.start()  # the replica without which nothing is acknowledged

        await outlives(open_store(watched.url, kinds, ack="replica"), lose)


async def test_a_failover_of_a_shard_is_followed_and_loses_nothing_that_a_replica_has(kinds: Kinds) -> None:
    with cluster() as nodes:
        master = nodes.master_of(Keys("tallycast:").item(POST))

        def lose() -> None:
            master.kill9()
            until(lambda: nodes.master_of(Keys("tallycast:").item(POST)) is not master, "a replica is promoted")
            master.start()

        await outlives(open_store(nodes.url, kinds, ack="replica"), lose)


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tallycast.redis")
