"""How often a changed item is published, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from tallycast.errors import Unavailable
from tallycast.store.base import Snapshot
from tallycast.store.redis.pace import PACE_S, Pace
from virtual import run

CALM_S = 1.0


class Published:
    """What was published apart from calls, and how it went."""

    def __init__(self) -> None:
        self.items: list[list[str]] = []
        self.broken = False

    async def __call__(self, items: Collection[str]) -> None:
        if self.broken:
            raise Unavailable("no Redis")
        self.items.append(sorted(items))


def change(pace: Pace, v: int, item: str = "a") -> bool:
    """A call on the item, answered at once: whether it published."""
    published = pace.due(item)
    pace.changed(Snapshot(item, v, {}), published=published)
    return published


def test_a_quiet_item_is_published_by_the_call_that_changes_it() -> None:
    async def main() -> None:
        published = Published()
        pace = Pace(published)
        for v in range(1, 4):
            assert change(pace, v)
            await asyncio.sleep(CALM_S)
        assert published.items == []

    run(main())


def test_however_many_calls_change_an_item_it_is_published_about_once_a_pace_and_at_last() -> None:
    async def main() -> None:
        published = Published()
        pace = Pace(published)
        by_calls = 0
        for v in range(1, 1001):  # one a ms
            by_calls += change(pace, v)
            await asyncio.sleep(0.001)
        assert by_calls + len(published.items) <= 1.0 / (0.75 * PACE_S) + 1
        change(pace, 1001)
        assert not change(pace, 1002)
        before = len(published.items)
        await asyncio.sleep(CALM_S)
        assert len(published.items) == before + 1, "the last change is told of"

    run(main())


def test_what_another_hub_published_since_need_not_be_published_again() -> None:
    async def main() -> None:
        published = Published()
        pace = Pace(published)
        assert change(pace, 1)
        assert not change(pace, 2)
        pace.heard(Snapshot("a", 3, {}))
        await asyncio.sleep(CALM_S)
        assert published.items == []
        assert change(pace, 4)
        assert not change(pace, 5)
        pace.heard(Snapshot("a", 4, {}))
        await asyncio.sleep(CALM_S)
        assert published.items == [["a"]], "5 was told to nobody"

    run(main())


def test_after_calls_of_which_nobody_knows_the_items_are_published_as_they_are() -> None:
    async def main() -> None:
        published = Published()
        pace = Pace(published)
        assert pace.due("a")
        assert pace.due("b")
        pace.doubtful(["a", "b"])
        pace.heard(Snapshot("a", 7, {}))
        await asyncio.sleep(CALM_S)
        assert sorted(item for items in published.items for item in items) == ["a", "b"]

    run(main())


def test_what_could_not_be_published_is_tried_again_until_it_is() -> None:
    async def main() -> None:
        published = Published()
        pace = Pace(published)
        published.broken = True
        pace.doubtful(["a"])
        await asyncio.sleep(10)
        published.broken = False
        await asyncio.sleep(CALM_S)
        assert published.items == [["a"]]
        await asyncio.sleep(10)
        assert published.items == [["a"]]

    run(main())


def test_what_is_held_back_is_published_at_the_end() -> None:
    async def main() -> None:
        published = Published()
        pace = Pace(published)
        change(pace, 1)
        change(pace, 2)
        await pace.close()
        assert published.items == [["a"]]

    run(main())


def test_items_that_were_published_long_ago_take_no_room() -> None:
    async def main() -> None:
        pace = Pace(Published())
        for number in range(1000):
            change(pace, 1, f"item:{number}")
            await asyncio.sleep(0.001)
        assert len(pace._rested_s) < 100

    run(main())
