"""GET /v1/polls/{id}: a poll, and how it stands where whoever asks may see that. Votes are ordinary reactions."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tallycast.polls import Polls, told
from tallycast.service import Service


async def poll(request: Request) -> Response:
    """The poll of the path's id. Raises Refused (`not_found`, counts' refusals)."""
    service: Service = request.app.state.service
    polls: Polls = request.app.state.site.polls
    actor = service.identify(request.headers.get("authorization"))
    found = await polls.find(request.path_params["id"])
    service.check_view(actor, (found.item,))
    ((snapshot, mine),) = await service.hub.read([found.item], actor.name if actor else None)
    headers = {"Cache-Control": f"{'private' if actor else 'public'}, max-age=1", "Vary": "Authorization"}
    body = told.public(found, snapshot, mine, polls.now_s())
    return Response(orjson.dumps(body), headers=headers, media_type="application/json")


routes: list[BaseRoute] = [Route("/v1/polls/{id}", poll)]
