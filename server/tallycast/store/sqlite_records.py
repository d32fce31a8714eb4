"""Documents in the embedded store. See records.Records."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection

import orjson

from tallycast.store.records import ANY, Expected
from tallycast.store.sqlite_worker import Worker

PUT_NEW = "INSERT INTO records VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING"
PUT_ANY = "INSERT INTO records VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET body = excluded.body"
PUT_OVER = "UPDATE records SET body = ?3 WHERE space = ?1 AND key = ?2 AND body = ?4"
DELETE_ANY = "DELETE FROM records WHERE space = ? AND key = ?"
DELETE_THAT = "DELETE FROM records WHERE space = ? AND key = ? AND body = ?"
# A time and not only a count: a file put back from a backup must not show a number again that meant something else.
MOVED = "INSERT INTO revisions VALUES (?, ?) ON CONFLICT DO UPDATE SET revision = max(revision + 1, excluded.revision)"
REVISIONS = "SELECT space, revision FROM revisions WHERE space IN (SELECT value FROM json_each(?))"


class SqliteRecords:
    """The documents in a file. Other processes may write to the same file. `clock_ns` gives ns since 1970."""

    def __init__(self, worker: Worker, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._worker = worker
        self._clock_ns = clock_ns

    async def get(self, space: str, key: str) -> bytes | None:
        """See Records.get."""

        def get(db: sqlite3.Connection) -> bytes | None:
            row = db.execute("SELECT body FROM records WHERE space = ? AND key = ?", (space, key)).fetchone()
            return row[0] if row else None

        return await self._worker.look(get)

    async def all(self, space: str) -> dict[str, bytes]:
        """See Records.all."""

        def all(db: sqlite3.Connection) -> dict[str, bytes]:
            return dict(db.execute("SELECT key, body FROM records WHERE space = ? ORDER BY key", (space,)))

        return await self._worker.look(all)

    async def put(self, space: str, key: str, body: bytes, expected: Expected) -> bool:
        """See Records.put."""
        if expected is None:
            return await self._change(space, PUT_NEW, (space, key, body))
        if expected == ANY:
            return await self._change(space, PUT_ANY, (space, key, body))
        return await self._change(space, PUT_OVER, (space, key, body, expected))

    async def delete(self, space: str, key: str, expected: Expected) -> bool:
        """See Records.delete."""
        if expected is None:
            raise ValueError("what is expected to be nothing cannot be deleted")
        if expected == ANY:
            return await self._change(space, DELETE_ANY, (space, key))
        return await self._change(space, DELETE_THAT, (space, key, expected))

    async def revisions(self, spaces: Collection[str]) -> dict[str, int]:
        """See Records.revisions."""
        asked = orjson.dumps(list(spaces)).decode()
        found = await self._worker.look(lambda db: dict(db.execute(REVISIONS, (asked,))))
        return {space: found.get(space, 0) for space in spaces}

    async def _change(self, space: str, statement: str, values: tuple[str | bytes, ...]) -> bool:
        """Whether the statement found what it expected, and did what it says."""
        now_us = self._clock_ns() // 1000

        def change(db: sqlite3.Connection) -> bool:
            if not db.execute(statement, values).rowcount:
                return False
            db.execute(MOVED, (space, now_us))
            return True

        return await self._worker.change(change)
