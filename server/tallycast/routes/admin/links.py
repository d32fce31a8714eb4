"""/v1/admin/links: read-only links to the dashboard, made, listed and revoked."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tallycast.routes.admin.requests import admin_of, fields, json_body, nothing, reply
from tallycast.sessions import Links


async def listed(request: Request) -> Response:
    """GET /v1/admin/links"""
    admin = await admin_of(request, "keys")
    return reply({"links": [link.told() for link in _links(request).listed(admin)]})


async def make(request: Request) -> Response:
    """POST /v1/admin/links: 201 with the token, which is told this once.

    An Idempotency-Key would have it kept, and so means nothing here.
    """
    body = await json_body(request)
    fields(body, "name", "prefix", "page", "ttl_s")
    prefix = body.get("prefix", "")
    admin = await admin_of(request, "keys", *([prefix] if isinstance(prefix, str) else []))
    links = _links(request)
    wish = links.wish(name=body.get("name"), prefix=prefix, page=body.get("page", "#/wall"), ttl_s=body.get("ttl_s"))
    await request.app.state.site.audit.note(admin.who, "link.make", wish._asdict())
    link, token = await links.make(admin, wish)
    root = str(request.scope.get("root_path", "")).rstrip("/")
    return reply({**link.told(), "token": token, "url": f"{root}/dashboard#link={token}"}, 201)


async def revoke(request: Request) -> Response:
    """DELETE /v1/admin/links/{id}"""
    admin = await admin_of(request, "keys")
    links, id = _links(request), request.path_params["id"]
    link = links.found(admin, id)
    await request.app.state.site.audit.note(admin.who, "link.revoke", {"link": link.id, "name": link.name})
    await links.revoke(link)
    return nothing()


def _links(request: Request) -> Links:
    links: Links = request.app.state.site.sessions.links
    return links


routes = [
    Route("/v1/admin/links", listed),
    Route("/v1/admin/links", make, methods=["POST"]),
    Route("/v1/admin/links/{id}", revoke, methods=["DELETE"]),
]
