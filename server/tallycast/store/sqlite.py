"""The embedded store: one SQLite file, one process that owns it, one thread that works on it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tallycast.errors import ConfigError, Unavailable
from tallycast.kinds import Kinds, Reaction
from tallycast.store.base import Applied, Attendant, Reading, Snapshot
from tallycast.store.ledger import Ledger
from tallycast.store.schema import Durability, Ownership, connect, file_identity
from tallycast.store.sqlite_history import SqliteHistory
from tallycast.store.sqlite_journal import SqliteJournal
from tallycast.store.sqlite_moderation import SqliteModeration
from tallycast.store.sqlite_records import SqliteRecords
from tallycast.store.sqlite_worker import error_name, message_of, transaction

log = logging.getLogger(__name__)

T = TypeVar("T")

SWEEP_EVERY_NS = 60 * 10**9

# After these the connection is as good as before; after any other it is made anew before the next write.
HARMLESS = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED")


class SqliteStore:
    """A Store in the SQLite file at `path`, which it makes when there is none. Raises ConfigError.

    All work is done by one thread in the order in which it was asked for, and so are the answers. When the disk is
    full, fails or is read-only, or the file is gone, writes raise Unavailable while reads go on as far as they can;
    every write tries again, so nothing need be restarted when the disk is well. A file that was moved away and put
    back, or replaced from a backup, is opened by the next write. `clock_ns` gives ns since 1970.
    """

    def __init__(
        self, path: Path, kinds: Kinds, *, durability: Durability = "full", clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._path = path.absolute()
        self._kinds = kinds
        self._durability = durability
        self._clock_ns = clock_ns
        self._owner = Ownership(self._path, create=True)
        try:
            self._open(create=True)
        except BaseException:
            self._owner.release()
            raise
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tallycast-store")
        self._closed = False
        self._trouble: str | None = None
        self._next_sweep_ns = 0
        self.records = SqliteRecords(self, clock_ns=clock_ns)
        self.journal = SqliteJournal(self, clock_ns=clock_ns)
        self.moderation = SqliteModeration(self, kinds)
        self.history = SqliteHistory(self, self._path, clock_ns=clock_ns)

    async def apply(self, batch: Sequence[Reaction]) -> Applied:
        """Count a batch in one transaction, durable when this returns. See Store.apply."""
        applied = await self._do(self._write, lambda ledger: ledger.apply(batch))
        self._sweep_when_due()
        return applied

    async def read(self, items: Collection[str], pairs: Collection[tuple[str, str]]) -> Reading:
        """What stands now. See Store.read."""
        return await self._do(self._read, lambda ledger: ledger.read(items, pairs))

    async def change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do other work than counting in a transaction of its own, between two batches. See Worker.change."""

        def change(ledger: Ledger) -> T:
            with transaction(ledger.db):
                return work(ledger.db)

        return await self._do(self._write, change)

    async def look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Read something between two batches. See Worker.look."""
        return await self._do(self._read, lambda ledger: work(ledger.db))

    async def recount(self, work: Callable[[Ledger], T]) -> T:
        """Do something to the ledger itself, durable when this returns. Raises Unavailable."""
        return await self._do(self._write, work)

    def follow(self, items: Collection[str], heard: Callable[[Snapshot], None]) -> None:
        """Nothing to do: this process is the file's only writer. See Store.follow."""

    def unfollow(self, items: Collection[str]) -> None:
        """Nothing to do. See Store.unfollow."""

    def attend(self, actor: str, attendant: Attendant) -> None:
        """Nothing to do: there are no other processes. See Store.attend."""

    def unattend(self, actor: str) -> None:
        """Nothing to do. See Store.unattend."""

    def announce(self, actor: str, item: str) -> None:
        """Nobody to tell. See Store.announce."""

    async def tell_viewers(self, here: Mapping[str, int]) -> None:
        """Nobody to tell. See Store.tell_viewers."""

    async def count_viewers(self, items: Collection[str]) -> dict[str, int]:
        """There are no other processes. See Store.count_viewers."""
        return {}

    def health(self) -> Mapping[str, bool]:
        """One file, one trouble. See OpenStore.health."""
        return {"reactions": self._trouble is None}

    async def ping(self) -> None:
        """Write a row and see it on the disk. See Store.ping."""
        await self._do(self._write, Ledger.pulse)
        self._sweep_when_due()

    async def close(self) -> None:
        """Finish what was asked for, copy the log into the file and let go of it. Closing twice is allowed."""
        if not self._closed:
            self._closed = True
            await self.history.close()  # before the log is copied, which only the last connection does
            await asyncio.get_running_loop().run_in_executor(self._thread, self._let_go)
            self._thread.shutdown(wait=False)

    async def _do(self, way: Callable[[Callable[[Ledger], T]], T], work: Callable[[Ledger], T]) -> T:
        if self._closed:
            raise Unavailable("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, way, work)

    def _sweep_when_due(self) -> None:
        if not self._closed and self._clock_ns() >= self._next_sweep_ns:
            self._next_sweep_ns = self._clock_ns() + SWEEP_EVERY_NS
            self._thread.submit(self._sweep)

    # What follows runs on the store's thread, __init__ excepted.

    def _write(self, work: Callable[[Ledger], T]) -> T:
        try:
            # SQLite goes on writing to a file that was deleted or moved away: what was acknowledged would be lost.
            if self._suspect or file_identity(self._path) != self._identity:
                self._reopen()
            done = work(self._ledger)
        except (sqlite3.Error, ConfigError) as error:
            raise self._refusal(error) from None
        if self._trouble is not None:
            self._trouble = None
            log.warning("the store takes reactions again")
        return done

    def _read(self, work: Callable[[Ledger], T]) -> T:
        try:
            return work(self._ledger)
        except sqlite3.Error as error:
            raise self._refusal(error) from None

    def _sweep(self) -> None:
        try:
            if self._ledger.sweep():
                self._next_sweep_ns = 0  # there is more: the next piece after the next batch
        except sqlite3.Error as error:
            log.warning("what is old stays for now: %s", error)

    def _open(self, *, create: bool) -> None:
        db = connect(self._path, durability=self._durability, create=create)
        self._ledger = Ledger(db, self._kinds, self._clock_ns)
        self._identity = file_identity(self._path)
        self._suspect = False

    def _reopen(self) -> None:
        """Put a new connection in the place of the old one, which goes on being read when that fails."""
        self._suspect = True
        old = self._ledger
        self._owner.release()
        self._owner = Ownership(self._path, create=False)
        self._open(create=False)
        with suppress(sqlite3.Error):
            old.close()

    def _refusal(self, error: Exception) -> Unavailable:
        gone = isinstance(error, ConfigError)
        message = message_of(error, "the store's file is gone" if gone else "the store does not work")
        if not error_name(error).startswith(HARMLESS):
            self._suspect = True
        if self._trouble != message:
            self._trouble = message
            log.error("%s: %s", message, error)
        return Unavailable(message)

    def _let_go(self) -> None:
        with suppress(sqlite3.Error):
            self._ledger.close()
        self._owner.release()
