"""GET /v1/events from the inside: what a reader that is slow, leaves or comes at a bad time does to the hub."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from asgi import Call, Inside, inside
from hubs import token
from tallycast.errors import Unavailable
from tallycast.routes import events


def versions(text: str) -> list[int]:
    return [int(v) for v in re.findall(r"^id: (\d+)$", text, re.MULTILINE)]


def watchings(hub: Inside) -> int:
    return sum(len(item.watchers) for item in hub.service.hub._items.values())


def nobody_watches(hub: Inside) -> bool:
    metrics = hub.service.metrics.render().decode()
    return (
        hub.service.gate.open == 0
        and not hub.service.streams
        and watchings(hub) == 0
        and 'tallycast_viewers{transport="events"} 0.0' in metrics
    )


async def test_a_stream_begins_with_when_to_come_back_and_every_item_as_it_is(tmp_path: Path) -> None:
    async with inside(tmp_path) as hub:
        ack = await hub.react("post:1")
        call = Call(hub.app, "GET", "/v1/events?item=post:1&item=post:2&item=post:1")
        text = await call.until("post:2")
        head, one, two, rest = text.split("\n\n")
        retry_ms = int(head.removeprefix("retry: "))
        assert events.RETRY_MS[0] <= retry_ms <= events.RETRY_MS[1]
        v = ack["v"]
        assert one == (f'event: counts\nid: {v}\ndata: {{"ev":"counts","item":"post:1","v":{v},"counts":{{"like":1}}}}')
        assert two == 'event: counts\nid: 0\ndata: {"ev":"counts","item":"post:2","v":0,"counts":{}}'
        assert rest == ""
        assert call.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert call.headers["cache-control"] == "no-store"
        assert call.headers["x-accel-buffering"] == "no"
        assert "content-length" not in call.headers


async def test_a_reader_that_leaves_is_forgotten(tmp_path: Path) -> None:
    async with inside(tmp_path) as hub:
        call = Call(hub.app, "GET", "/v1/events?item=post:1&item=post:2")
        await call.until("post:2")
        assert hub.service.gate.open == 1
        assert watchings(hub) == 2
        assert 'tallycast_viewers{transport="events"} 1.0' in hub.service.metrics.render().decode()
        call.leave()
        await call.finished()
        assert nobody_watches(hub)


async def test_a_slow_reader_gets_the_newest_counts_and_no_queue_of_old_ones(tmp_path: Path) -> None:
    async with inside(tmp_path, tick_ms=1) as hub:
        call = Call(hub.app, "GET", "/v1/events?item=post:1&item=post:2")
        await call.until("post:2")
        call.hold()
        first = await hub.react("post:1", sub="u:0")
        await call.held()
        for n in range(1, 40):
            last = await hub.react("post:1", sub=f"u:{n}")
        other = await hub.react("post:2")
        call.taking.set()
        text = await call.until(f'"v":{other["v"]}')
        text += await call.until(f'"v":{last["v"]}') if f'"v":{last["v"]}' not in text else ""
        assert set(versions(text)) == {first["v"], last["v"], other["v"]}
        assert len(versions(text)) <= 4  # first, and each item once after it; one of them once more where ticks met


async def test_a_reader_that_takes_nothing_for_slow_viewer_s_is_dropped(tmp_path: Path) -> None:
    async with inside(tmp_path, slow_viewer_s=1) as hub:
        call = Call(hub.app, "GET", "/v1/events?item=post:1")
        await call.until("post:1")
        call.hold()
        await hub.react("post:1")
        await call.finished()
        assert nobody_watches(hub)
        assert "tallycast_slow_viewers_total 1.0" in hub.service.metrics.render().decode()


async def test_slow_viewer_s_0_waits_for_any_reader(tmp_path: Path) -> None:
    async with inside(tmp_path, slow_viewer_s=0) as hub:
        call = Call(hub.app, "GET", "/v1/events?item=post:1")
        await call.until("post:1")
        call.hold()
        ack = await hub.react("post:1")
        await call.held()
        call.taking.set()
        await call.until(f'"v":{ack["v"]}')


async def test_a_slow_readers_connection_is_cut_where_the_server_can(tmp_path: Path) -> None:
    async with inside(tmp_path, slow_viewer_s=1) as hub:
        call = Call(hub.app, "GET", "/v1/events?item=post:1")
        call.scope["state"] = {"abort": call.leave}
        await call.until("post:1")
        call.hold()
        await hub.react("post:1")
        await call.finished()
        assert call.incoming.empty()  # the app has seen that the connection is gone, and leaves no task behind
        assert nobody_watches(hub)


async def test_a_quiet_stream_has_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "COMMENT_S", 0.01)
    async with inside(tmp_path) as hub:
        call = Call(hub.app, "GET", "/v1/events?item=post:1")
        await call.until("post:1")
        assert (await call.until(": ")).startswith(": still here\n\n")


async def test_a_restart_says_bye_and_ends_the_stream(tmp_path: Path) -> None:
    async with inside(tmp_path) as hub:
        call = Call(hub.app, "GET", "/v1/events?item=post:1")
        await call.until("post:1")
        draining = asyncio.create_task(hub.service.drain())
        text = await call.until("bye")
        await call.finished()
        await draining
        assert call.ended
        match = re.fullmatch(
            r'event: bye\nretry: (\d+)\ndata: \{"ev":"bye","reason":"restart","retry_after":([\d.]+)\}\n\n', text
        )
        assert match is not None, text
        assert int(match[1]) == round(float(match[2]) * 1000)
        assert nobody_watches(hub)
        refused = await hub.web.get("/v1/events?item=post:1")
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")


async def test_a_restart_waits_for_no_reader_that_is_being_written_to(tmp_path: Path) -> None:
    async with inside(tmp_path, drain_s=1, slow_viewer_s=60) as hub:
        call = Call(hub.app, "GET", "/v1/events?item=post:1")
        await call.until("post:1")
        call.hold()
        await hub.react("post:1")
        await hub.service.drain()
        call.taking.set()
        await call.finished()  # the words of goodbye go out all the same once it reads again
        assert call.ended
        assert "event: bye" in call.text


async def test_head_has_the_headers_and_ends(tmp_path: Path) -> None:
    async with inside(tmp_path) as hub:
        answer = await hub.web.head("/v1/events?item=post:1")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert nobody_watches(hub)


async def test_a_store_that_fails_is_a_503_and_nobody_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> Any:
        raise Unavailable("the disk is gone", retry_after_s=1.5)

    async with inside(tmp_path) as hub:
        monkeypatch.setattr(hub.service.store, "read", fail)
        answer = await hub.web.get("/v1/events?item=post:1")
        assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (
            503,
            "unavailable",
            "the disk is gone",
        )
        assert answer.json()["retry_after"] == 1.5
        assert answer.headers["retry-after"] == "2"
        assert nobody_watches(hub)


@pytest.mark.parametrize(
    ("settings", "query", "status", "code"),
    [
        ({}, "", 400, "bad_request"),
        ({}, "item=a%20b", 400, "bad_item"),
        ({"items_per_viewer": 2}, "item=a&item=b&item=c", 400, "too_many_items"),
        ({"viewing": "token"}, "item=a", 401, "unauthenticated"),
    ],
)
async def test_what_is_refused_holds_no_place(
    tmp_path: Path, settings: dict[str, Any], query: str, status: int, code: str
) -> None:
    async with inside(tmp_path, **settings) as hub:
        answer = await hub.web.get(f"/v1/events?{query}")
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert hub.service.gate.open == 0


async def test_where_viewing_needs_a_token_its_scope_counts(tmp_path: Path) -> None:
    async with inside(tmp_path, viewing="token") as hub:
        headers = {"Authorization": f"Bearer {token('u:1', items=['post:*'])}"}
        answer = await hub.web.get("/v1/events?item=page:1", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert (await hub.web.head("/v1/events?item=post:1", headers=headers)).status_code == 200


async def test_0_items_per_viewer_is_no_limit(tmp_path: Path) -> None:
    async with inside(tmp_path, items_per_viewer=0) as hub:
        query = "&".join(f"item=post:{n}" for n in range(300))
        assert (await hub.web.head(f"/v1/events?{query}")).status_code == 200


async def test_streams_count_towards_the_connections_of_their_address(tmp_path: Path) -> None:
    async with inside(tmp_path, connections_per_ip=1, trusted_proxies=("192.0.2.0/24",)) as hub:
        one = Call(hub.app, "GET", "/v1/events?item=post:1", x_forwarded_for="203.0.113.7")
        await one.until("post:1")
        two = Call(hub.app, "GET", "/v1/events?item=post:1", x_forwarded_for="203.0.113.7")
        await two.finished()
        assert two.status == 429
        assert int(two.headers["retry-after"]) >= 1
        other = Call(hub.app, "GET", "/v1/events?item=post:1", x_forwarded_for="203.0.113.8")
        await other.until("post:1")
        assert other.status == 200


def test_a_goodbye_becomes_an_event_that_says_when_to_come_back() -> None:
    data = b'{"ev":"bye","reason":"restart","retry_after":2.7}'
    assert events.event(data) == b"event: bye\nretry: 2700\ndata: %b\n\n" % data
