"""Exports that go on where they were cut off, and imports that count wholly or not at all."""

from __future__ import annotations

import asyncio
import csv
import io
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from admin.scene import Scene, opened
from asgi import Call
from hubs import token
from tallycast.errors import Unavailable
from tallycast.exchange import exporting
from web import check_problem

NDJSON = {"Content-Type": "application/x-ndjson"}
CSV = {"Content-Type": "text/csv; charset=utf-8"}


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as scene:
        yield scene


def lines(*objects: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


def value(item: str, actor: str, kind: str = "like", value: int = 1) -> dict[str, Any]:
    return {"item": item, "actor": actor, "kind": kind, "value": value}


async def imported(hub: Scene, what: str, body: bytes, headers: dict[str, str], query: str = "") -> dict[str, Any]:
    """The last line of an import's answer."""
    answer = await hub.web.post(f"/v1/admin/import?what={what}{query}", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    told: list[dict[str, Any]] = [json.loads(line) for line in answer.text.splitlines()]
    assert [one["done"] for one in told] == sorted(one["done"] for one in told)
    return told[-1]


async def exported(hub: Scene, query: str, key: dict[str, str]) -> list[dict[str, Any]]:
    answer = await hub.web.get(f"/v1/admin/export?{query}", headers=key)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_values_go_out_of_one_hub_and_into_another(hub: Scene, tmp_path: Path) -> None:
    key = await hub.key()
    said = [value(f"post:{n % 7}", f"u:{n}", "clap", n % 50 + 1) for n in range(3000)]
    body = lines(
        *said, value("post:1", "u:1", "share", 4), {"item": "post:1", "actor": "u:1", "kind": "like", "value": 1}
    )
    told = await imported(hub, "values", body, key | NDJSON)
    assert told == {"state": "done", "rows": 3002, "done": 3002, "bad": 0, "errors": []}
    await hub.web.put("/v1/admin/items/post:1/counts", json={"like": 120, "comments": 7}, headers=key)
    rows = [row for row in await exported(hub, "what=values", key) if "item" in row]
    assert len(rows) == 3004
    assert {tuple(one.values()) for one in said} < {tuple(row.values()) for row in rows}
    (tmp_path / "other").mkdir()
    async with opened(tmp_path / "other") as other:
        there = await other.key()
        whole = (await hub.web.get("/v1/admin/export?what=values", headers=key)).content
        for _ in range(2):  # sent again it says the same again
            assert (await imported(other, "values", whole, there | NDJSON))["rows"] == 3004
        counts = [await exported(one, "what=counts", its) for one, its in ((hub, key), (other, there))]
        assert [[(row["item"], row["counts"]) for row in export[:-1]] for export in counts[:1]] == [
            [(row["item"], row["counts"]) for row in counts[1][:-1]]
        ]
        assert counts[0][1]["counts"] == {
            "clap": counts[1][1]["counts"]["clap"],
            "like": 121,
            "share": 4,
            "comments": 7,
        }


async def test_starting_counts_come_as_csv_and_viewers_of_the_item_see_them(hub: Scene) -> None:
    key = await hub.key()
    await hub.react("post:1")
    body = b"item,kind,count\r\npost:1,like,120\r\npost:1,comments,7\r\n"
    assert (await imported(hub, "counts", body, key | CSV))["rows"] == 2
    assert await hub.counts("post:1") == {"like": 121, "comments": 7}
    answer = await hub.web.get("/v1/admin/export?format=csv", headers=key)
    assert answer.headers["content-type"].startswith("text/csv")
    table = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert sorted((row["item"], row["kind"], row["count"]) for row in table) == [
        ("post:1", "comments", "7"),
        ("post:1", "like", "121"),
    ]


@pytest.mark.parametrize("what", ["counts", "values"])
async def test_an_export_goes_on_from_any_of_its_cursors(
    hub: Scene, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "ITEMS", 3)
    monkeypatch.setattr(exporting, "ROWS", 2)
    key = await hub.key()
    said = [value(f"post:{n}", f"u:{m}") for n in range(8) for m in range(n + 1)]
    await imported(hub, "values", lines(*said), key | NDJSON)
    whole = await exported(hub, f"what={what}", key)
    assert whole[-1] == {"cursor": ""}
    ends = [at for at, row in enumerate(whole) if row.keys() == {"cursor"}]
    assert len(ends) > 2
    for at in ends[:-1]:
        assert await exported(hub, f"what={what}&cursor={whole[at]['cursor']}", key) == whole[at + 1 :]
    rows = [row for row in whole if "item" in row]
    assert len(rows) == (len(said) if what == "values" else 8)
    table = (await hub.web.get(f"/v1/admin/export?what={what}&format=csv", headers=key)).text.splitlines()
    ends = [at for at, row in enumerate(table) if at and not row.endswith(",")]
    assert len(ends) > 1
    for at in ends:
        cursor = table[at].rpartition(",")[2]
        rest = await hub.web.get(f"/v1/admin/export?what={what}&format=csv&cursor={cursor}", headers=key)
        assert rest.text.splitlines() == table[at + 1 :]


async def test_a_prefix_bounds_what_is_exported_and_imported(hub: Scene) -> None:
    key = await hub.key(prefix="blog/")
    for item in ("blog/1", "shop/1"):
        await hub.react(item)
    assert [row.get("item") for row in await exported(hub, "what=values", key)] == ["blog/1", None]
    answer = await hub.web.post(
        "/v1/admin/import?what=values", content=lines(value("shop/1", "u:2")), headers=key | NDJSON
    )
    check_problem(answer, 400, "bad_request")
    assert answer.json()["errors"][0]["code"] == "forbidden"


def million() -> Iterator[bytes]:
    """A million values, line 500,001 of which is wrong."""
    block = lines(*(value(f"post:{n // 100}", f"u:{n}") for n in range(1000)))
    yield from itertools.repeat(block, 500)
    yield lines(value("post:1", "u:1", "hate"))
    yield from itertools.repeat(block, 500)


async def sent(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_of_a_million_rows_with_a_bad_one_in_the_middle_nothing_is_imported(hub: Scene) -> None:
    key = await hub.key()
    answer = await hub.web.post("/v1/admin/import?what=values", content=sent(million()), headers=key | NDJSON)
    check_problem(answer, 400, "bad_request")
    assert answer.json()["detail"].startswith("line 500001: kind must be one of like, ")
    assert answer.json()["bad"] == 1
    assert answer.json()["errors"][0] | {"message": ""} == {"line": 500_001, "code": "unknown_kind", "message": ""}
    assert (await hub.web.get("/v1/admin/items", headers=key)).json()["items"] == []


async def test_partial_imports_what_is_good_and_tells_the_rest(hub: Scene) -> None:
    key = await hub.key()
    body = lines(value("a", "u:1"), value("a", "u:2", "hate"), value("a", "u:3"), value("a b", "u:4"))
    check_problem(
        await hub.web.post("/v1/admin/import?what=values", content=body, headers=key | NDJSON), 400, "bad_request"
    )
    assert await hub.counts("a") == {}
    told = await imported(hub, "values", body, key | NDJSON, "&partial=true")
    assert (told["rows"], told["bad"]) == (2, 2)
    assert [(bad["line"], bad["code"]) for bad in told["errors"]] == [(2, "unknown_kind"), (4, "bad_item")]
    assert await hub.counts("a") == {"like": 2}


async def test_people_react_while_an_import_is_counted(hub: Scene) -> None:
    key = await hub.key()
    body = lines(*(value(f"post:{n % 100}", f"u:{n}") for n in range(20_000)))
    request = hub.web.build_request("POST", "/v1/admin/import?what=values", content=body, headers=key | NDJSON)
    running = asyncio.create_task(hub.web.send(request))
    acks = 0
    while not running.done():
        answer = await hub.web.post(
            "/v1/reactions",
            json={"item": "other", "kind": "clap", "value": acks % 50},
            headers={"Authorization": f"Bearer {token('ada')}"},
        )
        assert answer.status_code == 200
        acks += 1
    assert acks > 3
    assert (await running).status_code == 200


async def test_an_import_that_the_store_cannot_take_says_how_far_it_came(
    hub: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallycast.exchange.importing.AGAIN_S", 0.0)
    key = await hub.key()
    apply, calls = hub.site.moderator.apply, itertools.count(1)

    async def fail(batch: Any) -> int:
        if next(calls) > 2:
            raise Unavailable("the store's disk is full")
        return await apply(batch)

    monkeypatch.setattr(hub.site.moderator, "apply", fail)
    body = lines(*(value("a", f"u:{n}") for n in range(5000)))
    told = await imported(hub, "values", body, key | NDJSON)
    assert (told["state"], told["rows"], told["done"], told["code"]) == ("failed", 5000, 4000, "unavailable")
    monkeypatch.setattr(hub.site.moderator, "apply", apply)
    assert (await imported(hub, "values", body, key | NDJSON))["state"] == "done"
    assert await hub.counts("a") == {"like": 5000}


async def test_an_export_that_the_store_cuts_off_lacks_its_end(hub: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "ITEMS", 1)
    key = await hub.key()
    for item in ("a", "b", "c"):
        await hub.react(item)
    items, calls = hub.site.moderator.items, itertools.count(1)

    async def fail(*args: Any) -> Any:
        if next(calls) == 3:
            raise Unavailable("the store's disk does not work")
        return await items(*args)

    monkeypatch.setattr(hub.site.moderator, "items", fail)
    call = Call(hub.app, "GET", "/v1/admin/export", authorization=key["Authorization"])
    await call.finished()
    assert not call.ended
    rows = [json.loads(line) for line in call.text.splitlines()]
    assert [row.get("item") for row in rows] == ["a", None, "b", None]
    rest = await exported(hub, f"cursor={rows[-1]['cursor']}", key)
    assert rest[0]["item"] == "c"


async def test_a_body_over_the_limit_is_not_read(hub: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallycast.exchange.importing.MOST_BYTES", 1000)
    key = await hub.key()
    body = lines(*(value("a", f"u:{n}") for n in range(100)))
    for content in (body, sent(iter([body[:600], body[600:]]))):
        answer = await hub.web.post("/v1/admin/import?what=values", content=content, headers=key | NDJSON)
        check_problem(answer, 413, "too_big")
    assert await hub.counts("a") == {}
