"""What the embedded store says to a URL or a file that cannot be a store, and who may have it."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tallycast.errors import ConfigError
from tallycast.kinds import Kinds, Reaction
from tallycast.store import open_store
from tallycast.store.check import check
from tallycast.store.schema import APPLICATION_ID


def a_text(path: Path) -> None:
    path.write_text("Dear diary, this is not a database, however long it may be. " * 50)


def a_directory(path: Path) -> None:
    path.mkdir()


def a_socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(os.path.relpath(path))  # an absolute path may be too long for a socket


def another_programs(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE songs (title TEXT)")


def a_newer_one(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 7")


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("tallycast.db", "expected a URL such as sqlite:///tallycast.db"),
        ("", "expected a URL"),
        ("postgres://me:hunter2@db.example/0", "unknown scheme; expected sqlite:///tallycast.db"),
        ("sqlite://tallycast.db", "expected sqlite:///relative.db"),
        ("sqlite:///", "expected sqlite:///relative.db"),
        ("sqlite:///:memory:", "must outlive the process"),
        ("sqlite:///x.db?mode=memory", "no options"),
        ("sqlite:///x\0.db", "no control characters"),
        ("sqlite:///x\n.db", "no control characters"),
    ],
)
def test_a_url_that_names_no_store_is_refused_in_one_line_without_its_secrets(
    url: str, wrong: str, kinds: Kinds
) -> None:
    for use in (lambda: open_store(url, kinds, durability="full"), lambda: check(url)):
        with pytest.raises(ConfigError) as error:
            use()
        assert wrong in str(error.value)
        assert "\n" not in str(error.value)
        assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("put", "wrong"),
    [
        (a_text, "is not a database"),
        (a_directory, "is a directory"),
        (a_socket, "is a device or pipe"),
        (another_programs, "is the database of another program"),
        (a_newer_one, "is of a newer Tallycast (schema 7, this one knows 2): upgrade"),
    ],
)
def test_a_file_that_is_no_store_is_refused_and_left_as_it_is(
    put: Callable[[Path], None], wrong: str, kinds: Kinds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tally.db"
    put(path)
    before = path.read_bytes() if path.is_file() else None
    for use in (
        lambda: open_store(f"sqlite:///{path}", kinds, durability="full"),
        lambda: check(f"sqlite:///{path}"),
        lambda: check(f"sqlite:///{path}", repair=True),
    ):
        with pytest.raises(ConfigError) as error:
            use()
        assert str(error.value).startswith(f"store {path}: ")
        assert wrong in str(error.value)
        assert "\n" not in str(error.value)
    assert before == (path.read_bytes() if path.is_file() else None)


def test_a_missing_directory_is_named(kinds: Kinds, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="its directory does not exist"):
        open_store(f"sqlite:///{tmp_path}/no/such/tally.db", kinds, durability="full")


def test_checking_a_file_that_is_not_there_makes_none(tmp_path: Path) -> None:
    for repair in (False, True):
        with pytest.raises(ConfigError, match="no such file"):
            check(f"sqlite:///{tmp_path}/tally.db", repair=repair)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("locked", ["file", "directory"])
def test_no_permission_is_said(locked: str, kinds: Kinds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Permission bits do not bind root, who may run these tests too: the system's answer is what is changed.
    path = tmp_path / "tally.db"
    path.touch()
    denied = path if locked == "file" else tmp_path
    monkeypatch.setattr(os, "access", lambda place, mode: Path(place) != denied)
    with pytest.raises(ConfigError, match=r"this user may not .*write"):
        open_store(f"sqlite:///{path}", kinds, durability="full")


def test_an_unknown_durability_is_refused(kinds: Kinds, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected full or normal"):
        open_store(f"sqlite:///{tmp_path}/tally.db", kinds, durability="sometimes")


async def test_relative_urls_are_of_the_working_directory_and_names_may_be_odd(
    kinds: Kinds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///täl ly%20.db", kinds, durability="normal")
    monkeypatch.chdir("/")
    await store.apply([Reaction("post:1", "u:1", "love", 1)])
    await store.close()
    assert (tmp_path / "täl ly%20.db").is_file()
    assert check(f"sqlite:///{tmp_path}/täl ly%20.db").ok


async def test_an_empty_file_becomes_a_store(kinds: Kinds, tmp_path: Path) -> None:
    (tmp_path / "tally.db").touch()
    await open_store(f"sqlite:///{tmp_path}/tally.db", kinds, durability="full").close()
    assert check(f"sqlite:///{tmp_path}/tally.db").ok


async def test_a_second_hub_on_the_same_file_is_refused_until_the_first_has_closed(
    kinds: Kinds, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/tally.db"
    first = open_store(url, kinds, durability="full")
    with pytest.raises(ConfigError, match="a hub is running on it"):
        open_store(url, kinds, durability="full")
    await first.apply([Reaction("post:1", "u:1", "love", 1)])
    await first.close()
    await open_store(url, kinds, durability="full").close()


async def test_a_start_that_failed_holds_nothing(kinds: Kinds, tmp_path: Path) -> None:
    path = tmp_path / "tally.db"
    a_text(path)
    with pytest.raises(ConfigError) as error:
        open_store(f"sqlite:///{path}", kinds, durability="full")
    path.write_bytes(b"")
    await open_store(f"sqlite:///{path}", kinds, durability="full").close()
    assert "is not a database" in str(error.value), "kept until here with all that it refers to"


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("normal", 1)])
async def test_durability_is_sqlites_synchronous(
    durability: str, synchronous: int, kinds: Kinds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def connect_and_note(*args: object, **options: object) -> sqlite3.Connection:
        made.append(connect(*args, **options))  # type: ignore[call-overload]
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", connect_and_note)
    store = open_store(f"sqlite:///{tmp_path}/tally.db", kinds, durability=durability)
    assert made[0].execute("PRAGMA synchronous").fetchone() == (synchronous,)
    assert made[0].execute("PRAGMA journal_mode").fetchone() == ("wal",)
    await store.close()
