"""Who may administrate, and what they did: the key that asks, all keys, revoking one, and the audit log.

Keys are made by `tallycast key make` alone: whoever steals one cannot make himself another.
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tallycast.access import RIGHTS
from tallycast.errors import Refused
from tallycast.routes.admin.requests import admin_of, asker_of, nothing, reply, whole

ENTRY = re.compile(r"[0-9]{1,18}(-[0-9]{1,18})?")


async def mine(request: Request) -> Response:
    """Who asks, and what they may."""
    admin = await asker_of(request)
    key = request.app.state.site.access.keys.get(admin.key)
    rights = [right for right in RIGHTS if right in admin.rights]
    known = {"id": admin.key, "name": admin.name, "rights": rights, "prefix": admin.prefix}
    return reply(key.public(admin.key) if key is not None else known)


async def keys(request: Request) -> Response:
    """All keys, without their secrets."""
    await admin_of(request, "keys", "")
    return reply({"keys": [key.public(id) for id, key in request.app.state.site.access.keys.items()]})


async def revoke(request: Request) -> Response:
    """A key is good no more. Raises Refused (`not_found`)."""
    admin = await admin_of(request, "keys", "")
    site, id = request.app.state.site, request.path_params["id"]
    key = site.access.keys.get(id)
    if key is None:
        raise Refused("not_found", "there is no key with this id: GET /v1/admin/keys lists them")
    await site.audit.note(admin.who, "key.revoke", {"key": id, "name": key.name})
    await site.access.revoke(id)
    return nothing()


async def audit(request: Request) -> Response:
    """Who did what, newest first. Raises Refused (`bad_request`)."""
    await admin_of(request, "moderate", "")
    limit = whole(request, "limit", default=50, low=1, high=1000)
    before = request.query_params.get("before", "")
    try:
        if before and not ENTRY.fullmatch(before):
            raise ValueError
        entries = await request.app.state.site.audit.newest(before=before, limit=limit)
    except ValueError:  # or it has the form of another store's ids
        raise Refused("bad_request", "before is the id of an entry of the log") from None
    return reply({"entries": entries, "cursor": entries[-1]["id"] if len(entries) == limit else ""})


routes: list[BaseRoute] = [
    Route("/v1/admin/key", mine),
    Route("/v1/admin/keys", keys),
    Route("/v1/admin/keys/{id}", revoke, methods=["DELETE"]),
    Route("/v1/admin/audit", audit),
]
