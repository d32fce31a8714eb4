"""The embedded store as source and target of a migration."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import orjson

from tallycast.errors import ConfigError
from tallycast.kinds import START, Kinds, Said
from tallycast.store import sqlite_shared
from tallycast.store.check import Report, check
from tallycast.store.ledger import EVENT_IDS_KEPT_S
from tallycast.store.pieces import Piece, pieces_of
from tallycast.store.schema import Ownership, connect, connect_to_read, store_path
from tallycast.store.shared import Shared
from tallycast.store.sqlite_worker import transaction

ALL = "SELECT item FROM items UNION SELECT item FROM counts UNION SELECT item FROM says"
ITEMS = f"""
    SELECT a.item, ifnull(i.v, 0), (SELECT json_group_object(c.kind, c.n) FROM counts c WHERE c.item = a.item AND c.n)
    FROM ({ALL}) a LEFT JOIN items i ON i.item = a.item ORDER BY a.item"""
SAYS = "SELECT actor, kind, value, seq FROM says WHERE item = ? AND (value OR seq) ORDER BY actor"
EVENTS = "SELECT actor, kind, id, at FROM events WHERE item = ? AND at >= ?"
PUT_ITEM = "INSERT INTO items VALUES (?, ?) ON CONFLICT DO UPDATE SET v = max(v, excluded.v)"


class SqliteSource:
    """All of a file, as one read transaction sees it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    @classmethod
    @contextmanager
    def open(cls, url: str) -> Iterator[SqliteSource]:
        """The store at `url`; no hub can be started on it meanwhile. Raises ConfigError, also while one runs."""
        path = store_path(url)
        connect_to_read(path).close()  # a path that is no store must not get a lock file
        owner = Ownership(path, create=False)
        try:
            with closing(connect_to_read(path)) as db, _one_line(path):
                db.execute("BEGIN")
                yield cls(db)
        finally:
            owner.release()

    async def items(self) -> int:
        """See Source.items."""
        return int(self._db.execute(f"SELECT count(*) FROM ({ALL})").fetchone()[0])

    async def pieces(self) -> AsyncIterator[Piece]:
        """See Source.pieces."""
        oldest_s = int(time.time()) - EVENT_IDS_KEPT_S
        for item, v, counts in self._db.execute(ITEMS):
            rows = groupby(self._db.execute(SAYS, (item,)), key=itemgetter(0))
            says = ((actor, {kind: Said(value, seq) for _, kind, value, seq in said}) for actor, said in rows)
            events = self._db.execute(EVENTS, (item, oldest_s))
            for piece in pieces_of(item, v, orjson.loads(counts), says, events):
                yield piece

    async def shared(self) -> AsyncIterator[Shared]:
        """See Source.shared."""
        for one in sqlite_shared.read(self._db):
            yield one


class SqliteTarget:
    """A new file, built beside the place that it takes when it is finished: no hub ever sees a part of it."""

    def __init__(self, path: Path, building: Path, db: sqlite3.Connection) -> None:
        self._path = path
        self._building = building
        self._db = db
        self._item: str | None = None

    @classmethod
    @contextmanager
    def open(cls, url: str) -> Iterator[SqliteTarget]:
        """The store to be made at `url`. Raises ConfigError where there is one that holds anything."""
        path = store_path(url)
        owner = Ownership(path, create=True)
        try:
            if path.exists():
                # Closing what was opened to write also takes its log away, which would spoil the file put in its place.
                with closing(connect(path, durability="full", create=True)) as db, _one_line(path):
                    if db.execute(f"SELECT 1 FROM ({ALL}) LIMIT 1").fetchone():
                        raise ConfigError(f"store {path}: holds data already: migrate to a file that is not there yet")
            building = path.with_name(path.name + ".migrating")
            with closing(connect(building, durability="normal", create=True)) as db, _one_line(building):
                for table in ("says", "counts", "items", "events", "records", "revisions", "journal"):
                    db.execute(f"DELETE FROM {table}")
                yield cls(path, building, db)
        finally:
            owner.release()

    async def write(self, pieces: Sequence[Piece]) -> int:
        """See Target.write."""
        values = 0
        db = self._db
        with transaction(db):
            for piece in pieces:
                item, v, counts, says, events, people = piece
                if v:
                    db.execute(PUT_ITEM, (item, v))
                db.executemany("REPLACE INTO counts VALUES (?, ?, ?)", [(item, kind, n) for kind, n in counts.items()])
                # Who the people were is not known: all of such a count becomes what was given to the item.
                given = {(f"{START}{kind}", kind): Said(counts.get(kind, 0), 0) for kind in people}
                rows = [
                    (item, actor, kind, *of_kind)
                    for actor, said in says
                    for kind, of_kind in said.items()
                    if (actor, kind) not in given
                ]
                if item != self._item:
                    self._item = item
                    rows += [(item, actor, kind, *of_kind) for (actor, kind), of_kind in given.items()]
                db.executemany("REPLACE INTO says VALUES (?, ?, ?, ?, ?)", rows)
                db.executemany("REPLACE INTO events VALUES (?, ?, ?, ?, ?)", [(item, *event) for event in events])
                values += len(rows)
        return values

    async def write_shared(self, some: Sequence[Shared]) -> None:
        """See Target.write_shared."""
        db = self._db
        with transaction(db):
            sqlite_shared.write(db, some, time.time_ns() // 1000)

    async def check(self, kinds: Kinds) -> Report:
        """See Target.check."""
        return check(f"sqlite:///{self._building}", kinds)

    async def finish(self) -> None:
        """See Target.finish."""
        self._db.close()  # copies its log into the file
        try:
            _flush(self._building)
            self._building.replace(self._path)
            _flush(self._path.parent)
        except OSError as error:
            raise ConfigError(f"store {self._path}: {error.strerror}") from None


def _flush(path: Path) -> None:
    """See to it that a file, or the names in a directory, are on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ConfigError(f"store {path}: {error}") from None
