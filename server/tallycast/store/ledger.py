"""The counting of the embedded store: batches applied to an SQLite connection, one transaction each. No threads here.

A batch costs a handful of statements however long it is: rows go in and come out as one JSON text (json_each,
json_group_array). Python's sqlite3 module gives the GIL away and takes it back once a row, so one row of JSON instead
of a thousand rows is what keeps the event loop's thread running while SQLite works.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import orjson

from tallycast.kinds import NOTHING, Kinds, Reaction, Said
from tallycast.store.base import Applied, Outcome, Reading, Snapshot

Pair = tuple[str, str]  # item, actor
EventKey = tuple[str, str, str, str]  # item, actor, kind, id

EVENT_IDS_KEPT_S = 24 * 3600
SWEEP_IDS = 500  # at a time: a few milliseconds, so that no batch waits long behind it
REMEMBERED_ITEMS = 10_000  # about 0.5 KiB each

SELECT_SAID = """
    SELECT json_group_array(json_array(j.key, s.kind, s.value, s.seq)) FROM json_each(?) j
    CROSS JOIN says s ON s.item = json_extract(j.value, '$[0]') AND s.actor = json_extract(j.value, '$[1]')"""
SELECT_ITEMS = """
    SELECT json_group_array(json_array(j.value, ifnull(i.v, 0),
        json((SELECT json_group_object(c.kind, c.n) FROM counts c WHERE c.item = j.value AND c.n <> 0))))
    FROM json_each(?) j LEFT JOIN items i ON i.item = j.value"""
SELECT_EVENTS = """
    SELECT json_group_array(j.key) FROM json_each(?) j CROSS JOIN events e
    ON e.item = json_extract(j.value, '$[0]') AND e.actor = json_extract(j.value, '$[1]')
    AND e.kind = json_extract(j.value, '$[2]') AND e.id = json_extract(j.value, '$[3]')"""
UPSERT_SAID = """
    INSERT INTO says SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
        json_extract(value, '$[3]'), json_extract(value, '$[4]') FROM json_each(?) WHERE true
    ON CONFLICT DO UPDATE SET value = excluded.value, seq = excluded.seq"""
UPSERT_COUNTS = """
    INSERT INTO counts SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
    FROM json_each(?) WHERE true ON CONFLICT DO UPDATE SET n = n + excluded.n"""
UPSERT_ITEMS = """
    INSERT INTO items SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?) WHERE true
    ON CONFLICT DO UPDATE SET v = excluded.v"""
INSERT_EVENTS = """
    INSERT INTO events SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
        json_extract(value, '$[3]'), ?2 FROM json_each(?1)"""
SWEEP_EVENTS = """
    DELETE FROM events WHERE (item, actor, kind, id) IN
        (SELECT item, actor, kind, id FROM events WHERE at < ? ORDER BY at LIMIT ?)"""
PULSE = "INSERT INTO pulse VALUES (1, ?) ON CONFLICT DO UPDATE SET at = excluded.at"


class Ledger:
    """Applies batches to one connection and remembers the snapshots of the items last used.

    It must be the file's only writer. Counts of kinds that the kinds file no longer declares stay in the file as they
    are, and come back when the kind does; they are in no snapshot and no `mine`. Every method may raise sqlite3.Error;
    then nothing was written and nothing that it remembers has changed. `clock_ns` gives ns since 1970.
    """

    def __init__(self, db: sqlite3.Connection, kinds: Kinds, clock_ns: Callable[[], int]) -> None:
        self._db = db
        self._kinds = kinds
        self._clock_ns = clock_ns
        self._said_kinds = frozenset(name for name, kind in kinds.items() if kind.rule != "event")
        self._snapshots: dict[str, Snapshot] = {}

    def apply(self, batch: Sequence[Reaction]) -> Applied:
        """Count a batch in order; see Store.apply."""
        pairs: list[Pair] = [reaction[:2] for reaction in batch]
        said = self._said(dict.fromkeys(pairs))
        before = {pair: by_kind.copy() for pair, by_kind in said.items()}
        known = self._known_events(batch)
        new_events: list[EventKey] = []
        count = self._kinds.apply
        for pair, reaction in zip(pairs, batch, strict=True):
            if reaction.id is not None:
                event = (*pair, reaction.kind, reaction.id)
                if event in known:
                    continue
                known.add(event)
                new_events.append(event)
            count(said[pair], reaction)
        rows, moved = _changes(before, said)
        snapshots = self._items(dict.fromkeys(item for item, _ in said))
        changed = self._moved(snapshots, moved)
        if rows:
            with self._transaction() as db:
                db.execute(UPSERT_SAID, (_json(rows),))
                if moved:
                    db.execute(UPSERT_COUNTS, (_json([(item, kind, n) for (item, kind), n in moved.items()]),))
                    db.execute(UPSERT_ITEMS, (_json([(item, v) for item, v, _ in changed]),))
                if new_events:
                    db.execute(INSERT_EVENTS, (_json(new_events), self._clock_ns() // 10**9))
            self._remember(changed)
        for snapshot in changed:
            snapshots[snapshot.item] = snapshot
        outcomes = {pair: Outcome(snapshots[pair[0]], self._mine(by_kind)) for pair, by_kind in said.items()}
        return Applied([outcomes[pair] for pair in pairs], changed)

    def read(self, items: Collection[str], pairs: Collection[Pair]) -> Reading:
        """What stands now; see Store.read."""
        said = self._said(pairs) if pairs else {}
        return Reading(self._items(dict.fromkeys(items)), {pair: self._mine(by_kind) for pair, by_kind in said.items()})

    def pulse(self) -> None:
        """Write and commit something, as proof that a reaction could be."""
        with self._transaction() as db:
            db.execute(PULSE, (self._clock_ns(),))

    def sweep(self) -> bool:
        """Forget some of the event ids that are old enough; True when there may be more of them."""
        oldest_s = self._clock_ns() // 10**9 - EVENT_IDS_KEPT_S
        if self._db.execute("SELECT 1 FROM events WHERE at < ? LIMIT 1", (oldest_s,)).fetchone() is None:
            return False
        with self._transaction() as db:
            return db.execute(SWEEP_EVENTS, (oldest_s, SWEEP_IDS)).rowcount == SWEEP_IDS

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            # After some errors, a full disk's among them, SQLite has rolled back already.
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def _said(self, pairs: Iterable[Pair]) -> dict[Pair, dict[str, Said]]:
        """What the pairs' actors say of their items by kind, undeclared kinds and values of 0 included."""
        said: dict[Pair, dict[str, Said]] = {pair: {} for pair in pairs}
        by_number = list(said.values())
        for number, kind, value, seq in self._select(SELECT_SAID, list(said)):
            by_number[number][kind] = Said(value, seq)
        return said

    def _known_events(self, batch: Sequence[Reaction]) -> set[EventKey]:
        events = list({(r.item, r.actor, r.kind, r.id) for r in batch if r.id is not None})
        return {events[number] for number in self._select(SELECT_EVENTS, events)} if events else set()

    def _items(self, items: Collection[str]) -> dict[str, Snapshot]:
        """The snapshots of the items, v 0 for those never reacted to."""
        remembered = self._snapshots
        snapshots = {item: remembered[item] for item in items if item in remembered}
        if len(snapshots) < len(items):
            missing = [item for item in items if item not in snapshots]
            kinds = self._kinds
            for item, v, counts in self._select(SELECT_ITEMS, missing):
                snapshots[item] = Snapshot(item, v, {kind: n for kind, n in counts.items() if kind in kinds})
            self._remember([snapshots[item] for item in missing])
        return snapshots

    def _moved(self, snapshots: dict[str, Snapshot], moved: dict[tuple[str, str], int]) -> list[Snapshot]:
        """The new snapshots of the items whose counts moved."""
        now_us = self._clock_ns() // 1000
        counts: dict[str, dict[str, int]] = {}
        for (item, kind), n in moved.items():
            of_item = counts.get(item)
            if of_item is None:
                of_item = counts[item] = snapshots[item].counts.copy()
            of_item[kind] = of_item.get(kind, 0) + n
            if not of_item[kind]:
                del of_item[kind]
        return [Snapshot(item, max(snapshots[item].v + 1, now_us), of_item) for item, of_item in counts.items()]

    def _remember(self, snapshots: Iterable[Snapshot]) -> None:
        """Keep the snapshots, and let go of those that changed or were read in longest ago."""
        remembered = self._snapshots
        for snapshot in snapshots:
            remembered.pop(snapshot.item, None)
            remembered[snapshot.item] = snapshot
        while len(remembered) > REMEMBERED_ITEMS:
            del remembered[next(iter(remembered))]

    def _mine(self, by_kind: dict[str, Said]) -> dict[str, int]:
        shown = self._said_kinds
        return {kind: said[0] for kind, said in by_kind.items() if said[0] and kind in shown}

    def _select(self, statement: str, rows: list[Any]) -> list[Any]:
        found = self._db.execute(statement, (_json(rows),)).fetchone()[0]
        return orjson.loads(found)  # type: ignore[no-any-return]


def _json(rows: list[Any]) -> str:
    return orjson.dumps(rows).decode()


def _changes(
    before: dict[Pair, dict[str, Said]], after: dict[Pair, dict[str, Said]]
) -> tuple[list[tuple[str, str, str, int, int]], dict[tuple[str, str], int]]:
    """The rows of `says` that differ, and by (item, kind) what they add to its count where that is not 0."""
    rows: list[tuple[str, str, str, int, int]] = []
    moved: dict[tuple[str, str], int] = defaultdict(int)
    for pair, by_kind in after.items():
        had = before[pair]
        if by_kind == had:
            continue
        item, actor = pair
        for kind, said in by_kind.items():
            old = had.get(kind, NOTHING)  # as good as no row at all
            if said != old:
                rows.append((item, actor, kind, *said))
                moved[item, kind] += said.value - old.value
    return rows, {key: n for key, n in moved.items() if n}
