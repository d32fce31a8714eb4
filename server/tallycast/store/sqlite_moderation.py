"""What an administrator does to items of the embedded store. See moderation.Moderation."""

from __future__ import annotations

import sqlite3
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import groupby, islice
from operator import itemgetter
from typing import Protocol, TypeVar

import orjson

from tallycast.kinds import Kinds, Said
from tallycast.store.base import Snapshot
from tallycast.store.ledger import SELECT_ITEMS, UPSERT_SAID, Ledger
from tallycast.store.moderation import Page, Removed, Values
from tallycast.store.sqlite_worker import Worker

T = TypeVar("T")

DELETED_AT_ONCE = 2_000  # values: some 10 ms in which nothing else is counted
WALKED_ITEMS = 1_000  # that items_of() looks at in one go: a few milliseconds

ITEMS = "SELECT item FROM items WHERE item > ?1 AND item >= ?2 AND item < ?2 || char(127) ORDER BY item LIMIT ?3"
SAYS = "SELECT actor, kind, value, seq FROM says WHERE item = ? AND actor > ? ORDER BY actor"
LAST_OF_SOME = "SELECT actor FROM says WHERE item = ? ORDER BY actor LIMIT 1 OFFSET ?"
SAID_UP_TO = "SELECT kind, sum(value) FROM says WHERE item = ?1 AND actor <= ?2 GROUP BY kind"
SAID_BY = """
    SELECT s.actor, s.kind, s.value, s.seq FROM json_each(?2) j
    CROSS JOIN says s ON s.item = ?1 AND s.actor = j.value"""
DELETE_SAYS = "DELETE FROM says WHERE item = ?1 AND actor IN (SELECT value FROM json_each(?2))"
DELETE_EVENTS = "DELETE FROM events WHERE item = ?1 AND actor IN (SELECT value FROM json_each(?2))"
# From item to item by the index of `says`, which has no index by actor: that would cost every reaction something.
WALK = """
    WITH RECURSIVE walk (item, number) AS (
        SELECT min(item), 1 FROM says WHERE item > ?1
        UNION ALL SELECT (SELECT min(item) FROM says WHERE item > walk.item), number + 1
        FROM walk WHERE item IS NOT NULL AND number < ?2)
    SELECT item, EXISTS (SELECT 1 FROM says s WHERE s.item = walk.item AND s.actor = ?3)
    FROM walk WHERE item IS NOT NULL"""


class Recounter(Worker, Protocol):
    """A Worker on the file of a ledger."""

    async def recount(self, work: Callable[[Ledger], T]) -> T:
        """What `work` gives, which changes the ledger itself."""
        ...


class SqliteModeration:
    """Acts on the items of a file, each in one transaction, but for deleting what many said."""

    def __init__(self, recounter: Recounter, kinds: Kinds) -> None:
        self._recounter = recounter
        self._kinds = kinds

    async def items(self, prefix: str, cursor: str, limit: int) -> Page:
        """See Moderation.items."""
        after = _place("items", cursor)

        def items(db: sqlite3.Connection) -> list[Snapshot]:
            names = [item for (item,) in db.execute(ITEMS, (after, prefix, limit))]
            found = orjson.loads(db.execute(SELECT_ITEMS, (_json(names),)).fetchone()[0])
            return [Snapshot(item, v, self._declared(counts)) for item, v, counts in found]

        page = await self._recounter.look(items)
        return Page(page, _cursor("items", page[-1].item) if len(page) == limit else "")

    async def values(self, item: str, cursor: str, limit: int) -> tuple[Values, str]:
        """See Moderation.values."""
        after = _place("values", cursor)

        def values(db: sqlite3.Connection) -> Values:
            rows = groupby(db.execute(SAYS, (item, after)), key=itemgetter(0))
            return {actor: _said(said) for actor, said in islice(rows, limit)}

        found = await self._recounter.look(values)
        last = list(found)[-1] if len(found) == limit else ""
        shown = {
            actor: self._declared({kind: said for kind, said in by_kind.items() if said.value})
            for actor, by_kind in found.items()
        }
        return {actor: by_kind for actor, by_kind in shown.items() if by_kind}, _cursor("values", last) if last else ""

    async def remove(self, item: str, actors: Collection[str]) -> Removed:
        """See Moderation.remove."""
        return await self._recounter.recount(lambda ledger: _remove(ledger, item, actors))

    async def put_back(self, item: str, values: Mapping[str, Mapping[str, Said]]) -> Snapshot:
        """See Moderation.put_back."""
        return await self._recounter.recount(lambda ledger: _put_back(ledger, item, values))

    async def delete(self, item: str) -> Snapshot:
        """See Moderation.delete. What many said goes in several steps: reactions are counted in between."""
        while await self._recounter.recount(lambda ledger: _delete_some(ledger, item)):
            pass
        return await self._recounter.recount(lambda ledger: _delete(ledger, item))

    async def items_of(self, actor: str, cursor: str) -> tuple[list[str], str]:
        """See Moderation.items_of."""
        after = _place("items_of", cursor)
        walked = await self._recounter.look(lambda db: db.execute(WALK, (after, WALKED_ITEMS, actor)).fetchall())
        found = [item for item, says in walked if says]
        return found, _cursor("items_of", walked[-1][0]) if len(walked) == WALKED_ITEMS else ""

    def _declared(self, by_kind: Mapping[str, T]) -> dict[str, T]:
        return {kind: its for kind, its in by_kind.items() if kind in self._kinds}


def _remove(ledger: Ledger, item: str, actors: Collection[str]) -> Removed:
    db, asked = ledger.db, _json(list(dict.fromkeys(actors)))
    values: Values = {}
    moved: dict[str, int] = defaultdict(int)
    with ledger.transaction():
        for actor, kind, value, seq in db.execute(SAID_BY, (item, asked)):
            values.setdefault(actor, {})[kind] = Said(value, seq)
            moved[kind] -= value
        db.execute(DELETE_SAYS, (item, asked))
        db.execute(DELETE_EVENTS, (item, asked))
        snapshot = _move(ledger, item, moved)
    ledger.remember([snapshot])
    return Removed(snapshot, values)


def _put_back(ledger: Ledger, item: str, values: Mapping[str, Mapping[str, Said]]) -> Snapshot:
    db, kinds = ledger.db, ledger.kinds
    moved: dict[str, int] = defaultdict(int)
    rows: list[tuple[str, str, str, int, int]] = []
    with ledger.transaction():
        since: dict[str, set[str]] = defaultdict(set)
        for actor, kind, _, _ in db.execute(SAID_BY, (item, _json(list(values)))):
            since[actor].add(kind)
        for actor, by_kind in values.items():
            for kind, (value, seq) in by_kind.items():
                rivals = kinds.rivals(kind) if kind in kinds else ()
                if (value or seq) and since[actor].isdisjoint((kind, *rivals)):
                    rows.append((item, actor, kind, value, seq))
                    moved[kind] += value
        db.execute(UPSERT_SAID, (_json(rows),))
        snapshot = _move(ledger, item, moved)
    ledger.remember([snapshot])
    return snapshot


def _delete_some(ledger: Ledger, item: str) -> bool:
    """Take away what the first some actors say; False where there are no more of them than go in one step."""
    db = ledger.db
    last = db.execute(LAST_OF_SOME, (item, DELETED_AT_ONCE)).fetchone()
    if last is None:
        return False
    some = (item, *last)
    with ledger.transaction():
        snapshot = _move(ledger, item, {kind: -n for kind, n in db.execute(SAID_UP_TO, some)})
        for table in ("says", "events"):
            db.execute(f"DELETE FROM {table} WHERE item = ? AND actor <= ?", some)
    ledger.remember([snapshot])
    return True


def _delete(ledger: Ledger, item: str) -> Snapshot:
    db = ledger.db
    with ledger.transaction():
        counts = dict(db.execute("SELECT kind, n FROM counts WHERE item = ?", (item,)))
        snapshot = _move(ledger, item, {kind: -n for kind, n in counts.items()})
        for table in ("says", "events", "counts"):
            db.execute(f"DELETE FROM {table} WHERE item = ?", (item,))
    ledger.remember([snapshot])
    return snapshot


def _move(ledger: Ledger, item: str, moved: Mapping[str, int]) -> Snapshot:
    """The item's snapshot after its counts moved; the one before where none did."""
    snapshots = ledger.items([item])
    by = {(item, kind): n for kind, n in moved.items() if n}
    return ledger.move(snapshots, by)[0] if by else snapshots[item]


def _said(rows: Iterable[tuple[str, str, int, int]]) -> dict[str, Said]:
    return {kind: Said(value, seq) for _, kind, value, seq in rows}


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _cursor(of: str, place: str) -> str:
    """Where to go on, in a form that is not to be taken for anything else."""
    return urlsafe_b64encode(orjson.dumps([of, place])).decode().rstrip("=")


def _place(of: str, cursor: str) -> str:
    """The place that _cursor() was given, "" for the beginning. Raises ValueError for what it did not make."""
    if not cursor:
        return ""
    match orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))):
        case [str(method), str(place)] if method == of and _cursor(of, place) == cursor:
            return place
    raise ValueError("this cursor is not from here")
