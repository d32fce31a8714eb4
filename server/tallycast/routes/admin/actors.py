"""Actors: banning and letting back in, of what they say something, forgetting them, and how far that is."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tallycast.errors import Refused
from tallycast.forgetting import alias
from tallycast.routes.admin.items import reason_of, shown
from tallycast.routes.admin.requests import actor_of, admin_of, nothing, reply


async def ban(request: Request) -> Response:
    """Let an actor react to nothing more; what they said stays. The body may say why."""
    admin = await admin_of(request, "moderate", "")
    actor, reason = actor_of(request), await reason_of(request)
    site = request.app.state.site
    await site.audit.note(admin.who, "actor.ban", {"actor": alias(actor), "reason": reason})
    return reply({"actor": actor, "banned": shown(await site.moderator.bars.ban(actor, admin.who, reason))})


async def unban(request: Request) -> Response:
    """Let an actor react again."""
    admin = await admin_of(request, "moderate", "")
    actor, site = actor_of(request), request.app.state.site
    await site.audit.note(admin.who, "actor.unban", {"actor": alias(actor)})
    await site.moderator.bars.unban(actor)
    return nothing()


async def items(request: Request) -> Response:
    """Of which items an actor says something: what one look into a part of the store found. "" ends it."""
    await admin_of(request, "moderate", "")
    actor, cursor = actor_of(request), request.query_params.get("cursor", "")
    found, cursor = await request.app.state.site.moderator.items_of(actor, cursor)
    return reply({"actor": actor, "items": found, "cursor": cursor})


async def forget(request: Request) -> Response:
    """Begin to take all that an actor ever said out of the counts, and their name out of the store: a job."""
    admin = await admin_of(request, "moderate", "")
    actor, site = actor_of(request), request.app.state.site
    await site.audit.note(admin.who, "actor.forget", {"actor": alias(actor)})
    forgetting = site.moderator.forgetting
    id = await forgetting.begin(actor, admin.who)
    return reply(forgetting.jobs[id].public(id), 202)


async def jobs(request: Request) -> Response:
    """All jobs, those of the last month that are done among them."""
    await admin_of(request, "moderate", "")
    found = request.app.state.site.moderator.forgetting.jobs
    return reply({"jobs": [job.public(id) for id, job in found.items()]})


async def job(request: Request) -> Response:
    """One job. Raises Refused (`not_found`)."""
    await admin_of(request, "moderate", "")
    id = request.path_params["id"]
    found = request.app.state.site.moderator.forgetting.jobs.get(id)
    if found is None:
        raise Refused("not_found", "there is no job with this id: GET /v1/admin/jobs lists them")
    return reply(found.public(id))


routes: list[BaseRoute] = [
    Route("/v1/admin/actors/{actor:path}/ban", ban, methods=["PUT"]),
    Route("/v1/admin/actors/{actor:path}/ban", unban, methods=["DELETE"]),
    Route("/v1/admin/actors/{actor:path}/items", items),
    Route("/v1/admin/actors/{actor:path}/forget", forget, methods=["POST"]),
    Route("/v1/admin/jobs", jobs),
    Route("/v1/admin/jobs/{id}", job),
]
