"""History over HTTP: what creators ask, who may, and what is said to whoever asks for what there is not."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import pytest_asyncio

from admin.scene import Scene, opened
from tallycast.history.roller import Roller
from tallycast.history.rollup import Position, rises_of
from tallycast.kinds import Reaction
from tallycast.lease import Lease
from tallycast.store.history import DAY, HOUR, MINUTE
from web import check_problem

NOW_S = int(time.time())
MINUTE_NOW = NOW_S // MINUTE
HISTORY = "/v1/admin/history"
LIKED = {"like": 2, "dislike": 1}


class Asker(NamedTuple):
    """A hub and keys for it, by their prefix, and one that may write and not read."""

    hub: Scene
    keys: dict[str, dict[str, str]]

    @classmethod
    async def of(cls, hub: Scene) -> Asker:
        keys = {prefix: await hub.key("read", prefix=prefix) for prefix in ("", "blog/", "blo")}
        keys["write"] = await hub.key("write")
        await hub.site.mirrors.refresh()
        return cls(hub, keys)

    async def get(self, path: str, key: str = "", **query: Any) -> httpx.Response:
        """The answer to a request with the key of that name."""
        return await self.hub.web.get(f"{HISTORY}/{path}", params=query, headers=self.keys[key])

    async def told(self, path: str, key: str = "", **query: Any) -> dict[str, Any]:
        """What a request that is answered is told."""
        answer = await self.get(path, key, **query)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        body: dict[str, Any] = answer.json()
        return body


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Asker]:
    """A hub with a history: blog/a:1 was liked each hour for two days, blog/b:2 only just, and views there are, too."""
    async with opened(tmp_path_factory.mktemp("hub")) as scene:
        moves = {(MINUTE_NOW - 60 * n, "blog/a:1", "like"): 2 for n in range(1, 49)}
        moves |= {(MINUTE_NOW, "blog/b:2", "like"): 40, (MINUTE_NOW, "blog/a:1", "like"): 2}
        moves |= {(MINUTE_NOW, "blog/b:2", "dislike"): 4, (MINUTE_NOW - 3000, "shop:=1", "like"): 7}
        moves |= {(MINUTE_NOW, "blog/a:1", "clap"): 200, (MINUTE_NOW, "blog/b:2", "clap"): 2000}
        assert await scene.service.store.history.roll("", str(Position(turn=1)), rises_of(moves.items()))
        scene.site.history.now_s = lambda: NOW_S  # no hour ends while this is tested
        yield await Asker.of(scene)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_series_has_no_gaps_and_its_counts_end_at_the_total(asker: Asker) -> None:
    body = await asker.told("series", item="blog/a:1", step="hour", cumulative="true")
    assert body["item"] == "blog/a:1"
    assert body["times"] == list(range(body["from"], body["until"], HOUR))
    assert len(body["times"]) in (7 * 24, 7 * 24 + 1)
    assert sum(body["changes"]["like"]) == 98
    assert body["changes"]["like"][-2:] == [2, 2]
    assert body["counts"]["like"][0] == 0
    assert body["counts"]["like"][-3:] == [94, 96, 98]
    assert body["total"] == {"like": 98, "clap": 200}
    assert body["undated"] == {}


async def test_a_series_of_a_time_that_has_passed_ends_at_the_count_of_then(asker: Asker) -> None:
    until = NOW_S // HOUR * HOUR - 24 * HOUR
    span: dict[str, Any] = {"from": until - HOUR, "until": until}
    body = await asker.told("series", item="blog/a:1", step="hour", kind="like", cumulative="true", **span)
    assert body["from"] == until - HOUR
    assert body["until"] == until
    assert body["changes"] == {"like": [2]}
    assert body["counts"] == {"like": [98 - 2 * 25]}


async def test_times_may_be_iso_8601_and_minutes_and_days_are_asked_alike(asker: Asker) -> None:
    begin = datetime.fromtimestamp(MINUTE_NOW * MINUTE - 600, UTC).isoformat()
    minutes = await asker.told("series", item="blog/b:2", step="minute", **{"from": begin})
    assert sum(minutes["changes"]["like"]) == 40
    assert minutes["changes"]["like"].index(40) == 10
    days = await asker.told("series", prefix="", step="day")
    assert days["prefix"] == ""
    assert sum(days["changes"]["like"]) == 98 + 40 + 7
    assert len(days["times"]) in (90, 91)


async def test_a_scoped_key_sees_its_own_section_and_no_other(asker: Asker) -> None:
    assert (await asker.told("series", "blog/"))["total"] == {"like": 138, "dislike": 4, "clap": 2200}
    assert (await asker.told("top", "blog/"))["prefix"] == "blog/"
    assert (await asker.told("series", "blog/", prefix="blog/a:"))["total"] == {"like": 98, "clap": 200}
    check_problem(await asker.get("series", "blog/", prefix=""), 403, "forbidden")
    check_problem(await asker.get("series", "blog/", item="shop:=1"), 403, "forbidden")
    check_problem(await asker.get("top", "blo"), 400, "bad_request")
    check_problem(await asker.get("top", "write"), 403, "forbidden")
    check_problem(await asker.hub.web.get(f"{HISTORY}/top"), 401, "unauthenticated")


async def test_top_counts_what_rose_within_the_window(asker: Asker) -> None:
    def items(body: dict[str, Any]) -> list[tuple[str, int]]:
        return [(one["item"], one["n"]) for one in body["items"]]

    assert items(await asker.told("top", within="hour")) == [("blog/b:2", 40), ("blog/a:1", 2)]
    assert items(await asker.told("top", within="day", limit=1)) == [("blog/a:1", 48)]
    assert items(await asker.told("top", within="all")) == [("blog/a:1", 98), ("blog/b:2", 40), ("shop:=1", 7)]
    assert items(await asker.told("top", within="all", prefix="shop:")) == [("shop:=1", 7)]
    assert items(await asker.told("top", within="month", kind="dislike")) == [("blog/b:2", 4)]
    assert items(await asker.told("top", within="week", kind="share")) == []


async def test_rising_is_what_is_far_above_its_own_usual(asker: Asker) -> None:
    body = await asker.told("rising", least=1)
    new, old = body["items"]
    assert (new["item"], new["n"], new["usual"]) == ("blog/b:2", 40, 0)
    assert new["times"] == round(43 / 3, 3)
    assert (old["item"], old["n"], old["usual"]) == ("blog/a:1", 2, 2)
    assert [one["item"] for one in (await asker.told("rising"))["items"]] == ["blog/b:2"]


async def test_engagement_is_reactions_over_views(asker: Asker) -> None:
    body = await asker.told("engagement", views="clap")
    assert body["items"] == [
        {"item": "blog/a:1", "views": 200, "reactions": 98, "engagement": 0.49},
        {"item": "blog/b:2", "views": 2000, "reactions": 44, "engagement": 0.022},
    ]
    assert [one["item"] for one in (await asker.told("engagement", views="clap", least=1000))["items"]] == ["blog/b:2"]
    check_problem(await asker.get("engagement"), 400, "bad_request")


async def test_ratio_puts_many_votes_before_few(asker: Asker) -> None:
    body = await asker.told("ratio")
    assert [one["item"] for one in body["items"]] == ["blog/a:1", "blog/b:2", "shop:=1"]
    assert body["items"][1] == {"item": "blog/b:2", "up": 40, "down": 4, "ratio": 0.909091, "at_least": 0.788408}
    one = await asker.told("ratio", item="post:new")
    assert one["items"] == [{"item": "post:new", "up": 0, "down": 0, "ratio": None, "at_least": 0}]


async def test_hours_are_those_of_the_zone(asker: Asker) -> None:
    body = await asker.told("hours", item="blog/b:2", kind="like")
    now = datetime.fromtimestamp(MINUTE_NOW * MINUTE, UTC)
    assert body["hours"][now.weekday()][now.hour] == 40
    assert sum(map(sum, body["hours"])) == 40
    shifted = await asker.told("hours", item="blog/b:2", kind="like", zone="+14:00")
    there = datetime.fromtimestamp(MINUTE_NOW * MINUTE + 14 * HOUR, UTC)
    assert shifted["hours"][there.weekday()][there.hour] == 40
    assert (await asker.told("hours", prefix="blog/", zone="Europe/Berlin"))["zone"] == "Europe/Berlin"


async def test_compare_sets_a_time_against_the_one_before(asker: Asker) -> None:
    begin = NOW_S // HOUR * HOUR - 24 * HOUR
    span: dict[str, Any] = {"from": begin, "until": begin + 24 * HOUR}
    body = await asker.told("compare", item="blog/a:1", **span)
    assert body["now"] == {"from": begin, "until": begin + 24 * HOUR, "changes": {"like": 48}}
    assert body["before"] == {"from": begin - 24 * HOUR, "until": begin, "changes": {"like": 48}}
    assert body["growth"] == {"like": 0}
    week = await asker.told("compare", item="blog/b:2")
    assert week["now"]["changes"] == {"like": 40, "dislike": 4, "clap": 2000}
    assert week["growth"] == {"like": None, "dislike": None, "clap": None}


@pytest.mark.parametrize(
    ("path", "query", "header", "last"),
    [
        (
            "series",
            {"item": "shop:=1", "step": "day", "kind": "like", "cumulative": "true"},
            "time,like,like_count",
            "7",
        ),
        ("top", {"within": "all"}, "item,like", "7"),
        ("rising", {}, "item,like,usual,times", str(43 / 3)),
        ("engagement", {"views": "clap", "least": 1000}, "item,views,reactions,engagement", "0.022"),
        ("ratio", {"item": "post:new"}, "item,like,dislike,ratio,at_least", "0.0"),
        ("hours", {}, "day," + ",".join(map(str, range(24))), None),
        ("compare", {"item": "blog/b:2"}, "kind,now,before,growth", ""),
    ],
)
async def test_every_answer_is_there_as_csv(
    asker: Asker, path: str, query: dict[str, Any], header: str, last: str | None
) -> None:
    answer = await asker.get(path, format="csv", **query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert f"tallycast-{path}.csv" in answer.headers["content-disposition"]
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert ",".join(rows[0]) == header
    assert len(rows) > 1
    assert all(len(row) == len(rows[0]) for row in rows)
    assert last is None or rows[-1][-1] == last


async def test_no_item_is_a_formula_to_a_spreadsheet(tmp_path: Path) -> None:
    async with opened(tmp_path) as hub:
        moves = {(MINUTE_NOW, item, "like"): 1 for item in ("=1+1", "-2", "@x", "+3", "x=1")}
        assert await hub.service.store.history.roll("", str(Position(turn=1)), rises_of(moves.items()))
        rows = (await (await Asker.of(hub)).get("top", format="csv")).text.splitlines()
        assert sorted(rows[1:]) == ["'+3,1", "'-2,1", "'=1+1,1", "'@x,1", "x=1,1"]


@pytest.mark.parametrize(
    ("path", "query", "code", "said"),
    [
        ("series", {"step": "week"}, "bad_request", "minute, hour, day"),
        ("series", {"step": "minute", "from": NOW_S - 3 * DAY}, "bad_request", "48 hours"),
        ("series", {"step": "hour", "from": NOW_S - 91 * DAY}, "bad_request", "90 days"),
        ("series", {"step": "day", "from": 0}, "bad_request", "3660 days"),
        ("series", {"from": NOW_S, "until": NOW_S - 1}, "bad_request", "before until"),
        ("series", {"until": NOW_S + DAY}, "bad_request", "future"),
        ("series", {"step": "day", "from": NOW_S + DAY, "until": NOW_S + DAY}, "bad_request", "future"),
        ("series", {"from": "yesterday"}, "bad_request", "ISO 8601"),
        ("series", {"kind": "hug"}, "unknown_kind", "like"),
        ("series", {"item": "a b"}, "bad_item", "item"),
        ("series", {"item": "a", "prefix": "a"}, "bad_request", "not for both"),
        ("series", {"prefix": "blog"}, "bad_request", "ends with"),
        ("series", {"prefix": "a:b:c:d:e:"}, "bad_request", "at most 4"),
        ("series", {"cumulative": "yes"}, "bad_request", "true or false"),
        ("series", {"format": "xml"}, "bad_request", "json or csv"),
        ("top", {"within": "year"}, "bad_request", "hour, day, week, month, all"),
        ("top", {"limit": 201}, "bad_request", "limit"),
        ("rising", {"least": 0}, "bad_request", "least"),
        ("engagement", {"views": "hug"}, "unknown_kind", "views"),
        ("ratio", {"up": "love"}, "unknown_kind", "up"),
        ("hours", {"zone": "Mars/Olympus"}, "bad_request", "zone"),
        ("hours", {"zone": "../../etc/passwd"}, "bad_request", "zone"),
        ("hours", {"zone": "+15:00"}, "bad_request", "zone"),
        ("compare", {"from": NOW_S + DAY}, "bad_request", "future"),
    ],
)
async def test_what_cannot_be_answered_says_why(
    asker: Asker, path: str, query: dict[str, Any], code: str, said: str
) -> None:
    answer = await asker.get(path, **query)
    check_problem(answer, 400, code)
    assert said in answer.json()["detail"]


async def test_what_people_say_is_in_history_when_it_is_rolled_up(tmp_path: Path) -> None:
    async with opened(tmp_path) as hub:
        await hub.react("post:1")
        await hub.react("post:1", sub="u:2", kind="dislike")
        store, kinds = hub.service.store, hub.service.kinds
        await store.apply([Reaction("post:1", "u:3", "like", 1)])
        lease = Lease(store.records, "test", owner="test", ttl_s=60, clock_s=time.monotonic)
        roller = Roller(store.history, store.journal, store.moderation, lease, kinds)
        asker = await Asker.of(hub)
        async with asyncio.timeout(10):  # the hub's own may be in the middle of it
            while (body := await asker.told("series", item="post:1", step="minute"))["total"] != LIKED:
                await roller.round()
        assert {kind: sum(its) for kind, its in body["changes"].items()} == LIKED
