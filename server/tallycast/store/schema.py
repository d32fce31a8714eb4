"""The embedded store's file: where it is, who owns it, what is in it, how it is opened."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from itertools import chain
from pathlib import Path
from typing import IO, Literal

from tallycast.errors import ConfigError

Durability = Literal["full", "normal"]

APPLICATION_ID = 0x54434153  # "TCAS" in the file's header: another program's database is never taken for a store
BUSY_S = 2.0  # how long to wait for another program's lock, e.g. a backup's, before the store is unavailable
PAGE_CACHE_KIB = 32_768
CHECKPOINT_PAGES = 4_000  # 16 MiB of log: pages written again and again are copied to the file once
LOG_BYTES = 64 * 2**20  # a log that grew past this, behind a long read, is cut back

# says       what an actor said last of an item in a kind; for `event` kinds how many of its events were counted, so
#            that counts.n is the sum of says.value for every kind, also when the ids are long swept
# counts     of an item in a kind, kept equal to that sum; 0 stays as a row
# items      the version of every item whose counts ever moved
# events     ids of the events counted, `at` in seconds since 1970, until they are swept
# pulse      the last time that somebody asked whether the store can write
# records    documents by space and key
# revisions  of every space that was ever written to: in microseconds since 1970, and at least 1 more with every change
# journal    entries by name of the journal; `id` as a revision; `number` counts the entries that it ever had, `bytes`
#            their bodies up to this one, so that how much is kept is the difference of two rows
# history    up to where the journal of changes has been rolled up; the other tables of history are sqlite_history.py's:
#            _names of items and sections; _sections of items; _series by how much their counts moved; _ranks of
#            items, by their numbers there

# What each version of the schema added to the one before. A new file gets all of it.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE says (
            item TEXT NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL, value INTEGER NOT NULL, seq INTEGER NOT NULL,
            PRIMARY KEY (item, actor, kind)) WITHOUT ROWID""",
        """CREATE TABLE counts (
            item TEXT NOT NULL, kind TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (item, kind)) WITHOUT ROWID""",
        "CREATE TABLE items (item TEXT PRIMARY KEY NOT NULL, v INTEGER NOT NULL) WITHOUT ROWID",
        """CREATE TABLE events (
            item TEXT NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL,
            PRIMARY KEY (item, actor, kind, id)) WITHOUT ROWID""",
        "CREATE INDEX events_by_age ON events (at)",
        "CREATE TABLE pulse (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL)",
        f"PRAGMA application_id = {APPLICATION_ID}",
    ),
    (
        """CREATE TABLE records (
            space TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (space, key)) WITHOUT ROWID""",
        "CREATE TABLE revisions (space TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID",
        """CREATE TABLE journal (
            name TEXT NOT NULL, id INTEGER NOT NULL, number INTEGER NOT NULL, bytes INTEGER NOT NULL,
            body BLOB NOT NULL, PRIMARY KEY (name, id)) WITHOUT ROWID""",
        "CREATE TABLE history (one INTEGER PRIMARY KEY CHECK (one = 1), checkpoint TEXT NOT NULL)",
        "CREATE TABLE history_names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
        """CREATE TABLE history_series (
            step INTEGER NOT NULL, chunk INTEGER NOT NULL, name INTEGER NOT NULL, bucket INTEGER NOT NULL,
            kind TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (step, chunk, name, bucket, kind)) WITHOUT ROWID""",
        """CREATE TABLE history_sections (
            item INTEGER NOT NULL, section INTEGER NOT NULL, PRIMARY KEY (item, section)) WITHOUT ROWID""",
        """CREATE TABLE history_ranks (
            step INTEGER NOT NULL, bucket INTEGER NOT NULL, section INTEGER NOT NULL, kind TEXT NOT NULL,
            item INTEGER NOT NULL, n INTEGER NOT NULL,
            PRIMARY KEY (step, bucket, section, kind, item)) WITHOUT ROWID""",
        "CREATE INDEX history_ranked ON history_ranks (step, bucket, section, kind, n, item)",
    ),
)
SCHEMA_VERSION = len(STEPS)
TABLES = (*chain(*STEPS), f"PRAGMA user_version = {SCHEMA_VERSION}")


def store_path(url: str) -> Path:
    """The file that `sqlite:///relative.db` or `sqlite:////absolute.db` names. Raises ConfigError."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ConfigError("store: expected a URL such as sqlite:///tallycast.db")
    if scheme.lower() != "sqlite":
        # The rest may hold a password and is not repeated.
        raise ConfigError("store: unknown scheme; expected sqlite:///tallycast.db")
    if not rest.startswith("/") or not rest[1:]:
        raise ConfigError("store: expected sqlite:///relative.db or, for an absolute path, sqlite:////var/lib/x.db")
    name = rest[1:]
    if name == ":memory:":
        raise ConfigError("store: counts must outlive the process: name a file, e.g. sqlite:///tallycast.db")
    if "?" in name or "#" in name or not name.isprintable():
        raise ConfigError("store: the path takes no options (?, #) and no control characters")
    return Path(name)


class Ownership:
    """That this process alone writes to the store: an flock(2) on a file beside it, gone with the process.

    Raises ConfigError when another process has it, or where no store can be: no directory, no permission, not a file,
    or no file and not `create`. A lock on the database itself would keep `tallycast check` and
    backups from reading it too.
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        self._file: IO[bytes] | None = None
        check_place(path, create=create)
        try:
            file = path.with_name(path.name + ".lock").open("ab")
        except OSError as error:
            raise ConfigError(f"store {path}: cannot make its .lock file: {error.strerror}") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise ConfigError(
                f"store {path}: a hub is running on it: stop it first, or give each its own file"
            ) from None
        self._file = file

    def release(self) -> None:
        """Let others have it. May be called twice. The lock file stays: deleting it would race with the next owner."""
        if self._file is not None:
            self._file.close()
            self._file = None


def file_identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file that now has this name, None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def connect(path: Path, *, durability: Durability, create: bool) -> sqlite3.Connection:
    """A connection that writes; makes the file and its tables if `create` and there are none.

    A file of an older schema is brought up to date, in one transaction. Whoever counts has the Ownership; who only
    writes records need not have it. The connection may be used from any one thread at a time. Raises ConfigError.
    """
    db: sqlite3.Connection | None = None
    try:
        db = _sqlite(path, "rwc" if create else "rw")
        version = _look(db, path)
        if version == 0 and not create:
            raise ConfigError(f"store {path}: there is no store in this file")
        if db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise ConfigError(f"store {path}: SQLite cannot keep a write-ahead log here: use a local disk")
        if version < SCHEMA_VERSION:
            _upgrade(db, path)
        db.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
        db.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
        db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        db.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
    except BaseException as error:
        if db is not None:
            db.close()
        if isinstance(error, sqlite3.Error):
            raise ConfigError(f"store {path}: {_why(error)}") from None
        raise
    return db


def _upgrade(db: sqlite3.Connection, path: Path) -> None:
    """Make what the file lacks; looked up again inside the transaction, as another process may do the same."""
    db.execute("BEGIN IMMEDIATE")
    for step in STEPS[_version(db, path) :]:
        for statement in step:
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute("COMMIT")


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that only reads, also beside a running hub, a file of any schema so far. Raises ConfigError."""
    check_place(path, create=False)
    db: sqlite3.Connection | None = None
    try:
        db = _sqlite(path, "ro")
        if _look(db, path) == 0:
            raise ConfigError(f"store {path}: there is no store in this file")
    except BaseException as error:
        if db is not None:
            db.close()
        if isinstance(error, sqlite3.Error):
            raise ConfigError(f"store {path}: {_why(error)}") from None
        raise
    return db


def _sqlite(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_S)


def check_place(path: Path, *, create: bool) -> None:
    """Raises ConfigError where no store can be. SQLite says "unable to open database file" to all of these; an operator
    wants to know which."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise ConfigError(f"store {path}: its directory does not exist: make it first") from None
        if not create:
            raise ConfigError(f"store {path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"store {path}: {error.strerror}") from None
    else:
        if not stat.S_ISREG(mode):
            raise ConfigError(
                f"store {path}: is a {'directory' if stat.S_ISDIR(mode) else 'device or pipe'}, not a file"
            )
        if not os.access(path, os.R_OK | os.W_OK):
            raise ConfigError(f"store {path}: this user may not read and write it")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"store {path}: this user may not write to its directory, where its log must be")


def _look(db: sqlite3.Connection, path: Path) -> int:
    """_version() as of one moment: another process may be making the tables."""
    db.execute("BEGIN")
    try:
        return _version(db, path)
    finally:
        db.rollback()  # nothing was written


def _version(db: sqlite3.Connection, path: Path) -> int:
    """The schema's version, 0 for an empty database. Raises ConfigError for one of another program or a newer
    Tallycast."""
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if application == 0 and version == 0 and db.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
        return 0
    if application != APPLICATION_ID:
        raise ConfigError(f"store {path}: is the database of another program")
    if version > SCHEMA_VERSION:
        raise ConfigError(
            f"store {path}: is of a newer Tallycast (schema {version}, this one knows {SCHEMA_VERSION}): upgrade"
        )
    return version


def _why(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_NOTADB"):
        return "is not a database"
    if name.startswith("SQLITE_CORRUPT"):
        return "is damaged: restore it from a backup"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "another program holds it locked"
    return f"cannot be opened: {error}"
