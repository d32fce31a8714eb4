"""What is done to every answer: above all its X-Request-ID, and the same id in the lines of the log."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from asgi import Inside, inside
from hubs import defaults, running
from lanes import LANES
from raw import connected, upgrade
from tallycast import request_id
from tallycast.log import JsonFormatter
from tallycast.store.base import Reading

NEW = re.compile(r"[0-9a-f]{16}")


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(tmp_path) as hub:
        yield hub


@pytest.fixture
async def proxied(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(tmp_path, trusted_proxies=("127.0.0.1",)) as hub:  # which httpx says it is
        yield hub


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What is logged, in lines of JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def ids(written: io.StringIO) -> dict[str, str | None]:
    """The request's id of each line by its message."""
    records = [json.loads(line) for line in written.getvalue().splitlines()]
    return {record["message"]: record.get("request_id") for record in records}


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/v1/config", "/v1/counts", "/nothing"])
async def test_every_answer_has_a_new_id(hub: Inside, path: str) -> None:
    answers = [await hub.web.get(path, headers={"X-Request-ID": "mine"}) for _ in range(2)]
    given = [answer.headers["x-request-id"] for answer in answers]
    assert all(NEW.fullmatch(id) for id in given) and given[0] != given[1]


async def test_answers_of_the_middleware_have_an_id_too(hub: Inside) -> None:
    forbidden = await hub.web.get("/v1/config", headers={"Origin": "https://evil.example"})
    assert forbidden.status_code == 403 and NEW.fullmatch(forbidden.headers["x-request-id"])


@pytest.mark.parametrize("given", ["a", "Root=1-67891233-abcdef", "0af7651916cd43dd8448eb211c80319c", "x" * 128])
async def test_a_trusted_proxys_id_is_taken_over(proxied: Inside, given: str) -> None:
    answer = await proxied.web.get("/healthz", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a","level":"error', "a\tb", "a\x1b[2J", "ä", "a,b"])
async def test_an_id_that_is_not_well_formed_is_replaced(proxied: Inside, given: str) -> None:
    answer = await proxied.web.get("/healthz", headers={b"X-Request-ID": given.encode()})
    assert NEW.fullmatch(answer.headers["x-request-id"])


async def test_two_ids_are_none(proxied: Inside) -> None:
    answer = await proxied.web.get("/healthz", headers=[("X-Request-ID", "one"), ("X-Request-ID", "two")])
    assert NEW.fullmatch(answer.headers["x-request-id"])


async def test_a_line_has_the_id_of_the_answer_that_it_led_to(
    hub: Inside, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> Reading:
        logging.getLogger("tallycast").warning("on the way")
        raise ZeroDivisionError

    monkeypatch.setattr(hub.service.hub, "read", fail)
    answer = await hub.web.get("/v1/counts?item=a")
    assert answer.status_code == 500 and NEW.fullmatch(answer.headers["x-request-id"])
    assert ids(written) == {"on the way": answer.headers["x-request-id"]}


async def test_the_server_that_logs_what_the_app_raised_still_knows_the_request(written: io.StringIO) -> None:
    async def serve() -> None:
        try:
            with request_id.serving("one"):
                raise ZeroDivisionError
        except ZeroDivisionError:
            logging.getLogger("uvicorn.error").error("a defect")

    await asyncio.create_task(serve())
    assert ids(written) == {"a defect": "one"}


async def test_what_a_request_begins_is_of_it_until_it_is_over(written: io.StringIO) -> None:
    log = logging.getLogger("tallycast")
    over = asyncio.Event()

    async def begun() -> None:
        log.warning("during")
        await over.wait()
        log.warning("afterwards")

    with request_id.serving("one"):
        log.warning("before")
        task = asyncio.create_task(begun())
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    over.set()
    await task
    assert ids(written) == {"before": "one", "during": "one", "afterwards": None}


async def test_requests_at_once_are_told_apart(written: io.StringIO) -> None:
    log = logging.getLogger("tallycast")

    async def serve(id: str) -> None:
        with request_id.serving(id):
            await asyncio.sleep(0)
            log.warning("served %s", id)

    await asyncio.gather(*(asyncio.create_task(serve(id)) for id in "abc"))
    assert ids(written) == {f"served {id}": id for id in "abc"}


@pytest.mark.parametrize("lane", ["fast", "uvicorn"])
async def test_sockets_have_an_id_from_their_handshake_on(tmp_path: Path, lane: str) -> None:
    with running(tmp_path, command=LANES[lane].command, **defaults(trusted_proxies="127.0.0.1")) as hub:
        async with connected(hub) as raw:
            opened = await raw.shake(hub, x_request_id="from-the-proxy")
        assert (opened.status, opened.headers["x-request-id"]) == (101, "from-the-proxy")
        async with connected(hub) as raw:
            refused = await raw.shake(hub, origin="https://evil.example", x_request_id="bad id")
        assert refused.status == 403 and NEW.fullmatch(refused.headers["x-request-id"])
        if lane == "fast":
            async with connected(hub) as raw:
                await raw.send(upgrade("/v1/live", "x", x_long="x" * 9 * 1024))
                large = await raw.answer()
            assert large.status == 431 and NEW.fullmatch(large.headers["x-request-id"])
