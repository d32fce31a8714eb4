"""What tests of `tallycast migrate` move: the content of a store, written into a file and read from it."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from tallycast.settings import Settings, read_kinds
from tallycast.store import migrate as migrating
from tallycast.store import pieces
from tallycast.store.check import Report
from tallycast.store.migrate import Copied, migrate
from tallycast.store.redis import scan as redis_scan
from tallycast.store.schema import TABLES

KINDS = read_kinds(Settings())
DAY_S = 86_400
SMALL = 3  # rows a step, so that little data takes many
PREFIXES = (f"test{number}:" for number in count())

Said = dict[tuple[str, str, str], tuple[int, int]]  # by item, actor and kind: value and seq
Events = dict[tuple[str, str, str, str], int]  # by item, actor, kind and id: when, in s since 1970


class Content(NamedTuple):
    """What a store holds. What says nothing is left out."""

    said: Said
    counts: dict[tuple[str, str], int]
    versions: dict[str, int]
    events: Events


def take_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_ROWS", SMALL)
    monkeypatch.setattr(migrating, "PIECE_ROWS", SMALL)
    monkeypatch.setattr(redis_scan, "FIELDS_A_STEP", SMALL)
    monkeypatch.setattr(redis_scan, "KEYS_A_STEP", SMALL)


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def write(path: Path, content: Content) -> None:
    """A store's file with that in it, and with rows that say nothing."""
    with closing(sqlite3.connect(path)) as db, db:
        for statement in TABLES:
            db.execute(statement)
        said = [(*key, *value) for key, value in content.said.items()] + [("nothing", "u:1", "love", 0, 0)]
        counted = [(*key, n) for key, n in content.counts.items()] + [("nothing", "love", 0)]
        db.executemany("INSERT INTO says VALUES (?, ?, ?, ?, ?)", said)
        db.executemany("INSERT INTO counts VALUES (?, ?, ?)", counted)
        db.executemany("INSERT INTO items VALUES (?, ?)", content.versions.items())
        db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", [(*k, at) for k, at in content.events.items()])


def read(path: Path) -> Content:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        said = {row[:3]: row[3:] for row in db.execute("SELECT * FROM says WHERE value OR seq")}
        counts = {row[:2]: row[2] for row in db.execute("SELECT * FROM counts WHERE n")}
        versions = dict(db.execute("SELECT * FROM items"))
        events = {row[:4]: row[4] for row in db.execute("SELECT * FROM events")}
    return Content(said, counts, versions, events)


def assert_same(after: Content, before: Content) -> None:
    assert after._replace(events={}) == before._replace(events={})
    assert after.events.keys() == before.events.keys()
    for event, at in before.events.items():
        # Redis knows the day: the id is kept for as long as before, and up to a day longer.
        assert at <= after.events[event] <= min(at // DAY_S * DAY_S + DAY_S - 1, time.time())


def content_of(said: Said, versions: dict[str, int], events: Events) -> Content:
    """With the counts that the values make, and what an actor says of events."""
    said = dict(said)
    for item, actor, kind, _ in events:
        value, _ = said.get((item, actor, kind), (0, 0))
        said[item, actor, kind] = (value + 1, 0)
    sums: Counter[tuple[str, str]] = Counter()
    for (item, _, kind), (value, _) in said.items():
        sums[item, kind] += value
    counts = {key: n for key, n in sums.items() if n}
    return Content(said, counts, {item: versions.get(item, 7) for item, _ in counts}, events)


def some_content(items: int = 7, actors: int = 11) -> Content:
    said = {
        (f"post:{item}", f"u:{actor}", kind): (value, 1_790_000_000_000_000 + actor)
        for item in range(items)
        for actor in range(actors)
        for kind, value in (("like", 1), ("dislike", 0), ("clap", actor % 50 + 1))
    }
    now_s = int(time.time())
    events = {(f"post:{n % items}", f"u:{n % 5}", "share", f"event-{n}"): now_s - n for n in range(items * actors)}
    return content_of(said, {f"post:{n}": 1_790_000_000_000_000 + n for n in range(items)}, events)


def silent(_copied: Copied, _items: int) -> None:
    pass


def move(source: str, target: str, prefix: str) -> Report:
    return migrate(source, target, KINDS, prefix=prefix, progress=silent)


def stop_after(steps: int, source: str, target: str, prefix: str) -> None:
    left = iter(range(steps))

    def stop(_copied: Copied, _items: int) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate(source, target, KINDS, prefix=prefix, progress=stop)
