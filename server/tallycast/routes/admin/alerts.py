"""Alerts, webhooks and what became of their messages. See docs/alerts.md."""

from __future__ import annotations

import re

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tallycast.alerts import Alerts
from tallycast.errors import Refused
from tallycast.routes.admin.requests import admin_of, fields, json_body, nothing, once, reply, whole

MOST_LISTED = 1000
_ENTRY = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?")


def _desk(request: Request) -> Alerts:
    desk: Alerts = request.app.state.site.alerts
    return desk


# Alerts


async def alerts(request: Request) -> Response:
    """All alerts within the key's prefix."""
    admin = await admin_of(request, "read")
    return reply({"alerts": [alert.public() for alert in _desk(request).alerts(admin.prefix)]})


async def add_alert(request: Request) -> Response:
    """A new alert."""
    admin = await admin_of(request, "write")
    body = await json_body(request)
    site = request.app.state.site

    async def make() -> Response:
        alert = _desk(request).describe_alert(body, admin.prefix)
        site.access.permit(admin, "write", alert.target.name)
        await site.audit.note(admin.who, "alert.create", alert.public())
        await _desk(request).add_alert(alert)
        return reply(alert.public(), 201)

    return await once(request, admin, make)


async def alert(request: Request) -> Response:
    """One alert."""
    admin = await admin_of(request, "read")
    return reply(_desk(request).alert(request.path_params["id"], admin.prefix).public())


async def change_alert(request: Request) -> Response:
    """Another name or other webhooks, or on or off."""
    admin = await admin_of(request, "write")
    alert = _desk(request).alert(request.path_params["id"], admin.prefix)
    body = await json_body(request)
    fields(body, "name", "enabled", "webhooks")
    await request.app.state.site.audit.note(admin.who, "alert.change", {"id": alert.id, **body})
    return reply((await _desk(request).change_alert(alert, body, admin.prefix)).public())


async def remove_alert(request: Request) -> Response:
    """One alert less."""
    admin = await admin_of(request, "write")
    alert = _desk(request).alert(request.path_params["id"], admin.prefix)
    await request.app.state.site.audit.note(admin.who, "alert.delete", {"id": alert.id, "name": alert.name})
    await _desk(request).remove_alert(alert)
    return nothing()


async def firings(request: Request) -> Response:
    """What fired, the newest first."""
    admin = await admin_of(request, "read")
    limit = whole(request, "limit", default=100, low=1, high=MOST_LISTED)
    return reply({"firings": [firing.public() for firing in await _desk(request).firings(admin.prefix, limit)]})


# Webhooks


async def webhooks(request: Request) -> Response:
    """All webhooks that keys within the key's prefix made."""
    admin = await admin_of(request, "read")
    return reply({"webhooks": [webhook.public() for webhook in _desk(request).webhooks(admin.prefix)]})


async def add_webhook(request: Request) -> Response:
    """A new webhook. Its secret stands in this answer and in no other, that of a repeated request included."""
    admin = await admin_of(request, "write")
    body = await json_body(request)
    fields(body, "name", "url", "type", "secret")
    secret = ""

    async def make() -> Response:
        nonlocal secret
        webhook = await _desk(request).describe_webhook(body, admin.prefix)
        about = {"id": webhook.id, "name": webhook.name, "type": webhook.type}
        await request.app.state.site.audit.note(admin.who, "webhook.create", about)
        await _desk(request).add_webhook(webhook)
        secret = webhook.secret if webhook.type == "standard" else ""
        return reply(webhook.public(), 201)

    answer = await once(request, admin, make)
    return reply({**orjson.loads(answer.body), "secret": secret}, answer.status_code) if secret else answer


async def change_webhook(request: Request) -> Response:
    """Another name, or on or off."""
    admin = await admin_of(request, "write")
    webhook = _desk(request).webhook(request.path_params["id"], admin.prefix)
    body = await json_body(request)
    fields(body, "name", "enabled")
    await request.app.state.site.audit.note(admin.who, "webhook.change", {"id": webhook.id, **body})
    return reply((await _desk(request).change_webhook(webhook, body)).public())


async def remove_webhook(request: Request) -> Response:
    """One webhook less."""
    admin = await admin_of(request, "write")
    webhook = _desk(request).webhook(request.path_params["id"], admin.prefix)
    await request.app.state.site.audit.note(admin.who, "webhook.delete", {"id": webhook.id, "name": webhook.name})
    await _desk(request).remove_webhook(webhook)
    return nothing()


async def test_webhook(request: Request) -> Response:
    """Sends a test there now: what the target answered."""
    admin = await admin_of(request, "write")
    webhook = _desk(request).webhook(request.path_params["id"], admin.prefix)
    result = await _desk(request).test_webhook(webhook)
    return reply({"ok": result.ok, "status": result.status, "ms": result.took_ms, "error": result.error})


# Deliveries


async def deliveries(request: Request) -> Response:
    """What waits and what ended lately, the newest first."""
    admin = await admin_of(request, "read")
    limit = whole(request, "limit", default=100, low=1, high=MOST_LISTED)
    return reply({"deliveries": [one.public() for one in await _desk(request).deliveries(admin.prefix, limit)]})


async def dead_letters(request: Request) -> Response:
    """What was given up, the newest first."""
    admin = await admin_of(request, "read")
    limit = whole(request, "limit", default=100, low=1, high=MOST_LISTED)
    before = request.query_params.get("before", "")
    if before and not _ENTRY.fullmatch(before):
        raise Refused("bad_request", "before must be the cursor of the page before")
    letters, cursor = await _desk(request).dead_letters(admin.prefix, before, limit)
    found = [{"entry": entry, **dead.public(), "payload": dead.data} for entry, dead in letters]
    return reply({"dead_letters": found, "cursor": cursor})


async def redeliver(request: Request) -> Response:
    """A dead letter goes into the queue again."""
    admin = await admin_of(request, "write")
    entry = request.path_params["entry"]
    await request.app.state.site.audit.note(admin.who, "delivery.again", {"entry": entry})
    return reply((await _desk(request).redeliver(entry, admin.prefix)).public(), 202)


routes = [
    Route("/v1/admin/alerts", alerts),
    Route("/v1/admin/alerts", add_alert, methods=["POST"]),
    Route("/v1/admin/alerts/{id}", alert),
    Route("/v1/admin/alerts/{id}", change_alert, methods=["PATCH"]),
    Route("/v1/admin/alerts/{id}", remove_alert, methods=["DELETE"]),
    Route("/v1/admin/firings", firings),
    Route("/v1/admin/webhooks", webhooks),
    Route("/v1/admin/webhooks", add_webhook, methods=["POST"]),
    Route("/v1/admin/webhooks/{id}", change_webhook, methods=["PATCH"]),
    Route("/v1/admin/webhooks/{id}", remove_webhook, methods=["DELETE"]),
    Route("/v1/admin/webhooks/{id}/test", test_webhook, methods=["POST"]),
    Route("/v1/admin/deliveries", deliveries),
    Route("/v1/admin/dead-letters", dead_letters),
    Route("/v1/admin/dead-letters/{entry}/redeliver", redeliver, methods=["POST"]),
]
