"""What creators are told, checked against histories that were made by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tallycast.history.queries import Pace, Queries
from tallycast.history.rollup import Move, rises_of
from tallycast.history.spans import Span, span_of
from tallycast.kinds import parse
from tallycast.store.history import DAY, HOUR, MINUTE
from tallycast.store.sqlite import SqliteStore

KINDS = parse('[like]\nrule = "toggle"\n[dislike]\nrule = "toggle"\n', "kinds of this test")
NOW_S = int(datetime(2025, 11, 22, 11, 52, 25, tzinfo=UTC).timestamp())
MINUTE_NOW = NOW_S // MINUTE


class Told(Queries):
    """Queries at NOW_S, of a history to which moves can be added."""

    def __init__(self, store: SqliteStore) -> None:
        super().__init__(store.history, clock_s=lambda: NOW_S)
        self._store = store
        self._turn = 0

    async def add(self, moves: dict[Move, int]) -> None:
        since = str(self._turn or "")
        self._turn += 1
        assert await self._store.history.roll(since, str(self._turn), rises_of(moves.items()))


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[Told]:
    store = SqliteStore(tmp_path / "tally.db", KINDS)
    yield Told(store)
    await store.close()


def at(*when: int) -> int:
    """The minute of a moment in UTC."""
    return int(datetime(*when, tzinfo=UTC).timestamp()) // MINUTE  # type: ignore[arg-type,misc]


async def test_counts_are_reckoned_back_from_now_also_past_the_end_of_the_span(told: Told) -> None:
    await told.add({(MINUTE_NOW - 60 * n, "a", "like"): n + 1 for n in range(5)})
    await told.add({(MINUTE_NOW - 200 * 1440, "a", "like"): 100, (MINUTE_NOW, "a", "dislike"): -3})
    hour = NOW_S // HOUR
    line = await told.series("a", Span(HOUR, hour - 3, hour - 1))
    assert line.changes["like"] == [4, 3, 2]
    assert line.counts["like"] == [100 + 5 + 4, 100 + 5 + 4 + 3, 100 + 5 + 4 + 3 + 2]
    assert line.counts["dislike"] == [0, 0, 0]
    assert line.total == {"like": 115, "dislike": -3}
    nothing = await told.series("b", Span(HOUR, hour - 1, hour), ["like"])
    assert nothing.changes == nothing.counts == {"like": [0, 0]}


async def test_what_is_usual_is_the_mean_of_the_week_or_of_as_long_as_there_was_anything(told: Told) -> None:
    hour = NOW_S // HOUR
    await told.add({((hour - n) * 60 + 30, "old", "like"): 10 for n in range(2, 400)})
    await told.add({((hour - n) * 60 + 30, "young", "like"): 10 for n in range(2, 6)})
    await told.add({((hour - 400) * 60, "seldom", "like"): 1, ((hour - 3) * 60, "seldom", "like"): 2})
    await told.add({(MINUTE_NOW - 5, name, "like"): 7 for name in ("old", "young", "seldom", "new")})
    paces = await told.paces(["old", "young", "seldom", "new", "none", "*"], "like", 60)
    assert paces["old"] == Pace(7, 10)
    assert paces["young"] == Pace(7, 10)
    assert paces["seldom"].usual == pytest.approx(2 / 168)
    assert paces["new"] == Pace(7, 0)
    assert paces["none"] == Pace(0, 0)
    assert paces["*"].n == 28
    assert (await told.pace("young", "like", 30)) == Pace(7, 4)
    assert (await told.pace("young", "like", 3)).n == 0


async def test_rising_wants_more_than_a_few_after_none(told: Told) -> None:
    hour = NOW_S // HOUR
    await told.add({((hour - n) * 60, "steady", "like"): 1000 for n in range(1, 200)})
    await told.add({((hour - n) * 60, "hot", "like"): 10 for n in range(2, 200)})
    await told.add(
        {(MINUTE_NOW, "steady", "like"): 900, (MINUTE_NOW, "hot", "like"): 300, (MINUTE_NOW, "few", "like"): 9}
    )
    found = await told.rising("*", "like", 10, 10)
    assert [one.item for one in found] == ["hot", "steady"]
    assert found[0].times > 20
    assert [one.item for one in await told.rising("*", "like", 10, 9)] == ["hot", "few", "steady"]


async def test_the_top_of_a_week_adds_up_the_days(told: Told) -> None:
    day = NOW_S // DAY
    for ago in range(9):
        await told.add({((day - ago) * 1440, f"item:{n}", "like"): 1 + (n * 31 + ago * 17) % 50 for n in range(60)})
    expected = {f"item:{n}": sum(1 + (n * 31 + ago * 17) % 50 for ago in range(7)) for n in range(60)}
    best = sorted(expected.items(), key=lambda one: (-one[1], one[0]))
    assert await told.top("item:*", "like", "week", 20) == best[:20]
    assert await told.top("*", "like", "week", 200) == best
    assert (await told.top("*", "like", "all", 1))[0][1] > best[0][1]


async def test_who_lost_more_than_it_won_is_in_no_top(told: Told) -> None:
    await told.add({(MINUTE_NOW - 3, "a", "like"): 5, (MINUTE_NOW, "a", "like"): -5, (MINUTE_NOW, "b", "like"): -1})
    for within in ("hour", "day", "week", "all"):
        assert await told.top("*", "like", within, 5) == []


async def test_hours_are_those_of_the_clock_on_the_wall_also_when_it_is_set(told: Told) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    # On Sunday, 26 October 2025, 3:00 summer time (1:00 UTC) became 2:00: the hour from 2 to 3 came twice.
    await told.add({(at(2025, 10, 25, 23, 59), "a", "like"): 1})
    await told.add({(at(2025, 10, 26, 0, 30), "a", "like"): 2, (at(2025, 10, 26, 1, 30), "a", "like"): 4})
    await told.add({(at(2025, 10, 26, 2, 0), "a", "like"): 8, (at(2025, 10, 27, 23, 0), "a", "dislike"): 16})
    span = span_of(HOUR, NOW_S - 40 * DAY, None, NOW_S)
    week = await told.hours("a", span, berlin, [])
    assert week[6][1] == 1
    assert week[6][2] == 2 + 4
    assert week[6][3] == 8
    assert week[1][0] == 16
    assert sum(map(sum, week)) == 31
    assert sum(map(sum, await told.hours("a", span, berlin, ["dislike"]))) == 16
    utc = await told.hours("a", span, UTC, ["like"])
    assert (utc[5][23], utc[6][:3]) == (1, [2, 4, 8])


async def test_growth_is_told_where_there_was_something_before(told: Told) -> None:
    hour = NOW_S // HOUR
    await told.add({((hour - 2) * 60, "a", "like"): 20, (hour * 60, "a", "like"): 30, (hour * 60, "a", "dislike"): 5})
    found = await told.compare("a", Span(HOUR, hour - 1, hour))
    assert found.now == {"like": 30, "dislike": 5}
    assert found.before == {"like": 20, "dislike": 0}
    assert found.growth == {"like": 0.5, "dislike": None}


async def test_ratios_and_engagement_are_of_the_section_that_was_asked_for(told: Told) -> None:
    await told.add(
        {(MINUTE_NOW, "a:1", "like"): 90, (MINUTE_NOW, "a:1", "dislike"): 10, (MINUTE_NOW, "a:2", "dislike"): 3}
    )
    await told.add({(MINUTE_NOW, "b:1", "like"): 9, (MINUTE_NOW, "b:1", "dislike"): 1})
    assert [one.item for one in await told.ratios("*", "like", "dislike", 9)] == ["a:1", "b:1", "a:2"]
    assert [one.item for one in await told.ratios("a:*", "like", "dislike", 9)] == ["a:1", "a:2"]
    assert [one.item for one in await told.ratios("*", "like", "dislike", 1)] == ["a:1"]
    engaged = await told.engagement("b:*", "like", ["dislike"], "all", 9, 1)
    assert [(one.item, one.views, one.reactions) for one in engaged] == [("b:1", 9, 1)]
