"""/healthz, /readyz, /metrics, and what is done to every answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from asgi import Inside, inside
from tallycast.errors import Unavailable
from tallycast.metrics import CONTENT_TYPE
from tallycast.routes.ops import Readiness
from web import check_problem


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(tmp_path) as hub:
        yield hub


class Store:
    """A store of which only the round trip is asked for, and a clock that stands still unless it is set."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.pings = 0
        self.error: Exception | None = None
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    def clock(self) -> float:
        return self.now_s

    async def ping(self) -> None:
        self.pings += 1
        self.asked.set()
        await self.answers.wait()
        if self.error is not None:
            raise self.error


async def test_a_store_that_answers_is_ready_and_is_not_asked_again_at_once() -> None:
    store = Store()
    readiness = Readiness(store.ping, store.clock)
    for _ in range(3):
        assert await readiness.problem() is None
    assert store.pings == 1
    store.now_s += 1.1
    assert await readiness.problem() is None
    assert store.pings == 2


async def test_a_store_that_fails_is_not_ready_once_its_last_success_is_old() -> None:
    store = Store()
    readiness = Readiness(store.ping, store.clock)
    assert await readiness.problem() is None
    store.error = Unavailable("the disk is gone")
    store.now_s += 4
    assert await readiness.problem() is None
    store.now_s += 1.1
    assert await readiness.problem() == "the disk is gone"
    store.error = None
    assert await readiness.problem() is None


async def test_a_store_that_never_worked_is_not_ready() -> None:
    store = Store()
    store.error = Unavailable("the disk is gone")
    assert await Readiness(store.ping, store.clock).problem() == "the disk is gone"


async def test_a_store_that_hangs_is_asked_once_by_however_many_probes() -> None:
    store = Store()
    store.answers.clear()
    readiness = Readiness(store.ping, store.clock, patience_s=0.01)
    problems = await asyncio.gather(*(readiness.problem() for _ in range(20)))
    assert set(problems) == {"the store has not answered for 0.01 s"}
    assert await readiness.problem() is not None
    assert store.pings == 1
    store.answers.set()
    assert await readiness.problem() is None
    assert store.pings == 1


async def test_a_probe_that_goes_away_does_not_end_the_round_trip_of_the_others() -> None:
    store = Store()
    store.answers.clear()
    readiness = Readiness(store.ping, store.clock)
    gone, other = asyncio.create_task(readiness.problem()), asyncio.create_task(readiness.problem())
    await store.asked.wait()
    gone.cancel()
    await asyncio.wait({gone})
    store.answers.set()
    assert await other is None
    assert store.pings == 1


async def test_a_defect_in_the_round_trip_is_logged_and_not_ready(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    store.error = ZeroDivisionError("inside")
    assert await Readiness(store.ping, store.clock).problem() == "the store failed; it is in the hub's log"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert caplog.records[0].exc_info is not None


async def test_the_probes_answer_in_plain_text_that_nobody_keeps(hub: Inside) -> None:
    for path, text in (("/healthz", "ok\n"), ("/readyz", "ready\n")):
        answer = await hub.web.get(path)
        assert (answer.status_code, answer.text) == (200, text)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert (await hub.web.head(path)).status_code == 200


async def test_a_store_in_trouble_is_not_ready_and_alive(hub: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise Unavailable("the disk is gone")

    monkeypatch.setattr(hub.app.state.readiness, "_ping", fail)
    answer = await hub.web.get("/readyz")
    check_problem(answer, 503, "unavailable")
    assert answer.json()["detail"] == "the disk is gone"
    assert (await hub.web.get("/healthz")).status_code == 200


async def test_a_hub_that_drains_is_not_ready_and_alive(hub: Inside) -> None:
    assert (await hub.web.get("/readyz")).status_code == 200
    await hub.service.drain()
    check_problem(await hub.web.get("/readyz"), 503, "unavailable")
    assert (await hub.web.get("/healthz")).status_code == 200


async def test_metrics_are_prometheus_text_and_count_answers_by_route_and_status(hub: Inside) -> None:
    await hub.web.get("/v1/counts?item=a")
    await hub.web.head("/v1/counts?item=a")
    await hub.web.get("/v1/counts")
    await hub.web.post("/v1/counts")
    await hub.web.get("/v1/config", headers={"Origin": "https://evil.example"})
    for path in ("/x", "/y", "/demo/nothing.js"):
        await hub.web.get(path)
    answer = await hub.web.get("/metrics")
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert answer.headers["cache-control"] == "no-store"
    counted = {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == "tallycast_http_requests_total"
    }
    assert counted == {
        ("/v1/counts", "200"): 2,
        ("/v1/counts", "400"): 1,
        ("/v1/counts", "405"): 1,
        ("", "403"): 1,  # no route was looked for
        ("", "404"): 2,
        ("/demo/{name}", "404"): 1,
    }


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/v1/config", "/v1/counts", "/nothing"])
async def test_no_answer_is_to_be_taken_for_another_type(hub: Inside, path: str) -> None:
    assert (await hub.web.get(path)).headers["x-content-type-options"] == "nosniff"
