"""Alerts and webhooks over HTTP, on a hub that judges and delivers by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_schema_validator import OAS31Validator
from starlette.routing import Route

from admin.scene import Scene, opened
from tallycast.alerts.alert import MOST_ALERTS
from tallycast.alerts.rules import RULES
from tallycast.routes.admin import alerts as routes
from tallycast.routes.admin.openapi import merged
from web import check_problem
from webhook_target import Target, serving

MILESTONES = {"name": "Milestones", "rule": "count", "target": "post:*", "kind": "like", "marks": [2]}
DOCUMENT = merged()
ID = "al_0123456789"
REQUESTS = [
    ("GET", "/v1/admin/alerts", "read"),
    ("POST", "/v1/admin/alerts", "write"),
    ("GET", f"/v1/admin/alerts/{ID}", "read"),
    ("PATCH", f"/v1/admin/alerts/{ID}", "write"),
    ("DELETE", f"/v1/admin/alerts/{ID}", "write"),
    ("GET", "/v1/admin/firings", "read"),
    ("GET", "/v1/admin/webhooks", "read"),
    ("POST", "/v1/admin/webhooks", "write"),
    ("PATCH", f"/v1/admin/webhooks/{ID}", "write"),
    ("DELETE", f"/v1/admin/webhooks/{ID}", "write"),
    ("POST", f"/v1/admin/webhooks/{ID}/test", "write"),
    ("GET", "/v1/admin/deliveries", "read"),
    ("GET", "/v1/admin/dead-letters", "read"),
    ("POST", "/v1/admin/dead-letters/12/redeliver", "write"),
]


class Desk:
    """Asks the alerts' paths with one key. What comes back must be as the API's description says."""

    def __init__(self, scene: Scene, key: dict[str, str]) -> None:
        self.scene, self.key = scene, key

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        answer = await self.scene.web.request(method, f"/v1/admin/{path}", json=body, headers={**self.key, **headers})
        if answer.is_success:
            described(method, f"/v1/admin/{path}", answer)
        return answer

    async def get(self, path: str) -> Any:
        answer = await self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return answer.json()

    async def make(self, path: str, body: Any, **headers: str) -> Any:
        answer = await self.ask("POST", path, body, **headers)
        assert answer.status_code == 201, answer.text
        return answer.json()


def described(method: str, path: str, answer: httpx.Response) -> None:
    """The answer is one that the OpenAPI document has for the path."""
    for name, operations in DOCUMENT["paths"].items():
        parts = zip(name.split("/"), path.partition("?")[0].split("/"), strict=False)
        if name.count("/") == path.count("/") and all(a == b or a.startswith("{") for a, b in parts):
            response = operations[method.lower()]["responses"][str(answer.status_code)]
            if "content" in response:
                schema = {**response["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}
                assert [str(error) for error in OAS31Validator(schema).iter_errors(answer.json())] == []
            return
    raise AssertionError(f"{path} is not described")


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path, webhook_networks=("127.0.0.0/8",)) as scene:
        yield scene


@pytest.fixture
async def desk(scene: Scene) -> Desk:
    return Desk(scene, await scene.key("read", "write"))


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    async with serving() as target:
        yield target


async def test_every_path_needs_a_key_with_its_right(scene: Scene) -> None:
    assert {(m, r.path) for r in routes.routes for m in (r.methods or ()) if m != "HEAD"} == {
        (method, path.replace(ID, "{id}").replace("/12/", "/{entry}/")) for method, path, _ in REQUESTS
    }
    reader, writer = await scene.key("read"), await scene.key("write")
    for method, path, right in REQUESTS:
        check_problem(await scene.web.request(method, path), 401, "unauthenticated")
        wrong = writer if right == "read" else reader
        check_problem(await scene.web.request(method, path, headers=wrong), 403, "forbidden")


async def test_an_alert_is_made_shown_changed_and_deleted(desk: Desk) -> None:
    made = await desk.make("alerts", MILESTONES)
    assert made == {**MILESTONES, "id": made["id"], "webhooks": [], "enabled": True, "made_at": made["made_at"]}
    assert await desk.get("alerts") == {"alerts": [made]}
    assert await desk.get(f"alerts/{made['id']}") == made
    answer = await desk.ask("PATCH", f"alerts/{made['id']}", {"enabled": False, "name": "Off"})
    assert answer.json() == {**made, "enabled": False, "name": "Off"}
    check_problem(await desk.ask("PATCH", f"alerts/{made['id']}", {"marks": [1]}), 400, "bad_request")
    assert (await desk.ask("DELETE", f"alerts/{made['id']}")).status_code == 204
    check_problem(await desk.ask("GET", f"alerts/{made['id']}"), 404, "not_found")
    acts = [entry["act"] for entry in await desk.scene.site.audit.newest(limit=10)]
    assert acts == ["alert.delete", "alert.change", "alert.create"]


async def test_an_alert_made_twice_with_one_key_is_one(desk: Desk) -> None:
    first = await desk.make("alerts", MILESTONES, **{"Idempotency-Key": "one"})
    assert await desk.make("alerts", MILESTONES, **{"Idempotency-Key": "one"}) == first
    other = await desk.ask("POST", "alerts", {**MILESTONES, "marks": [3]}, **{"Idempotency-Key": "one"})
    check_problem(other, 409, "conflict")
    assert len((await desk.get("alerts"))["alerts"]) == 1


async def test_a_webhooks_secret_is_shown_once(desk: Desk, target: Target) -> None:
    body = {"name": "CMS", "url": target.url()}
    made = await desk.make("webhooks", body, **{"Idempotency-Key": "two"})
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert await desk.make("webhooks", body, **{"Idempotency-Key": "two"}) == made
    assert await desk.get("webhooks") == {"webhooks": [made]}
    answer = await desk.ask("PATCH", f"webhooks/{made['id']}", {"enabled": False})
    assert secret not in answer.text
    slack = await desk.make("webhooks", {"name": "Chat", "url": target.url("/T0/B0/hush"), "type": "slack"})
    assert "secret" not in slack
    assert "hush" not in str(await desk.get("webhooks"))
    assert "hush" not in str(await desk.scene.site.audit.newest(limit=10))
    assert secret not in str(await desk.scene.site.audit.newest(limit=10))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"url": "https://10.1.2.3/hook"}, "TALLYCAST_WEBHOOK_NETWORKS"),
    ({"url": "https://169.254.169.254/latest/meta-data/"}, "TALLYCAST_WEBHOOK_NETWORKS"),
    ({"url": "https://[::ffff:10.0.0.1]/"}, "TALLYCAST_WEBHOOK_NETWORKS"),
    ({"url": "ftp://127.0.0.1/"}, "https://"),
    ({"url": "http://me:secret@127.0.0.1/"}, "user or password"),
    ({"url": None}, "url"),
    ({"type": "pager"}, "standard, slack"),
    ({"secret": "hunter2"}, "whsec_"),
    ({"name": ""}, "name"),
    ({"colour": "red"}, "colour"),
]


async def test_a_webhook_that_will_not_do_is_refused(desk: Desk) -> None:
    for body, word in WRONG:
        answer = await desk.ask("POST", "webhooks", {"name": "CMS", "url": "http://127.0.0.1:9/", **body})
        check_problem(answer, 400, "bad_request")
        assert word in answer.json()["detail"]
        assert "hunter2" not in answer.text
    assert await desk.get("webhooks") == {"webhooks": []}


async def test_a_key_with_a_prefix_has_alerts_and_webhooks_of_its_own(scene: Scene, target: Target) -> None:
    all_, blog = Desk(scene, await scene.key()), Desk(scene, await scene.key(prefix="blog:"))
    hook = await all_.make("webhooks", {"name": "All", "url": target.url()})
    beyond = await all_.make("alerts", {**MILESTONES, "webhooks": [hook["id"]]})
    for target_ in ("post:1", "*", "blo*"):
        check_problem(await blog.ask("POST", "alerts", {**MILESTONES, "target": target_}), 403, "forbidden")
    named = {**MILESTONES, "target": "blog:*", "webhooks": [hook["id"]]}
    check_problem(await blog.ask("POST", "alerts", named), 400, "bad_request")
    for method in ("GET", "PATCH", "DELETE"):
        check_problem(await blog.ask(method, f"alerts/{beyond['id']}"), 404, "not_found")
    for method, path in (("PATCH", ""), ("DELETE", ""), ("POST", "/test")):
        check_problem(await blog.ask(method, f"webhooks/{hook['id']}{path}"), 404, "not_found")
    own = await blog.make("webhooks", {"name": "Own", "url": target.url()})
    made = await blog.make("alerts", {**MILESTONES, "target": "blog:*", "webhooks": [own["id"]]})
    assert await blog.get("alerts") == {"alerts": [made]}
    assert [one["name"] for one in (await blog.get("webhooks"))["webhooks"]] == ["Own"]
    assert len((await all_.get("alerts"))["alerts"]) == len((await all_.get("webhooks"))["webhooks"]) == 2


async def test_the_test_button_says_what_the_target_answers(desk: Desk, target: Target) -> None:
    hook = await desk.make("webhooks", {"name": "CMS", "url": target.url()})
    answer = (await desk.ask("POST", f"webhooks/{hook['id']}/test")).json()
    assert (answer["ok"], answer["status"], answer["error"]) == (True, 204, "")
    target.status = 302
    answer = (await desk.ask("POST", f"webhooks/{hook['id']}/test")).json()
    assert (answer["ok"], answer["status"]) == (False, 302)


async def test_what_people_do_is_told_to_a_target_within_seconds(desk: Desk, target: Target) -> None:
    target.status = 410
    hook = await desk.make("webhooks", {"name": "CMS", "url": target.url()})
    alert = await desk.make("alerts", {**MILESTONES, "webhooks": [hook["id"]]})
    for n in range(3):
        await desk.scene.react("post:1", sub=f"u:{n}")
    await target.until(lambda: target.got)
    (firing,) = (await desk.get("firings?limit=5"))["firings"]
    assert firing["alert"] == alert["id"]
    assert target.got[0].json["data"]["text"] == firing["text"]
    assert target.ids == [firing["id"]]
    while not (await desk.get("dead-letters"))["dead_letters"]:
        await asyncio.sleep(0.01)
    (letter,) = (await desk.get("dead-letters?limit=1"))["dead_letters"]
    assert (letter["status"], letter["payload"]["item"]) == (410, "post:1")
    while (await desk.get("webhooks"))["webhooks"][0]["enabled"]:
        await asyncio.sleep(0.01)

    target.status = 204
    assert (await desk.ask("PATCH", f"webhooks/{hook['id']}", {"enabled": True})).json()["enabled"]
    again = await desk.ask("POST", f"dead-letters/{letter['entry']}/redeliver")
    assert (again.status_code, again.json()["state"]) == (202, "waiting")
    check_problem(await desk.ask("POST", f"dead-letters/{letter['entry']}/redeliver"), 409, "conflict")
    await target.until(lambda: len(target.got) == 2)
    while (delivery := (await desk.get("deliveries"))["deliveries"][0])["state"] != "delivered":
        await asyncio.sleep(0.01)
    assert delivery["id"] == letter["id"]
    metrics = (await desk.scene.web.get("/metrics")).text
    assert 'tallycast_alerts_fired_total{rule="count"} 1.0' in metrics
    assert 'tallycast_webhook_attempts_total{result="delivered"} 1.0' in metrics
    assert 'tallycast_webhook_attempts_total{result="dead"} 1.0' in metrics


async def test_a_query_that_is_wrong_is_said_to_be_so(desk: Desk) -> None:
    for path in ("firings?limit=0", "deliveries?limit=x", "dead-letters?limit=1001", "dead-letters?before=yesterday"):
        check_problem(await desk.ask("GET", path), 400, "bad_request")
    check_problem(await desk.ask("POST", "dead-letters/yesterday/redeliver"), 404, "not_found")


async def test_there_is_a_most_of_alerts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_ALERTS == 200
    monkeypatch.setattr("tallycast.alerts.desk.MOST_ALERTS", 1)
    await desk.make("alerts", MILESTONES)
    check_problem(await desk.ask("POST", "alerts", MILESTONES), 409, "conflict")


def test_all_paths_are_described() -> None:
    for route in routes.routes:
        assert isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}:
            assert method.lower() in DOCUMENT["paths"][route.path]


async def test_the_descriptions_examples_are_good_ones(desk: Desk) -> None:
    body = DOCUMENT["paths"]["/v1/admin/alerts"]["post"]["requestBody"]["content"]["application/json"]
    assert body["examples"].keys() == RULES.keys()
    for example in body["examples"].values():
        alert = {**example["value"], "webhooks": []}
        schema = {**body["schema"], "components": DOCUMENT["components"]}
        assert list(OAS31Validator(schema).iter_errors(alert)) == []
        await desk.make("alerts", alert)
