"""What is sent again, since its answer was lost, is done once, and answered as if nothing had been lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count

import orjson
import pytest

from fault_proxy import FaultProxy, fault_proxy
from redis_servers import RedisServer
from tallycast.kinds import Kinds, Reaction, Said
from tallycast.store import open_store
from tallycast.store.base import OpenStore
from tallycast.store.records import ANY, CHANGES
from tallycast.store.redis.keys import Keys
from tallycast.store.redis.records import APPEND, RECORD

POST, ANN, BOB = "post:1", "u:ann", "u:bob"
PREFIXES = (f"lost{number}:" for number in count())
# What is sent is known by the first line of its script.
WRITING, ADDING = b"Writes a document", b"Adds an entry"
REPLACING, DELETING = b"Replaces what some actors say", b"Takes everything away"


@pytest.fixture
async def proxy(redis_single: RedisServer) -> AsyncIterator[FaultProxy]:
    async with fault_proxy(redis_single.port) as between:
        yield between


@pytest.fixture
def keys() -> Keys:
    return Keys(next(PREFIXES))


@pytest.fixture
async def store(proxy: FaultProxy, kinds: Kinds, keys: Keys) -> AsyncIterator[OpenStore]:
    opened = open_store(f"redis://127.0.0.1:{proxy.port}", kinds, prefix=keys.prefix)
    yield opened
    await opened.close()


async def changes(store: OpenStore) -> list[dict[str, int]]:
    """By how much kinds moved, in the order of the journal, whose entries are all about POST."""
    entries = await store.journal.after(CHANGES, "", limit=100)
    return [by for entry in entries for _, _, by in orjson.loads(entry.body)]


async def test_a_document_is_written_and_deleted(store: OpenStore, proxy: FaultProxy) -> None:
    records = store.records
    proxy.lose_answer_to(WRITING)
    assert await records.put("keys", "a", b"1", None)
    first = (await records.revisions(["keys"]))["keys"]
    proxy.lose_answer_to(WRITING)
    assert await records.put("keys", "a", b"2", b"1")
    second = (await records.revisions(["keys"]))["keys"]
    assert second > first
    proxy.lose_answer_to(WRITING)
    assert not await records.put("keys", "a", b"3", b"1")
    assert (await records.revisions(["keys"]))["keys"] == second
    assert await records.all("keys") == {"a": b"2"}
    proxy.lose_answer_to(WRITING)
    assert await records.delete("keys", "a", ANY)
    assert await records.get("keys", "a") is None
    assert proxy.lost_answers == 4


def test_what_came_between_is_not_written_over(redis_single: RedisServer, keys: Keys) -> None:
    def write(mark: str, *words: str) -> object:
        return redis_single.ask("eval", RECORD, 1, keys.records("keys"), "=a", mark, *words)

    assert write("one.....", "none", "", "1") == 1
    assert write("two.....", "this", "1", "2") == 1
    assert write("one.....", "none", "", "1") == 1  # again
    assert redis_single.ask("hget", keys.records("keys"), "=a") == b"2"


async def test_an_entry_is_added_once(store: OpenStore, proxy: FaultProxy) -> None:
    for number in range(3):
        proxy.lose_answer_to(ADDING)
        id = await store.journal.append("audit", b"%d" % number, most=10)
        assert (await store.journal.newest("audit", limit=1))[0].id == id
    assert [entry.body for entry in await store.journal.after("audit", "", limit=9)] == [b"0", b"1", b"2"]
    assert proxy.lost_answers == 3


def test_an_entry_that_comes_after_a_later_one_of_its_hub_is_none(redis_single: RedisServer, keys: Keys) -> None:
    def add(hub: str, number: int) -> None:
        key, hubs = keys.journal("audit"), keys.appenders("audit")
        redis_single.ask("eval", APPEND, 2, key, hubs, hub, number, "body", "MAXLEN", "=", 100)

    for hub, number in (("a", 1), ("b", 1), ("a", 7), ("a", 6), ("b", 2), ("b", 2)):
        add(hub, number)
    assert redis_single.ask("xlen", keys.journal("audit")) == 4


async def test_what_moved_is_in_the_journal_once(store: OpenStore, proxy: FaultProxy) -> None:
    batch = [Reaction(POST, ANN, "love", 1), Reaction(POST, ANN, "share", 1, id="id-00000001")]
    proxy.lose_answer_to(b"EVALSHA")
    applied = await store.apply(batch)
    assert applied.outcomes[0].snapshot.counts == {"love": 1, "share": 1}
    assert proxy.lost_answers == 1
    assert await changes(store) == [{"love": 1, "share": 1}]


async def test_what_an_administrator_does_is_done_once_and_known_in_full(store: OpenStore, proxy: FaultProxy) -> None:
    moderation = store.moderation
    await store.apply([Reaction(POST, actor, kind, 1) for actor in (ANN, BOB) for kind in ("love", "like")])
    proxy.lose_answer_to(REPLACING)
    removed = await moderation.remove(POST, [ANN])
    assert removed.values == {ANN: {"love": Said(1, 0), "like": Said(1, 0)}}
    assert removed.snapshot.counts == {"love": 1, "like": 1}
    proxy.lose_answer_to(REPLACING)
    assert (await moderation.put_back(POST, removed.values)).counts == {"love": 2, "like": 2}
    proxy.lose_answer_to(DELETING)
    deleted = await moderation.delete(POST)
    assert deleted.counts == {}
    assert proxy.lost_answers == 3
    assert (await store.read([POST], [])).snapshots[POST] == deleted
    by = {"love": 1, "like": 1}
    twice = {kind: 2 * n for kind, n in by.items()}
    assert await changes(store) == [twice, dict.fromkeys(by, -1), by, dict.fromkeys(by, -2)]
