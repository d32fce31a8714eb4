"""All of a store's work in Redis, one piece after the other, and what is wrong with it now."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

from redis.exceptions import RedisClusterException, RedisError

from tallycast.errors import Unavailable
from tallycast.store.redis.client import ANSWER_S
from tallycast.store.redis.servers import Command, Confirmation, Servers, command, send
from tallycast.store.redis.trouble import explain

log = logging.getLogger("tallycast.redis")

Ack = Literal["memory", "replica", "disk"]
Ask = Callable[[Sequence[Command]], Awaitable[list[Any]]]  # the answers to commands; raises Unavailable

REPLICA_S = 0.5  # how long a replica may take
DISK_S = 2.0  # how long the disk may take: with appendfsync everysec mostly a second
REST_S = 0.25  # after a failure, until the next one may be waited for


class Way:
    """What Redis `does` for us: what is wrong with it now, and until when it is not tried again.

    What is `confirmed` has reached what the store's setting `ack` says when it is answered.
    """

    def __init__(self, does: str, *, confirmed: bool = False) -> None:
        self.does = does
        self.confirmed = confirmed
        self.trouble: str | None = None
        self.rest_until_s = float("-inf")


class Line:
    """Does what it is asked for in that order, one thing at a time.

    While Redis is away work raises Unavailable, after a second in which it could have come back; at once for REST_S
    after that. `place` names the Redis in the log, `scripts` are loaded where one that is called is not known. What is
    wrong with several lines is told once: `beside` is another one of the same store.
    """

    def __init__(
        self, servers: Servers, place: str, *, ack: Ack, scripts: Sequence[bytes], beside: Line | None = None
    ) -> None:
        self._servers = servers
        self._place = place
        self._confirmation = _confirmation(ack)
        self._scripts = scripts
        self._turn = asyncio.Lock()
        self._ways: list[Way] = beside._ways if beside is not None else []
        self._closed = False

    def way(self, does: str, *, confirmed: bool = False) -> Way:
        """A sort of work that has troubles of its own."""
        way = Way(does, confirmed=confirmed)
        self._ways.append(way)
        return way

    def asking(self, way: Way) -> Ask:
        """Sends commands that way."""

        async def ask(commands: Sequence[Command]) -> list[Any]:
            return (await self.send(way, commands))[0]

        return ask

    async def send(self, way: Way, commands: Sequence[Command]) -> tuple[list[Any], bool]:
        """The answers in the commands' order, and whether some were sent again; see send(). Raises Unavailable."""
        if self._closed:
            raise Unavailable("the store is closed")
        if not commands:
            return [], False
        async with self._turn:
            if way.trouble is not None and (self._closed or time.monotonic() < way.rest_until_s):
                raise Unavailable(way.trouble)
            try:
                answers = await send(
                    self._servers,
                    commands,
                    scripts=self._scripts,
                    confirmation=self._confirmation if way.confirmed else None,
                    answer_s=ANSWER_S,
                    patient=way.trouble is None,
                )
            except (RedisError, RedisClusterException, OSError) as error:
                raise self._refusal(way, error) from None
            if way.trouble is not None:
                way.trouble = None
                log.warning("Redis at %s %s again", self._place, way.does)
            return answers

    async def each(self, way: Way, keys: Sequence[str]) -> list[str]:
        """Some of the keys: one for each server that has slots, as far as they do. Raises Unavailable."""
        try:
            await self._servers.find()
        except (RedisError, RedisClusterException, OSError) as error:
            raise self._refusal(way, error) from None
        return self._servers.each(keys)

    async def close(self) -> None:
        """Do what was asked for, then close all connections."""
        self._closed = True
        async with self._turn:
            await self._servers.close()

    def _refusal(self, way: Way, error: Exception) -> Unavailable:
        message, advice = explain(error)
        if message not in {one.trouble for one in self._ways}:
            log.error("%s, at %s: %s (%s)", message, self._place, advice, error)
        way.trouble = message
        way.rest_until_s = time.monotonic() + REST_S
        return Unavailable(message)


def _confirmation(ack: Ack) -> Confirmation | None:
    """What follows a script on its connection, as the setting wants it."""
    if ack == "replica":
        return Confirmation(command("WAIT", 1, int(REPLICA_S * 1000)), REPLICA_S)
    if ack == "disk":
        return Confirmation(command("WAITAOF", 1, 0, int(DISK_S * 1000)), DISK_S)
    return None
