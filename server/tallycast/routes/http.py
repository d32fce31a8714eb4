"""The plain requests under /v1/: counts, reactions, visitors, config and the OpenAPI document. See docs/protocol.md."""

from __future__ import annotations

from importlib import resources

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tallycast import wire
from tallycast.errors import Refused
from tallycast.handshake import agent
from tallycast.routes.conditional import conditional
from tallycast.routes.incoming import asked_items, headers_of, read_body
from tallycast.service import Service

MOST_ITEMS = 100  # one GET: with ids of ordinary length its URL stays below the 8 KiB that proxies take
DAY_S = 86_400
NO_STORE = {"Cache-Control": "no-store"}
OPENAPI = resources.files("tallycast").joinpath("openapi.json").read_bytes()


async def counts(request: Request) -> Response:
    """The newest counts of up to MOST_ITEMS items, and what the actor says of them where there is a token."""
    service: Service = request.app.state.service
    actor = service.identify(request.headers.get("authorization"))
    items = asked_items(request, MOST_ITEMS)
    service.check_view(actor, items)
    parts = []
    for snapshot, mine in await service.hub.read(items, actor.name if actor else None):
        body = service.hub.body(snapshot, mine)
        parts.append(body if mine is None else wire.with_mine(body, mine))
    headers = {"Cache-Control": f"{'private' if actor else 'public'}, max-age=1", "Vary": "Authorization"}
    answer = b'{"items":[{%b}]%b}' % (b"},{".join(parts), service.approximate)
    return conditional(request, answer, headers)


async def react(request: Request) -> Response:
    """One reaction of the token's actor, or of whoever has none where the kind allows it, answered once durable."""
    service: Service = request.app.state.service
    kind: object = None
    address = service.address(request)
    try:
        actor = service.identify(request.headers.get("authorization"))
        message = wire.loads(await _body(request))
        kind = message.get("kind")
        if actor is None and not service.kinds.nameless(kind):
            raise Refused("unauthenticated", "a reaction needs an identity: send Authorization: Bearer with a token")
        item = wire.check_item(message.get("item"))
        if actor is None:
            actor = service.gate.stranger(item, address, agent(headers_of(request)))
        reaction = service.kinds.reaction(
            item, actor.name, kind, message.get("value"), message.get("id"), message.get("seq")
        )
    except Refused as refusal:
        service.count_refused(kind, refusal.code)
        raise
    body = await service.react(actor, reaction, address)
    return Response(b"{%b}" % body, headers=NO_STORE, media_type="application/json")


async def visitor(request: Request) -> Response:
    """A new anonymous identity. The request's body may be a JSON object with a `proof`, where the hub asks for one."""
    service: Service = request.app.state.service
    sent = await _body(request)
    address = service.address(request)
    if service.gate.proofs is not None:
        service.gate.proofs.check(address, sent)
    token, actor = service.visitor(address)
    body = {"token": token, "actor": actor.name, "expires_in": service.settings.visitor_days * DAY_S}
    return Response(orjson.dumps(body), 201, NO_STORE, "application/json")


async def config(request: Request) -> Response:
    """What a client needs to know of this hub: its kinds with their rules, and the tick."""
    service: Service = request.app.state.service
    kinds = {name: kind.public() for name, kind in service.kinds.shown.items()}
    for name, error in service.errors.items():
        kinds[name]["approximate"] = error
    body = {"kinds": kinds, "tick_ms": service.settings.tick_ms}
    return conditional(request, orjson.dumps(body), {"Cache-Control": "public, max-age=60"})


async def openapi(request: Request) -> Response:
    """This API, described in OpenAPI 3.1."""
    return conditional(request, OPENAPI, {"Cache-Control": "public, max-age=60"})


async def _body(request: Request) -> bytes:
    settings = request.app.state.service.settings
    return await read_body(request, most_bytes=settings.message_bytes, within_s=settings.request_s)


routes = [
    Route("/v1/counts", counts),
    Route("/v1/reactions", react, methods=["POST"]),
    Route("/v1/visitors", visitor, methods=["POST"]),
    Route("/v1/config", config),
    Route("/v1/openapi.json", openapi),
]
