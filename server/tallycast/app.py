"""The ASGI app: routes and lifespan, nothing else."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypedDict

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from tallycast import otel
from tallycast.cors import Cors
from tallycast.observe import Observe
from tallycast.routes import badge, client, dashboard, demo, events, form, http, live, ops, polls
from tallycast.routes.admin import actors, alerts, bursts, changes, exchange, history, items, keys, links, openapi
from tallycast.routes.admin import polls as admin_polls
from tallycast.routes.problems import Unexpected, exception_handlers
from tallycast.service import Service
from tallycast.settings import Settings
from tallycast.site import Site

if TYPE_CHECKING:
    from tallycast.traces import Tracing


class State(TypedDict):
    """What the server and its protocols find in the lifespan's state."""

    service: Service


class Started:
    """Middleware: starts the hub with the first request. An app that is mounted inside another has no lifespan."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await scope["app"].state.site.open()
        await self.app(scope, receive, send)


def create_app(settings: Settings | None = None, tracing: Tracing | None = None) -> Starlette:
    """The hub as an ASGI app, for any server and to be mounted inside another app.

    Without `settings` they are read from the environment; without `tracing`, OpenTelemetry's variables there decide.
    Raises ConfigError. Under `tallycast serve` sockets take the fast lane (doorstep.py); elsewhere they come through
    routes/live.py, slower, with the same answers.
    """
    service = Service(
        Settings.load(os.environ, {}) if settings is None else settings, tracing or otel.configured(os.environ)
    )

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[State]:
        await app.state.site.open()
        yield {"service": service}
        await service.drain()
        await service.close()

    app = Starlette(
        routes=[
            *live.routes,
            *http.routes,
            *events.routes,
            *badge.routes,
            *form.routes,
            *polls.routes,
            *dashboard.routes,
            *keys.routes,
            *items.routes,
            *actors.routes,
            *exchange.routes,
            *history.routes,
            *changes.routes,
            *bursts.routes,
            *admin_polls.routes,
            *alerts.routes,
            *links.routes,
            *openapi.routes,
            *ops.routes,
            *client.routes,
            *demo.routes,
        ],
        middleware=[Middleware(Observe), Middleware(Started), Middleware(Cors), Middleware(Unexpected)],
        exception_handlers=exception_handlers,
        lifespan=lifespan,
    )
    app.state.service = service
    app.state.site = Site(service)
    app.state.readiness = ops.Readiness(service.store.ping, service.now_s)
    return app
