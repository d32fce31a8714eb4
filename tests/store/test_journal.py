"""What every store promises of journals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tallycast.errors import Unavailable
from tallycast.kinds import Kinds
from tallycast.store.base import OpenStore
from tallycast.store.sqlite import SqliteStore

ODD = bytes(range(256))
# The stores whose code differs. What servers of other versions make of it, test_changes.py sees on every store.
PLACES = ["sqlite", "redis", "redis+cluster"]


async def bodies(store: OpenStore, name: str = "audit") -> list[bytes]:
    return [entry.body for entry in await store.journal.after(name, "", limit=1000)]


async def test_entries_are_there_in_their_order_and_say_when(store: OpenStore) -> None:
    assert await store.journal.after("audit", "", limit=10) == []
    before_ms = time.time_ns() // 10**6
    ids = [await store.journal.append("audit", body, most=10) for body in (b"{}", ODD, b"")]
    after_ms = time.time_ns() // 10**6
    entries = await store.journal.after("audit", "", limit=10)
    assert [(entry.id, entry.body) for entry in entries] == list(zip(ids, (b"{}", ODD, b""), strict=True))
    assert all(before_ms <= entry.at_ms <= after_ms for entry in entries)
    assert len(set(ids)) == 3
    assert all(id.replace("-", "").isdecimal() for id in ids)


async def test_after_an_entry_come_those_that_were_added_later(store: OpenStore) -> None:
    ids = [await store.journal.append("audit", b"%d" % n, most=100) for n in range(10)]
    for at, id in enumerate(ids):
        found = await store.journal.after("audit", id, limit=3)
        assert [entry.body for entry in found] == [b"%d" % n for n in range(10)][at + 1 : at + 4]
    assert [entry.id for entry in await store.journal.after("audit", "", limit=4)] == ids[:4]


async def test_the_newest_come_first_and_before_an_entry_those_before_it(store: OpenStore) -> None:
    ids = [await store.journal.append("audit", b"%d" % n, most=100) for n in range(10)]
    assert [entry.id for entry in await store.journal.newest("audit", limit=3)] == ids[:-4:-1]
    seen: list[str] = []
    while page := await store.journal.newest("audit", before=seen[-1] if seen else "", limit=4):
        seen += [entry.id for entry in page]
    assert seen == ids[::-1]


async def test_what_is_over_the_most_goes_the_oldest_first(store: OpenStore) -> None:
    ids = [await store.journal.append("audit", b"%d" % n, most=5) for n in range(12)]
    assert await bodies(store) == [b"7", b"8", b"9", b"10", b"11"]
    gone = await store.journal.after("audit", ids[2], limit=10)
    assert [entry.id for entry in gone] == ids[7:], "after an entry that is gone come the oldest that are left"
    await store.journal.append("audit", b"12", most=2)
    assert await bodies(store) == [b"11", b"12"]
    await store.journal.append("audit", b"13", most=5)
    assert await bodies(store) == [b"11", b"12", b"13"]
    await store.journal.append("audit", b"14", most=1)
    assert await bodies(store) == [b"14"]


async def test_journals_do_not_touch_each_other(store: OpenStore) -> None:
    for n in range(3):
        await store.journal.append("audit", b"a%d" % n, most=2)
        await store.journal.append("dead", b"d%d" % n, most=3)
    assert await bodies(store) == [b"a1", b"a2"]
    assert await bodies(store, "dead") == [b"d0", b"d1", b"d2"]
    assert await bodies(store, "changes") == []


async def test_of_many_at_once_all_are_there_once_and_an_id_that_was_given_is_after_those_before(
    store: OpenStore,
) -> None:
    ids = await asyncio.gather(*(store.journal.append("audit", b"%d" % n, most=100) for n in range(40)))
    entries = await store.journal.after("audit", "", limit=100)
    assert sorted(entry.id for entry in entries) == sorted(ids)
    assert sorted(int(entry.body) for entry in entries) == list(range(40))
    later = await store.journal.append("audit", b"later", most=100)
    assert (await store.journal.newest("audit", limit=1))[0].id == later


async def test_a_journal_goes_on_after_a_restart(opening: Callable[[], OpenStore]) -> None:
    store = opening()
    first = await store.journal.append("audit", b"1", most=10)
    await store.close()

    store = opening()
    second = await store.journal.append("audit", b"2", most=10)
    assert [entry.id for entry in await store.journal.after("audit", "", limit=10)] == [first, second]
    assert [entry.id for entry in await store.journal.after("audit", first, limit=10)] == [second]
    await store.close()
    with pytest.raises(Unavailable):
        await store.journal.after("audit", "", limit=1)
    with pytest.raises(Unavailable):
        await store.journal.append("audit", b"", most=1)


class Clock:
    def __init__(self) -> None:
        self.now_ns = 1_790_000_000 * 10**9

    def __call__(self) -> int:
        return self.now_ns


async def test_ids_of_a_file_follow_the_clock_and_grow_also_when_it_stands_or_is_set_back(
    tmp_path: Path, kinds: Kinds
) -> None:
    clock = Clock()
    store = SqliteStore(tmp_path / "tally.db", kinds, durability="normal", clock_ns=clock)
    at_us = clock.now_ns // 1000
    assert [int(await store.journal.append("audit", b"", most=9)) for _ in range(2)] == [at_us, at_us + 1]
    clock.now_ns -= 10**12
    assert int(await store.journal.append("audit", b"", most=9)) == at_us + 2
    clock.now_ns += 2 * 10**12
    assert int(await store.journal.append("audit", b"", most=9)) == at_us + 10**9
    assert (await store.journal.newest("audit", limit=1))[0].at_ms == at_us // 1000 + 10**6
    await store.close()
