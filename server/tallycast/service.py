"""The hub's parts put together, and what the ways in (sockets, HTTP, event streams) share."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from starlette.requests import HTTPConnection

from tallycast import __version__, wire
from tallycast.errors import Refused
from tallycast.handshake import Gate, by_name
from tallycast.hub import Hub
from tallycast.identity import Actor, Identity, resolve_secret
from tallycast.intake import Intake
from tallycast.keepalive import Keepalive
from tallycast.kinds import POLL, Reaction
from tallycast.limits import Rate
from tallycast.metrics import Metrics
from tallycast.origins import Origins
from tallycast.settings import Settings, read_kinds
from tallycast.store import open_store
from tallycast.viewer import Guest

if TYPE_CHECKING:
    from tallycast.traces import Tracing

log = logging.getLogger("tallycast.service")

SWEEP_S = 1.0
REACTION_BURST = 4  # times the rate of a second: somebody who claps
COME_BACK_PER_S = 1_000  # viewers that a restarted hub gets back a second
COME_BACK_LEAST_S = 2.0
HYPERLOGLOG_ERROR = 0.0081  # the standard error of what Redis says of how many are different, relative to it


class Guard(Protocol):
    """Has a say in who may react, such as a bound method."""

    def __call__(self, actor: Actor, reaction: Reaction, address: str, /) -> None:
        """Let a reaction pass, or raise Refused. It is on every reaction's way: nothing is waited for or read here.

        `address` is what limits per address go by. What passes may still be refused by others.
        """
        ...


class Service:
    """One hub. Made from settings alone; raises ConfigError where they, the kinds file or the store are wrong.

    start() is called inside a running event loop; it is harmless to call it twice.
    """

    now_s = staticmethod(time.monotonic)

    def __init__(self, settings: Settings, tracing: Tracing | None = None) -> None:
        self.settings = settings
        self.tracing = tracing
        self.kinds = read_kinds(settings)
        self.store = open_store(
            settings.store, self.kinds, durability=settings.durability, prefix=settings.prefix, ack=settings.ack
        )
        system = "sqlite" if settings.store.startswith("sqlite:") else "redis"
        estimated = [] if system == "sqlite" else [k.name for k in self.kinds.shown.values() if k.rule == "unique"]
        self.errors = dict.fromkeys(estimated, HYPERLOGLOG_ERROR)  # of the kinds whose counts are estimates
        self.approximate = wire.approximate(self.errors)
        if tracing is not None:
            self.store = tracing.store(self.store, system)
        self.origins = Origins(settings.origins)
        self.identity = Identity(resolve_secret(settings), visitor_s=settings.visitor_days * 86400)
        self.metrics = Metrics()
        self.metrics.info.labels(__version__, system).set(1)
        make_gate = Gate if tracing is None else tracing.gate
        self.gate = make_gate(settings, self.origins, self.identity, self.metrics, clock=self.now_s)
        self.keepalive = Keepalive(
            self.metrics, ping_s=settings.ping_s, slow_viewer_s=settings.slow_viewer_s, request_s=settings.request_s
        )
        self.streams: set[Guest] = set()  # those over plain ASGI and SSE; the fast lane's are in keepalive
        per_s = settings.reactions_per_second
        self._reactions = Rate(per_s, per_s * REACTION_BURST)
        self._visitors = Rate(settings.visitors_per_minute / 60, settings.visitors_per_minute)
        self.hub = Hub(self.store, self.metrics, tick_s=settings.tick_ms / 1000, clock=self.now_s)
        self.intake = Intake(self.store, self.hub, self.metrics, clock=self.now_s)
        self.guards: Sequence[Guard] = ()
        self.vote_guards: Sequence[Guard] = ()  # of reactions to polls
        self.chores: list[Callable[[], Coroutine[Any, Any, None]]] = [self.hub.share_presence]  # run until the end
        self._sweeping: asyncio.TimerHandle | None = None
        self._working: list[asyncio.Task[None]] = []

    # Life

    def start(self) -> None:
        """Begin the housekeeping that comes once a second."""
        if self._sweeping is None:
            if self.tracing is not None:
                self.tracing.start()
            loop = asyncio.get_running_loop()
            self._working = [loop.create_task(chore()) for chore in self.chores]
            self._sweep_later(loop)

    def _sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        due_s = loop.time() + SWEEP_S
        self._sweeping = loop.call_at(due_s, self._sweep, loop, due_s)

    def _sweep(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        now_s = loop.time()
        self.metrics.loop_lag_seconds.observe(max(now_s - due_s, 0.0))
        try:
            self.keepalive.sweep(self.now_s())
            self.hub.forget_idle()
            self.metrics.items.set(len(self.hub))
            self.metrics.viewers.labels("fast").set(len(self.keepalive))
            for work, well in self.store.health().items():
                self.metrics.store_up.labels(work).set(well)
        finally:
            self._sweep_later(loop)

    @property
    def draining(self) -> bool:
        """Whether the hub is on its way out: nobody new is let in."""
        return self.gate.draining

    async def drain(self) -> None:
        """Let nobody in any more, answer what was taken, say bye to all and see them go: within drain_s seconds.

        They are told to come back at different times, so that the next hub is not met by all at once.
        """
        self.gate.draining = True
        try:
            async with asyncio.timeout(self.settings.drain_s):
                await self.intake.drain()
                everybody: list[Guest] = [*(connection.conversation for connection in self.keepalive), *self.streams]
                spread_s = max(COME_BACK_LEAST_S, len(everybody) / COME_BACK_PER_S)
                for at, conversation in enumerate(everybody):
                    conversation.bye(0.5 + random.random() * spread_s)
                    if at % 500 == 499:
                        await asyncio.sleep(0)
                await self.intake.drain()  # what came in between is refused or answered
                while len(self.keepalive) or self.streams:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            log.warning("%d connections did not close in time and are cut", len(self.keepalive) + len(self.streams))
        for connection in list(self.keepalive):
            connection.abort()

    async def close(self) -> None:
        """Answer what was taken and let go of the store."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for work in self._working:
            work.cancel()
        if self._working:
            await asyncio.wait(self._working, timeout=SWEEP_S)
        await self.intake.drain()
        await self.store.close()
        if self.tracing is not None:
            await self.tracing.close()

    # What the ways in share

    def identify(self, authorization: str | None) -> Actor | None:
        """Who sent that Authorization header, None without a bearer token. See Gate.identify."""
        return self.gate.identify(authorization)

    def address(self, connection: HTTPConnection) -> str:
        """What limits per address go by for a request."""
        peer = connection.client
        return self.gate.address(by_name(connection.scope["headers"]), peer.host if peer else "")

    def check_view(self, actor: Actor | None, items: Sequence[str]) -> None:
        """Let an actor, or nobody in particular, see `items`. Raises Refused where that needs a token."""
        if self.settings.viewing == "token":
            if actor is None:
                raise Refused("unauthenticated", "viewing needs a token here")
            self.check_actor(actor, items)

    def check_actor(self, actor: Actor, items: Sequence[str]) -> None:
        """Raises Refused (`token_expired`, `forbidden`) where the actor's token is not good for `items`, or no more."""
        _, expires_s, scope = actor
        if expires_s <= time.time():
            raise Refused("token_expired", "the token has expired: get a new one and send auth again")
        if scope is not None:
            for item in items:
                if not actor.may(item):
                    raise Refused("forbidden", f"the token is not good for {item}")

    def admit(self, actor: Actor, reaction: Reaction, address: str) -> None:
        """Let a reaction of `actor`, who is at `address`, pass.

        Raises Refused (check_actor()'s, `rate_limited`, what the guards have).
        """
        _, expires_s, scope = actor
        item = reaction.item
        if scope is not None or expires_s <= time.time():
            self.check_actor(actor, (item,))
        wait_s = self._reactions.wait_s(actor.name, self.now_s())
        if wait_s:
            raise Refused("rate_limited", "too many reactions at once", retry_after_s=wait_s)
        for check in self.vote_guards if item[:5] == POLL else self.guards:
            check(actor, reaction, address)

    def count_refused(self, kind: object, code: str) -> None:
        """Count a reaction that was refused before it came to the store."""
        known = type(kind) is str and (kind in self.kinds or kind in self.kinds.shown)
        self.metrics.reactions.labels(kind if known else "", code).inc()

    async def react(self, actor: Actor, reaction: Reaction, address: str) -> bytes:
        """A reaction that came alone: wire.body() with `mine` once it is durable. Raises Refused."""
        asker = _Waiting()
        try:
            self.admit(actor, reaction, address)
            self.intake.put(asker, None, reaction)
        except Refused as refusal:
            self.count_refused(reaction.kind, refusal.code)
            raise
        return await asker.answer

    def visitor(self, address: str, seed: bytes | None = None) -> tuple[str, Actor]:
        """A new anonymous identity, (token, actor), for somebody at `address`. Raises Refused (`rate_limited`).

        `seed`: see Identity.visitor.
        """
        wait_s = self._visitors.wait_s(address, self.now_s())
        if wait_s:
            raise Refused("rate_limited", "too many new visitors from this address", retry_after_s=wait_s)
        return self.identity.visitor(seed)


class _Waiting:
    """An asker that waits for its one answer."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def acked(self, answers: Sequence[tuple[int | None, bytes]]) -> None:
        if not self.answer.done():
            self.answer.set_result(answers[0][1])

    def refused(self, ref: int | None, refusal: Refused) -> None:
        if not self.answer.done():
            self.answer.set_exception(refusal)
