"""What the embedded store keeps, how long, and what it gives out of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tallycast.kinds import Kinds, Reaction, parse
from tallycast.store.check import check
from tallycast.store.ledger import REMEMBERED_ITEMS, SWEEP_IDS
from tallycast.store.sqlite import SqliteStore

LOVE = Reaction("post:1", "u:1", "love", 1)
SHARE = Reaction("post:1", "u:1", "share", 1, id="id-00000000")
DAY_NS = 24 * 3600 * 10**9


class Clock:
    def __init__(self) -> None:
        self.now_ns = 1_790_000_000 * 10**9

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tally.db"


@pytest.fixture
async def store(path: Path, kinds: Kinds, clock: Clock) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(path, kinds, durability="normal", clock_ns=clock)
    yield opened
    await opened.close()


async def kept_ids(store: SqliteStore, path: Path) -> int:
    """How many event ids there are, after all that the store was asked to do so far."""
    await store.read([], [])
    report = check(f"sqlite:///{path}")
    assert report.ok, str(report)
    return report.events


async def test_event_ids_are_kept_for_a_day_and_then_swept_in_small_pieces(
    store: SqliteStore, path: Path, clock: Clock
) -> None:
    many = [SHARE._replace(id=f"id-{n:0>8}") for n in range(2 * SWEEP_IDS + 1)]
    await store.apply(many)
    clock.now_ns += DAY_NS
    await store.ping()
    assert (await store.apply([SHARE])).changed == []
    assert await kept_ids(store, path) == len(many)

    clock.now_ns += 61 * 10**9
    for left in (SWEEP_IDS + 1, 1, 0, 0):
        await store.ping()
        assert await kept_ids(store, path) == left
    assert (await store.apply([SHARE])).outcomes[0].snapshot.counts == {"share": len(many) + 1}
    assert await kept_ids(store, path) == 1


async def test_a_younger_id_outlives_an_older_one(store: SqliteStore, path: Path, clock: Clock) -> None:
    await store.apply([SHARE])
    clock.now_ns += DAY_NS // 2
    await store.apply([SHARE._replace(id="id-00000001")])
    clock.now_ns += DAY_NS // 2 + 61 * 10**9
    await store.ping()
    assert await kept_ids(store, path) == 1
    assert (await store.apply([SHARE._replace(id="id-00000001")])).changed == []


async def test_a_sweep_that_fails_breaks_nothing(
    store: SqliteStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await store.apply([SHARE])
    clock.now_ns += 2 * DAY_NS
    await asyncio.get_running_loop().run_in_executor(
        store._thread, lambda: store._ledger.db.execute("ALTER TABLE events RENAME TO elsewhere")
    )
    await store.ping()
    assert (await store.apply([LOVE])).outcomes[0].snapshot.counts == {"share": 1, "love": 1}
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_version_grows_also_when_the_clock_went_back(store: SqliteStore, clock: Clock) -> None:
    first = (await store.apply([LOVE])).outcomes[0].snapshot.v
    assert first == clock.now_ns // 1000
    clock.now_ns -= DAY_NS
    assert (await store.apply([LOVE._replace(value=0)])).outcomes[0].snapshot.v == first + 1


async def test_kinds_no_longer_declared_keep_their_counts_but_are_not_given_out(path: Path, kinds: Kinds) -> None:
    store = SqliteStore(path, kinds)
    await store.apply([LOVE, SHARE, LOVE._replace(kind="clap", value=9)])
    await store.close()

    store = SqliteStore(path, parse('[love]\nrule = "toggle"', "fewer kinds"))
    reading = await store.read(["post:1"], [("post:1", "u:1")])
    assert reading.snapshots["post:1"].counts == {"love": 1}
    assert reading.mine["post:1", "u:1"] == {"love": 1}
    assert (await store.apply([LOVE._replace(value=0)])).outcomes[0].snapshot.counts == {}
    await store.close()

    store = SqliteStore(path, kinds)
    reading = await store.read(["post:1"], [("post:1", "u:1")])
    assert reading.snapshots["post:1"].counts == {"share": 1, "clap": 9}
    assert reading.mine["post:1", "u:1"] == {"clap": 9}
    await store.close()


async def test_only_so_many_items_are_remembered_and_the_others_are_read_again(store: SqliteStore, path: Path) -> None:
    first = (await store.apply([LOVE])).outcomes[0].snapshot
    await store.read([f"video:{n}" for n in range(REMEMBERED_ITEMS + 10)], [])
    assert len(store._ledger._snapshots) == REMEMBERED_ITEMS
    assert (await store.read(["post:1"], [])).snapshots["post:1"] == first
    applied = await store.apply([LOVE._replace(actor="u:2")])
    assert applied.outcomes[0].snapshot.counts == {"love": 2}
    assert check(f"sqlite:///{path}").ok


async def test_closing_twice_is_allowed(path: Path, kinds: Kinds) -> None:
    store = SqliteStore(path, kinds)
    await store.close()
    await store.close()
    assert not path.with_name("tally.db-wal").exists(), "the log was copied into the file"
