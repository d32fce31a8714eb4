"""What every store promises an administrator: acts on items leave counts that are the sum of what remains."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from places import Place, until_sums
from tallycast.errors import Unavailable
from tallycast.kinds import Kinds, Reaction, Said, parse
from tallycast.store.base import OpenStore, Snapshot
from tallycast.store.moderation import Values
from tallycast.store.sqlite import SqliteStore
from tallycast.store.sqlite_moderation import WALKED_ITEMS

POST, VIDEO = "post:1", "video:~a/b@c%20=,+.-_"
ANN, BOB, EVE = "u:ann", 'v:bob "quoted" \\ {}[]', "u:eve"
SHARE = Reaction(POST, ANN, "share", 1, id="id-00000001")
# The stores whose code differs. What servers of other versions make of it, test_changes.py sees on every store.
PLACES = ["sqlite", "redis", "redis+cluster"]


async def assert_sound(place: Place, kinds: Kinds) -> None:
    report = await place.check(kinds)
    assert report.found == 0, str(report)
    assert report.values


async def snapshot(store: OpenStore, item: str = POST) -> Snapshot:
    return (await store.read([item], [])).snapshots[item]


async def mine(store: OpenStore, actor: str, item: str = POST) -> dict[str, int]:
    return (await store.read([], [(item, actor)])).mine[item, actor]


async def fill(store: OpenStore) -> Snapshot:
    """What three actors say of POST, and of VIDEO, which no act on POST may touch."""
    for item in (POST, VIDEO):
        await store.apply(
            [
                Reaction(item, ANN, "dislike", 1, 5),
                Reaction(item, ANN, "like", 1, 7),
                Reaction(item, BOB, "like", 1),
                Reaction(item, ANN, "clap", 50, 9),
                Reaction(item, EVE, "clap", 7),
                SHARE._replace(item=item),
                SHARE._replace(item=item, id="id-00000002"),
                SHARE._replace(item=item, actor=BOB),
            ]
        )
    return await snapshot(store)


# Removing and putting back


async def test_what_is_removed_is_out_of_the_counts_and_of_what_its_actors_say(store: OpenStore) -> None:
    before = await fill(store)
    untouched = await snapshot(store, VIDEO)
    removed = await store.moderation.remove(POST, [ANN, EVE, "u:nobody", ANN])
    assert removed.snapshot.counts == {"like": 1, "share": 1}
    assert removed.snapshot.v > before.v
    assert removed.values.keys() == {ANN, EVE}
    assert {actor: _values(said) for actor, said in removed.values.items()} == {
        ANN: {"like": 1, "clap": 50, "share": 2},
        EVE: {"clap": 7},
    }
    assert removed.values[ANN]["like"] == Said(1, 7)
    assert await snapshot(store) == removed.snapshot
    assert [await mine(store, actor) for actor in (ANN, BOB, EVE)] == [{}, {"like": 1}, {}]
    assert await snapshot(store, VIDEO) == untouched
    assert await mine(store, ANN, VIDEO) == {"like": 1, "clap": 50}


async def test_removing_what_is_not_there_moves_nothing(store: OpenStore) -> None:
    nothing = await store.moderation.remove(POST, [ANN])
    assert nothing == (Snapshot(POST, 0, {}), {})
    before = await fill(store)
    assert await store.moderation.remove(POST, ["u:nobody"]) == (before, {})
    assert await store.moderation.remove(POST, []) == (before, {})


async def test_the_ids_of_events_and_the_seqs_go_as_well(store: OpenStore) -> None:
    await fill(store)
    await store.moderation.remove(POST, [ANN])
    applied = await store.apply([SHARE, Reaction(POST, ANN, "clap", 3, 1)])
    assert applied.outcomes[0].snapshot.counts == {"like": 1, "share": 2, "clap": 10}
    assert (await store.apply([SHARE._replace(actor=BOB)])).changed == [], "those of others stay"


async def test_what_is_put_back_counts_and_is_said_as_before(store: OpenStore) -> None:
    before = await fill(store)
    removed = await store.moderation.remove(POST, [ANN, BOB])
    after = await store.moderation.put_back(POST, removed.values)
    assert after.counts == before.counts
    assert after.v > removed.snapshot.v
    assert await snapshot(store) == after
    assert await mine(store, ANN) == {"like": 1, "clap": 50}
    assert (await store.apply([Reaction(POST, ANN, "clap", 1, 8)])).changed == [], "an older wish is still an older one"
    assert (await store.apply([Reaction(POST, ANN, "dislike", 1, 6)])).changed == []


async def test_putting_back_twice_does_it_once(store: OpenStore) -> None:
    await fill(store)
    removed = await store.moderation.remove(POST, [ANN, BOB])
    once = await store.moderation.put_back(POST, removed.values)
    assert await store.moderation.put_back(POST, removed.values) == once


async def test_what_an_actor_said_since_stays(store: OpenStore) -> None:
    await fill(store)
    removed = await store.moderation.remove(POST, [ANN, BOB, EVE])
    await store.apply([Reaction(POST, ANN, "clap", 2, 11), Reaction(POST, BOB, "share", 1, id="id-00000009")])
    after = await store.moderation.put_back(POST, removed.values)
    assert await mine(store, ANN) == {"like": 1, "clap": 2}
    assert after.counts == {"like": 2, "clap": 9, "share": 3}


async def test_what_an_actor_took_back_since_stays_taken_back(store: OpenStore) -> None:
    await fill(store)
    removed = await store.moderation.remove(POST, [ANN, EVE])
    await store.apply([Reaction(POST, ANN, "clap", 0, 20)])
    after = await store.moderation.put_back(POST, removed.values)
    assert after.counts == {"like": 2, "share": 3, "clap": 7}


async def test_of_a_group_nothing_comes_back_where_its_actor_has_chosen_since(store: OpenStore) -> None:
    await fill(store)
    removed = await store.moderation.remove(POST, [ANN])
    await store.apply([Reaction(POST, ANN, "dislike", 1, 20)])
    after = await store.moderation.put_back(POST, removed.values)
    assert await mine(store, ANN) == {"dislike": 1, "clap": 50}
    assert after.counts == {"like": 1, "dislike": 1, "clap": 57, "share": 3}


async def test_putting_nothing_back_moves_nothing(store: OpenStore) -> None:
    assert await store.moderation.put_back(POST, {}) == Snapshot(POST, 0, {})
    before = await fill(store)
    assert await store.moderation.put_back(POST, {}) == before
    assert await store.moderation.put_back(POST, {"u:new": {}}) == before


async def test_values_that_were_kept_as_json_can_be_put_back(store: OpenStore) -> None:
    before = await fill(store)
    removed = await store.moderation.remove(POST, [ANN])
    kept = {actor: {kind: Said(*list(said)) for kind, said in of.items()} for actor, of in removed.values.items()}
    assert (await store.moderation.put_back(POST, kept)).counts == before.counts


async def test_many_actors_are_removed_and_put_back(store: OpenStore, place: Place, kinds: Kinds) -> None:
    crowd = [f"v:{n}" for n in range(1200)]
    for at in range(0, len(crowd), 400):
        await store.apply([Reaction(POST, actor, "love", 1, 5) for actor in crowd[at : at + 400]])
    removed = await store.moderation.remove(POST, crowd[10:])
    assert removed.snapshot.counts == {"love": 10}
    assert len(removed.values) == 1190
    assert (await store.moderation.put_back(POST, removed.values)).counts == {"love": 1200}
    await until_sums(store, {POST: {"love": 1200}})
    await assert_sound(place, kinds)


async def test_while_reactions_come_the_counts_stay_the_sum(store: OpenStore, place: Place, kinds: Kinds) -> None:
    crowd = [f"u:{n}" for n in range(60)]

    async def react() -> None:
        for turn in range(20):
            await store.apply([Reaction(POST, actor, "clap", turn + 1) for actor in crowd])

    async def moderate() -> None:
        for turn in range(10):
            removed = await store.moderation.remove(POST, crowd[turn::3])
            await store.moderation.put_back(POST, removed.values)

    await asyncio.gather(react(), moderate())
    assert (await snapshot(store)).counts == {"clap": 60 * 20}
    await until_sums(store, {POST: {"clap": 60 * 20}})
    await assert_sound(place, kinds)


# Deleting


async def test_a_deleted_item_has_no_counts_and_a_version_that_goes_on(store: OpenStore) -> None:
    before = await fill(store)
    untouched = await snapshot(store, VIDEO)
    deleted = await store.moderation.delete(POST)
    assert deleted.counts == {}
    assert deleted.v > before.v
    assert await snapshot(store) == deleted
    assert await mine(store, ANN) == {}
    assert await store.moderation.values(POST, "", 100) == ({}, "")
    applied = await store.apply([SHARE, Reaction(POST, ANN, "clap", 3, 1)])
    assert applied.outcomes[0].snapshot.counts == {"share": 1, "clap": 3}
    assert applied.outcomes[0].snapshot.v > deleted.v
    assert await snapshot(store, VIDEO) == untouched


async def test_deleting_what_was_never_reacted_to_does_nothing(store: OpenStore) -> None:
    assert (await store.moderation.delete(POST)).counts == {}
    assert (await snapshot(store)).counts == {}
    before = await fill(store)
    assert (await store.moderation.delete("post:none")).counts == {}
    assert await snapshot(store) == before


async def test_what_many_said_is_deleted_piece_by_piece(
    tmp_path: Path, kinds: Kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallycast.store.sqlite_moderation.DELETED_AT_ONCE", 7)
    store = SqliteStore(tmp_path / "tally.db", kinds)
    place = Place(f"sqlite:///{tmp_path / 'tally.db'}", "")
    await fill(store)
    many = [f"u:{number:02}" for number in range(40)]
    await store.apply([Reaction(POST, actor, "like", 1) for actor in many])
    await store.apply([Reaction(POST, actor, "share", 1, id=f"id-{actor}") for actor in many])
    deleting = asyncio.create_task(store.moderation.delete(POST))
    seen: list[int] = []
    while not deleting.done():
        await store.apply([Reaction(VIDEO, EVE, "clap", len(seen) % 2)])
        seen.append((await snapshot(store)).counts.get("like", 0))
        await assert_sound(place, kinds)
    assert seen == sorted(seen, reverse=True) and len(set(seen)) > 3
    assert (await deleting).counts == {}
    assert await snapshot(store, VIDEO) == (await store.apply([SHARE._replace(item=VIDEO)])).outcomes[0].snapshot
    await store.close()


async def test_what_was_removed_before_can_be_put_back_on_a_deleted_item(store: OpenStore) -> None:
    await fill(store)
    removed = await store.moderation.remove(POST, [EVE])
    await store.moderation.delete(POST)
    assert (await store.moderation.put_back(POST, removed.values)).counts == {"clap": 7}


# Looking


async def all_items(store: OpenStore, prefix: str, limit: int) -> list[Snapshot]:
    found: list[Snapshot] = []
    cursor = ""
    for _ in range(1000):
        page = await store.moderation.items(prefix, cursor, limit)
        found += page.items
        cursor = page.cursor
        if not cursor:
            return found
    raise AssertionError("there is no end to it")


async def test_every_item_of_a_prefix_is_listed_with_its_counts(store: OpenStore) -> None:
    names = [f"post:{n}" for n in range(25)] + ["post_1", "pos", "video:1", "~"]
    await store.apply([Reaction(item, f"u:{n}", "clap", n + 1) for n, item in enumerate(names)])
    stands = (await store.read(names, [])).snapshots
    for limit in (7, 1000):
        for prefix, wanted in (("", names), ("post:", names[:25]), ("post:2", ["post:2", *names[20:25]]), ("x", [])):
            found = await all_items(store, prefix, limit)
            assert {snapshot.item: snapshot for snapshot in found} == {item: stands[item] for item in wanted}


async def test_what_actors_say_of_an_item_is_listed_without_zeros(store: OpenStore) -> None:
    await fill(store)
    await store.apply([Reaction(POST, "u:undone", "love", 1, 5), Reaction(POST, f"u:{'x' * 126}", "love", 1, 5)])
    await store.apply([Reaction(POST, "u:undone", "love", 0, 6)])
    found: Values = {}
    cursor = ""
    while True:
        values, cursor = await store.moderation.values(POST, cursor, 1)
        found |= values
        if not cursor:
            break
    assert found == {
        ANN: {"like": Said(1, 7), "clap": Said(50, 9), "share": Said(2, 0)},
        BOB: {"like": Said(1, 0), "share": Said(1, 0)},
        EVE: {"clap": Said(7, 0)},
        f"u:{'x' * 126}": {"love": Said(1, 5)},
    }
    assert await store.moderation.values("post:none", "", 10) == ({}, "")


async def items_of(store: OpenStore, actor: str) -> list[str]:
    found: list[str] = []
    cursor = ""
    while True:
        some, cursor = await store.moderation.items_of(actor, cursor)
        found += some
        if not cursor:
            return found


async def test_the_items_of_an_actor_are_found_also_where_only_a_seq_is_left(store: OpenStore) -> None:
    await fill(store)
    await store.apply([Reaction("post:2", ANN, "love", 0, 5), Reaction("post:3", BOB, "love", 1)])
    assert sorted(await items_of(store, ANN)) == [POST, "post:2", VIDEO]
    assert sorted(await items_of(store, BOB)) == [POST, "post:3", VIDEO]
    assert await items_of(store, "u:an") == []
    for item in await items_of(store, ANN):
        await store.moderation.remove(item, [ANN])
    assert await items_of(store, ANN) == []


async def test_a_cursor_from_elsewhere_is_refused(store: OpenStore) -> None:
    await fill(store)
    for cursor in ("x", "0", "1:2", "äöü", "WyJ4IiwiYSJd", "-1", "9" * 40, "WzFd", "a" * 500):
        for asked in (
            store.moderation.items("", cursor, 10),
            store.moderation.values(POST, cursor, 10),
            store.moderation.items_of(ANN, cursor),
        ):
            with pytest.raises(ValueError):
                await asked


async def test_a_closed_store_is_unavailable_to_administrators_too(opening: Callable[[], OpenStore]) -> None:
    store = opening()
    await store.close()
    for asked in (store.moderation.items("", "", 10), store.moderation.delete(POST)):
        with pytest.raises(Unavailable):
            await asked


# The file's own


async def test_a_file_with_more_items_than_are_walked_through_at_once_is_walked_through(
    tmp_path: Path, kinds: Kinds
) -> None:
    store = SqliteStore(tmp_path / "tally.db", kinds, durability="normal")
    items = [f"post:{n}" for n in range(2 * WALKED_ITEMS + 1)]
    await store.apply([Reaction(item, "u:1", "love", 1) for item in items])
    await store.apply([Reaction(item, "u:2", "love", 1) for item in items[:: WALKED_ITEMS // 2]])
    first, cursor = await store.moderation.items_of("u:1", "")
    assert len(first) == WALKED_ITEMS
    assert cursor
    assert sorted(await items_of(store, "u:1")) == sorted(items)
    assert sorted(await items_of(store, "u:2")) == sorted(items[:: WALKED_ITEMS // 2])
    await store.close()


async def test_kinds_no_longer_declared_are_removed_and_put_back_as_well(tmp_path: Path, kinds: Kinds) -> None:
    path = tmp_path / "tally.db"
    store = SqliteStore(path, kinds)
    before = await fill(store)
    await store.close()

    store = SqliteStore(path, parse('[love]\nrule = "toggle"', "fewer kinds"))
    assert await store.moderation.values(POST, "", 10) == ({}, "")
    removed = await store.moderation.remove(POST, [ANN])
    assert (removed.snapshot.counts, _values(removed.values[ANN])) == ({}, {"like": 1, "clap": 50, "share": 2})
    await store.moderation.put_back(POST, removed.values)
    await store.moderation.delete(VIDEO)
    await store.close()

    store = SqliteStore(path, kinds)
    assert (await snapshot(store)).counts == before.counts
    assert (await snapshot(store, VIDEO)).counts == {}
    await until_sums(store, {POST: before.counts, VIDEO: {}})
    await store.close()
    assert (await Place(f"sqlite:///{path}", "").check(kinds)).found == 0


async def test_an_act_that_fails_changes_nothing(tmp_path: Path, kinds: Kinds) -> None:
    store = SqliteStore(tmp_path / "tally.db", kinds)
    before = await fill(store)
    await store.look(lambda db: db.execute("PRAGMA query_only = on"))
    with pytest.raises(Unavailable, match="read-only"):
        await store.moderation.remove(POST, [ANN])
    assert await snapshot(store) == before
    assert (await store.moderation.remove(POST, [ANN])).snapshot.counts == {"like": 1, "clap": 7, "share": 1}
    await store.close()


def _values(said: dict[str, Said]) -> dict[str, int]:
    return {kind: value for kind, (value, _) in said.items() if value}
