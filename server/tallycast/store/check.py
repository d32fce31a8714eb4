"""Proof that a store's counts are right, and their repair: what `tallycast check` does."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby

import orjson

from tallycast.errors import ConfigError
from tallycast.kinds import Kinds
from tallycast.store.records import CHANGES
from tallycast.store.schema import Ownership, connect, connect_to_read, store_path
from tallycast.store.sqlite_journal import add

LISTED = 20  # findings that a report spells out; the rest are only counted

ITEMS = "SELECT item FROM items UNION SELECT item FROM counts UNION SELECT item FROM says ORDER BY item"
SAYS = "SELECT actor, kind, value, seq FROM says WHERE item = ? ORDER BY actor, kind"
SET_VALUE = "UPDATE says SET value = ? WHERE item = ? AND actor = ? AND kind = ?"
SET_COUNT = "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = excluded.n"
BUMP = "INSERT INTO items VALUES (?1, ?2) ON CONFLICT DO UPDATE SET v = max(v + 1, excluded.v) RETURNING v"


@dataclass(slots=True)
class Report:
    """What a check found. `str()` of it is for people.

    `items`, `values` and `events` say how much was looked at; `found` is how many things were wrong, `findings` the
    first of them in words; `damaged` that what is stored cannot be read, which nothing here repairs; `repaired` that
    all else was put right; `busy` how many items changed too fast to be summed, of which nothing is known.
    """

    items: int = 0
    values: int = 0
    events: int = 0
    found: int = 0
    findings: list[str] = field(default_factory=list)
    damaged: bool = False
    repaired: bool = False
    busy: int = 0

    @property
    def ok(self) -> bool:
        """Nothing is wrong now: nothing was found, or all of it was repaired."""
        return not self.damaged and (self.found == 0 or self.repaired)

    def add(self, finding: str) -> None:
        """Count a finding, and keep its words while there are few."""
        self.found += 1
        if len(self.findings) < LISTED:
            self.findings.append(finding)

    def __str__(self) -> str:
        lines = list(self.findings)
        if self.found > len(lines):
            lines.append(f"… and {self.found - len(lines)} more")
        looked_at = f"{self.items} items, {self.values} values, {self.events} event ids"
        if self.busy:
            lines.append(f"{self.busy} large items changed too fast to be summed: check again when it is quieter")
        if self.damaged:
            lines.append(f"{looked_at}: the store is damaged and nothing was repaired: restore it from a backup")
        elif self.found == 0:
            lines.append(f"{looked_at}: all counts are the sums of their values")
        else:
            lines.append(f"{looked_at}: {self.found} wrong, {'all repaired' if self.repaired else 'nothing repaired'}")
        return "\n".join(lines)


def check(url: str, kinds: Kinds | None = None, *, repair: bool = False) -> Report:
    """Look through the whole store at `url` for counts that are not the sum of their values, negative values, items
    without a version, values outside their kind's rule (when `kinds` is given) and damage to the file itself.

    Without `repair` it only reads, in one snapshot, and may do so beside a running hub. With it, the hub must be
    stopped; values are brought into the rule, counts set to the sums, and versions of the items concerned raised, all
    in one transaction. Of rivals in a group the one said last stays. Raises ConfigError.
    """
    path = store_path(url)
    if not repair:
        with closing(connect_to_read(path)) as db:
            return _check(db, kinds, repair=False)
    # First a look: a path that is no store must not get a lock file.
    connect_to_read(path).close()
    owner = Ownership(path, create=False)
    try:
        with closing(connect(path, durability="full", create=False)) as db:
            return _check(db, kinds, repair=True)
    finally:
        owner.release()


def _check(db: sqlite3.Connection, kinds: Kinds | None, *, repair: bool) -> Report:
    report = Report()
    try:
        db.execute("BEGIN IMMEDIATE" if repair else "BEGIN")
        for (problem,) in db.execute(f"PRAGMA integrity_check({LISTED})"):
            if problem != "ok":
                report.damaged = True
                report.add(f"the file is damaged: {problem}")
        report.events = db.execute("SELECT count(*) FROM events").fetchone()[0]
        repair = repair and not report.damaged
        for (item,) in db.execute(ITEMS):
            report.items += 1
            _check_item(db, item, kinds, report, repair=repair)
        db.execute("COMMIT")
    except sqlite3.Error as error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        if not getattr(error, "sqlite_errorname", "").startswith("SQLITE_CORRUPT"):
            raise ConfigError(f"the store cannot be checked now: {error}") from None
        report.damaged = True
        report.add(f"the file is damaged: {error}")
    report.repaired = repair and report.found > 0 and not report.damaged
    return report


def _check_item(db: sqlite3.Connection, item: str, kinds: Kinds | None, report: Report, *, repair: bool) -> None:
    """Check one item, and repair it if asked to."""
    sums: Counter[str] = Counter()
    moved: Counter[str] = Counter()  # by how much the repair of values moves their sums
    found_before = report.found
    rows: Iterator[tuple[str, str, int, int]] = db.execute(SAYS, (item,))
    for actor, said in groupby(rows, key=lambda row: row[0]):
        values = {kind: (value, seq) for _, kind, value, seq in said}
        report.values += len(values)
        right = within_rules(actor, {kind: max(value, 0) for kind, (value, _) in values.items()}, values, kinds)
        for kind, (value, _) in values.items():
            sums[kind] += right[kind] if repair else value
            if value != right[kind]:
                why = "is negative" if value < 0 else "breaks the rule of its kind"
                report.add(f"{item}: {actor} says {kind} {value}, which {why}: should be {right[kind]}")
                if repair:
                    moved[kind] += right[kind] - value
                    db.execute(SET_VALUE, (right[kind], item, actor, kind))
    counts: dict[str, int] = dict(db.execute("SELECT kind, n FROM counts WHERE item = ?", (item,)))
    for kind in sorted(counts.keys() | sums.keys()):
        if counts.get(kind, 0) != sums[kind]:
            report.add(f"{item}: {kind} counts {counts.get(kind, 0)}, but the values make {sums[kind]}")
            if repair:
                db.execute(SET_COUNT, (item, kind, sums[kind]))
    version = db.execute("SELECT v FROM items WHERE item = ?", (item,)).fetchone()
    if any(counts.values()) and (version is None or version[0] <= 0):
        report.add(f"{item}: is counted but has no version")
    if repair and report.found > found_before:
        now_us = time.time_ns() // 1000
        (v,) = db.execute(BUMP, (item, now_us)).fetchone()
        # Where values alone were wrong, the count now moves. One that was not their sum is put back to what it was.
        by = {kind: n for kind, n in moved.items() if n and counts.get(kind, 0) + n == sums[kind]}
        if by:
            add(db, CHANGES, orjson.dumps([(item, v, by)]), now_us)


def within_rules(
    actor: str, values: dict[str, int], said: Mapping[str, tuple[int, int]], kinds: Kinds | None
) -> dict[str, int]:
    """The nearest values that the kinds' rules allow the actor; kinds that are not declared are left alone.

    `said` is (value, seq) by kind as it stands: of rivals in a group the one said last stays.
    """
    if kinds is None:
        return values
    right = dict(values)
    for kind, value in values.items():
        most = kinds.most(kind, actor)
        if most is not None:
            right[kind] = min(value, most)
    for kind in [kind for kind in right if right[kind] and kind in kinds]:
        rivals = [rival for rival in kinds.rivals(kind) if right.get(rival)]
        if any((said[rival][1], rival) > (said[kind][1], kind) for rival in rivals):
            right[kind] = 0
    return right
