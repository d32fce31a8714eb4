"""`check` finds each sort of damage, repairs it, and finds nothing in a sound store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from filling import SOUND, fill
from tallycast.errors import ConfigError
from tallycast.kinds import Kinds, Reaction, parse
from tallycast.store.check import LISTED, check
from tallycast.store.sqlite import SqliteStore


@pytest.fixture
async def path(tmp_path: Path, kinds: Kinds) -> Path:
    """A store in which post:1 and post:2 have the counts of SOUND."""
    place = tmp_path / "tally.db"
    store = SqliteStore(place, kinds)
    await fill(store)
    await store.close()
    return place


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def damage(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute(statement).rowcount > 0, "nothing was damaged"


def version(path: Path, item: str) -> int:
    with closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT v FROM items WHERE item = ?", (item,)).fetchone()
    return int(found[0]) if found else 0


async def counts(path: Path, kinds: Kinds, item: str) -> dict[str, int]:
    store = SqliteStore(path, kinds)
    try:
        return (await store.read([item], [])).snapshots[item].counts
    finally:
        await store.close()


def test_a_sound_store_is_ok(path: Path, kinds: Kinds) -> None:
    report = check(url(path), kinds)
    assert report.ok
    assert (report.items, report.values, report.events, report.found) == (2, 14, 4, 0)
    assert str(report) == "2 items, 14 values, 4 event ids: all counts are the sums of their values"


@pytest.mark.parametrize(
    ("statement", "finding", "repaired"),
    [
        (
            "UPDATE counts SET n = n + 3 WHERE item = 'post:1' AND kind = 'like'",
            "post:1: like counts 5, but the values make 2",
            SOUND,
        ),
        (
            "UPDATE counts SET n = -1 WHERE item = 'post:1' AND kind = 'share'",
            "post:1: share counts -1, but the values make 2",
            SOUND,
        ),
        (
            "DELETE FROM counts WHERE item = 'post:1' AND kind = 'clap'",
            "post:1: clap counts 0, but the values make 57",
            SOUND,
        ),
        (
            "INSERT INTO counts VALUES ('post:1', 'download', 4)",
            "post:1: download counts 4, but the values make 0",
            SOUND,
        ),
        (
            "DELETE FROM says WHERE item = 'post:1' AND actor = 'u:2'",
            "post:1: clap counts 57, but the values make 50",
            {"like": 1, "clap": 50, "share": 2},
        ),
        (
            "UPDATE says SET value = -7 WHERE item = 'post:1' AND actor = 'u:2' AND kind = 'clap'",
            "post:1: u:2 says clap -7, which is negative: should be 0",
            SOUND | {"clap": 50},
        ),
        (
            "UPDATE says SET value = 51 WHERE item = 'post:1' AND actor = 'u:1' AND kind = 'clap'",
            "post:1: u:1 says clap 51, which breaks the rule of its kind: should be 50",
            SOUND,
        ),
        (
            "UPDATE says SET value = 2 WHERE item = 'post:1' AND actor = 'u:2' AND kind = 'love'",
            "post:1: u:2 says love 2, which breaks the rule of its kind: should be 1",
            SOUND,
        ),
        (
            "UPDATE says SET value = 1, seq = 6 WHERE item = 'post:1' AND actor = 'u:1' AND kind = 'dislike'",
            "post:1: u:1 says dislike 1, which breaks the rule of its kind: should be 0",
            SOUND,
        ),
        (
            "UPDATE says SET value = 1, seq = 8 WHERE item = 'post:1' AND actor = 'u:1' AND kind = 'dislike'",
            "post:1: u:1 says like 1, which breaks the rule of its kind: should be 0",
            SOUND | {"like": 1, "dislike": 1},
        ),
        ("DELETE FROM items WHERE item = 'post:1'", "post:1: is counted but has no version", SOUND),
    ],
)
async def test_planted_damage_is_found_and_repaired(
    statement: str, finding: str, repaired: dict[str, int], path: Path, kinds: Kinds
) -> None:
    damage(path, statement)
    before, other = version(path, "post:1"), version(path, "post:2")
    for _ in range(2):  # looking does not change what is seen
        report = check(url(path), kinds)
        assert not report.ok
        assert finding in report.findings
        assert str(report).endswith("wrong, nothing repaired")

    report = check(url(path), kinds, repair=True)
    assert report.ok
    assert report.repaired
    assert finding in report.findings
    assert str(report).endswith("wrong, all repaired")
    assert check(url(path), kinds).found == 0
    assert await counts(path, kinds, "post:1") == repaired
    assert await counts(path, kinds, "post:2") == SOUND
    assert version(path, "post:1") > before
    assert version(path, "post:2") == other, "only what was repaired has a new version"


def test_repairing_a_sound_store_changes_nothing(path: Path, kinds: Kinds) -> None:
    before = version(path, "post:1")
    report = check(url(path), kinds, repair=True)
    assert report.ok
    assert not report.repaired
    assert version(path, "post:1") == before


def test_without_kinds_the_rules_are_not_looked_at(path: Path) -> None:
    damage(path, "UPDATE says SET value = 51 WHERE item = 'post:1' AND actor = 'u:1' AND kind = 'clap'")
    assert check(url(path)).findings == ["post:1: clap counts 57, but the values make 58"]


def test_kinds_that_are_not_declared_are_summed_but_have_no_rule(path: Path) -> None:
    only_love = parse('[love]\nrule = "toggle"', "kinds")
    assert check(url(path), only_love).ok
    damage(path, "UPDATE counts SET n = 1 WHERE item = 'post:1' AND kind = 'clap'")
    assert check(url(path), only_love).findings == ["post:1: clap counts 1, but the values make 57"]


def test_a_report_lists_some_findings_and_counts_all(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.executemany("INSERT INTO counts VALUES (?, 'like', 1)", [(f"video:{n}",) for n in range(LISTED)])
    report = check(url(path))
    assert len(report.findings) == LISTED
    assert report.found == 2 * LISTED, "neither values nor a version"
    assert f"… and {LISTED} more" in str(report).split("\n")


def test_a_damaged_file_is_reported_and_not_written_to(path: Path, kinds: Kinds) -> None:
    pages = path.read_bytes()
    path.write_bytes(pages[:4096] + bytes(reversed(pages[4096:])))
    before = path.read_bytes()
    for repair in (False, True):
        report = check(url(path), kinds, repair=repair)
        assert report.damaged
        assert not report.ok
        assert not report.repaired
        assert str(report).endswith("restore it from a backup")
    assert path.read_bytes() == before


async def test_a_check_runs_beside_a_hub_and_a_repair_asks_to_stop_it(path: Path, kinds: Kinds) -> None:
    store = SqliteStore(path, kinds)
    await store.apply([Reaction("post:3", "u:1", "love", 1)])
    report = check(url(path), kinds)
    assert report.ok
    assert report.items == 3
    with pytest.raises(ConfigError, match="a hub is running on it: stop it first"):
        check(url(path), kinds, repair=True)
    await store.apply([Reaction("post:3", "u:2", "love", 1)])
    await store.close()
    assert check(url(path), kinds, repair=True).ok
