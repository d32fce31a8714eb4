"""What happens to every answer, whoever gives it: it is counted and traced, and has an id and its type for certain."""

from __future__ import annotations

from contextlib import nullcontext

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tallycast import request_id
from tallycast.routes.incoming import headers_of, peer_of
from tallycast.service import Service

# Probes would be most of all traces; a stream's span would end when its reader goes. Its admission is traced instead.
UNTRACED = ("/healthz", "/readyz", "/metrics", "/v1/events")
# The messages that carry an answer's headers; of sockets those under plain ASGI.
BEGINNINGS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class Observe:
    """Middleware, the outermost: counts and traces HTTP answers by route and status, and sets two headers.

    X-Content-Type-Options forbids browsers to guess, and X-Request-ID names the request in the log, sockets' too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        headers = headers_of(connection)
        service: Service = scope["app"].state.service
        id = service.gate.request_id(headers, peer_of(connection))
        is_http = scope["type"] == "http"
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        tracing = service.tracing if is_http and path not in UNTRACED else None

        async def send_marked(message: Message) -> None:
            if message["type"] in BEGINNINGS:
                answer = MutableHeaders(scope=message)
                answer[request_id.HEADER] = id
                if is_http:
                    answer["X-Content-Type-Options"] = "nosniff"
                    route, status = _route(scope), message["status"]
                    service.metrics.http_requests.labels(route, str(status)).inc()
                    if span is not None:
                        span.answered(route, status)
            await send(message)

        with (
            request_id.serving(id),
            nullcontext() if tracing is None else tracing.request(scope["method"], headers, id) as span,
        ):
            await self.app(scope, receive, send_marked)


def _route(scope: Scope) -> str:
    """The path of the route that answers, once it is found; "" where none was looked for, or there is none."""
    # The router has left the endpoint here.
    endpoint = scope.get("endpoint")
    return next((r.path for r in scope["app"].routes if isinstance(r, Route) and r.endpoint is endpoint), "")
