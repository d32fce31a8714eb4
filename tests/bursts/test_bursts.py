"""Bursts on a file, and on one Redis with two hubs: who is marked, and what taking them out leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from bursts.rig import KINDS, Clock, Rig, user, visitor
from redis_servers import RedisServer, redis_single
from tallycast.bursts.burst import load_chunk, space_of
from tallycast.bursts.bursts import QUIET_S
from tallycast.errors import Refused, Unavailable
from tallycast.identity import Actor
from tallycast.kinds import Reaction
from tallycast.store.moderation import Removed

__all__ = ["redis_single"]

ITEM = "post:1"
OFFICE, FARM, FARM_TOO, HOME = "198.51.100.7", "203.0.113.5", "203.0.113.9", "192.0.2.1"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a burst of these tests has several."""
    monkeypatch.setattr("tallycast.bursts.bursts.CHUNK", 40)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "redis"])
async def hubs(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[list[Rig]]:
    """One hub on a file, or two on a Redis."""
    if request.param == "sqlite":
        rigs = [Rig(f"sqlite:///{tmp_path / 'tally.db'}", "t:", clock)]
    else:
        server: RedisServer = request.getfixturevalue("redis_single")
        rigs = [Rig(server.url, f"{tmp_path.name}:", clock) for _ in range(2)]
    yield rigs
    for rig in rigs:
        await rig.close()


async def look(hubs: Collection[Rig]) -> None:
    for rig in hubs:
        await rig.look()
    for rig in hubs:
        await rig.mirrors.refresh()


async def flooded(hubs: list[Rig], clock: Clock, number: int = 160) -> None:
    """Ten honest people and a burst, its reactions spread over the hubs."""
    await look(hubs)
    honest = [user() for _ in range(5)] + [visitor(clock, age_s=7200) for _ in range(5)]
    await hubs[0].crowd(ITEM, honest, HOME, "dislike")
    for at, rig in enumerate(hubs):
        share = [visitor(clock) for _ in range(number // len(hubs))]
        await rig.crowd(ITEM, share, (FARM, FARM_TOO)[at % 2])
        claps = [KINDS.reaction(ITEM, actor.name, "clap", 7, None, None) for actor in share[:10]]
        stars = [KINDS.reaction(ITEM, actor.name, "stars", 5, None, None) for actor in share[:10]]
        shares = [KINDS.reaction(ITEM, actor.name, "share", None, f"id-{n:08}", None) for n, actor in enumerate(share)]
        said = [(share[0], FARM, reaction) for reaction in (*claps, *stars, *shares)]
        await rig.say(*said)
    await look(hubs)


HONEST = {"dislike": 10}
ALL = {"dislike": 10, "like": 160, "share": 160}


def all_said(hubs: list[Rig]) -> dict[str, int]:
    return {**ALL, "clap": 70 * len(hubs), "stars-5": 10 * len(hubs)}


async def test_a_burst_is_found_and_its_newcomers_are_marked_over_all_hubs(hubs: list[Rig], clock: Clock) -> None:
    await flooded(hubs, clock)
    for rig in hubs:
        id, burst = rig.only
        assert (burst.item, burst.open, burst.marked, len(burst.networks)) == (ITEM, True, 160, 1)
        assert burst.kinds == {"like": 160}
        assert rig.bursts.lasting
        assert burst.public(id)["state"] == "open"
    assert await hubs[0].counts(ITEM) == all_said(hubs)


async def test_taking_it_out_leaves_what_the_others_said_and_putting_it_back_what_was(
    hubs: list[Rig], clock: Clock
) -> None:
    await flooded(hubs, clock)
    id, _ = hubs[-1].only
    before = await hubs[0].counts(ITEM)
    assert before == await hubs[0].sums(ITEM) == all_said(hubs)
    burst = await hubs[-1].bursts.removals.remove(id, "Ada")
    assert burst.removal is not None
    assert burst.removal.taken == {kind: n for kind, n in before.items() if kind != "dislike"}
    assert (burst.removal.state, burst.removal.by, burst.removal.actors) == ("removed", "Ada", 160)
    for rig in hubs:
        assert await rig.counts(ITEM) == await rig.sums(ITEM) == HONEST
    assert await hubs[-1].bursts.removals.remove(id, "Bob") == burst  # again: nothing more
    await hubs[0].mirrors.refresh()
    assert (await hubs[0].bursts.removals.put_back(id, "Ada")).removal is None
    assert await hubs[0].counts(ITEM) == await hubs[0].sums(ITEM) == before
    assert (await hubs[0].bursts.removals.put_back(id, "Ada")).removal is None
    assert await hubs[0].counts(ITEM) == before
    assert (await hubs[0].bursts.removals.remove(id, "Ada")).removal is not None
    assert await hubs[-1].counts(ITEM) == HONEST


async def test_who_says_something_after_it_was_taken_is_not_spoken_for(hubs: list[Rig], clock: Clock) -> None:
    await look(hubs)
    newcomers = [visitor(clock) for _ in range(80)]
    await hubs[0].crowd(ITEM, newcomers, FARM)
    await look(hubs)
    id, _ = hubs[0].only
    await hubs[0].bursts.removals.remove(id, "Ada")
    await hubs[0].crowd(ITEM, newcomers[:3], FARM, "dislike")
    await hubs[0].bursts.removals.put_back(id, "Ada")
    assert await hubs[0].counts(ITEM) == await hubs[0].sums(ITEM) == {"like": 77, "dislike": 3}


async def test_who_comes_later_to_an_open_burst_is_marked_and_goes_with_a_second_removal(
    hubs: list[Rig], clock: Clock
) -> None:
    await look(hubs)
    await hubs[0].crowd(ITEM, [visitor(clock) for _ in range(100)], FARM)
    await look(hubs)
    id, _ = hubs[0].only
    await hubs[0].bursts.removals.remove(id, "Ada")
    await hubs[-1].mirrors.refresh()
    await hubs[-1].crowd(ITEM, [visitor(clock) for _ in range(8)], FARM_TOO)
    await hubs[-1].crowd(ITEM, [visitor(clock) for _ in range(8)], HOME)
    await look(hubs)
    assert hubs[0].only[1].marked == 108
    assert await hubs[0].counts(ITEM) == {"like": 16}
    burst = await hubs[0].bursts.removals.remove(id, "Ada")
    assert burst.removal is not None and burst.removal.taken == {"like": 108}
    assert await hubs[0].counts(ITEM) == await hubs[0].sums(ITEM) == {"like": 8}


@pytest.mark.parametrize("people", [user, lambda: visitor(Clock(), age_s=3700)])
async def test_an_office_of_people_who_are_known_is_not_marked(
    hubs: list[Rig], clock: Clock, people: Callable[[], Any]
) -> None:
    await look(hubs)
    for _ in range(5):
        await hubs[0].crowd(ITEM, [people() for _ in range(100)], OFFICE)
        await look(hubs)
    assert dict(hubs[0].bursts.bursts) == {}
    assert not hubs[0].bursts.lasting


async def test_newcomers_of_another_network_are_not_marked_while_it_lasts(hubs: list[Rig], clock: Clock) -> None:
    await look(hubs)
    innocent = [visitor(clock) for _ in range(9)]
    await hubs[0].crowd(ITEM, innocent, HOME)
    await hubs[0].crowd(ITEM, [visitor(clock) for _ in range(80)], FARM)
    await look(hubs)
    id, burst = hubs[0].only
    assert burst.marked == 80
    await hubs[0].bursts.removals.remove(id, "Ada")
    reading = await hubs[0].store.read([ITEM], [(ITEM, actor.name) for actor in innocent])
    assert reading.snapshots[ITEM].counts == {"like": 9}
    assert set(map(str, reading.mine.values())) == {"{'like': 1}"}


async def test_a_burst_is_over_when_nothing_comes_any_more_and_the_next_is_another(
    hubs: list[Rig], clock: Clock
) -> None:
    await look(hubs)
    for number in (1, 2):
        await hubs[0].crowd(ITEM, [visitor(clock) for _ in range(80)], FARM)
        await look(hubs)
        assert hubs[0].bursts.lasting
        clock.now_s += QUIET_S + 61
        await look(hubs)
        assert not hubs[0].bursts.lasting
        assert sorted(id.rpartition("-")[2] for id in hubs[0].bursts.bursts) == ["1", "2"][:number]
    for rig in hubs:
        assert {burst.public(id)["state"] for id, burst in rig.bursts.bursts.items()} == {"over"}


async def test_old_bursts_go_with_all_that_was_kept_of_them(hubs: list[Rig], clock: Clock) -> None:
    await look(hubs)
    await hubs[0].crowd(ITEM, [visitor(clock) for _ in range(80)], FARM)
    await look(hubs)
    id, _ = hubs[0].only
    assert await hubs[0].store.records.all(space_of(id))
    clock.now_s += 3600
    await look(hubs)
    clock.now_s += 31 * 86_400
    await look(hubs)
    assert dict(hubs[0].bursts.bursts) == {}
    assert await hubs[0].store.records.all(space_of(id)) == {}


async def test_without_a_key_of_the_day_nothing_is_kept(hubs: list[Rig], clock: Clock) -> None:
    await hubs[0].crowd(ITEM, [visitor(clock) for _ in range(80)], FARM)
    await hubs[0].bursts.look()
    await look(hubs)
    assert dict(hubs[0].bursts.bursts) == {}


async def test_addresses_are_nowhere_in_the_store(hubs: list[Rig], clock: Clock) -> None:
    await flooded(hubs, clock)
    id, _ = hubs[0].only
    kept = [*(await hubs[0].store.records.all("bursts")).values()]
    kept += (await hubs[0].store.records.all(space_of(id))).values()
    assert kept and not any(b"203.0.113" in body for body in kept)


class Trouble:
    """Lets the store fail once, at a certain call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, thing: object, name: str, *, at: int) -> None:
        self.left = at
        self.met = False
        method = getattr(thing, name)

        async def failing(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if not self.left:
                self.met = True
                raise Unavailable("the store is away")
            return await method(*arguments, **options)

        monkeypatch.setattr(thing, name, failing)


@pytest.mark.parametrize(
    ("part", "name", "at"),
    [
        *(("records", "put", at) for at in (1, 2, 3, 4, 8)),
        *(("moderation", "remove", at) for at in (1, 2)),
        ("moderation", "put_back", 2),
        ("records", "all", 2),
    ],
)
async def test_what_the_store_interrupts_goes_on_where_it_was(
    hubs: list[Rig], clock: Clock, monkeypatch: pytest.MonkeyPatch, part: str, name: str, at: int
) -> None:
    await flooded(hubs, clock)
    before = await hubs[0].counts(ITEM)
    id, _ = hubs[0].only
    removals = hubs[0].bursts.removals
    trouble = Trouble(monkeypatch, getattr(hubs[0].store, part), name, at=at)
    for act, after in ((removals.remove, HONEST), (removals.put_back, before)):
        try:
            await act(id, "Ada")
        except Unavailable:
            burst = await act(id, "Ada")
            assert (burst.removal is not None) == (after is HONEST)
        assert await hubs[0].counts(ITEM) == await hubs[0].sums(ITEM) == after
    assert trouble.met


async def test_a_hub_that_ends_in_the_middle_is_followed_by_another(
    hubs: list[Rig], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await flooded(hubs, clock)
    before = await hubs[0].counts(ITEM)
    id, _ = hubs[0].only
    remove = hubs[0].store.moderation.remove

    async def ended(item: str, actors: Collection[str]) -> Removed:
        await remove(item, actors)
        raise asyncio.CancelledError  # it was done, and nobody is there to write it down

    with monkeypatch.context() as patched:
        patched.setattr(hubs[0].store.moderation, "remove", ended)
        with pytest.raises(asyncio.CancelledError):
            await hubs[0].bursts.removals.remove(id, "Ada")
    successor = hubs[-1]
    await successor.mirrors.refresh()
    burst = await successor.bursts.removals.remove(id, "Bob")
    assert burst.removal is not None and burst.removal.by == "Ada"
    assert await successor.counts(ITEM) == HONEST
    await successor.bursts.removals.put_back(id, "Bob")
    after = await successor.counts(ITEM)
    # How many events somebody had was not known to the hub that ended: of the chunk that it was at those stay out.
    assert {kind: n for kind, n in after.items() if kind != "share"} == {
        kind: n for kind, n in before.items() if kind != "share"
    }
    assert after == await successor.sums(ITEM)


async def test_two_administrators_at_once_take_it_out_once(hubs: list[Rig], clock: Clock) -> None:
    await flooded(hubs, clock)
    before = await hubs[0].counts(ITEM)
    id, _ = hubs[0].only
    await asyncio.gather(*(rig.bursts.removals.remove(id, "Ada") for rig in (hubs[0], hubs[-1], hubs[0])))
    assert await hubs[0].counts(ITEM) == await hubs[0].sums(ITEM) == HONEST
    await hubs[0].mirrors.refresh()
    await hubs[0].bursts.removals.put_back(id, "Ada")
    assert await hubs[0].counts(ITEM) == await hubs[0].sums(ITEM) == before
    chunks = await hubs[0].store.records.all(space_of(id))
    assert {load_chunk(body).state for body in chunks.values()} == {"marked"}


async def names_kept(hub: Rig) -> set[str]:
    """Everybody whose name is in what is kept of the one burst."""
    id, _ = hub.only
    chunks = [load_chunk(body) for body in (await hub.store.records.all(space_of(id))).values()]
    return {name for chunk in chunks for name in (*chunk.actors, *chunk.taken)}


@pytest.fixture
async def newcomers(hubs: list[Rig], clock: Clock) -> list[Actor]:
    """Eighty who are marked."""
    await look(hubs)
    newcomers = [visitor(clock) for _ in range(80)]
    await hubs[0].crowd(ITEM, newcomers, FARM)
    await look(hubs)
    assert await names_kept(hubs[0]) == {actor.name for actor in newcomers}
    return newcomers


async def is_without(hubs: list[Rig], newcomers: list[Actor], forgotten: Actor) -> None:
    """Once all is put back, all say what they said but one, of whom nothing is known."""
    id, _ = hubs[0].only
    await hubs[0].bursts.removals.put_back(id, "Ada")
    others = {actor.name for actor in newcomers if actor != forgotten}
    assert await names_kept(hubs[0]) == others
    assert await hubs[0].counts(ITEM) == await hubs[0].sums(ITEM) == {"like": len(others)}
    values, _ = await hubs[0].store.moderation.values(ITEM, "", 1000)
    assert values.keys() == others


@pytest.mark.parametrize("when", ["marked", "taken", "back"])
async def test_who_is_forgotten_is_in_no_burst_any_more(hubs: list[Rig], newcomers: list[Actor], when: str) -> None:
    id, _ = hubs[0].only
    removals = hubs[0].bursts.removals
    if when != "marked":
        await removals.remove(id, "Ada")
    if when == "back":
        await removals.put_back(id, "Ada")
    await hubs[-1].forget(newcomers[7])
    if when != "taken":
        await removals.remove(id, "Ada")
    assert await hubs[0].counts(ITEM) == {}
    await is_without(hubs, newcomers, newcomers[7])


@pytest.mark.parametrize("act", ["remove", "put_back"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_who_is_forgotten_in_the_middle_of_it_is_in_no_burst_either(
    hubs: list[Rig], newcomers: list[Actor], monkeypatch: pytest.MonkeyPatch, act: str, when: str
) -> None:
    id, _ = hubs[0].only
    if act == "put_back":
        await hubs[0].bursts.removals.remove(id, "Ada")
    forgotten: list[Actor] = []
    real = getattr(hubs[0].store.moderation, act)

    async def slow(item: str, whom: Collection[str]) -> Any:
        done = await real(item, whom) if when == "after" else None
        if not forgotten:  # this hub has read who they are
            forgotten.append(next(actor for actor in newcomers if actor.name in whom))
            await hubs[-1].forget(forgotten[0])
        return done or await real(item, whom)

    monkeypatch.setattr(hubs[0].store.moderation, act, slow)
    await getattr(hubs[0].bursts.removals, act)(id, "Ada")
    await is_without(hubs, newcomers, forgotten[0])


async def test_who_was_forgotten_a_moment_ago_is_not_marked(hubs: list[Rig], clock: Clock) -> None:
    await look(hubs)
    newcomers = [visitor(clock) for _ in range(80)]
    await hubs[0].crowd(ITEM, newcomers[:40], FARM)
    await look(hubs)
    await hubs[-1].forget(newcomers[7])
    await hubs[0].crowd(ITEM, newcomers[40:], FARM)
    await look(hubs)
    await is_without(hubs, newcomers, newcomers[7])


async def test_a_burst_that_nobody_knows_is_not_found(hubs: list[Rig]) -> None:
    for act in (hubs[0].bursts.removals.remove, hubs[0].bursts.removals.put_back):
        with pytest.raises(Refused, match="no such burst"):
            await act("20261122-aaaaaaaa-1", "Ada")
    with pytest.raises(Refused, match="no such burst"):
        hubs[0].bursts.find("20261122-aaaaaaaa-1")


def test_taking_something_back_and_the_hubs_own_actors_are_not_seen(clock: Clock, tmp_path: Path) -> None:
    guard = Rig(f"sqlite:///{tmp_path / 'tally.db'}", "t:", clock).bursts.guard
    somebody = visitor(clock)
    guard.check(somebody, Reaction(ITEM, somebody.name, "like", 0), FARM)
    assert guard.take() == {}
    stranger = visitor(clock)._replace(name="~u:AAAA", expires_s=float("inf"))
    guard.check(stranger, Reaction(ITEM, stranger.name, "view", 1), FARM)
    (seen,) = guard.take().values()
    assert (seen.fresh, seen.others) == ([], set())
