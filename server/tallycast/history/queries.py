"""What creators ask of history. Times are Unix seconds, names are items or sections; see store/history.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import NamedTuple

from tallycast.history.ratio import wilson_lower
from tallycast.history.spans import WINDOWS, Recent, Span, Within
from tallycast.store.history import DAY, HOUR, MINUTE, TOTAL, UNDATED, Asked, History, Ranking, Series

USUAL_HOURS = 7 * 24  # over which the usual level is the mean
SMOOTHING = 3  # changes that both sides are given, so that 2 after 0 is no sensation
CANDIDATES = 3  # times as many as are wanted, and
LEAST_CANDIDATES = 150  # at least, are looked at exactly
BROAD = 500  # items among which those of the best shares are looked for


class Line(NamedTuple):
    """A series without gaps: `changes` by kind, one for each of `times`, the beginnings of its buckets; `counts` at
    their ends. `total` is the count now, `undated` how much of it moved nobody knows when."""

    span: Span
    times: list[int]
    changes: dict[str, list[int]]
    counts: dict[str, list[int]]
    total: dict[str, int]
    undated: dict[str, int]


class Pace(NamedTuple):
    """How many changes there were lately, and how many are usual in as long a time."""

    n: int
    usual: float


class Rising(NamedTuple):
    """An item whose count rises faster than usual: within the last hour by `n`, `times` as much, smoothed."""

    item: str
    n: int
    usual: float
    times: float


class Engaged(NamedTuple):
    """How many of an item's views led to reactions."""

    item: str
    views: int
    reactions: int
    engagement: float


class Ratio(NamedTuple):
    """The share of those who are for it, None without votes, and what it is at least."""

    item: str
    up: int
    down: int
    ratio: float | None
    at_least: float


class Comparison(NamedTuple):
    """Changes by kind in a span and in the one before it; `growth` is None where there were none before."""

    span: Span
    now: dict[str, int]
    before: dict[str, int]
    growth: dict[str, float | None]


class Queries:
    """Asks the history of a store. Methods raise Unavailable."""

    def __init__(self, history: History, *, clock_s: Callable[[], float] = time.time) -> None:
        self._history = history
        self.now_s = clock_s

    async def series(self, name: str, span: Span, kinds: Collection[str] = ()) -> Line:
        """How the counts of a name moved; of all kinds where none are named."""
        last = max(span.last, int(self.now_s() // span.step) + 1)  # counts are reckoned back from now
        asked = [
            Asked(name, span.step, span.first, last),
            Asked(name, TOTAL, 0, 0),
            Asked(name, DAY, UNDATED, UNDATED),
        ]
        moved, totals, undated = await self._history.series(asked)
        total = _at(totals, 0)
        wanted = list(kinds) or sorted(moved.keys() | total.keys())
        changes: dict[str, list[int]] = {}
        counts: dict[str, list[int]] = {}
        for kind in wanted:
            by_bucket = moved.get(kind, {})
            its = changes[kind] = [by_bucket.get(bucket, 0) for bucket in range(span.first, span.last + 1)]
            count = total.get(kind, 0) - sum(n for bucket, n in by_bucket.items() if bucket > span.last)
            backwards = []
            for n in reversed(its):
                backwards.append(count)
                count -= n
            counts[kind] = backwards[::-1]
        times = [bucket * span.step for bucket in range(span.first, span.last + 1)]
        return Line(span, times, changes, counts, total, _at(undated, UNDATED))

    async def totals(self, names: Sequence[str]) -> dict[str, dict[str, int]]:
        """The counts of names by kind, as far as they are rolled up."""
        found = await self._history.series([Asked(name, TOTAL, 0, 0) for name in names])
        return {name: _at(series, 0) for name, series in zip(names, found, strict=True)}

    async def top(self, section: str, kind: str, within: Within, limit: int) -> Ranking:
        """The items of a section whose counts rose most lately, or that have most of all."""
        if within == "all":
            return _best(dict(await self._history.ranking(section, kind, TOTAL, (0,), limit)), limit)
        _, _, step, size = WINDOWS[within]
        items = await self._candidates(section, kind, within, limit)
        sums = await self._sums(items, step, size)
        return _best({item: by_kind.get(kind, 0) for item, by_kind in sums.items()}, limit)

    async def rising(self, section: str, kind: str, limit: int, least: int) -> list[Rising]:
        """The items of a section that rise fastest against their usual hour: with `least` changes in the last."""
        items = await self._candidates(section, kind, "hour", limit)
        paces = await self.paces(items, kind, 60)
        found = [
            Rising(item, n, usual, (n + SMOOTHING) / (usual + SMOOTHING))
            for item, (n, usual) in paces.items()
            if n >= least
        ]
        return sorted(found, key=lambda one: (-one.times, one.item))[:limit]

    async def paces(self, names: Sequence[str], kind: str, minutes: int) -> dict[str, Pace]:
        """How a count of some names moves: in the last `minutes`, of which one has only begun, and usually.

        What is usual is the mean of the 7 days before the hour in which that time begins, or of as many of these hours
        as there are since the first change.
        """
        now_s = self.now_s()
        minute = int(now_s // MINUTE)
        hour = (minute - minutes + 1) * MINUTE // HOUR
        asked = [
            ask
            for name in names
            for ask in (
                Asked(name, MINUTE, minute - minutes + 1, minute),
                Asked(name, HOUR, hour - USUAL_HOURS, int(now_s // HOUR)),
                Asked(name, TOTAL, 0, 0),
            )
        ]
        found = await self._history.series(asked)
        paces = {}
        for number, name in enumerate(names):
            recent, hours, totals = (series.get(kind, {}) for series in found[3 * number : 3 * number + 3])
            before = {bucket: n for bucket, n in hours.items() if bucket < hour}
            known = USUAL_HOURS
            if before and sum(hours.values()) == sum(totals.values()):  # there was nothing earlier
                known = hour - min(before)
            paces[name] = Pace(sum(recent.values()), sum(before.values()) / known * minutes / 60)
        return paces

    async def pace(self, name: str, kind: str, minutes: int) -> Pace:
        """See paces()."""
        return (await self.paces([name], kind, minutes))[name]

    async def engagement(
        self, section: str, views: str, reactions: Collection[str], within: Within, limit: int, least: int
    ) -> list[Engaged]:
        """The items of a section whose `views` led to most `reactions`, among those most viewed, with `least` views."""
        if within == "all":
            sums = await self.totals([item for item, _ in await self.top(section, views, "all", BROAD)])
        else:
            sums = await self._sums(await self._candidates(section, views, within, BROAD), *WINDOWS[within][2:])
        found = []
        for item, by_kind in sums.items():
            seen = by_kind.get(views, 0)
            if seen >= max(least, 1):
                n = sum(by_kind.get(kind, 0) for kind in reactions)
                found.append(Engaged(item, seen, n, n / seen))
        return sorted(found, key=lambda one: (-one.engagement, one.item))[:limit]

    async def ratios(self, section: str, up: str, down: str, limit: int) -> list[Ratio]:
        """The items of a section that are most surely liked, among those with most votes of either kind."""
        most = [await self.top(section, kind, "all", BROAD) for kind in (up, down)]
        found = await self._ratio(list(dict.fromkeys(item for ranking in most for item, _ in ranking)), up, down)
        return sorted(found, key=lambda one: (-one.at_least, one.item))[:limit]

    async def ratio(self, item: str, up: str, down: str) -> Ratio:
        """The ratio of one name, also where it has no votes."""
        return (await self._ratio([item], up, down))[0]

    async def hours(self, name: str, span: Span, zone: tzinfo, kinds: Collection[str]) -> list[list[int]]:
        """Changes by weekday, Monday first, and hour of the day in `zone`, of the named kinds together, or of all.

        In a zone whose offset is no whole hour, what moved in an hour of UTC counts for the hour in which that begins.
        """
        (series,) = await self._history.series([Asked(name, HOUR, span.first, span.last)])
        week = [[0] * 24 for _ in range(7)]
        for kind in kinds or series:
            for bucket, n in series.get(kind, {}).items():
                at = datetime.fromtimestamp(bucket * HOUR, zone)
                week[at.weekday()][at.hour] += n
        return week

    async def compare(self, name: str, span: Span) -> Comparison:
        """Changes within a span and within the one before it."""
        before = span.before
        (series,) = await self._history.series([Asked(name, span.step, before.first, span.last)])
        now: dict[str, int] = {}
        then: dict[str, int] = {}
        for kind in sorted(series):
            now[kind] = sum(n for bucket, n in series[kind].items() if bucket >= span.first)
            then[kind] = sum(n for bucket, n in series[kind].items() if bucket < span.first)
        growth = {kind: now[kind] / then[kind] - 1 if then[kind] > 0 else None for kind in now}
        return Comparison(span, now, then, growth)

    async def _candidates(self, section: str, kind: str, within: Recent, limit: int) -> list[str]:
        """Items of which the best `limit` are some, unless one is nowhere among the first of any part of the time."""
        number = max(limit * CANDIDATES, LEAST_CANDIDATES) if limit < BROAD else BROAD
        step, size, _, _ = WINDOWS[within]
        now = int(self.now_s() // step)
        ranking = await self._history.ranking(section, kind, step, range(now - size + 1, now + 1), number)
        return [item for item, _ in ranking]

    async def _sums(self, names: Sequence[str], step: int, size: int) -> dict[str, dict[str, int]]:
        """Changes by kind of each name in the last `size` buckets, of which one is now's."""
        now = int(self.now_s() // step)
        found = await self._history.series([Asked(name, step, now - size + 1, now) for name in names])
        return {
            name: {kind: sum(by_bucket.values()) for kind, by_bucket in series.items()}
            for name, series in zip(names, found, strict=True)
        }

    async def _ratio(self, items: Sequence[str], up: str, down: str) -> list[Ratio]:
        found = []
        for item, by_kind in (await self.totals(items)).items():
            ups, downs = max(by_kind.get(up, 0), 0), max(by_kind.get(down, 0), 0)
            votes = ups + downs
            found.append(Ratio(item, ups, downs, ups / votes if votes else None, wilson_lower(ups, downs)))
        return found


def _at(series: Series, bucket: int) -> dict[str, int]:
    return {kind: by_bucket[bucket] for kind, by_bucket in series.items() if by_bucket.get(bucket)}


def _best(sums: Mapping[str, int], limit: int) -> Ranking:
    rising: Iterable[tuple[str, int]] = ((item, n) for item, n in sums.items() if n > 0)
    return sorted(rising, key=lambda one: (-one[1], one[0]))[:limit]
