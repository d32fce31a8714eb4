"""Every series of an item and of a section adds up to the counts, whoever rolls up and whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from places import Place, until_sums
from tallycast.history.queries import Queries
from tallycast.history.roller import Roller
from tallycast.history.rollup import PIECE_MOVES, Position, Roll, sections_of
from tallycast.kinds import Kinds, Reaction
from tallycast.lease import Lease
from tallycast.store.base import OpenStore
from tallycast.store.history import DAY, HOUR, MINUTE, TOTAL, UNDATED, Asked
from tallycast.store.records import CHANGES
from tallycast.store.sqlite import SqliteStore

CHILD = Path(__file__).with_name("rolling_child.py")
ITEMS = ["post:1", "blog/2024/a:1", "blog/2024/b:2", "plain"]


ON_EACH = pytest.mark.parametrize("place", ["sqlite", "redis", "redis+cluster"], indirect=True)


def roller_of(store: OpenStore, kinds: Kinds) -> Roller:
    """One that compares counts at once. All of them share a lease, as if each took the others for dead."""
    lease = Lease(store.records, "history", owner="all", ttl_s=60, clock_s=time.monotonic)
    return Roller(store.history, store.journal, store.moderation, lease, kinds, quiet_s=-1.0)


async def series(store: OpenStore, name: str, step: int, first: int, last: int) -> dict[str, dict[int, int]]:
    return (await store.history.series([Asked(name, step, first, last)]))[0]


async def sums(store: OpenStore, name: str, step: int) -> dict[str, int]:
    """By kind what all of a name's buckets of the last hours add up to, and what is undated, where it is not 0."""
    now = int(time.time()) // step if step else 0
    first = max(now - 2 * HOUR // step, 1) if step else 0
    found = Counter({kind: sum(its.values()) for kind, its in (await series(store, name, step, first, now)).items()})
    if step:
        found.update({kind: its[UNDATED] for kind, its in (await series(store, name, DAY, UNDATED, UNDATED)).items()})
    return {kind: n for kind, n in found.items() if n}


async def assert_adds_up(store: OpenStore, items: list[str]) -> None:
    """Every series of every item and section adds up to the counts."""
    counts = {item: its.counts for item, its in (await store.read(items, [])).snapshots.items()}
    expected: dict[str, Counter[str]] = {}
    for item, by_kind in counts.items():
        for name in (item, *sections_of(item)):
            expected.setdefault(name, Counter()).update(by_kind)
    for name, total in expected.items():
        for step in (TOTAL, MINUTE, HOUR, DAY):
            assert await sums(store, name, step) == dict(total), (name, step)


def random_batch(chance: random.Random, items: list[str] = ITEMS) -> list[Reaction]:
    reactions = []
    for _ in range(chance.randrange(1, 40)):
        item, actor = chance.choice(items), f"u:{chance.randrange(20)}"
        kind = chance.choice(["up", "down", "love", "clap", "share"])
        if kind == "share":
            reactions.append(Reaction(item, actor, kind, 1, id=f"share-{chance.getrandbits(60)}"))
        else:
            value = chance.randrange(51) if kind == "clap" else chance.randrange(2)
            reactions.append(Reaction(item, actor, kind, value))
    return reactions


async def rolled_up(store: OpenStore, kinds: Kinds, items: list[str]) -> None:
    """Wait until all that was counted is in the journal, and roll it up."""
    counts = {item: its.counts for item, its in (await store.read(items, [])).snapshots.items() if its.v}
    await until_sums(store, counts)
    assert await roller_of(store, kinds).round()


@ON_EACH
async def test_every_series_adds_up_to_the_counts_also_when_they_go_down_and_items_are_deleted(
    store: OpenStore, kinds: Kinds
) -> None:
    chance = random.Random(6)
    for turn in range(5):
        for _ in range(4):
            await store.apply(random_batch(chance))
        if turn == 3:
            await store.moderation.delete("plain")
            await store.moderation.remove(ITEMS[0], ["u:1", "u:2", "u:3"])
        await rolled_up(store, kinds, ITEMS)
        await assert_adds_up(store, ITEMS)
    assert not await series(store, ITEMS[0], DAY, UNDATED, UNDATED)


@ON_EACH
async def test_hubs_that_roll_up_in_turn_count_everything_once(opening: Callable[[], OpenStore], kinds: Kinds) -> None:
    hubs = [opening()]
    if not isinstance(hubs[0], SqliteStore):  # of which a file has one
        hubs.append(opening())
    rollers = [roller_of(hub, kinds) for hub in hubs]
    chances = [random.Random(at) for at in range(len(hubs))]
    for _ in range(8):
        await asyncio.gather(
            *(hub.apply(random_batch(chance)) for hub, chance in zip(hubs, chances, strict=True)),
            *(roller.round() for roller in rollers),
        )
    await rolled_up(hubs[0], kinds, ITEMS)
    for hub in hubs:
        await assert_adds_up(hub, ITEMS)
        await hub.close()


@ON_EACH
async def test_a_roll_of_many_items_is_gone_on_with_where_another_hub_stopped(store: OpenStore, kinds: Kinds) -> None:
    items = [f"post:{n}" for n in range(3 * PIECE_MOVES + 7)]
    await store.apply([Reaction(item, "u:1", "love", 1) for item in items])
    await until_sums(store, {item: {"love": 1} for item in items})
    roll = Roll()
    entries = await store.journal.after(CHANGES, "", limit=100)
    for entry in entries:
        roll.add(entry)
    position, rises = roll.piece(Position())
    assert position.upto == entries[-1].id
    assert await store.history.roll("", str(position), rises)
    assert await sums(store, "*", TOTAL) == {"love": PIECE_MOVES}
    await store.apply([Reaction(items[0], "u:2", "love", 1)])
    await rolled_up(store, kinds, items)
    assert await sums(store, "*", HOUR) == {"love": len(items) + 1}
    assert not await series(store, "*", DAY, UNDATED, UNDATED)


@ON_EACH
async def test_what_was_counted_before_there_was_history_is_undated(store: OpenStore, kinds: Kinds) -> None:
    await store.apply([Reaction("post:1", f"u:{n}", "love", 1) for n in range(9)])
    await until_sums(store, {"post:1": {"love": 9}})
    last = (await store.journal.newest(CHANGES, limit=1))[0]
    assert await store.history.roll("", str(Position(last.id, turn=1)), [])
    await store.apply([Reaction("post:1", "u:new", "love", 1)])
    await rolled_up(store, kinds, ["post:1"])
    await assert_adds_up(store, ["post:1"])
    assert await series(store, "post:*", DAY, UNDATED, UNDATED) == {"love": {UNDATED: 9}}
    today = int(time.time()) // DAY
    assert await series(store, "post:1", DAY, today - 1, today) == {"love": {today: 1}}
    assert await Queries(store.history).top("*", "love", "all", 5) == [("post:1", 10)]


@ON_EACH
async def test_a_journal_that_lost_what_was_to_be_rolled_up_is_said_once_and_healed(
    store: OpenStore, kinds: Kinds, caplog: pytest.LogCaptureFixture
) -> None:
    await store.apply([Reaction("post:1", "u:1", "love", 1)])
    await until_sums(store, {"post:1": {"love": 1}})
    assert await store.history.roll("", str(Position("5", "9", 3, 1)), [])  # of a journal that has gone on since
    await rolled_up(store, kinds, ["post:1"])
    await assert_adds_up(store, ["post:1"])
    assert "what is lost becomes undated" in caplog.text


@ON_EACH
async def test_kinds_that_are_declared_no_longer_stay_in_history(
    opening: Callable[[], OpenStore], kinds: Kinds
) -> None:
    store = opening()
    await store.apply([Reaction("post:1", "u:1", "love", 1), Reaction("post:1", "u:1", "up", 1)])
    await rolled_up(store, kinds, ["post:1"])
    fewer = Kinds({"love": kinds["love"]})
    assert await roller_of(store, fewer).round()
    assert await sums(store, "post:1", TOTAL) == {"love": 1, "up": 1}
    await store.close()


# kill -9


def run_and_kill(place: Place, rolls: int) -> None:
    """Run what counts and rolls up at once, and kill it after so many pieces."""
    words = [sys.executable, str(CHILD), place.url, place.prefix]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            for _ in range(rolls):
                assert child.stdout.readline(), "the child ended by itself"
        finally:
            child.kill()


@pytest.mark.parametrize("place", ["sqlite", "redis"], indirect=True)
async def test_after_kill_9_in_the_middle_of_rolls_every_series_still_adds_up(
    place: Place, opening: Callable[[], OpenStore], kinds: Kinds
) -> None:
    for rolls in (3, 17):
        run_and_kill(place, rolls)
        store = opening()
        items = [f"post:{n}" for n in range(400)]
        await rolled_up(store, kinds, items)
        assert not await series(store, "*", DAY, UNDATED, UNDATED)
        names = ["*", "post:*", *items[:20]]
        counts = (await store.read(items, [])).snapshots
        whole = sum((Counter(its.counts) for its in counts.values()), Counter())
        for name in names:
            expected = dict(counts[name].counts) if name in counts else dict(whole)
            for step in (TOTAL, MINUTE, HOUR, DAY):
                assert await sums(store, name, step) == expected, (name, step)
        await store.close()
