"""What every store promises of documents, and two processes on one SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tallycast.errors import ConfigError, Unavailable
from tallycast.kinds import Kinds, Reaction
from tallycast.store.base import OpenStore
from tallycast.store.records import ANY
from tallycast.store.sqlite import SqliteStore
from tallycast.store.sqlite_beside import open_records

ODD = bytes(range(256))
COUNTING = Path(__file__).with_name("counting_child.py")
PLACES = ["sqlite", "redis", "valkey-8", "redis+cluster"]  # the stores whose code, or server, differs here


async def test_a_document_is_what_was_put_byte_by_byte(store: OpenStore) -> None:
    for key, body in (("a", b"{}"), ("with: all ~kinds/of{letters} ä", ODD), ("empty", b"")):
        assert await store.records.get("keys", key) is None
        assert await store.records.put("keys", key, body, None)
        assert await store.records.get("keys", key) == body


async def test_all_documents_of_a_space_come_in_the_order_of_their_keys(store: OpenStore) -> None:
    assert await store.records.all("keys") == {}
    keys = [f"{n * 7 % 100:02}" for n in range(100)]
    for key in keys:
        assert await store.records.put("keys", key, key.encode(), None)
    assert list((await store.records.all("keys")).items()) == [(key, key.encode()) for key in sorted(keys)]
    assert await store.records.all("key") == {}


async def test_spaces_do_not_touch_each_other(store: OpenStore) -> None:
    await store.records.put("keys", "a", b"1", None)
    await store.records.put("polls", "a", b"2", None)
    assert await store.records.delete("keys", "a", ANY)
    assert await store.records.all("keys") == {}
    assert await store.records.all("polls") == {"a": b"2"}


async def test_a_put_is_done_only_where_what_is_expected_stands(store: OpenStore) -> None:
    put, get = store.records.put, store.records.get
    assert not await put("keys", "a", b"1", b"0"), "nothing stands there"
    assert await get("keys", "a") is None
    assert await put("keys", "a", b"1", None)
    assert not await put("keys", "a", b"2", None)
    assert not await put("keys", "a", b"2", b"0")
    assert await get("keys", "a") == b"1"
    assert await put("keys", "a", b"2", b"1")
    assert await put("keys", "a", b"3", ANY)
    assert await get("keys", "a") == b"3"
    assert await put("keys", "b", b"1", ANY)


async def test_a_delete_is_done_only_where_what_is_expected_stands(store: OpenStore) -> None:
    delete = store.records.delete
    assert not await delete("keys", "a", ANY)
    await store.records.put("keys", "a", b"1", None)
    assert not await delete("keys", "a", b"0")
    assert await store.records.get("keys", "a") == b"1"
    assert await delete("keys", "a", b"1")
    assert not await delete("keys", "a", b"1")
    assert await store.records.get("keys", "a") is None
    assert await store.records.put("keys", "a", b"2", None)


async def test_a_revision_grows_with_every_change_of_its_space_and_only_then(store: OpenStore) -> None:
    records = store.records

    async def now() -> int:
        return (await records.revisions(["keys"]))["keys"]

    assert await records.revisions(["keys", "polls"]) == {"keys": 0, "polls": 0}
    assert await records.revisions([]) == {}
    seen = [0]
    for done in (
        await records.put("keys", "a", b"1", None),
        not await records.put("keys", "a", b"2", None),
        not await records.delete("keys", "b", ANY),
        await records.get("keys", "a") == b"1",
        await records.put("polls", "a", b"1", None),
    ):
        assert done
    seen.append(await now())
    assert await now() == seen[-1], "looking changes nothing"
    for changed in (records.put("keys", "a", b"2", b"1"), records.put("keys", "b", b"", ANY)):
        assert await changed
        seen.append(await now())
    for gone in ("a", "b"):
        assert await records.delete("keys", gone, ANY)
        seen.append(await now())
    assert not await records.put("keys", "a", b"2", b"1")
    assert await now() == seen[-1]
    assert seen == sorted(set(seen))
    assert (await records.revisions(["polls"]))["polls"] > 0


async def test_of_many_who_try_the_same_step_one_does_it(opening: Callable[[], OpenStore]) -> None:
    hubs = [opening()]
    if not isinstance(hubs[0], SqliteStore):  # of which a file has one
        hubs += [opening() for _ in range(2)]
    await hubs[0].records.put("polls", "p", b"0", None)

    async def count(hub: OpenStore) -> int:
        won = 0
        for _ in range(10):
            before = await hub.records.get("polls", "p")
            assert before is not None
            won += await hub.records.put("polls", "p", str(int(before) + 1).encode(), before)
        return won

    won = await asyncio.gather(*(count(hub) for hub in hubs for _ in range(4)))
    assert await hubs[0].records.get("polls", "p") == str(sum(won)).encode()
    assert sum(won) >= 10
    for hub in hubs:
        await hub.close()


async def test_documents_and_revisions_are_there_again_after_a_restart(opening: Callable[[], OpenStore]) -> None:
    store = opening()
    await store.records.put("keys", "a", b"1", None)
    before = await store.records.revisions(["keys"])
    await store.close()

    store = opening()
    assert await store.records.all("keys") == {"a": b"1"}
    assert await store.records.revisions(["keys"]) == before
    await store.close()


async def test_a_closed_store_has_no_documents_to_give(opening: Callable[[], OpenStore]) -> None:
    store = opening()
    await store.close()
    for asked in (store.records.get("keys", "a"), store.records.put("keys", "a", b"", None)):
        with pytest.raises(Unavailable):
            await asked


# One SQLite file, several processes


async def test_another_process_writes_documents_while_the_hub_counts(tmp_path: Path, kinds: Kinds) -> None:
    path = tmp_path / "tally.db"
    hub = SqliteStore(path, kinds)
    await hub.records.put("polls", "p", b"0", None)
    child = await asyncio.create_subprocess_exec(sys.executable, COUNTING, path, "50", stdout=subprocess.PIPE)
    ours = 0
    while child.returncode is None:
        await hub.apply([Reaction("post:1", f"u:{ours}", "love", 1)])
        before = await hub.records.get("polls", "p")
        assert before is not None
        ours += await hub.records.put("polls", "p", str(int(before) + 1).encode(), before)
    assert (await child.communicate())[0] == b"50\n"
    assert await hub.records.get("polls", "p") == str(ours + 50).encode()
    assert [entry.body for entry in await hub.journal.after("audit", "", limit=99)] == [b"50"]
    await hub.close()


async def test_a_file_that_is_not_there_is_made_and_a_hub_starts_on_it(tmp_path: Path, kinds: Kinds) -> None:
    beside = open_records(tmp_path / "tally.db")
    assert await beside.records.put("keys", "a", b"1", None)
    hub = SqliteStore(tmp_path / "tally.db", kinds)
    assert await hub.records.get("keys", "a") == b"1"
    await beside.close()
    await beside.close()
    with pytest.raises(Unavailable):
        await beside.records.get("keys", "a")
    await hub.close()


def test_what_is_no_store_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database, but long enough to be taken for one by its size" * 100)
    for place, wrong in (("text", "is not a database"), ("none/t.db", "directory does not exist"), ("", "directory")):
        with pytest.raises(ConfigError, match=wrong):
            open_records(tmp_path / place)


async def test_a_file_that_is_locked_is_unavailable_and_says_why(tmp_path: Path) -> None:
    beside = open_records(tmp_path / "tally.db")
    await beside.look(lambda db: db.execute("PRAGMA busy_timeout = 20"))
    with closing(sqlite3.connect(tmp_path / "tally.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="another program holds the store locked"):
            await beside.records.put("keys", "a", b"1", None)
        assert await beside.records.all("keys") == {}
        other.execute("ROLLBACK")
    assert await beside.records.put("keys", "a", b"1", None)
    await beside.close()


async def test_a_document_that_cannot_be_written_moves_no_revision(tmp_path: Path, kinds: Kinds) -> None:
    hub = SqliteStore(tmp_path / "tally.db", kinds)
    await hub.records.put("keys", "a", b"1", None)
    before = await hub.records.revisions(["keys"])
    await hub.look(lambda db: db.execute("PRAGMA max_page_count = 20"))
    with pytest.raises(Unavailable, match="disk is full"):
        await hub.records.put("keys", "b", bytes(200_000), None)
    assert await hub.records.revisions(["keys"]) == before
    assert await hub.records.all("keys") == {"a": b"1"}
    await hub.close()
