"""Unique, rating and external kinds and starting counts, in every store."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tallycast.kinds import MOST_GIVEN, Kinds, Reaction, parse
from tallycast.store.base import Outcome, Store

POST = "post:1"
ANN, BOB = "u:ann", "u:bob"


@pytest.fixture(scope="session")
def kinds() -> Kinds:
    """Those of the stores that this module opens."""
    return parse(
        """
        [like]
        rule = "toggle"
        group = "opinion"
        [dislike]
        rule = "toggle"
        group = "opinion"
        [clap]
        rule = "amount"
        max = 50
        [share]
        rule = "event"
        [view]
        rule = "unique"
        [stars]
        rule = "rating"
        [comments]
        rule = "external"
        """,
        "kinds of the rules' tests",
    )


async def say(store: Store, kinds: Kinds, actor: str, kind: str, value: object, seq: int | None = None) -> Outcome:
    """What stands after a reaction as a client sends it."""
    return (await store.apply([kinds.reaction(POST, actor, kind, value, None, seq)])).outcomes[0]


async def give(store: Store, kinds: Kinds, kind: str, n: int) -> dict[str, int]:
    """The counts after the site has set a number."""
    return (await store.apply([kinds.given(POST, kind, n)])).outcomes[0].snapshot.counts


async def test_who_was_here_counts_once_and_is_in_nobodys_mine(store: Store, kinds: Kinds) -> None:
    outcome = await say(store, kinds, ANN, "view", 1)
    assert (outcome.snapshot.counts, outcome.mine) == ({"view": 1}, {})
    assert (await say(store, kinds, ANN, "view", True)).snapshot.counts == {"view": 1}
    outcome = await say(store, kinds, "~u:AAAAAAAAAAAAAAAAAAAAAA", "view", 1)
    assert (outcome.snapshot.counts, outcome.mine) == ({"view": 2}, {})
    reading = await store.read([POST], [(POST, ANN)])
    assert reading.mine == {(POST, ANN): {}}


async def test_many_at_once_count_once_each(store: Store, kinds: Kinds) -> None:
    batch = [kinds.reaction(POST, f"u:{number % 40}", "view", 1, None, None) for number in range(120)]
    applied = await store.apply(batch)
    assert applied.outcomes[-1].snapshot.counts == {"view": 40}
    assert (await store.apply(batch)).changed == []


async def test_a_rating_moves_between_its_parts(store: Store, kinds: Kinds) -> None:
    outcome = await say(store, kinds, ANN, "stars", 4)
    assert (outcome.snapshot.counts, outcome.mine) == ({"stars-4": 1}, {"stars-4": 1})
    await say(store, kinds, BOB, "stars", 5)
    outcome = await say(store, kinds, ANN, "stars", 5)
    assert (outcome.snapshot.counts, outcome.mine) == ({"stars-5": 2}, {"stars-5": 1})
    outcome = await say(store, kinds, ANN, "stars", 0)
    assert (outcome.snapshot.counts, outcome.mine) == ({"stars-5": 1}, {})


async def test_no_late_retry_brings_a_rating_back(store: Store, kinds: Kinds) -> None:
    await say(store, kinds, ANN, "stars", 4, 5)
    await say(store, kinds, ANN, "stars", 0, 6)
    for value in (4, 1, 2):
        assert (await say(store, kinds, ANN, "stars", value, 5)).mine == {}
    assert (await say(store, kinds, ANN, "stars", 3, 7)).mine == {"stars-3": 1}
    assert (await say(store, kinds, ANN, "stars", 0, 6)).mine == {"stars-3": 1}


async def test_a_number_of_the_sites_own_is_what_it_was_last_set_to(store: Store, kinds: Kinds) -> None:
    for n in (7, MOST_GIVEN, 3, 0):
        assert await give(store, kinds, "comments", n) == ({"comments": n} if n else {})


async def test_what_was_given_can_be_read(store: Store, kinds: Kinds) -> None:
    given = [kinds.given(POST, kind, n) for n, kind in enumerate(("like", "share", "view", "stars-4", "comments"), 1)]
    await store.apply(given)
    reading = await store.read([], [(POST, reaction.actor) for reaction in given])
    assert reading.mine == {(POST, actor): {kind: n} for _, actor, kind, n, _, _ in given}


async def test_a_starting_count_is_added_to_what_is_said_and_can_be_set_again(store: Store, kinds: Kinds) -> None:
    await say(store, kinds, ANN, "like", 1)
    await store.apply([Reaction(POST, ANN, "share", 1, id="id-00000001")])
    await say(store, kinds, ANN, "view", 1)
    await say(store, kinds, ANN, "stars", 4)
    for kind in ("like", "dislike", "share", "view", "stars-4", "stars-1", "clap"):
        await give(store, kinds, kind, 100)
    assert (await give(store, kinds, "like", 10)) == {
        "like": 11,
        "dislike": 100,
        "share": 101,
        "view": 101,
        "stars-4": 101,
        "stars-1": 100,
        "clap": 100,
    }
    outcome = await say(store, kinds, ANN, "dislike", 1)
    assert outcome.mine == {"dislike": 1, "stars-4": 1}
    assert (outcome.snapshot.counts["like"], outcome.snapshot.counts["dislike"]) == (10, 101)


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_is_said_and_given_the_counts_are_the_sum(store: Store, kinds: Kinds, seed: int) -> None:
    rng = random.Random(seed)
    actors = [f"u:{number}" for number in range(6)]
    seen: set[str] = set()
    rated: dict[str, int] = {}
    likes: dict[str, int] = {}
    given: dict[str, int] = {}
    batch: list[Reaction] = []
    for _ in range(300):
        actor, act = rng.choice(actors), rng.randrange(4)
        if act == 0:
            seen.add(actor)
            batch.append(kinds.reaction(POST, actor, "view", 1, None, None))
        elif act == 1:
            rated[actor] = rng.randrange(6)
            batch.append(kinds.reaction(POST, actor, "stars", rated[actor], None, None))
        elif act == 2:
            likes[actor] = rng.randrange(2)
            batch.append(kinds.reaction(POST, actor, "like", likes[actor], None, None))
        else:
            kind = rng.choice(["like", "dislike", "stars-2", "comments", "share", "view"])
            given[kind] = rng.randrange(5)
            batch.append(kinds.given(POST, kind, given[kind]))
        if rng.random() < 0.1:
            await store.apply(batch)
            batch = []
    counts = Counter(given)
    counts["view"] += len(seen)
    counts["like"] += sum(likes.values())
    counts.update(f"stars-{value}" for value in rated.values() if value)
    await store.apply(batch)
    reading = await store.read([POST], [(POST, actor) for actor in actors])
    assert reading.snapshots[POST].counts == {kind: n for kind, n in counts.items() if n}
    assert reading.mine == {
        (POST, actor): {
            kind: 1
            for kind, said in (("like", likes.get(actor)), (f"stars-{rated.get(actor)}", rated.get(actor)))
            if said
        }
        for actor in actors
    }
