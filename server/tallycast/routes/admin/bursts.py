"""/v1/admin/bursts: bursts listed, taken out of the counts and put back. How they are found: docs/bursts.md."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tallycast.access import Right
from tallycast.bursts import Bursts
from tallycast.bursts.burst import Burst
from tallycast.errors import Refused
from tallycast.routes.admin.requests import admin_of, asker_of, reply, whole

MOST = 200


async def listed(request: Request) -> Response:
    """GET /v1/admin/bursts: those on items that the key is good for, the newest first."""
    admin = await admin_of(request, "read")
    limit = whole(request, "limit", default=50, low=1, high=MOST)
    item, going = request.query_params.get("item"), request.query_params.get("open", "false")
    if going not in ("true", "false"):
        raise Refused("bad_request", "open is true or false")
    bursts = _bursts(request)
    found = [
        (burst.begun_at, id, burst)
        for id, burst in bursts.bursts.items()
        if burst.item.startswith(admin.prefix) and item in (None, burst.item) and (burst.open or going == "false")
    ]
    found.sort(key=lambda each: each[:2], reverse=True)
    return reply({"bursts": [burst.public(id) for _, id, burst in found[:limit]], "lasting": bursts.lasting})


async def one(request: Request) -> Response:
    """GET /v1/admin/bursts/{id}"""
    id, burst, _ = await _asked(request, "read")
    return reply(burst.public(id))


async def remove(request: Request) -> Response:
    """POST /v1/admin/bursts/{id}/removal: what the marked said leaves the counts; again, what was marked since."""
    id, burst, who = await _asked(request, "moderate")
    await request.app.state.site.audit.note(who, "burst.remove", {"burst": id, "item": burst.item})
    return reply((await _bursts(request).removals.remove(id, who)).public(id))


async def put_back(request: Request) -> Response:
    """DELETE /v1/admin/bursts/{id}/removal: what was taken is said again, where its actors said nothing since."""
    id, burst, who = await _asked(request, "moderate")
    await request.app.state.site.audit.note(who, "burst.put_back", {"burst": id, "item": burst.item})
    return reply((await _bursts(request).removals.put_back(id, who)).public(id))


async def _asked(request: Request, right: Right) -> tuple[str, Burst, str]:
    """The burst that the path names, and who asks. Raises Refused (admin_of()'s, `not_found`)."""
    admin = await asker_of(request)
    id = str(request.path_params["id"])
    burst = _bursts(request).find(id)
    request.app.state.site.access.permit(admin, right, burst.item)
    return id, burst, admin.who


def _bursts(request: Request) -> Bursts:
    bursts: Bursts = request.app.state.site.bursts
    return bursts


routes: list[BaseRoute] = [
    Route("/v1/admin/bursts", listed),
    Route("/v1/admin/bursts/{id}", one),
    Route("/v1/admin/bursts/{id}/removal", remove, methods=["POST"]),
    Route("/v1/admin/bursts/{id}/removal", put_back, methods=["DELETE"]),
]
