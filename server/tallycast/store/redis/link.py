"""One subscribed connection to one Redis server, made anew whenever it is in doubt.

redis-py's own PubSub reconnects in silence, and whatever was published meanwhile is lost without a sign. Here the
connection is read directly: every confirmation of a subscription is told of, and so is the end of every connection.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

from redis.asyncio.connection import AbstractConnection

from tallycast.store.redis.routes import TROUBLE
from tallycast.store.redis.tasks import end

log = logging.getLogger("tallycast.redis")

PROBE_S = 0.5
SILENCE_S = 2.0  # without its own probe, after which a connection is given up
LEAST_BACK_OFF_S = 0.05
MOST_BACK_OFF_S = 0.5
CHANNELS_A_COMMAND = 500


class Silence(Exception):
    """The connection looks alive and brings nothing."""


class Listener(Protocol):
    """Whom a link tells. No method may raise."""

    def message(self, channel: bytes, message: bytes) -> None:
        """Something was published."""
        ...

    def joined(self, channel: bytes) -> None:
        """From now on what is published on `channel` is heard; what was published before may not have been."""
        ...

    def left(self, channel: bytes) -> None:
        """The server no longer has `channel`, and ended the subscription."""
        ...

    def broke(self) -> None:
        """The connection is lost; a new one will be made, unless the link is closed."""
        ...


class Link:
    """Subscribes to the channels that are wanted, on one server, until it is closed.

    `dial` makes a connection, `is_former` tells that one leads to a server that was replaced; `probe` names a channel
    of the link's own, and `publish` sends to it the way that reactions take. Whoever does not hear the own probe is not
    heard by what reactions publish either. Made inside the running loop.
    """

    def __init__(
        self,
        server: str,
        listener: Listener,
        *,
        sharded: bool,
        dial: Callable[[], AbstractConnection],
        is_former: Callable[[AbstractConnection], bool],
        probe: Callable[[], bytes],
        publish: Callable[[bytes, bytes], Awaitable[None]],
    ) -> None:
        self._server = server
        self._listener = listener
        self._sharded = sharded
        self._dial = dial
        self._is_former = is_former
        self._name_probe = probe
        self._publish = publish
        self._wanted: dict[bytes, None] = {}
        self._dirty: dict[bytes, None] = {}  # wanted or left since the last command
        self._asked: set[bytes] = set()  # subscribed to on this connection, confirmed or not
        self._leaving: set[bytes] = set()  # whose end is not confirmed yet
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._probe = b""
        self._alive_s = 0.0  # when the connection last proved itself
        self._failures = 0  # since then
        self._broken_s: float | None = None
        self._unpublished: str | None = None  # why the last probe could not be sent
        self._running = self._loop.create_task(self._run())

    def __len__(self) -> int:
        return len(self._wanted)

    @property
    def well(self) -> bool:
        """Whether the connection works, as far as is known."""
        return self._broken_s is None

    def want(self, channel: bytes) -> None:
        """Subscribe to `channel`, with others of this turn of the loop in one command."""
        self._wanted[channel] = None
        self._touch(channel)

    def drop(self, channel: bytes) -> None:
        """Leave `channel`."""
        if channel in self._wanted:
            del self._wanted[channel]
            self._touch(channel)

    async def close(self) -> None:
        """End the connection and everything here."""
        await end([self._running])

    def _touch(self, channel: bytes) -> None:
        self._dirty[channel] = None
        self._changed.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._serve()
            except (*TROUBLE, Silence) as error:
                self._trouble(error)
            except Exception as error:
                log.exception("listening to Redis failed")
                self._trouble(error)
            back_off_s = min(LEAST_BACK_OFF_S * 2 ** min(self._failures, 10), MOST_BACK_OFF_S)
            self._failures += 1
            await asyncio.sleep(back_off_s * random.uniform(0.5, 1.0))

    def _trouble(self, error: Exception) -> None:
        if self._broken_s is None:
            self._broken_s = self._loop.time()
            reason = str(error) or type(error).__name__
            log.warning("%s: changes made by other hubs are not heard: %s; trying again", self._server, reason)
        self._listener.broke()

    async def _serve(self) -> None:
        """The life of one connection. Ends by raising what ended it."""
        self._probe = self._name_probe()
        connection = self._dial()
        tasks: list[asyncio.Task[None]] = []
        try:
            try:
                async with asyncio.timeout(SILENCE_S):
                    await connection.connect()  # type: ignore[no-untyped-call]
            except TimeoutError:
                raise Silence(f"no connection within {SILENCE_S:g} s") from None
            self._alive_s = self._loop.time()
            self._unpublished = None
            self._asked.clear()
            self._leaving.clear()
            self._dirty = {self._probe: None, **self._wanted}
            self._changed.set()
            tasks = [self._loop.create_task(part(connection)) for part in (self._receive, self._send, self._watch)]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            try:
                await end(tasks)
            finally:
                await connection.disconnect(nowait=True)

    async def _receive(self, connection: AbstractConnection) -> None:
        listener = self._listener
        while True:
            answer = await connection.read_response(timeout=math.inf, disconnect_on_error=False)
            kind, channel, *rest = answer
            if kind in (b"message", b"smessage"):
                if channel == self._probe:
                    self._heard_probe()
                else:
                    listener.message(channel, rest[0])
            elif kind in (b"subscribe", b"ssubscribe"):
                # A hundred thousand confirmations may stand before the next probe, and are as good as it.
                self._alive_s = self._loop.time()
                if channel in self._wanted:
                    listener.joined(channel)
            elif kind in (b"unsubscribe", b"sunsubscribe"):
                self._left(channel)

    def _left(self, channel: bytes) -> None:
        if channel in self._leaving:
            self._leaving.remove(channel)
            if channel in self._wanted:  # again, meanwhile
                self._touch(channel)
        elif channel in self._asked:
            self._asked.remove(channel)
            if channel == self._probe:
                raise Silence("the server gave the probe's slot away")
            if channel in self._wanted:
                self._listener.left(channel)

    def _heard_probe(self) -> None:
        self._alive_s = self._loop.time()
        self._failures = 0
        if self._broken_s is not None:
            log.info("%s: heard again after %.1f s", self._server, self._alive_s - self._broken_s)
            self._broken_s = None

    async def _send(self, connection: AbstractConnection) -> None:
        verbs = ("SSUBSCRIBE", "SUNSUBSCRIBE") if self._sharded else ("SUBSCRIBE", "UNSUBSCRIBE")
        while True:
            await self._changed.wait()
            self._changed.clear()
            dirty, self._dirty = self._dirty, {}
            wanted, asked, leaving = self._wanted, self._asked, self._leaving
            join = [c for c in dirty if (c in wanted or c == self._probe) and c not in asked and c not in leaving]
            part = [c for c in dirty if c not in wanted and c in asked and c != self._probe]
            asked.update(join)
            asked.difference_update(part)
            leaving.update(part)
            for verb, channels in zip(verbs, (join, part), strict=True):
                for some in batches(channels, CHANNELS_A_COMMAND):
                    # Shard channels of one command must share a slot, and items hardly ever do.
                    commands: Sequence[Sequence[Any]] = [(verb, c) for c in some] if self._sharded else [(verb, *some)]
                    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)

    async def _watch(self, connection: AbstractConnection) -> None:
        """Publish the probe now and then, and raise Silence when it does not come back or the server was replaced."""
        publishing: asyncio.Task[None] | None = None
        try:
            while (silent_s := self._loop.time() - self._alive_s) < SILENCE_S:
                if self._is_former(connection):
                    raise Silence("another server is the master now")
                if publishing is None or publishing.done():
                    publishing = self._loop.create_task(self._publish_probe())
                await asyncio.sleep(PROBE_S)
        finally:
            if publishing is not None:
                await end([publishing])
        raise Silence(self._unpublished or f"nothing came for {silent_s:.1f} s")

    async def _publish_probe(self) -> None:
        try:
            async with asyncio.timeout(SILENCE_S):
                await self._publish(self._probe, b"")
            self._unpublished = None
        except TROUBLE as error:
            self._unpublished = str(error) or "no answer"


def batches(channels: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """`channels` in lists of at most `size`."""
    rest = iter(channels)
    while some := list(islice(rest, size)):
        yield some
