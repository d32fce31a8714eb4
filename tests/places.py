"""Where a test's own store is, what the proof says of it, and what its journal of changes adds up to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import orjson

from tallycast.kinds import Kinds
from tallycast.store.base import OpenStore
from tallycast.store.check import Report
from tallycast.store.check import check as check_sqlite
from tallycast.store.records import CHANGES
from tallycast.store.redis.check import check as check_redis

WRITTEN_S = 10.0


class Place(NamedTuple):
    """The store's URL, and what begins its keys where it is a Redis."""

    url: str
    prefix: str

    async def check(self, kinds: Kinds) -> Report:
        """What `tallycast check` finds there."""
        if self.url.startswith("sqlite:"):
            return check_sqlite(self.url, kinds)
        return await asyncio.to_thread(check_redis, self.url, kinds, prefix=self.prefix)


class Sums(NamedTuple):
    """What a journal of changes adds up to: of each item that moved the counts that are not 0, and the versions that it
    went through, in the journal's order."""

    counts: dict[str, dict[str, int]]
    versions: dict[str, list[int]]


async def sums(store: OpenStore) -> Sums:
    """Of the whole journal, as it is now."""
    counters: dict[str, Counter[str]] = {}
    versions: dict[str, list[int]] = {}
    last = ""
    while entries := await store.journal.after(CHANGES, last, limit=100):
        for entry in entries:
            changes = orjson.loads(entry.body)
            assert changes, "no entry is about nothing"
            for item, v, by_kind in changes:
                assert by_kind
                assert all(type(by) is int and by for by in by_kind.values())
                counters.setdefault(item, Counter()).update(by_kind)
                versions.setdefault(item, []).append(v)
        last = entries[-1].id
    return Sums({item: {kind: n for kind, n in of.items() if n} for item, of in counters.items()}, versions)


async def until_sums(store: OpenStore, counts: Mapping[str, Mapping[str, int]]) -> Sums:
    """sums(), once they are these: a cluster writes its journal right after it has counted."""
    try:
        async with asyncio.timeout(WRITTEN_S):
            while (now := await sums(store)).counts != counts:
                await asyncio.sleep(0.01)
    except TimeoutError:
        assert (await sums(store)).counts == counts
    return now
