"""The embedded store on a disk that is full, read-only or failing, on a locked file and on one that is gone."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from tallycast.errors import ConfigError, Unavailable
from tallycast.kinds import Kinds, Reaction
from tallycast.store.check import check
from tallycast.store.schema import file_identity
from tallycast.store.sqlite import SqliteStore

LIMITED = Path(__file__).with_name("limited_child.py")
LOVE = Reaction("post:1", "u:1", "love", 1)
BIG = [Reaction(f"post:{n:0>190}", f"u:{n}", "love", 1) for n in range(2000)]  # some 2 MiB of rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tally.db"


@pytest.fixture
async def store(path: Path, kinds: Kinds) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(path, kinds)
    await opened.apply([LOVE])
    yield opened
    await opened.close()


async def pragma(store: SqliteStore, setting: str) -> None:
    """Set it on the store's connection, on the thread that has it."""
    await asyncio.get_running_loop().run_in_executor(
        store._thread, lambda: store._ledger.db.execute(f"PRAGMA {setting}").fetchall()
    )


async def assert_serves(store: SqliteStore) -> None:
    reading = await store.read(["post:1"], [("post:1", "u:1")])
    assert reading.snapshots["post:1"].counts == {"love": 1}
    assert reading.mine["post:1", "u:1"] == {"love": 1}


async def test_a_full_store_counts_nothing_serves_the_last_counts_and_recovers(
    store: SqliteStore, path: Path, kinds: Kinds
) -> None:
    await pragma(store, "max_page_count = 20")  # SQLite's own limit gives the same error as the disk's
    for _ in range(2):
        with pytest.raises(Unavailable) as refused:
            await store.apply(BIG)
        assert refused.value.message == "the store's disk is full"
    await assert_serves(store)
    reading = await store.read([BIG[0].item], [BIG[0][:2]])
    assert reading.snapshots[BIG[0].item].v == 0
    assert reading.mine[BIG[0][:2]] == {}

    await pragma(store, "max_page_count = 1000000")
    applied = await store.apply(BIG)
    assert len(applied.changed) == len(BIG)
    assert all(outcome.snapshot.counts == {"love": 1} for outcome in applied.outcomes)
    assert check(f"sqlite:///{path}", kinds).ok


async def test_a_batch_that_fails_half_way_is_not_remembered(store: SqliteStore, path: Path, kinds: Kinds) -> None:
    before = (await store.read(["post:1"], [])).snapshots["post:1"]
    await pragma(store, "max_page_count = 20")
    with pytest.raises(Unavailable):
        await store.apply([Reaction("post:1", "u:2", "love", 1), *BIG])
    assert (await store.read(["post:1"], [])).snapshots["post:1"] == before
    after = (await store.apply([Reaction("post:1", "u:3", "love", 1)])).outcomes[0].snapshot
    assert after.counts == {"love": 2}
    assert after.v > before.v
    assert check(f"sqlite:///{path}", kinds).ok


async def test_a_batch_that_changes_nothing_is_answered_even_when_nothing_can_be_written(store: SqliteStore) -> None:
    await pragma(store, "query_only = on")
    assert (await store.apply([LOVE])).changed == []


async def test_a_read_only_store_says_so_and_is_opened_anew(
    store: SqliteStore, path: Path, kinds: Kinds, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "tallycast")
    await pragma(store, "query_only = on")
    with pytest.raises(Unavailable) as refused:
        await store.apply([LOVE._replace(actor="u:2")])
    assert refused.value.message == "the store is read-only"
    await assert_serves(store)
    await store.ping()  # on a new connection
    assert (await store.apply([LOVE._replace(actor="u:2")])).outcomes[0].snapshot.counts == {"love": 2}
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert check(f"sqlite:///{path}", kinds).ok


async def test_a_ping_needs_a_store_that_can_write(store: SqliteStore) -> None:
    await store.ping()
    await pragma(store, "query_only = on")
    with pytest.raises(Unavailable, match="read-only"):
        await store.ping()


async def test_a_locked_file_is_unavailable_until_it_is_let_go(store: SqliteStore, path: Path) -> None:
    await pragma(store, "busy_timeout = 20")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable) as refused:
            await store.apply([LOVE._replace(actor="u:2")])
        assert refused.value.message == "another program holds the store locked"
        await assert_serves(store)
        other.execute("ROLLBACK")
    await store.apply([LOVE._replace(actor="u:2")])


async def test_a_file_moved_away_is_not_written_to_and_is_used_again_when_it_is_back(
    store: SqliteStore, path: Path, tmp_path: Path, kinds: Kinds, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(path, elsewhere)
    for _ in range(3):
        with pytest.raises(Unavailable) as refused:
            await store.apply([LOVE._replace(actor="u:2")])
        assert refused.value.message == "the store's file is gone"
        with pytest.raises(Unavailable):
            await store.ping()
    assert len(caplog.records) == 1, "said once, not at every try"
    await assert_serves(store)
    assert file_identity(path) is None, "an empty store in its place would hide the loss"

    shutil.move(elsewhere, path)
    assert (await store.apply([LOVE._replace(actor="u:2")])).outcomes[0].snapshot.counts == {"love": 2}
    assert check(f"sqlite:///{path}", kinds).ok


async def test_a_backup_put_in_the_files_place_is_what_counts_from_then_on(
    store: SqliteStore, path: Path, tmp_path: Path, kinds: Kinds
) -> None:
    backup = tmp_path / "backup.db"
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    later = (await store.apply([LOVE._replace(actor="u:2")])).outcomes[0].snapshot
    for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        file.unlink()
    backup.rename(path)
    restored = (await store.apply([LOVE._replace(actor="u:3")])).outcomes[0].snapshot
    assert restored.counts == {"love": 2}, "of u:1 and u:3"
    assert restored.v > later.v
    assert check(f"sqlite:///{path}", kinds).ok
    with pytest.raises(ConfigError, match="a hub is running on it"):
        SqliteStore(path, kinds)


async def test_a_whole_directory_gone_and_restored_is_survived_and_owned_again(tmp_path: Path, kinds: Kinds) -> None:
    place, backup = tmp_path / "data", tmp_path / "backup"
    place.mkdir()
    store = SqliteStore(place / "tally.db", kinds)
    await store.apply([LOVE])
    shutil.copytree(place, backup)
    shutil.rmtree(place)
    for _ in range(2):
        with pytest.raises(Unavailable, match="file is gone"):
            await store.ping()
    await assert_serves(store)
    shutil.copytree(backup, place)
    assert (await store.apply([LOVE._replace(actor="u:2")])).outcomes[0].snapshot.counts == {"love": 2}
    with pytest.raises(ConfigError, match="a hub is running on it"):
        SqliteStore(place / "tally.db", kinds)
    await store.close()
    assert check(f"sqlite:///{place}/tally.db", kinds).ok


async def test_no_refusal_tells_a_client_where_the_store_is(store: SqliteStore, path: Path) -> None:
    shutil.move(path, path.with_name("elsewhere"))
    with pytest.raises(Unavailable) as refused:
        await store.ping()
    assert path.name not in refused.value.message
    assert refused.value.code == "unavailable"
    assert refused.value.retry_after_s


def test_writes_that_the_system_refuses_are_unavailable_until_it_takes_them_again(path: Path, kinds: Kinds) -> None:
    """In a child whose files may not grow past a limit: every write beyond it fails in the kernel, also for root."""
    child = subprocess.run([sys.executable, LIMITED, path], capture_output=True, text=True, timeout=60, check=False)
    assert child.stderr == ""
    assert child.stdout.split("\n") == ["refused: the store's disk does not work", "served", "recovered", ""]
    assert check(f"sqlite:///{path}", kinds).ok
