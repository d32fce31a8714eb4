"""Documents in memory, on a store's file that two processes have open (here: two connections of one)."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from tallycast import mirrors as module
from tallycast.errors import Unavailable
from tallycast.mirrors import Mirror, Mirrors
from tallycast.store.records import ANY
from tallycast.store.sqlite_beside import Beside, open_records

Poll = dict[str, int]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Beside]:
    opened = open_records(tmp_path / "tally.db")
    yield opened
    await opened.close()


@pytest.fixture
async def there(tmp_path: Path, here: Beside) -> AsyncIterator[Beside]:
    """The same file, as another process has it."""
    opened = open_records(tmp_path / "tally.db")
    yield opened
    await opened.close()


def mirror(place: Beside, space: str = "polls") -> Mirror[Poll]:
    return Mirrors(place.records, clock=time.monotonic).of(space, orjson.loads, orjson.dumps)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_what_is_written_shows_at_once_in_the_order_of_the_keys(here: Beside) -> None:
    polls = mirror(here)
    assert await polls.put("b", {"n": 1}, None)
    assert await polls.put("a", {"n": 2}, None)
    assert await polls.put("b", {"n": 3}, {"n": 1})
    assert list(polls.items()) == [("a", {"n": 2}), ("b", {"n": 3})]
    assert len(polls) == 2
    assert await polls.delete("a", ANY)
    assert dict(polls) == {"b": {"n": 3}}
    assert await here.records.all("polls") == {"b": b'{"n":3}'}


async def test_it_is_not_loaded_until_it_was_read(here: Beside, there: Beside) -> None:
    await there.records.put("polls", "a", b"{}", None)
    polls = mirror(here)
    assert (polls.loaded, dict(polls)) == (False, {})
    await polls.refresh()
    assert (polls.loaded, dict(polls)) == (True, {"a": {}})


async def test_a_space_that_holds_nothing_is_loaded_too(here: Beside) -> None:
    polls = mirror(here)
    await polls.refresh()
    assert polls.loaded


async def test_who_expected_something_else_writes_nothing_and_then_sees_what_stands(
    here: Beside, there: Beside
) -> None:
    ours, theirs = mirror(here), mirror(there)
    assert await theirs.put("a", {"n": 1}, None)
    assert not await ours.put("a", {"n": 2}, None)
    assert ours["a"] == {"n": 1}
    assert await theirs.put("a", {"n": 3}, ours["a"])
    assert not await ours.delete("a", {"n": 1})
    assert ours["a"] == {"n": 3}
    assert await ours.delete("a", {"n": 3})
    assert not await theirs.put("a", {"n": 4}, theirs["a"])
    assert dict(theirs) == {}


async def test_a_document_written_in_another_way_is_still_the_one_that_shows(here: Beside, there: Beside) -> None:
    await there.records.put("polls", "a", b'{ "n": 1 }', None)
    polls = mirror(here)
    await polls.refresh()
    assert await polls.put("a", {"n": 2}, polls["a"])


async def test_a_document_that_cannot_be_understood_is_logged_and_left_out(
    here: Beside, there: Beside, caplog: pytest.LogCaptureFixture
) -> None:
    await there.records.put("polls", "a", b"nonsense", None)
    await there.records.put("polls", "b", b"{}", None)
    polls = mirror(here)
    await polls.refresh()
    assert dict(polls) == {"b": {}}
    assert [record.getMessage() for record in caplog.records] == ["polls a cannot be understood and is left out"]
    await there.records.put("polls", "a", b'{"n":1}', ANY)
    await polls.refresh()
    assert list(polls) == ["a", "b"]


async def test_what_did_not_change_is_not_read_again_and_stays_the_same_object(here: Beside, there: Beside) -> None:
    polls = mirror(here)
    await polls.put("a", {"n": 1}, None)
    await polls.refresh()
    before = polls["a"]
    await there.records.put("polls", "b", b"{}", None)
    await polls.refresh()
    assert list(polls) == ["a", "b"]
    assert polls["a"] is before


async def test_watchers_are_called_after_changes_and_only_then(here: Beside, there: Beside) -> None:
    polls = mirror(here)
    seen: list[list[str]] = []
    polls.watch(lambda: seen.append(list(polls)))
    await polls.refresh()
    await polls.put("a", {"n": 1}, None)
    await polls.refresh()
    await polls.put("a", {"n": 1}, ANY)
    await there.records.put("polls", "b", b"{}", None)
    await polls.refresh()
    await polls.delete("a", ANY)
    assert seen == [["a"], ["a", "b"], ["b"]]


async def test_a_watcher_that_fails_stops_nobody(here: Beside, caplog: pytest.LogCaptureFixture) -> None:
    polls = mirror(here)
    seen: list[int] = []
    polls.watch(lambda: [][1])
    polls.watch(lambda: seen.append(len(polls)))
    await polls.put("a", {}, None)
    assert seen == [1]
    assert [record.getMessage() for record in caplog.records] == ["telling of a change of polls failed"]


async def test_one_writer_of_many_at_once_wins_each_step(here: Beside, there: Beside) -> None:
    ours, theirs = mirror(here), mirror(there)
    await ours.put("a", {"n": 0}, None)

    async def count(polls: Mirror[Poll]) -> None:
        for _ in range(10):
            await polls.refresh()
            while not await polls.put("a", {"n": polls["a"]["n"] + 1}, polls["a"]):
                pass

    await asyncio.gather(*(count(polls) for polls in (ours, theirs, ours, theirs)))
    assert await here.records.get("polls", "a") == b'{"n":40}'


async def test_a_space_is_mirrored_once(here: Beside) -> None:
    mirrors = Mirrors(here.records, clock=time.monotonic)
    mirrors.of("polls", orjson.loads, orjson.dumps)
    with pytest.raises(ValueError, match="mirrored already"):
        mirrors.of("polls", orjson.loads, orjson.dumps)


async def test_running_shows_what_others_write_in_every_space_and_survives_trouble(
    tmp_path: Path, here: Beside, there: Beside, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PACE_S", 0.01)
    caplog.set_level(logging.WARNING, "tallycast.mirrors")
    mirrors = Mirrors(here.records, clock=time.monotonic)
    polls = mirrors.of("polls", orjson.loads, orjson.dumps)
    keys = mirrors.of("keys", bytes.decode, str.encode)
    running = asyncio.create_task(mirrors.run())
    await until(lambda: polls.loaded and keys.loaded)
    await there.records.put("polls", "a", b"{}", None)
    await there.records.put("keys", "k", b"x", None)
    await until(lambda: "a" in polls and "k" in keys)

    with closing(sqlite3.connect(tmp_path / "tally.db")) as db:
        db.execute("ALTER TABLE revisions RENAME TO elsewhere")
        with pytest.raises(Unavailable):
            await mirrors.refresh()
        await until(lambda: len(caplog.records) == 1)
        assert dict(keys) == {"k": "x"}
        db.execute("ALTER TABLE elsewhere RENAME TO revisions")
    await there.records.delete("keys", "k", b"x")
    await until(lambda: not keys)
    running.cancel()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, "once when it begins, once when it ends"
    assert said[1] == "documents are up to date again"
