"""Journals in the embedded store. See records.Journal."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import NamedTuple

from tallycast.store.records import Entry
from tallycast.store.sqlite_worker import Worker

MOST_ID = 2**63 - 1

LAST = "SELECT id, number, bytes FROM journal WHERE name = ? ORDER BY id DESC LIMIT 1"
APPEND = "INSERT INTO journal VALUES (?, ?, ?, ?, ?)"
# How many entries there are, and the bytes of all but the oldest.
HELD = """
    SELECT last.number - first.number + 1, last.bytes - first.bytes
    FROM (SELECT number, bytes FROM journal WHERE name = ?1 ORDER BY id LIMIT 1) first,
        (SELECT number, bytes FROM journal WHERE name = ?1 ORDER BY id DESC LIMIT 1) last"""
TRIM = """
    DELETE FROM journal WHERE name = ?1 AND id <=
        (SELECT max(id) FROM (SELECT id FROM journal WHERE name = ?1 ORDER BY id LIMIT ?2))"""
AFTER = "SELECT id, body FROM journal WHERE name = ? AND id > ? ORDER BY id LIMIT ?"
NEWEST = "SELECT id, body FROM journal WHERE name = ? AND id < ? ORDER BY id DESC LIMIT ?"


class SqliteJournal:
    """The journals in a file. Other processes may add to them, to that of the changes the ledger alone does."""

    def __init__(self, worker: Worker, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._worker = worker
        self._clock_ns = clock_ns

    async def append(self, name: str, body: bytes, *, most: int) -> str:
        """See Journal.append."""
        now_us = self._clock_ns() // 1000

        def append(db: sqlite3.Connection) -> str:
            id = add(db, name, body, now_us)
            trim(db, name, excess(db, name, most=most))
            return str(id)

        return await self._worker.change(append)

    async def after(self, name: str, id: str, *, limit: int) -> list[Entry]:
        """See Journal.after."""
        return await self._entries(AFTER, (name, min(int(id), MOST_ID) if id else -1, limit))

    async def newest(self, name: str, *, before: str = "", limit: int) -> list[Entry]:
        """See Journal.newest."""
        return await self._entries(NEWEST, (name, min(int(before), MOST_ID) if before else MOST_ID, limit))

    async def _entries(self, statement: str, values: tuple[str, int, int]) -> list[Entry]:
        rows = await self._worker.look(lambda db: db.execute(statement, values).fetchall())
        return [Entry(str(id), id // 1000, body) for id, body in rows]


class Last(NamedTuple):
    """The newest entry of a journal, and what it has with it: see the table in schema.py."""

    id: int
    number: int
    bytes: int


def last_of(db: sqlite3.Connection, name: str) -> Last:
    """The journal's newest entry; zeros where it has none."""
    return Last(*(db.execute(LAST, (name,)).fetchone() or (0, 0, 0)))


def add_after(db: sqlite3.Connection, name: str, last: Last, body: bytes, now_us: int) -> Last:
    """Add an entry after the last, within the transaction that is open; its id is `now_us` unless `last` is later."""
    # Ids that grow with the clock go on growing when the file is replaced by an older copy of it.
    now = Last(max(last.id + 1, now_us), last.number + 1, last.bytes + len(body))
    db.execute(APPEND, (name, *now, body))
    return now


def add(db: sqlite3.Connection, name: str, body: bytes, now_us: int) -> int:
    """add_after() whichever entry is the last; the id."""
    return add_after(db, name, last_of(db, name), body, now_us).id


def excess(db: sqlite3.Connection, name: str, *, most: int, most_bytes: int = MOST_ID, at_once: int = MOST_ID) -> int:
    """How many of the oldest entries are to go now, at most `at_once`: those over `most`, or any of them while all
    bodies together are over `most_bytes`. The newest entry always stays."""
    held, held_bytes = db.execute(HELD, (name,)).fetchone() or (0, 0)
    over = at_once if held_bytes > most_bytes else held - most
    return max(min(over, at_once, held - 1), 0)


def trim(db: sqlite3.Connection, name: str, oldest: int) -> None:
    """Take that many of the oldest entries away, within the transaction that is open."""
    if oldest:
        db.execute(TRIM, (name, oldest))
