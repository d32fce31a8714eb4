"""What every store promises to the hub: only store/base.py and kinds.py are used here, and no store in particular."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from tallycast.errors import Unavailable
from tallycast.kinds import Reaction
from tallycast.store.base import Applied, Outcome, Snapshot, Store

POST, VIDEO = "post:1", "video:~a/b@c%20=,+.-_"
ANN, BOB = "u:ann", 'v:bob "quoted" \\ {}[]'


async def react(store: Store, *reactions: Reaction) -> Outcome:
    """The outcome of the last of them, each in a batch of its own."""
    for reaction in reactions:
        applied = await store.apply([reaction])
    return applied.outcomes[0]


async def counts(store: Store, item: str = POST) -> dict[str, int]:
    return (await store.read([item], [])).snapshots[item].counts


async def mine(store: Store, actor: str, item: str = POST) -> dict[str, int]:
    return (await store.read([], [(item, actor)])).mine[item, actor]


async def test_an_item_never_reacted_to_has_version_0_and_no_counts(store: Store) -> None:
    reading = await store.read([POST, VIDEO], [(POST, ANN)])
    assert reading.snapshots == {POST: Snapshot(POST, 0, {}), VIDEO: Snapshot(VIDEO, 0, {})}
    assert reading.mine == {(POST, ANN): {}}


async def test_an_empty_batch_and_an_empty_reading_are_nothing(store: Store) -> None:
    assert await store.apply([]) == Applied([], [])
    reading = await store.read([], [])
    assert reading.snapshots == {}
    assert reading.mine == {}


async def test_a_toggle_counts_each_actor_once_and_can_be_undone(store: Store) -> None:
    assert (await react(store, Reaction(POST, ANN, "love", 1))).snapshot.counts == {"love": 1}
    assert (await react(store, Reaction(POST, ANN, "love", 1))).snapshot.counts == {"love": 1}
    assert (await react(store, Reaction(POST, BOB, "love", 1))).snapshot.counts == {"love": 2}
    assert (await react(store, Reaction(POST, ANN, "love", 0))).snapshot.counts == {"love": 1}
    assert (await react(store, Reaction(POST, ANN, "love", 0))).snapshot.counts == {"love": 1}
    assert (await react(store, Reaction(POST, BOB, "love", 0))).snapshot.counts == {}


async def test_an_amount_counts_the_change_of_the_actors_total(store: Store) -> None:
    assert (await react(store, Reaction(POST, ANN, "clap", 50))).snapshot.counts == {"clap": 50}
    assert (await react(store, Reaction(POST, BOB, "clap", 7))).snapshot.counts == {"clap": 57}
    outcome = await react(store, Reaction(POST, ANN, "clap", 3))
    assert outcome.snapshot.counts == {"clap": 10}
    assert outcome.mine == {"clap": 3}


async def test_setting_one_of_a_group_takes_the_other_back_in_the_same_step(store: Store) -> None:
    await react(store, Reaction(POST, ANN, "like", 1))
    applied = await store.apply([Reaction(POST, ANN, "dislike", 1)])
    assert applied.outcomes[0].mine == {"dislike": 1}
    assert [snapshot.counts for snapshot in applied.changed] == [{"dislike": 1}]
    assert await counts(store) == {"dislike": 1}


async def test_taking_one_of_a_group_back_leaves_the_other(store: Store) -> None:
    await react(store, Reaction(POST, ANN, "like", 1), Reaction(POST, ANN, "dislike", 0))
    assert await mine(store, ANN) == {"like": 1}


async def test_two_groups_do_not_touch_each_other(store: Store) -> None:
    batch = [Reaction(POST, ANN, kind, 1) for kind in ("like", "up", "love", "down")]
    outcome = (await store.apply(batch)).outcomes[-1]
    assert outcome.mine == {"like": 1, "down": 1, "love": 1}
    assert outcome.snapshot.counts == {"like": 1, "down": 1, "love": 1}


async def test_an_event_counts_once_an_id_however_often_and_wherever_it_is_sent(store: Store) -> None:
    share = Reaction(POST, ANN, "share", 1, id="id-00000001")
    applied = await store.apply([share, share])
    assert applied.outcomes[1].snapshot.counts == {"share": 1}
    applied = await store.apply([share, share._replace(id="id-00000002"), share])
    assert applied.outcomes[0].snapshot.counts == {"share": 2}
    assert (await store.apply([share])).changed == []


async def test_an_event_id_belongs_to_its_actor_item_and_kind(store: Store) -> None:
    share = Reaction(POST, ANN, "share", 1, id='"id\\{}[],')
    others = [share._replace(actor=BOB), share._replace(item=VIDEO), share._replace(kind="download")]
    await store.apply([share])
    await store.apply(others)
    assert await counts(store) == {"share": 2, "download": 1}
    assert await counts(store, VIDEO) == {"share": 1}


async def test_events_are_not_among_what_an_actor_says(store: Store) -> None:
    outcome = await react(store, Reaction(POST, ANN, "share", 1, id="id-00000001"), Reaction(POST, ANN, "love", 1))
    assert outcome.mine == {"love": 1}
    assert await mine(store, ANN) == {"love": 1}


async def test_a_late_retry_changes_nothing_and_is_answered_with_what_stands(store: Store) -> None:
    await react(store, Reaction(POST, ANN, "love", 1, 10), Reaction(POST, ANN, "love", 0, 20))
    applied = await store.apply([Reaction(POST, ANN, "love", 1, 10)])
    assert applied.changed == []
    assert applied.outcomes[0].mine == {}
    assert await counts(store) == {}


async def test_an_equal_or_greater_seq_stands(store: Store) -> None:
    await react(store, Reaction(POST, ANN, "clap", 5, 10), Reaction(POST, ANN, "clap", 6, 10))
    assert await mine(store, ANN) == {"clap": 6}
    await react(store, Reaction(POST, ANN, "clap", 7, 2**53 - 1))
    await react(store, Reaction(POST, ANN, "clap", 8, 2**53 - 2))
    assert await mine(store, ANN) == {"clap": 7}


async def test_without_seq_a_reaction_stands_and_the_older_seq_still_guards(store: Store) -> None:
    await react(store, Reaction(POST, ANN, "clap", 5, 10), Reaction(POST, ANN, "clap", 6))
    assert await mine(store, ANN) == {"clap": 6}
    await react(store, Reaction(POST, ANN, "clap", 7, 9))
    assert await mine(store, ANN) == {"clap": 6}


async def test_seq_orders_a_whole_group(store: Store) -> None:
    await react(store, Reaction(POST, ANN, "like", 1, 10), Reaction(POST, ANN, "dislike", 1, 20))
    await react(store, Reaction(POST, ANN, "like", 1, 15))
    assert await mine(store, ANN) == {"dislike": 1}


@pytest.mark.parametrize("late", [Reaction(POST, ANN, "love", 1, 15), Reaction(VIDEO, BOB, "love", 1, 1)])
async def test_seq_is_of_one_kind_outside_groups_and_of_one_actor_and_item(store: Store, late: Reaction) -> None:
    await react(store, Reaction(POST, ANN, "like", 1, 20), late)
    assert (await counts(store, late.item))["love"] == 1


async def test_a_reaction_of_which_nothing_is_left_in_its_batch_moves_nothing(store: Store) -> None:
    applied = await store.apply([Reaction(POST, ANN, "love", 1), Reaction(POST, ANN, "love", 0)])
    assert applied.changed == []
    assert [outcome.snapshot for outcome in applied.outcomes] == [Snapshot(POST, 0, {})] * 2


async def test_a_value_undone_within_one_batch_still_guards_by_its_seq(store: Store) -> None:
    await store.apply([Reaction(POST, ANN, "love", 1, 10), Reaction(POST, ANN, "love", 0, 20)])
    await react(store, Reaction(POST, ANN, "love", 1, 15))
    assert await counts(store) == {}


async def test_a_version_grows_with_every_change_and_is_never_behind_the_clock(store: Store) -> None:
    last = 0
    for turn in range(20):
        now_us = time.time_ns() // 1000
        snapshot = (await react(store, Reaction(POST, ANN, "love", 1 - turn % 2))).snapshot
        assert snapshot.v > last
        assert snapshot.v >= now_us
        last = snapshot.v
    assert (await store.read([POST], [])).snapshots[POST].v == last


async def test_repeating_everything_changes_neither_counts_nor_versions(store: Store) -> None:
    batch = [
        Reaction(POST, ANN, "like", 1, 5),
        Reaction(POST, BOB, "dislike", 1),
        Reaction(VIDEO, ANN, "clap", 9),
        Reaction(VIDEO, BOB, "share", 1, id="id-00000001"),
    ]
    first = await store.apply(batch)
    again = await store.apply(batch)
    assert again.changed == []
    assert again.outcomes == first.outcomes


async def test_changed_names_every_item_whose_counts_moved_once(store: Store) -> None:
    await react(store, Reaction("post:2", ANN, "love", 1))
    applied = await store.apply(
        [
            Reaction(POST, ANN, "love", 1),
            Reaction("post:2", ANN, "love", 1),
            Reaction(VIDEO, ANN, "clap", 2),
            Reaction(POST, BOB, "love", 1),
        ]
    )
    changed = {snapshot.item: snapshot.counts for snapshot in applied.changed}
    assert len(applied.changed) == 2
    assert changed == {POST: {"love": 2}, VIDEO: {"clap": 2}}
    assert applied.outcomes[3].snapshot in applied.changed


async def test_one_swap_of_votes_between_two_actors_that_leaves_the_counts_moves_no_version(store: Store) -> None:
    v = (await react(store, Reaction(POST, ANN, "love", 1))).snapshot.v
    applied = await store.apply([Reaction(POST, ANN, "love", 0), Reaction(POST, BOB, "love", 1)])
    assert applied.changed == []
    assert applied.outcomes[0] == Outcome(Snapshot(POST, v, {"love": 1}), {})
    assert applied.outcomes[1].mine == {"love": 1}


async def test_a_big_batch_is_counted_whole(store: Store) -> None:
    batch = [Reaction(f"post:{n % 50}", f"u:{n % 200}", "clap", n % 50 + 1) for n in range(5000)]
    applied = await store.apply(batch)
    assert len(applied.outcomes) == 5000
    stands = {(reaction.item, reaction.actor): reaction.value for reaction in batch}
    for reaction, outcome in zip(batch, applied.outcomes, strict=True):
        assert outcome.mine == {"clap": stands[reaction.item, reaction.actor]}
    reading = await store.read([f"post:{n}" for n in range(50)], [])
    for item, snapshot in reading.snapshots.items():
        assert snapshot.counts == {"clap": sum(value for (of, _), value in stands.items() if of == item)}


async def test_answers_come_in_the_order_of_the_work_and_never_show_an_older_state(store: Store) -> None:
    seen: list[int] = []

    async def say(turn: int) -> None:
        seen.append((await store.apply([Reaction(POST, f"u:{turn}", "love", 1)])).outcomes[0].snapshot.v)

    async def look() -> None:
        seen.append((await store.read([POST], [])).snapshots[POST].v)

    async with asyncio.TaskGroup() as tasks:
        for turn in range(40):
            tasks.create_task(say(turn))
            tasks.create_task(look())
    assert len(seen) == 80
    assert seen == sorted(seen)
    assert await counts(store) == {"love": 40}


async def test_everything_is_there_again_after_a_restart(opening: Callable[[], Store]) -> None:
    share = Reaction(POST, ANN, "share", 1, id="id-00000001")
    store = opening()
    before = await react(store, Reaction(POST, ANN, "clap", 5, 20), Reaction(POST, ANN, "like", 1), share)
    await store.close()

    store = opening()
    reading = await store.read([POST], [(POST, ANN)])
    assert reading.snapshots[POST] == before.snapshot
    assert reading.mine[POST, ANN] == before.mine == {"clap": 5, "like": 1}
    late = Reaction(POST, ANN, "clap", 1, 19)
    assert (await store.apply([share, late])).changed == []
    await store.close()


async def test_the_own_viewers_are_not_among_those_elsewhere(store: Store) -> None:
    await store.tell_viewers({"post:1": 3})
    assert (await store.count_viewers(["post:1"])).get("post:1", 0) == 0


async def test_a_ping_answers_and_counts_nothing(store: Store) -> None:
    before = await react(store, Reaction(POST, ANN, "love", 1))
    await store.ping()
    assert (await store.read([POST], [])).snapshots[POST] == before.snapshot


async def test_closing_finishes_what_was_begun(opening: Callable[[], Store]) -> None:
    store = opening()
    begun = [asyncio.ensure_future(store.apply([Reaction(POST, f"u:{n}", "love", 1)])) for n in range(10)]
    await asyncio.sleep(0)  # each has been handed over
    await store.close()
    assert (await begun[-1]).outcomes[0].snapshot.counts == {"love": 10}
    again = opening()
    assert await counts(again) == {"love": 10}
    await again.close()


async def test_a_closed_store_is_unavailable(opening: Callable[[], Store]) -> None:
    store = opening()
    await store.close()
    with pytest.raises(Unavailable):
        await store.apply([Reaction(POST, ANN, "love", 1)])
    with pytest.raises(Unavailable):
        await store.read([POST], [])
    with pytest.raises(Unavailable):
        await store.ping()
