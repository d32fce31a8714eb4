"""A file of the first schema: every version reads it, and writing brings it up to date with nothing lost."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tallycast.errors import ConfigError
from tallycast.kinds import Kinds, Reaction
from tallycast.store import schema
from tallycast.store.check import check
from tallycast.store.records import CHANGES
from tallycast.store.schema import APPLICATION_ID, SCHEMA_VERSION, connect, connect_to_read
from tallycast.store.sqlite import SqliteStore
from tallycast.store.sqlite_beside import open_records
from tallycast.store.sqlite_pieces import SqliteSource

# As Tallycast 0.1 made it.
FIRST = (
    """CREATE TABLE says (
        item TEXT NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL, value INTEGER NOT NULL, seq INTEGER NOT NULL,
        PRIMARY KEY (item, actor, kind)) WITHOUT ROWID""",
    """CREATE TABLE counts (
        item TEXT NOT NULL, kind TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (item, kind)) WITHOUT ROWID""",
    "CREATE TABLE items (item TEXT PRIMARY KEY NOT NULL, v INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE events (
        item TEXT NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (item, actor, kind, id)) WITHOUT ROWID""",
    "CREATE INDEX events_by_age ON events (at)",
    "CREATE TABLE pulse (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    "PRAGMA user_version = 1",
    "INSERT INTO says VALUES ('post:1', 'u:1', 'love', 1, 7), ('post:1', 'u:1', 'share', 1, 0)",
    "INSERT INTO counts VALUES ('post:1', 'love', 1), ('post:1', 'share', 1)",
    "INSERT INTO items VALUES ('post:1', 1790000000000000)",
    "INSERT INTO events VALUES ('post:1', 'u:1', 'share', 'id-00000001', 4000000000)",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tally.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        for statement in FIRST:
            db.execute(statement)
    return path


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def tables(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT name, sql FROM sqlite_master").fetchall()
    return sorted((name, " ".join((sql or "").split())) for name, sql in rows)


async def test_a_hub_brings_it_up_to_date_and_goes_on_with_what_is_in_it(path: Path, kinds: Kinds) -> None:
    store = SqliteStore(path, kinds)
    reading = await store.read(["post:1"], [("post:1", "u:1")])
    assert reading.snapshots["post:1"] == ("post:1", 1_790_000_000_000_000, {"love": 1, "share": 1})
    assert reading.mine["post:1", "u:1"] == {"love": 1}
    share, late = Reaction("post:1", "u:1", "share", 1, id="id-00000001"), Reaction("post:1", "u:1", "love", 0, 6)
    assert (await store.apply([share, late])).changed == []
    assert await store.journal.after(CHANGES, "", limit=10) == []
    assert (await store.apply([Reaction("post:1", "u:2", "love", 1)])).changed[0].counts == {"love": 2, "share": 1}
    assert len(await store.journal.after(CHANGES, "", limit=10)) == 1
    assert await store.records.put("keys", "a", b"1", None)
    assert (await store.moderation.remove("post:1", ["u:1"])).snapshot.counts == {"love": 1}
    await store.close()
    assert version(path) == SCHEMA_VERSION
    assert check(f"sqlite:///{path}", kinds).ok


def test_it_then_is_as_a_new_file_is(path: Path, tmp_path: Path) -> None:
    for file in (path, tmp_path / "new.db"):
        connect(file, durability="full", create=True).close()
    assert tables(path) == tables(tmp_path / "new.db")
    assert version(path) == version(tmp_path / "new.db") == SCHEMA_VERSION


async def test_looking_through_it_leaves_it_as_it_is(path: Path, kinds: Kinds) -> None:
    assert check(f"sqlite:///{path}", kinds).ok
    with closing(connect_to_read(path)) as db:
        assert db.execute("SELECT n FROM counts WHERE kind = 'love'").fetchone() == (1,)
    with SqliteSource.open(f"sqlite:///{path}") as source:
        assert [piece.item async for piece in source.pieces()] == ["post:1"]
        assert [one async for one in source.shared()] == []
    assert version(path) == 1


def test_a_repair_brings_it_up_to_date(path: Path, kinds: Kinds) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE counts SET n = 5 WHERE kind = 'love'")
    assert check(f"sqlite:///{path}", kinds, repair=True).repaired
    assert version(path) == SCHEMA_VERSION
    assert check(f"sqlite:///{path}", kinds).ok


async def test_a_file_that_cannot_be_brought_up_to_date_stays_as_it_was(
    path: Path, kinds: Kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tables(path)
    monkeypatch.setattr(schema, "STEPS", (schema.STEPS[0], (*schema.STEPS[1], "CREATE TABLE says (one)")))
    with pytest.raises(ConfigError, match="cannot be opened"):
        SqliteStore(path, kinds)
    assert (tables(path), version(path)) == (before, 1)
    monkeypatch.undo()
    await SqliteStore(path, kinds).close()
    assert version(path) == SCHEMA_VERSION


@pytest.mark.parametrize("new", [False, True])
async def test_those_who_open_it_at_once_bring_it_up_to_date_once(path: Path, kinds: Kinds, new: bool) -> None:
    if new:
        path.unlink()
    with ThreadPoolExecutor(6) as pool:  # to SQLite a connection is a connection, whoever's process it is in
        opened = list(pool.map(lambda _: open_records(path), range(6)))
    store = SqliteStore(path, kinds)
    for number, beside in enumerate(opened):
        assert await beside.records.put("keys", str(number), b"", None)
        await beside.close()
    assert len(await store.records.all("keys")) == 6
    await store.close()
    assert (version(path), check(f"sqlite:///{path}", kinds).ok) == (SCHEMA_VERSION, True)


async def test_a_key_can_be_made_beside_a_hub_before_it_is_brought_up_to_date(path: Path, kinds: Kinds) -> None:
    beside = open_records(path)
    assert await beside.records.put("keys", "a", b"1", None)
    assert version(path) == SCHEMA_VERSION
    store = SqliteStore(path, kinds)
    assert await store.records.all("keys") == {"a": b"1"}
    await beside.close()
    await store.close()
