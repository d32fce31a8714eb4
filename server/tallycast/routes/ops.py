"""For whoever runs the hub: is it alive, would it take a reaction now, and its metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tallycast.errors import Refused
from tallycast.metrics import CONTENT_TYPE
from tallycast.routes.problems import problem

log = logging.getLogger("tallycast.ops")

NO_STORE = {"Cache-Control": "no-store"}


class Readiness:
    """Whether the store worked within the last seconds, however many probes ask and however long it hangs.

    `ping` is the store's round trip, `clock` a monotonic clock in seconds. At most one ping is in flight; an answer
    waits at most `patience_s` for it, and a ping that succeeded `fresh_s` ago or later needs no other.
    """

    def __init__(
        self,
        ping: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
        *,
        fresh_s: float = 1.0,
        good_s: float = 5.0,
        patience_s: float = 2.0,
    ) -> None:
        self._ping = ping
        self._clock = clock
        self._fresh_s, self._good_s, self._patience_s = fresh_s, good_s, patience_s
        self._succeeded_s = -float("inf")
        self._error = ""
        self._pinging: asyncio.Task[None] | None = None

    async def problem(self) -> str | None:
        """None when a round trip succeeded within the last `good_s` seconds, else why not, in one sentence."""
        if self._age_s() > self._fresh_s:
            if self._pinging is None:
                self._pinging = asyncio.create_task(self._round_trip())
            # Not wait_for: it would cancel the round trip under the other probes that wait for it.
            await asyncio.wait({self._pinging}, timeout=self._patience_s)
        if self._age_s() <= self._good_s:
            return None
        return self._error or f"the store has not answered for {self._patience_s:g} s"

    def _age_s(self) -> float:
        return self._clock() - self._succeeded_s

    async def _round_trip(self) -> None:
        self._error = ""
        try:
            await self._ping()
            self._succeeded_s = self._clock()
        except Refused as error:
            self._error = error.message
        except Exception:
            log.exception("the store's round trip failed")
            self._error = "the store failed; it is in the hub's log"
        finally:
            self._pinging = None


async def healthz(_request: Request) -> Response:
    """Alive: the event loop takes turns. Says nothing of the store, so that its trouble restarts no hub."""
    return PlainTextResponse("ok\n", headers=NO_STORE)


async def readyz(request: Request) -> Response:
    """Ready: send traffic here. 503 with the reason while the store fails and once the hub drains."""
    service = request.app.state.service
    if service.draining:
        return problem("unavailable", "this hub is shutting down")
    reason = await request.app.state.readiness.problem()
    if reason is not None:
        return problem("unavailable", reason)
    return PlainTextResponse("ready\n", headers=NO_STORE)


async def metrics(request: Request) -> Response:
    """Prometheus's text format."""
    own = request.app.state.service.metrics
    # A scraper that kept its connection would hear of one worker alone.
    headers = NO_STORE | {"Connection": "close"} if own.worker else NO_STORE
    return Response(own.render(), headers=headers, media_type=CONTENT_TYPE)


routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
