"""Documents and journals of the embedded store, as a migration carries them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from tallycast.store.shared import LEFT_JOURNALS, LEFT_SPACES, Document, Note, Shared
from tallycast.store.sqlite_journal import add
from tallycast.store.sqlite_records import MOVED, PUT_ANY

ARE_THERE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'records'"
DOCUMENTS = "SELECT space, key, body FROM records ORDER BY space, key"
NOTES = "SELECT name, id, body FROM journal ORDER BY name, id"


def read(db: sqlite3.Connection) -> Iterator[Shared]:
    """All that is to be carried; nothing of a file from before there was any."""
    if db.execute(ARE_THERE).fetchone() is None:
        return
    for space, key, body in db.execute(DOCUMENTS):
        if space not in LEFT_SPACES:
            yield Document(space, key, body)
    for name, id, body in db.execute(NOTES):
        if name not in LEFT_JOURNALS:
            yield Note(name, id // 1000, body)


def write(db: sqlite3.Connection, some: Sequence[Shared], now_us: int) -> None:
    """Add those, within the transaction that is open."""
    for one in some:
        if isinstance(one, Document):
            db.execute(PUT_ANY, one)
            db.execute(MOVED, (one.space, now_us))
        else:
            add(db, one.journal, one.body, one.at_ms * 1000)
