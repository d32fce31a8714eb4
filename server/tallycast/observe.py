"""What happens to every HTTP answer, whoever gives it: it is counted, and browsers are told not to guess its type."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Observe:
    """Middleware, the outermost: counts answers by route and status and sets X-Content-Type-Options."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        hub_app = scope["app"]

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Content-Type-Options"] = "nosniff"
                # The router has left the endpoint here; what it did not find, or a middleware answered, has none.
                endpoint = scope.get("endpoint")
                paths = (
                    route.path for route in hub_app.routes if isinstance(route, Route) and route.endpoint is endpoint
                )
                requests = hub_app.state.service.metrics.http_requests
                requests.labels(next(paths, ""), str(message["status"])).inc()
            await send(message)

        await self.app(scope, receive, send_counted)
