"""GET /v1/admin/changes on a hub in the test's own process: what followers are sent, and what they do to the hub."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from admin.scene import Scene, opened
from asgi import Call
from hubs import SECONDS
from tallycast import changes as following
from tallycast.changes import Change, Changes, parse
from tallycast.routes.admin import changes as route
from tallycast.store.records import CHANGES
from tallycast.store.sqlite_journal import trim

EVENTS = "text/event-stream"


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(following, "LOOK_S", 0.01)
    async with opened(tmp_path, slow_viewer_s=1) as scene:
        yield scene


async def follow(scene: Scene, query: str = "", *, key: dict[str, str] | None = None, **headers: str) -> Call:
    """A reader, once its answer has begun."""
    all_headers = {**(key or await scene.key("read")), **headers}
    call = Call(scene.app, "GET", f"/v1/admin/changes{query}", **all_headers)
    await call.until("\n")
    assert call.status == 200
    return call


async def react(scene: Scene, item: str, sub: str = "u:1", kind: str = "like", value: int = 1) -> None:
    assert (await scene.react(item, value, sub=sub, kind=kind)).status_code == 200


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line]


async def left(call: Call) -> None:
    call.leave()
    await call.finished()


async def last_id(scene: Scene) -> str:
    return (await scene.service.store.journal.newest(CHANGES, limit=1))[0].id


async def test_every_change_comes_as_a_line_with_how_much_moved(scene: Scene) -> None:
    await react(scene, "post:1")
    call = Call(scene.app, "GET", "/v1/admin/changes", **await scene.key("read"))
    position = lines(await call.until("\n"))
    assert position[0]["changes"] == []
    assert position[0]["id"] == await last_id(scene)
    assert call.headers["content-type"] == "application/x-ndjson"
    assert call.headers["cache-control"] == "no-store"
    assert "content-length" not in call.headers

    await react(scene, "post:1", kind="dislike")
    (told,) = lines(await call.until("dislike"))
    v = (await scene.service.store.read(["post:1"], [])).snapshots["post:1"].v
    assert told["id"] == await last_id(scene)
    assert told["changes"] == [{"item": "post:1", "v": v, "by": {"like": -1, "dislike": 1}}]
    assert abs(told["at"] * 1e6 - v) < 1e6
    await left(call)


async def test_as_events_the_last_id_is_where_to_go_on(scene: Scene) -> None:
    call = Call(scene.app, "GET", "/v1/admin/changes", accept=EVENTS, **await scene.key("read"))
    assert re.fullmatch(r"retry: \d+\nid: 0\n\n", await call.until("\n\n"))
    assert call.headers["content-type"] == "text/event-stream; charset=utf-8"
    await react(scene, "post:1")
    text = await call.until("\n\n")
    found = re.fullmatch(r"event: changes\nid: (\d+)\ndata: (.*)\n\n", text)
    assert found
    assert json.loads(found[2])["id"] == found[1]
    await left(call)

    await react(scene, "post:2")
    again = Call(
        scene.app, "GET", "/v1/admin/changes?after=0", accept=EVENTS, last_event_id=found[1], **await scene.key("read")
    )
    text = await again.until("post:2")
    assert "post:1" not in text, "the browser's own header wins over the query of the first time"
    await left(again)


async def test_who_left_off_somewhere_misses_nothing_and_gets_nothing_twice(scene: Scene) -> None:
    for n in range(5):
        await react(scene, f"post:{n}")
    everything = await follow(scene, "?after=0")
    seen = lines(await everything.until("post:4"))
    assert [change["item"] for told in seen for change in told["changes"]] == [f"post:{n}" for n in range(5)]
    await left(everything)
    for at, told in enumerate(seen):
        call = Call(scene.app, "GET", f"/v1/admin/changes?after={told['id']}", **await scene.key("read"))
        rest = lines(await call.until("post:4")) if at < 4 else lines(await call.until("\n"))
        assert rest[0] == {"id": told["id"], "at": rest[0]["at"], "changes": []}
        assert rest[1:] == seen[at + 1 :]
        await left(call)


async def test_many_readers_from_many_places_end_at_the_same(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "MOST_RECENT_BYTES", 400)  # some of them find their place in memory, others do not
    monkeypatch.setattr(following, "LIMIT", 3)
    store, key = scene.service.store, await scene.key("read")
    calls = []
    for n in range(30):
        await react(scene, "post:1", sub=f"u:{n}")
        if n % 3 == 0:
            calls.append(Call(scene.app, "GET", f"/v1/admin/changes?after={await last_id(scene)}", **key))
        if n % 10 == 0:
            calls.append(Call(scene.app, "GET", "/v1/admin/changes?after=0", **key))
    entries = await store.journal.after(CHANGES, "", limit=100)
    ids = [entry.id for entry in entries]
    for call in calls:
        told = lines(await call.until(f'"id":"{ids[-1]}"'))
        begin = ids.index(told[0]["id"]) + 1 if told[0]["id"] != "0" else 0
        assert [line["id"] for line in told[1:]] == ids[begin:]
        await left(call)


async def test_a_prefix_leaves_out_what_is_of_other_items(scene: Scene) -> None:
    call = await follow(scene, "?prefix=post:")
    await scene.service.store.apply([])
    await react(scene, "video:1")
    await react(scene, "post:1")
    told = lines(await call.until("post:1"))
    assert [change["item"] for line in told for change in line["changes"]] == ["post:1"]
    await left(call)


async def test_a_key_follows_what_it_is_good_for(scene: Scene) -> None:
    key = await scene.key("read", prefix="post:")
    call = await follow(scene, key=key)
    await react(scene, "video:1")
    await react(scene, "post:1")
    assert "video" not in await call.until("post:1")
    await left(call)
    for query, headers, code in (
        ("?prefix=video:", key, "forbidden"),
        ("?prefix=", key, "forbidden"),
        ("", await scene.key("write", "moderate"), "forbidden"),
        ("", {}, "unauthenticated"),
        ("?prefix=a b", key, "bad_item"),
    ):
        answer = await scene.web.get(f"/v1/admin/changes{query}", headers=headers)
        assert answer.json()["code"] == code, answer.text


async def test_a_place_that_is_not_in_the_journal_is_a_clear_problem(scene: Scene) -> None:
    key = await scene.key("read")

    async def problem(after: str) -> tuple[int, str, str]:
        answer = await scene.web.get("/v1/admin/changes", params={"after": after}, headers=key)
        return answer.status_code, answer.json()["code"], answer.json()["detail"]

    assert (await problem("17"))[:2] == (409, "conflict"), "there is no journal yet"
    for n in range(3):
        await react(scene, "post:1", sub=f"u:{n}")
    entries = await scene.service.store.journal.after(CHANGES, "", limit=10)
    await scene.service.store.change(lambda db: trim(db, CHANGES, 1))  # type: ignore[attr-defined]
    status, code, detail = await problem(entries[0].id)
    assert (status, code) == (409, "conflict")
    assert "are not kept any more" in detail
    assert "anew" in detail
    later = str(int(entries[2].id) + 1)
    assert (await problem(later))[:2] == (409, "conflict"), "it would never hear of anything"
    for after in ("", "x", "1-2-3", "-1", "9" * 30, "1 2"):
        assert (await problem(after))[:2] == (400, "bad_request"), after
    call = await follow(scene, f"?after={entries[1].id}", key=key)
    await call.until(entries[2].id)
    await left(call)


async def test_a_reader_whose_place_goes_while_it_follows_is_ended(scene: Scene) -> None:
    for n in range(3):
        await react(scene, "post:1", sub=f"u:{n}")
    changes = Changes(scene.service.store.journal)
    entries = await scene.service.store.journal.after(CHANGES, "", limit=10)
    position = await changes.position(entries[0].id)
    await scene.service.store.change(lambda db: trim(db, CHANGES, 2))  # type: ignore[attr-defined]
    with changes.following(), pytest.raises(Exception, match="not kept any more"):
        await changes.after(position)


async def test_a_quiet_stream_says_that_it_is_there_and_how_far(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "QUIET_S", 0.02)
    quiet = await follow(scene, "?prefix=post:")
    assert await quiet.until("\n") == "\n"
    events = await follow(scene, "?prefix=post:", accept=EVENTS)
    await events.until(": still here\n\n")
    await react(scene, "video:1")
    here = await last_id(scene)
    assert lines(await quiet.until(here))[-1]["changes"] == []
    assert f"id: {here}\n\n" in await events.until(here)
    await left(quiet)
    await left(events)


@pytest.mark.parametrize("busy", [False, True])
async def test_a_key_that_is_revoked_ends_its_streams(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    monkeypatch.setattr(route, "QUIET_S", 0.05)
    key = await scene.key("read")
    call = await follow(scene, key=key)
    await scene.site.access.revoke(key["Authorization"].split("_")[1])
    async with asyncio.timeout(SECONDS):
        while busy and not call.ended:
            await react(scene, "post:1", value=0)
            await react(scene, "post:1")
    await call.finished()
    assert call.ended


async def test_a_reader_that_takes_nothing_is_dropped_and_holds_no_queue(scene: Scene) -> None:
    call = await follow(scene)
    call.hold()
    await react(scene, "post:1")
    await call.held()
    for n in range(10):
        await react(scene, "post:1", sub=f"v{n}")
    await call.finished()
    assert not scene.service.streams
    assert "tallycast_slow_viewers_total 1.0" in scene.service.metrics.render().decode()


async def test_nothing_is_read_while_nobody_follows(scene: Scene) -> None:
    changes: Changes = scene.site.changes
    first, second = await follow(scene), await follow(scene)
    await left(first)
    await react(scene, "post:1")
    await second.until("post:1")
    looking = changes._looking
    assert looking is not None
    await left(second)
    assert changes._looking is None
    with pytest.raises(asyncio.CancelledError):
        await looking
    third = await follow(scene)
    await react(scene, "post:2")
    await third.until("post:2")
    await left(third)


async def test_only_so_many_follow_at_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "MOST_FOLLOWERS", 1)
    key = await scene.key("read")
    call = await follow(scene, key=key)
    answer = await scene.web.get("/v1/admin/changes", headers=key)
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    await left(call)
    await left(await follow(scene, key=key))


async def test_trouble_of_the_store_is_waited_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(route, "AGAIN_S", 0.01)
    call = await follow(scene)
    store: Any = scene.service.store
    await store.look(lambda db: db.execute("ALTER TABLE journal RENAME TO elsewhere"))
    async with asyncio.timeout(SECONDS):
        while "following the journal of changes" not in caplog.text:
            await asyncio.sleep(0.01)
    await store.look(lambda db: db.execute("ALTER TABLE elsewhere RENAME TO journal"))
    await react(scene, "post:1")
    await call.until("post:1")
    await left(call)


async def test_a_hub_that_restarts_ends_the_stream_and_says_when_to_come_back(scene: Scene) -> None:
    call = await follow(scene, accept=EVENTS)
    plain = await follow(scene)
    key = await scene.key("read")
    await scene.service.drain()
    await call.finished()
    await plain.finished()
    assert re.search(r"retry: \d+\n\n$", call.text)
    assert (await scene.web.get("/v1/admin/changes", headers=key)).status_code == 503


async def test_a_head_has_no_body(scene: Scene) -> None:
    answer = await scene.web.head("/v1/admin/changes", headers=await scene.key("read"))
    assert (answer.status_code, answer.content) == (200, b"")
    assert not scene.service.streams


def test_an_entry_means_changes() -> None:
    assert parse(b'[["a",7,{"like":1}],["a",8,{"like":-1}]]') == [
        Change("a", 7, {"like": 1}),
        Change("a", 8, {"like": -1}),
    ]
