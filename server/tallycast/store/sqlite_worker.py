"""Work on an SQLite connection: who does it, in a transaction, and what a client is told when it fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

T = TypeVar("T")

# What a client is told, by the beginning of SQLite's name of the error; the log has SQLite's own words.
MESSAGES = {
    "SQLITE_FULL": "the store's disk is full",
    "SQLITE_READONLY": "the store is read-only",
    "SQLITE_IOERR": "the store's disk does not work",
    "SQLITE_BUSY": "another program holds the store locked",
    "SQLITE_LOCKED": "another program holds the store locked",
    "SQLITE_CORRUPT": "the store's file is damaged",
    "SQLITE_NOTADB": "the store's file is damaged",
}


class Worker(Protocol):
    """Does work on the connection of a store's file, one after the other, on a thread of its own.

    Methods raise Unavailable, and what the work raises; then nothing has changed.
    """

    async def change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` gives, done in one transaction, which is durable when this returns."""
        ...

    async def look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` gives, which only reads. It sees what was changed before."""
        ...


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """The block's statements are done together or not at all."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # After some errors, a full disk's among them, SQLite has rolled back already.
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def error_name(error: Exception) -> str:
    """SQLite's name of the error, such as SQLITE_FULL; "" where it is none of SQLite's."""
    return getattr(error, "sqlite_errorname", "")


def message_of(error: Exception, otherwise: str) -> str:
    """What a client is told of the error: one sentence that names no file."""
    name = error_name(error)
    return next((text for prefix, text in MESSAGES.items() if name.startswith(prefix)), otherwise)
