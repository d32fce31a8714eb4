"""What the administrator's routes share: times, numbers, and answers that are given once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admin.scene import Scene, opened
from tallycast.errors import Refused
from tallycast.routes.admin.requests import moment
from web import check_problem

POLL = {"question": "Which?", "options": ["A", "B"], "closes_at": "2099-01-01T00:00:00Z"}


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as scene:
        yield scene


@pytest.mark.parametrize(
    ("text", "at_s"),
    [
        ("2026-11-22T18:00:00Z", 1795370400),
        ("2026-11-22T18:00:00.5+01:00", 1795366800.5),
        ("2026-11-22", 1795305600),
        ("1795370400", 1795370400),
        ("1795370400.25", 1795370400.25),
        (1795370400, 1795370400),
        (0.5, 0.5),
    ],
)
def test_a_time_is_iso_8601_or_seconds(text: object, at_s: float) -> None:
    assert moment(text) == at_s


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-11-22T18:00", "2026-13-01", "-1", -1, 1e300, True, None, [], "1e9", "9" * 12, "0001-01-01"],
)
def test_what_is_no_time_is_refused(text: object) -> None:
    with pytest.raises(Refused) as caught:
        moment(text)
    assert caught.value.code == "bad_request"


async def test_a_poll_that_is_created_twice_with_one_idempotency_key_is_one(hub: Scene) -> None:
    key = await hub.key("read", "write") | {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
    first, second = [await hub.web.post("/v1/admin/polls", json=POLL, headers=key) for _ in range(2)]
    assert first.status_code == 201, first.text
    assert (second.status_code, second.json()) == (201, first.json())
    assert second.headers["cache-control"] == "no-store"
    assert len((await hub.web.get("/v1/admin/polls", headers=key)).json()["polls"]) == 1
    other = await hub.web.post("/v1/admin/polls", json={**POLL, "question": "Why?"}, headers=key)
    check_problem(other, 409, "conflict")
    somebody = await hub.key("write") | {"Idempotency-Key": key["Idempotency-Key"]}
    assert (await hub.web.post("/v1/admin/polls", json=POLL, headers=somebody)).json()["id"] != first.json()["id"]


async def test_after_a_refusal_the_idempotency_key_is_as_new(hub: Scene) -> None:
    key = await hub.key("write") | {"Idempotency-Key": "k"}
    check_problem(await hub.web.post("/v1/admin/polls", json={}, headers=key), 400, "bad_request")
    assert (await hub.web.post("/v1/admin/polls", json=POLL, headers=key)).status_code == 201


async def test_an_idempotency_key_that_is_none_is_refused(hub: Scene) -> None:
    key = await hub.key("write")
    for wrong in ("", "a b", "x" * 256):
        answer = await hub.web.post("/v1/admin/polls", json=POLL, headers=key | {"Idempotency-Key": wrong})
        check_problem(answer, 400, "bad_request")
