"""The gallery at `/`, the wall and the overlay below `/demo/`: small files, read once, the same for everybody."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tallycast.routes.conditional import conditional

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


PAGES = {
    path.name: (path.read_bytes(), MEDIA_TYPES[path.suffix])
    for path in (Path(__file__).parent.parent / "demo").iterdir()
    if path.suffix in MEDIA_TYPES
}


def content_security_policy(host: str | None) -> str:
    """What a page may load and do: the files of its own hub, and talk to its own hub.

    The socket's origin is spelt out for browsers whose 'self' does not cover ws: and wss: yet. `host` is the request's
    Host, used only where it is no more than a name or an address with its port.
    """
    sockets = f" ws://{host} wss://{host}" if host and HOST.fullmatch(host) else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src 'self'{sockets}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )


def send(request: Request, name: str) -> Response:
    """One of the files, or 304 where the browser has it already. Raises HTTPException (404)."""
    if name not in PAGES:
        raise HTTPException(404)
    body, media_type = PAGES[name]
    headers = {
        "Content-Type": media_type,
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Content-Security-Policy": content_security_policy(request.headers.get("host")),
    }
    return conditional(request, body, headers)


async def index(request: Request) -> Response:
    """GET /"""
    return send(request, "index.html")


async def asset(request: Request) -> Response:
    """GET /demo/{name}"""
    return send(request, request.path_params["name"])


routes: list[BaseRoute] = [Route("/", index), Route("/demo/{name}", asset)]
