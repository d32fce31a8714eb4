"""The journal of changes: what every item's counts are is what all of its changes add up to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import count
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from places import Place, sums, until_sums
from tallycast import changes as following
from tallycast.changes import Change, Changes, parse
from tallycast.errors import Refused, Unavailable
from tallycast.kinds import Kinds, Reaction
from tallycast.kinds import parse as parse_kinds
from tallycast.store import ledger
from tallycast.store.base import OpenStore
from tallycast.store.check import check
from tallycast.store.moderation import Values
from tallycast.store.records import CHANGES
from tallycast.store.sqlite import SqliteStore

POST, VIDEO = "post:1", "video:~a/b@c%20=,+.-_"
LOVE = Reaction(POST, "u:1", "love", 1)


async def test_a_batch_is_one_entry_about_the_items_that_moved(store: OpenStore) -> None:
    applied = await store.apply(
        [LOVE, LOVE._replace(actor="u:2"), Reaction(VIDEO, "u:1", "clap", 9), Reaction("post:2", "u:1", "love", 0, 5)]
    )
    await until_sums(store, {POST: {"love": 2}, VIDEO: {"clap": 9}})
    entries = await store.journal.after(CHANGES, "", limit=10)
    told = [change for entry in entries for change in orjson.loads(entry.body)]
    versions = {snapshot.item: snapshot.v for snapshot in applied.changed}
    assert sorted(told) == sorted([[POST, versions[POST], {"love": 2}], [VIDEO, versions[VIDEO], {"clap": 9}]])


async def test_of_a_group_both_kinds_move(store: OpenStore) -> None:
    await store.apply([Reaction(POST, "u:1", "like", 1)])
    await store.apply([Reaction(POST, "u:1", "dislike", 1)])
    await until_sums(store, {POST: {"dislike": 1}})
    last = (await store.journal.newest(CHANGES, limit=1))[0]
    assert orjson.loads(last.body)[0][2] == {"like": -1, "dislike": 1}


async def test_what_moves_no_count_is_no_entry(store: OpenStore) -> None:
    await store.apply([LOVE])
    await until_sums(store, {POST: {"love": 1}})
    before = await store.journal.newest(CHANGES, limit=10)
    await store.apply([LOVE])
    await store.apply([LOVE._replace(value=0), LOVE])
    await store.apply([LOVE._replace(value=0), LOVE._replace(actor="u:2")])
    await store.moderation.remove(POST, ["u:nobody"])
    await store.moderation.delete("post:none")
    await store.read([POST], [])
    await store.ping()
    assert await store.journal.newest(CHANGES, limit=10) == before


async def test_the_journal_goes_on_after_a_restart(opening: Callable[[], OpenStore]) -> None:
    for turn in range(1, 4):
        store = opening()
        await store.apply([LOVE._replace(actor=f"u:{turn}")])
        found = await until_sums(store, {POST: {"love": turn}})
        assert len(found.versions[POST]) == turn
        await store.close()


async def test_hubs_that_count_the_same_items_write_one_journal(opening: Callable[[], OpenStore]) -> None:
    hubs = [opening()]
    if not isinstance(hubs[0], SqliteStore):  # of which a file has one
        hubs += [opening() for _ in range(2)]
    await asyncio.gather(
        *(
            hub.apply([Reaction(f"post:{n % 3}", f"u:{at}-{n}", "love", 1) for n in range(turn, turn + 10)])
            for at, hub in enumerate(hubs)
            for turn in range(0, 100, 10)
        )
    )
    reading = await hubs[0].read([f"post:{n}" for n in range(3)], [])
    found = await until_sums(hubs[-1], {item: its.counts for item, its in reading.snapshots.items()})
    for item, versions in found.versions.items():
        assert len(set(versions)) == len(versions)
        assert max(versions) == reading.snapshots[item].v
    for hub in hubs:
        await hub.close()


async def test_followers_hear_of_changes_from_where_they_were(
    store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOK_S", 0.01)
    changes = Changes(store.journal)
    begin = await changes.position(None)
    assert begin == await changes.position("0"), "there is no change yet"
    v = (await store.apply([LOVE])).changed[0].v
    with changes.following():
        (first,) = await changes.after(begin)
        assert parse(first.body) == [Change(POST, v, {"love": 1})]
        waiting = asyncio.create_task(changes.after(first.id))
        await store.apply([Reaction(POST, "u:1", "clap", 5)])
        (second,) = await waiting
        assert parse(second.body)[0].by == {"clap": 5}
        assert await changes.after(begin) == [first, second]
    assert await changes.position(None) == second.id
    assert await changes.position(first.id) == first.id
    head, hyphen, tail = first.id.partition("-")
    for wrong in (f"{int(head) - 1}{hyphen}{tail}", f"{int(head) + 10**9}{hyphen}{tail}"):
        with pytest.raises(Refused) as refused:
            await changes.position(wrong)
        assert refused.value.code == "conflict"


# Whatever is done, the sum of all changes is what counts

ITEMS = ("a", "b")
ACTORS = ("x", "y y", '"z"')
RIVALS: Mapping[str, tuple[str, ...]] = {"like": ("dislike",), "dislike": ("like",), "up": ("down",), "down": ("up",)}
MOST = {"clap": 50}

item = st.sampled_from(ITEMS)
reactions = st.tuples(
    item,
    st.sampled_from(ACTORS),
    st.sampled_from(["like", "dislike", "up", "down", "love", "clap", "share", "download"]),
    st.integers(0, 3),
)
given_numbers = st.tuples(item, st.just("~"), st.sampled_from(["like", "share", "clap"]), st.integers(0, 1000))
batches = st.tuples(st.just("react"), st.lists(reactions | given_numbers, min_size=1, max_size=8))
actors = st.lists(st.sampled_from([*ACTORS, "~start:like", "nobody"]), max_size=3)
steps = st.lists(
    batches
    | batches
    | st.tuples(st.just("remove"), item, actors)
    | st.tuples(st.just("put back"), st.integers(0, 5))
    | st.tuples(st.just("delete"), item),
    min_size=1,
    max_size=14,
)

Said = dict[tuple[str, str], dict[str, int]]  # by item and actor what it says by kind, zeros included


class Play:
    """The steps done to a store and to a plain dictionary, written from the words of the interfaces alone.

    Every reaction has a newer `seq` than all before it, so that what was taken back was said.
    """

    def __init__(self, store: OpenStore, kinds: Kinds, prefix: str, seqs: Iterator[int]) -> None:
        self.store = store
        self.kinds = kinds
        self.prefix = prefix
        self.seqs = seqs
        self.said: Said = {}
        self.events: set[tuple[str, str, str, int]] = set()
        self.removed: list[tuple[str, Values, dict[str, dict[str, int]]]] = []

    def counts(self, item: str) -> dict[str, int]:
        counts: dict[str, int] = {}
        for (of, _), by_kind in self.said.items():
            if of == item:
                for kind, value in by_kind.items():
                    counts[kind] = counts.get(kind, 0) + value
        return {kind: n for kind, n in counts.items() if n}

    async def react(self, batch: list[tuple[str, str, str, int]]) -> None:
        made = []
        for item, actor, kind, value in batch:
            if actor == "~":
                reaction = self.kinds.given(self.prefix + item, kind, value)
                self.said.setdefault((item, reaction.actor), {})[kind] = value
                made.append(reaction)
                continue
            by_kind = self.said.setdefault((item, actor), {})
            if kind in ("share", "download"):
                if (item, actor, kind, value) not in self.events:
                    self.events.add((item, actor, kind, value))
                    by_kind[kind] = by_kind.get(kind, 0) + 1
                made.append(Reaction(self.prefix + item, actor, kind, 1, id=f"id-0000{value}"))
                continue
            value = min(value, MOST.get(kind, 1))
            by_kind[kind] = value
            if value:
                by_kind.update(dict.fromkeys(RIVALS.get(kind, ()), 0))
            made.append(Reaction(self.prefix + item, actor, kind, value, next(self.seqs)))
        await self.store.apply(made)

    async def remove(self, item: str, actors: list[str]) -> None:
        gone = {actor: self.said.pop((item, actor)) for actor in dict.fromkeys(actors) if (item, actor) in self.said}
        self.events = {event for event in self.events if event[0] != item or event[1] not in actors}
        removed = await self.store.moderation.remove(self.prefix + item, actors)
        assert removed.snapshot.counts == self.counts(item)
        assert _shown({a: {k: s.value for k, s in of.items()} for a, of in removed.values.items()}) == _shown(gone)
        self.removed.append((item, removed.values, gone))

    async def put_back(self, number: int) -> None:
        if not self.removed:
            return
        item, values, gone = self.removed[number % len(self.removed)]
        for actor, by_kind in gone.items():
            stands = self.said.setdefault((item, actor), {})
            since = set(stands)
            for kind, value in by_kind.items():
                if since.isdisjoint((kind, *RIVALS.get(kind, ()))):
                    stands[kind] = value
        snapshot = await self.store.moderation.put_back(self.prefix + item, values)
        assert snapshot.counts == self.counts(item)

    async def delete(self, item: str) -> None:
        self.said = {key: of for key, of in self.said.items() if key[0] != item}
        self.events = {event for event in self.events if event[0] != item}
        assert (await self.store.moderation.delete(self.prefix + item)).counts == {}

    async def look(self, before: dict[str, int]) -> dict[str, int]:
        """The versions now, after the counts were found right."""
        reading = await self.store.read([self.prefix + item for item in ITEMS], [])
        for item in ITEMS:
            snapshot = reading.snapshots[self.prefix + item]
            assert snapshot.counts == self.counts(item)
            assert snapshot.v >= before.get(snapshot.item, 0)
        return {name: snapshot.v for name, snapshot in reading.snapshots.items()}

    async def all(self, steps: list[tuple[str, ...]]) -> dict[str, dict[str, int]]:
        """The counts in the end, of the items that ever moved."""
        versions: dict[str, int] = {}
        ways: dict[str, Callable[..., Awaitable[None]]] = {
            "react": self.react,
            "remove": self.remove,
            "put back": self.put_back,
            "delete": self.delete,
        }
        for name, *words in steps:
            await ways[name](*words)
            versions = await self.look(versions)
        return {self.prefix + item: self.counts(item) for item in ITEMS if versions[self.prefix + item]}


def _shown(values: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    shown = {actor: {kind: n for kind, n in of.items() if n} for actor, of in values.items()}
    return {actor: of for actor, of in shown.items() if of}


def test_the_sum_of_all_changes_is_what_counts(opening: Callable[[], OpenStore], place: Place, kinds: Kinds) -> None:
    numbers, seqs = count(), count(1)
    told: dict[str, dict[str, int]] = {}
    with asyncio.Runner() as runner:

        async def begin() -> OpenStore:
            return opening()

        store = runner.run(begin())

        @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
        @given(steps=steps)
        def play(steps: list[tuple[str, ...]]) -> None:
            told.update(runner.run(Play(store, kinds, f"{next(numbers)}:", seqs).all(steps)))

        play()
        found = runner.run(until_sums(store, told))
        for item, versions in found.versions.items():
            assert versions == sorted(set(versions)), item
        report = runner.run(place.check(kinds))
        assert report.found == 0, str(report)
        runner.run(store.close())


# The file's own


class Clock:
    def __init__(self) -> None:
        self.now_ns = 1_790_000_000 * 10**9

    def __call__(self) -> int:
        return self.now_ns


@pytest.mark.parametrize(("most", "most_bytes", "left"), [(30, 2**30, 30), (10**6, 300, 7), (10**6, 1, 1)])
async def test_what_is_too_much_goes_in_small_pieces(
    most: int, most_bytes: int, left: int, tmp_path: Path, kinds: Kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MOST_CHANGES", most)
    monkeypatch.setattr(ledger, "MOST_CHANGES_BYTES", most_bytes)
    monkeypatch.setattr(ledger, "SWEEP_CHANGES", 4)
    clock = Clock()
    store = SqliteStore(tmp_path / "tally.db", kinds, durability="normal", clock_ns=clock)
    for n in range(50):
        await store.apply([LOVE._replace(actor=f"u:{n}")])
    clock.now_ns += 61 * 10**9

    async def kept() -> list[str]:
        return [entry.id for entry in await store.journal.after(CHANGES, "", limit=100)]

    assert len(await kept()) == 50, "nothing goes before it is looked at again"
    for _ in range(14):
        before = await kept()
        await store.ping()
        now = await kept()
        assert before[-len(now) :] == now, "the oldest go"
        assert len(before) - len(now) <= 4
    assert left - 4 < len(await kept()) <= left
    assert (await store.read([POST], [])).snapshots[POST].counts == {"love": 50}
    await store.close()


async def test_a_repair_of_values_is_a_change_and_that_of_a_count_is_none(tmp_path: Path, kinds: Kinds) -> None:
    path = tmp_path / "tally.db"
    store = SqliteStore(path, kinds)
    await store.apply([Reaction(POST, "u:1", "clap", 50), LOVE])
    await store.change(lambda db: db.execute("UPDATE counts SET n = 7 WHERE kind = 'love'"))
    await store.close()
    fewer = parse_kinds('[clap]\nrule = "amount"\nmax = 10\n[love]\nrule = "toggle"', "a smaller limit")
    assert check(f"sqlite:///{path}", fewer, repair=True).repaired

    store = SqliteStore(path, kinds)
    snapshot = (await store.read([POST], [])).snapshots[POST]
    found = await sums(store)
    assert found.counts[POST] == snapshot.counts == {"clap": 10, "love": 1}
    assert found.versions[POST][-1] == snapshot.v
    await store.close()


async def test_a_batch_that_could_not_be_counted_is_in_no_journal(tmp_path: Path, kinds: Kinds) -> None:
    store = SqliteStore(tmp_path / "tally.db", kinds)
    await store.apply([LOVE])
    await store.look(lambda db: db.execute("PRAGMA query_only = on"))
    with pytest.raises(Unavailable):
        await store.apply([LOVE._replace(actor="u:2")])
    assert (await sums(store)).counts == {POST: {"love": 1}}
    await store.close()
