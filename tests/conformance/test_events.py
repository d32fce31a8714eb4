"""GET /v1/events: Server-Sent Events for those who cannot have a socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from hubs import running
from lanes import LANES, Lane
from stream import streaming
from talk import Talk
from web import check_problem


async def test_the_stream_is_one_of_events_that_nobody_caches(web: httpx.AsyncClient, item: str) -> None:
    async with streaming(web, item) as stream:
        headers = stream.answer.headers
    assert headers["content-type"].split(";")[0] == "text/event-stream"
    assert "no-cache" in headers["cache-control"] or "no-store" in headers["cache-control"]
    assert "set-cookie" not in headers


async def test_a_snapshot_comes_first_and_every_change_after_it(web: httpx.AsyncClient, user: Talk, item: str) -> None:
    one, two = f"{item}:1", f"{item}:2"
    first = await user.react(one)
    async with streaming(web, one, two) as stream:
        snapshot = {event.data["item"]: event for event in (await stream.counts(), await stream.counts())}
        assert set(snapshot) == {one, two}
        assert {event.name for event in snapshot.values()} == {"counts"}
        assert (snapshot[one].data["v"], snapshot[one].data["counts"]) == (first["v"], {"like": 1})
        assert (snapshot[two].data["v"], snapshot[two].data["counts"]) == (0, {})
        assert snapshot[one].id == str(first["v"])
        ack = await user.react(two, "clap", 4)
        event = await stream.counts()
        assert (event.name, event.id) == ("counts", str(ack["v"]))
        assert event.data == {"ev": "counts", "item": two, "v": ack["v"], "counts": {"clap": 4}}


async def test_a_stream_ends_at_the_newest(web: httpx.AsyncClient, user: Talk, item: str) -> None:
    async with streaming(web, item) as stream:
        for value in range(1, 21):
            ack = await user.react(item, "clap", value)
        versions = []
        while (event := await stream.counts()).data["v"] != ack["v"]:
            versions.append(event.data["v"])
        assert event.data["counts"] == {"clap": 20}
        assert versions == sorted(versions)


async def test_reconnecting_with_a_last_event_id_gives_a_snapshot_again(
    web: httpx.AsyncClient, user: Talk, item: str
) -> None:
    ack = await user.react(item)
    async with streaming(web, item, **{"Last-Event-ID": str(ack["v"])}) as stream:
        assert (await stream.counts()).data["counts"] == {"like": 1}


async def test_no_item_a_bad_item_and_too_many_are_refused(web: httpx.AsyncClient, item: str) -> None:
    check_problem(await web.get("/v1/events"), 400, "bad_request", "bad_item")
    check_problem(await web.get("/v1/events", params={"item": "a b"}), 400, "bad_item")
    too_many = [f"{n}" for n in range(201)]
    check_problem(await web.get("/v1/events", params={"item": too_many}), 400, "too_many_items")


async def test_another_origin_is_refused_and_an_allowed_one_may_read(web: httpx.AsyncClient, item: str) -> None:
    answer = await web.get("/v1/events", params={"item": item}, headers={"Origin": "https://evil.example"})
    check_problem(answer, 403, "forbidden")
    async with streaming(web, item, Origin="https://good.example") as stream:
        assert stream.answer.headers["access-control-allow-origin"] == "https://good.example"


async def test_a_quiet_stream_has_a_comment_every_15_seconds(tmp_path: Path) -> None:
    """On all lanes at the same time, because of the wait."""

    async def comment(lane: Lane, directory: Path) -> str:
        directory.mkdir()
        with running(directory, command=lane.command, prefix=lane.prefix) as hub:
            async with httpx.AsyncClient(base_url=hub.http, timeout=30, trust_env=False, verify=False) as web:
                async with streaming(web, "post:1") as stream:
                    await stream.counts()
                    return str((await stream.next(timeout_s=25)).data)

    assert await asyncio.gather(*(comment(lane, tmp_path / name) for name, lane in LANES.items()))
