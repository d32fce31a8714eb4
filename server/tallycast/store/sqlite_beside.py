"""Records and journals of an embedded store from a process beside its hub: `tallycast key` while one runs."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tallycast.errors import Unavailable
from tallycast.store.schema import check_place, connect
from tallycast.store.sqlite_journal import SqliteJournal
from tallycast.store.sqlite_records import SqliteRecords
from tallycast.store.sqlite_worker import message_of, transaction

T = TypeVar("T")


class Beside:
    """A connection for records and journals alone. The hub that has the file's Ownership goes on counting."""

    def __init__(self, path: Path) -> None:
        check_place(path, create=True)
        self._db = connect(path, durability="full", create=True)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tallycast-records")
        self._closed = False
        self.records = SqliteRecords(self)
        self.journal = SqliteJournal(self)

    async def change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """See Worker.change."""

        def change() -> T:
            with transaction(self._db):
                return work(self._db)

        return await self._do(change)

    async def look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """See Worker.look."""
        return await self._do(lambda: work(self._db))

    async def close(self) -> None:
        """Let go of the file. Closing twice is allowed."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
            self._thread.shutdown(wait=False)

    async def _do(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise Unavailable("the store is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise Unavailable(f"{message_of(error, 'the store does not work')}: {error}") from None


def open_records(path: Path) -> Beside:
    """The records and journals of the store in the file at `path`, which is made, or brought up to date, where needed.

    Raises ConfigError. Its methods wait BUSY_S seconds for a hub that writes, and then raise Unavailable.
    """
    return Beside(path)
