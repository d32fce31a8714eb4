"""Which web pages may use the API: the origin gate and the CORS headers (https://fetch.spec.whatwg.org).

The gate goes by the socket's list. A script's identity is a bearer token and never a cookie: no answer allows
credentials.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tallycast.routes.problems import problem

PREFIX = "/v1/"
FORM = re.compile("/v1/items/.*/reactions")
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST",
    "Access-Control-Allow-Headers": "authorization, content-type, if-none-match, last-event-id",
    "Access-Control-Max-Age": "600",
}
EXPOSED = "ETag, Retry-After, X-Request-ID"


class Cors:
    """Middleware over the paths under /v1/: a page of an origin that is not allowed gets 403, of one that is, headers.

    A request without Origin does not come from a page (or is a plain GET of the hub's own) and passes. A form passes
    too: its route is stricter, and answers a person. Other paths are not touched: a browser keeps other sites' scripts
    from reading them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _path(scope).startswith(PREFIX):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin, host = headers.get("origin"), headers.get("host")
        origins = scope["app"].state.service.origins
        allowed = origins.allows(origin, host)

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in origins.cors(origin, host).items():
                    if name == "Vary":
                        answer.add_vary_header(value)
                    else:
                        answer[name] = value
                if origin is not None and allowed:
                    answer["Access-Control-Expose-Headers"] = EXPOSED
            await send(message)

        app = self.app
        if not allowed and not (scope["method"] == "POST" and FORM.fullmatch(_path(scope))):
            app = problem("forbidden", "pages of this origin may not use this hub: its operator lists those that may")
        elif origin is not None and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            app = Response(status_code=204, headers=PREFLIGHT)
        await app(scope, receive, send_marked)


def _path(scope: Scope) -> str:
    """The path within this app, which may be mounted inside another."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
