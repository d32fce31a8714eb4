"""The counting of the embedded store: batches applied to an SQLite connection, one transaction each. No threads here.

A batch costs a handful of statements however long it is: rows go in and come out as one JSON text (json_each,
json_group_array). Python's sqlite3 module gives the GIL away and takes it back once a row, so one row of JSON instead
of a thousand rows is what keeps the event loop's thread running while SQLite works.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import orjson

from tallycast.kinds import NOTHING, RESERVED, Kinds, Reaction, Said
from tallycast.store.base import Applied, Outcome, Reading, Snapshot
from tallycast.store.records import CHANGES, MOST_CHANGES
from tallycast.store.sqlite_journal import Last, add_after, excess, last_of, trim
from tallycast.store.sqlite_worker import transaction

Pair = tuple[str, str]  # item, actor
Moved = Mapping[tuple[str, str], int]  # by item and kind what is added to its count, never 0
EventKey = tuple[str, str, str, str]  # item, actor, kind, id

EVENT_IDS_KEPT_S = 24 * 3600
SWEEP_IDS = 500  # at a time: a few milliseconds, so that no batch waits long behind it
SWEEP_CHANGES = 250  # at a time; each is as large as a batch's items are many
MOST_CHANGES_BYTES = 2**30  # of what is kept of the changes: a file that only grows would fill the disk
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
        self.db = db
        self.kinds = kinds
        self._clock_ns = clock_ns
        self._snapshots: dict[str, Snapshot] = {}
        self._last_change: Last | None = None  # of the journal; None: to be looked up

    def apply(self, batch: Sequence[Reaction]) -> Applied:
        """Count a batch in order; see Store.apply."""
        pairs: list[Pair] = [reaction[:2] for reaction in batch]
        said = self._said(dict.fromkeys(pairs))
        before = {pair: by_kind.copy() for pair, by_kind in said.items()}
        known = self._known_events(batch)
        new_events: list[EventKey] = []
        count = self.kinds.apply
        for pair, reaction in zip(pairs, batch, strict=True):
            if reaction.id is not None:
                event = (*pair, reaction.kind, reaction.id)
                if event in known:
                    continue
                known.add(event)
                new_events.append(event)
            count(said[pair], reaction)
        rows, moved = _changes(before, said)
        snapshots = self.items(dict.fromkeys(item for item, _ in said))
        changed: list[Snapshot] = []
        if rows:
            with self.transaction():
                self.db.execute(UPSERT_SAID, (_json(rows),))
                if moved:
                    changed = self.move(snapshots, moved)
                if new_events:
                    self.db.execute(INSERT_EVENTS, (_json(new_events), self._clock_ns() // 10**9))
            self.remember(changed)
        for snapshot in changed:
            snapshots[snapshot.item] = snapshot
        outcomes = {pair: Outcome(snapshots[pair[0]], self._mine(by_kind)) for pair, by_kind in said.items()}
        return Applied([outcomes[pair] for pair in pairs], changed)

    def read(self, items: Collection[str], pairs: Collection[Pair]) -> Reading:
        """What stands now; see Store.read."""
        said = self._said(pairs) if pairs else {}
        mine = {
            pair: self._given(by_kind) if pair[1][:1] == RESERVED else self._mine(by_kind)
            for pair, by_kind in said.items()
        }
        return Reading(self.items(dict.fromkeys(items)), mine)

    def items(self, items: Collection[str]) -> dict[str, Snapshot]:
        """The snapshots of the items, v 0 for those never reacted to."""
        remembered = self._snapshots
        snapshots = {item: remembered[item] for item in items if item in remembered}
        if len(snapshots) < len(items):
            missing = [item for item in items if item not in snapshots]
            kinds = self.kinds
            for item, v, counts in self._select(SELECT_ITEMS, missing):
                snapshots[item] = Snapshot(item, v, {kind: n for kind, n in counts.items() if kind in kinds})
            self.remember([snapshots[item] for item in missing])
        return snapshots

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """The block's statements, move() among them, are done together or not at all."""
        try:
            with transaction(self.db):
                yield
        except BaseException:
            self._last_change = None
            raise

    def move(self, snapshots: Mapping[str, Snapshot], moved: Moved) -> list[Snapshot]:
        """Write counts that moved, the versions that come of it and the entry in the journal of changes, within
        transaction(). The items' new snapshots, to be remembered once it is committed."""
        now_us = self._clock_ns() // 1000
        kinds = self.kinds
        by_item: dict[str, dict[str, int]] = {}
        counts: dict[str, dict[str, int]] = {}
        for (item, kind), by in moved.items():
            of_item = counts.get(item)
            if of_item is None:
                of_item = counts[item] = snapshots[item].counts.copy()
                by_item[item] = {}
            by_item[item][kind] = by
            if kind in kinds:
                of_item[kind] = of_item.get(kind, 0) + by
                if not of_item[kind]:
                    del of_item[kind]
        changed = [Snapshot(item, max(snapshots[item].v + 1, now_us), of_item) for item, of_item in counts.items()]
        db = self.db
        db.execute(UPSERT_COUNTS, (_json([(item, kind, by) for (item, kind), by in moved.items()]),))
        db.execute(UPSERT_ITEMS, (_json([(item, v) for item, v, _ in changed]),))
        body = orjson.dumps([(item, v, by_item[item]) for item, v, _ in changed])
        self._last_change = add_after(db, CHANGES, self._last_change or last_of(db, CHANGES), body, now_us)
        return changed

    def remember(self, snapshots: Iterable[Snapshot]) -> None:
        """Keep the snapshots, and let go of those that changed or were read in longest ago."""
        remembered = self._snapshots
        for snapshot in snapshots:
            remembered.pop(snapshot.item, None)
            remembered[snapshot.item] = snapshot
        while len(remembered) > REMEMBERED_ITEMS:
            del remembered[next(iter(remembered))]

    def pulse(self) -> None:
        """Write and commit something, as proof that a reaction could be."""
        with transaction(self.db):
            self.db.execute(PULSE, (self._clock_ns(),))

    def sweep(self) -> bool:
        """Forget some of the event ids that are old enough and some of the changes that are too many; True when there
        may be more of them."""
        oldest_s = self._clock_ns() // 10**9 - EVENT_IDS_KEPT_S
        old = self.db.execute("SELECT 1 FROM events WHERE at < ? LIMIT 1", (oldest_s,)).fetchone() is not None
        over = excess(self.db, CHANGES, most=MOST_CHANGES, most_bytes=MOST_CHANGES_BYTES, at_once=SWEEP_CHANGES)
        if not old and not over:
            return False
        with transaction(self.db):
            swept = self.db.execute(SWEEP_EVENTS, (oldest_s, SWEEP_IDS)).rowcount
            trim(self.db, CHANGES, over)
        return swept == SWEEP_IDS or over == SWEEP_CHANGES

    def close(self) -> None:
        """Close the connection."""
        self.db.close()

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

    def _mine(self, by_kind: dict[str, Said]) -> dict[str, int]:
        shown = self.kinds.personal
        return {kind: said[0] for kind, said in by_kind.items() if said[0] and kind in shown}

    def _given(self, by_kind: dict[str, Said]) -> dict[str, int]:
        return {kind: said.value for kind, said in by_kind.items() if said.value and kind in self.kinds}

    def _select(self, statement: str, rows: list[Any]) -> list[Any]:
        found = self.db.execute(statement, (_json(rows),)).fetchone()[0]
        return orjson.loads(found)  # type: ignore[no-any-return]


def _json(rows: list[Any]) -> str:
    return orjson.dumps(rows).decode()


def _changes(
    before: dict[Pair, dict[str, Said]], after: dict[Pair, dict[str, Said]]
) -> tuple[list[tuple[str, str, str, int, int]], Moved]:
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
