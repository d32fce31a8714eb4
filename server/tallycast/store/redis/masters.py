"""Connections to whichever server sentinels call the master, left when that is another one.

A master that is cut off from sentinels and replicas, and not from hubs, goes on taking writes until it is told that
another has its place, seconds after all can reach each other again. Those writes are lost. Its connections work, so
that nothing but asking the sentinels tells a hub to leave it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import MasterNotFoundError, SentinelConnectionPool
from redis.exceptions import RedisError

from tallycast.store.redis.servers import FIND_S
from tallycast.store.redis.tasks import end

log = logging.getLogger("tallycast.redis")

ASK_S = 1.0


class MasterPool(SentinelConnectionPool):
    """redis-py's pool, which asks the sentinels for new connections only, and asks now and then all the same."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._asking: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    def is_former(self, connection: AbstractConnection) -> bool:
        """Whether `connection`, which was connected, leads to what is no longer the master."""
        return self.master_address not in (None, (connection.host, connection.port))  # type: ignore[attr-defined]

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> AbstractConnection:
        """A connection to the master. Raises TROUBLE (routes.py) where it or the sentinels cannot be reached."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        connection: AbstractConnection = await super().get_connection()  # type: ignore[no-untyped-call]
        if self.is_former(connection):
            try:
                await connection.disconnect()
                await connection.connect()  # type: ignore[no-untyped-call]
            except BaseException:
                await self.release(connection)
                raise
        return connection

    async def get_master_address(self) -> tuple[str, int]:
        """Where the master is. Raises RedisError where no sentinel knows, or none has said it within FIND_S."""
        try:
            # One at a time: whoever is answered changes the order of the sentinels, and two at once would lose some.
            async with asyncio.timeout(FIND_S), self._turn:
                try:
                    address: tuple[str, int] = await super().get_master_address()  # type: ignore[no-untyped-call]
                except asyncio.CancelledError:
                    random.shuffle(self.sentinel_manager.sentinels)  # the first ones are silent
                    raise
        except TimeoutError:
            raise MasterNotFoundError(f"no sentinel named the master within {FIND_S:g} s") from None
        return address

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """End the connections; with those in use, the asking too."""
        if inuse_connections and self._asking is not None:
            await end([self._asking])
        await super().disconnect(inuse_connections)

    async def _ask(self) -> None:
        while True:
            await asyncio.sleep(ASK_S)
            former = self.master_address
            try:
                master = await self.get_master_address()
            except (RedisError, OSError, RuntimeError) as error:
                log.debug("asking the sentinels for the master failed: %s", error)
            else:
                if former not in (None, master):
                    log.warning("the sentinels name another master: %s:%d", *master)
