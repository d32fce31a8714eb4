"""History in the embedded store: series and rankings as tables. See store/history.py.

They are derived, and written together with their checkpoint: so nobody waits for the disk, and what a loss of power
takes away is rolled up again. Queries have a connection and a thread of their own, so that no batch of reactions waits
behind a chart.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from heapq import nlargest
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol, TypeVar

import orjson

from tallycast.errors import ConfigError, Unavailable
from tallycast.store.history import (
    DAY,
    HOUR,
    KEPT_S,
    MINUTE,
    MOST_RANKED,
    RANKS_KEPT_S,
    TOTAL,
    Asked,
    Ranking,
    Rise,
    Series,
)
from tallycast.store.ledger import Ledger
from tallycast.store.schema import connect_to_read, file_identity
from tallycast.store.sqlite_worker import message_of, transaction

T = TypeVar("T")

REMEMBERED_NAMES = 50_000
PAGE_CACHE_KIB = 16_384  # of questions
SWEEP_ROWS = 500  # at a time: a few milliseconds
SWEEP_RANKINGS = 200  # looked at in one go for items that are too many

# How many buckets stand side by side in the table: of one step and chunk all names are together, so that what is
# written now is in few pages, and what is too old is one range.
CHUNKS = {MINUTE: 6 * 60, HOUR: 10 * 24, DAY: 100_000, TOTAL: 1}

CHECKPOINT = "SELECT checkpoint FROM history"
MOVE = "INSERT INTO history VALUES (1, ?) ON CONFLICT DO UPDATE SET checkpoint = excluded.checkpoint"
ADD_NAMES = "INSERT INTO history_names (name) SELECT value FROM json_each(?) WHERE true ON CONFLICT DO NOTHING"
NAMES = """
    SELECT json_group_array(json_array(n.name, n.id))
    FROM json_each(?) j CROSS JOIN history_names n ON n.name = j.value"""
ADD_SECTIONS = """
    INSERT OR IGNORE INTO history_sections
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)"""
SIX = ", ".join(f"json_extract(value, '$[{number}]')" for number in range(6))
ADD = f"""
    INSERT INTO history_series SELECT {SIX} FROM json_each(?) WHERE true ON CONFLICT DO UPDATE SET n = n + excluded.n"""
RANK = """
    INSERT INTO history_ranks SELECT s.step, s.bucket, m.section, s.kind, s.name, s.n FROM json_each(?) j
    CROSS JOIN history_series s
    ON s.step = json_extract(j.value, '$[0]') AND s.chunk = json_extract(j.value, '$[1]')
    AND s.name = json_extract(j.value, '$[2]') AND s.bucket = json_extract(j.value, '$[3]')
    AND s.kind = json_extract(j.value, '$[4]')
    CROSS JOIN history_sections m ON m.item = s.name WHERE true ON CONFLICT DO UPDATE SET n = excluded.n"""
SERIES = """
    SELECT json_group_array(json_array(j.key, s.kind, s.bucket, s.n)) FROM json_each(?) j
    CROSS JOIN history_names n ON n.name = json_extract(j.value, '$[0]')
    CROSS JOIN history_series s ON s.step = json_extract(j.value, '$[1]') AND s.chunk = json_extract(j.value, '$[2]')
    AND s.name = n.id AND s.bucket BETWEEN json_extract(j.value, '$[3]') AND json_extract(j.value, '$[4]')
    WHERE s.n <> 0"""
RANKING = """
    SELECT json_group_array(json_array(item, n)) FROM (
        SELECT item, n FROM history_ranks
        WHERE step = ?1 AND bucket = ?2 AND section = (SELECT id FROM history_names WHERE name = ?3)
            AND kind = ?4 AND n > 0
        ORDER BY n DESC, item DESC LIMIT ?5)"""
NAMED = """
    SELECT json_group_array(json_array(n.name, json_extract(j.value, '$[1]')))
    FROM json_each(?) j CROSS JOIN history_names n ON n.id = json_extract(j.value, '$[0]')"""

# Of rows to be deleted the last one is looked up first: a row-value IN would look through far too many.
LAST_SERIES = """
    SELECT chunk, name, bucket, kind FROM history_series WHERE step = ? AND chunk < ?
    ORDER BY step, chunk, name, bucket, kind LIMIT 1 OFFSET ?"""
SWEEP_SERIES = "DELETE FROM history_series WHERE step = ? AND (chunk, name, bucket, kind) <= (?, ?, ?, ?)"
LAST_RANKS = """
    SELECT bucket, section, kind, item FROM history_ranks WHERE step = ? AND bucket < ?
    ORDER BY step, bucket, section, kind, item LIMIT 1 OFFSET ?"""
SWEEP_RANKS = "DELETE FROM history_ranks WHERE step = ? AND (bucket, section, kind, item) <= (?, ?, ?, ?)"
NEXT_RANKING = """
    SELECT step, bucket, section, kind FROM history_ranks WHERE (step, bucket, section, kind) > (?, ?, ?, ?)
    ORDER BY step, bucket, section, kind LIMIT 1"""
RANKED = "FROM history_ranks WHERE step = ? AND bucket = ? AND section = ? AND kind = ?"
FIRST_OVER = f"SELECT n, item {RANKED} ORDER BY n DESC, item DESC LIMIT 1 OFFSET ?"
SOME_LAST = f"SELECT n, item {RANKED} ORDER BY n, item LIMIT 1 OFFSET ?"
TRIM = f"DELETE {RANKED} AND (n, item) <= (?, ?)"

Place = tuple[int, int, int, str]  # of a ranking: step, bucket, section, kind
LARGEST = 2**63 - 1
FIRST: Place = (-1, 0, 0, "")


class Recounter(Protocol):
    """Who writes to the file."""

    async def recount(self, work: Callable[[Ledger], T]) -> T:
        """What `work` gives, done on the store's thread. Raises Unavailable."""
        ...


class SqliteHistory:
    """The history in the file at `path`, of which there is one writer. `clock_ns` gives ns since 1970."""

    def __init__(self, recounter: Recounter, path: Path, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._recounter = recounter
        self._clock_ns = clock_ns
        self._reader = Reader(path)
        self._ids: dict[str, int] = {}  # of names, in the file that is `_db`
        self._db: sqlite3.Connection | None = None
        self._looked_at = FIRST  # the ranking up to which was looked for items that are too many

    async def checkpoint(self) -> str:
        """See History.checkpoint."""

        def checkpoint(ledger: Ledger) -> str:
            return _checkpoint(ledger.db)

        return await self._recounter.recount(checkpoint)

    async def roll(self, since: str, upto: str, rises: Sequence[Rise]) -> bool:
        """See History.roll."""

        def roll(db: sqlite3.Connection) -> bool:
            now = _checkpoint(db)
            if now != since:
                return now == upto
            if rises:
                self._add(db, rises)
            db.execute(MOVE, (upto,))
            return True

        return await self._write(roll)

    async def series(self, asked: Sequence[Asked]) -> list[Series]:
        """See History.series."""
        rows = [
            (name, step, chunk, max(first, chunk * CHUNKS[step]), min(last, (chunk + 1) * CHUNKS[step] - 1))
            for name, step, first, last in asked
            for chunk in range(first // CHUNKS[step], last // CHUNKS[step] + 1)
        ]
        owners = [
            number
            for number, (_, step, first, last) in enumerate(asked)
            for _ in range(first // CHUNKS[step], last // CHUNKS[step] + 1)
        ]
        found = await self._reader.read(lambda db: str(db.execute(SERIES, (_json(rows),)).fetchone()[0]))
        answer: list[Series] = [{} for _ in asked]
        for row, kind, bucket, n in orjson.loads(found):
            answer[owners[row]].setdefault(kind, {})[bucket] = n
        return answer

    async def ranking(self, section: str, kind: str, step: int, buckets: Collection[int], limit: int) -> Ranking:
        """See History.ranking."""

        def ranking(db: sqlite3.Connection) -> str:
            sums: dict[int, int] = {}
            for bucket in buckets:
                for item, n in orjson.loads(db.execute(RANKING, (step, bucket, section, kind, limit)).fetchone()[0]):
                    sums[item] = sums.get(item, 0) + n
            best = nlargest(limit, sums.items(), key=itemgetter(1, 0))
            return str(db.execute(NAMED, (_json(best),)).fetchone()[0])

        return [(item, n) for item, n in orjson.loads(await self._reader.read(ranking))]

    async def sweep(self) -> bool:
        """See History.sweep."""
        now_s = self._clock_ns() // 10**9

        def sweep(db: sqlite3.Connection) -> bool:
            for step, kept_s in KEPT_S.items():
                begin = (now_s - kept_s) // step // CHUNKS[step]
                if _delete(db, step, begin, LAST_SERIES, SWEEP_SERIES):
                    return True
            for step, kept_s in RANKS_KEPT_S.items():
                if _delete(db, step, (now_s - kept_s) // step, LAST_RANKS, SWEEP_RANKS):
                    return True
            return self._trim(db)

        return await self._write(sweep)

    async def close(self) -> None:
        """Let go of the file."""
        await self._reader.close()

    # What follows runs on the store's thread.

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def write(ledger: Ledger) -> T:
            db = ledger.db
            if db is not self._db:  # the file was opened anew, and may be another one
                self._db, self._ids = db, {}
            synchronous = db.execute("PRAGMA synchronous").fetchone()[0]
            db.execute("PRAGMA synchronous = NORMAL")
            try:
                with transaction(db):
                    return work(db)
            except BaseException:
                self._ids = {}  # some may have been rolled back
                raise
            finally:
                with suppress(sqlite3.Error):
                    db.execute(f"PRAGMA synchronous = {synchronous}")

        return await self._recounter.recount(write)

    def _add(self, db: sqlite3.Connection, rises: Sequence[Rise]) -> None:
        self._know(db, rises)
        ids = self._ids
        rows = [(step, bucket // CHUNKS[step], ids[name], bucket, kind, n) for name, step, bucket, kind, n, _ in rises]
        db.execute(ADD, (_json(rows),))
        ranked = [row[:5] for row, rise in zip(rows, rises, strict=True) if rise.sections]
        if ranked:
            db.execute(RANK, (_json(ranked),))

    def _know(self, db: sqlite3.Connection, rises: Sequence[Rise]) -> None:
        """Give the names of rises and of their sections ids, where they have none, and remember these."""
        ids = self._ids
        sections = {rise.name: rise.sections for rise in rises if rise.sections}
        names = {*(rise.name for rise in rises), *(section for its in sections.values() for section in its)}
        unknown = [name for name in names if name not in ids]
        if not unknown:
            return
        if len(ids) > REMEMBERED_NAMES:
            ids.clear()
            unknown = list(names)
        asked = _json(unknown)
        db.execute(ADD_NAMES, (asked,))
        ids.update(orjson.loads(db.execute(NAMES, (asked,)).fetchone()[0]))
        pairs = [(ids[name], ids[section]) for name in unknown for section in sections.get(name, ())]
        db.execute(ADD_SECTIONS, (_json(pairs),))

    def _trim(self, db: sqlite3.Connection) -> bool:
        """Take away some of the items that are too many in a ranking; True when there were any."""
        for _ in range(SWEEP_RANKINGS):
            ranking: Place | None = db.execute(NEXT_RANKING, self._looked_at).fetchone()
            if ranking is None:
                self._looked_at = FIRST
                return False
            over = db.execute(FIRST_OVER, (*ranking, MOST_RANKED)).fetchone()
            if over is not None:
                some = db.execute(SOME_LAST, (*ranking, SWEEP_ROWS - 1)).fetchone()
                db.execute(TRIM, (*ranking, *min(over, some)))
                return True
            self._looked_at = ranking
        return False


class Reader:
    """Reads the file at `path` on a thread of its own, whichever file has that name now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tallycast-history")
        self._closed = False

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` gives, which sees the file as of one moment. Raises Unavailable."""
        if self._closed:
            raise Unavailable("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, work)

    async def close(self) -> None:
        """Let go of the file. Closing twice is allowed."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._let_go)
            self._thread.shutdown(wait=False)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        identity = file_identity(self._path)
        try:
            if self._db is None or identity != self._identity:
                self._let_go()
                self._db, self._identity = connect_to_read(self._path), identity
                self._db.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
            self._db.execute("BEGIN")
            try:
                return work(self._db)
            finally:
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._let_go()
            raise Unavailable(message_of(error, "the store does not work")) from None
        except ConfigError:
            raise Unavailable("the store's file is gone") from None

    def _let_go(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error), closing(db):
                pass


def _checkpoint(db: sqlite3.Connection) -> str:
    found = db.execute(CHECKPOINT).fetchone()
    return str(found[0]) if found else ""


def _delete(db: sqlite3.Connection, step: int, before: int, last: str, sweep: str) -> bool:
    """Delete some rows of a step that are of a chunk or bucket before that one; True when there were any."""
    found = db.execute(last, (step, before, SWEEP_ROWS - 1)).fetchone() or (before - 1, LARGEST, "", 0)
    return bool(db.execute(sweep, (step, *found)).rowcount)


def _json(rows: Sequence[Any]) -> str:
    return orjson.dumps(rows).decode()
