"""Which Redis server a channel is heard at: the one that there is, or the shard that has the channel's slot."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError

from tallycast.store.redis.masters import MasterPool
from tallycast.store.redis.servers import FIND_S

# What talking to Redis may raise. RedisClusterException is no RedisError: no node of the cluster answered. RuntimeError
# is uvloop's when something is written to a connection that was reset a moment ago.
TROUBLE = (RedisError, RedisClusterException, OSError, RuntimeError)

# A connection that is subscribed is read all the time and ended by its own probe. RESP2, as what comes then are plain
# lists.
OWN_LIFE: dict[str, Any] = {
    "protocol": 2,
    "health_check_interval": 0,
    "retry_on_timeout": False,
    "retry_on_error": [],
    "maint_notifications_config": None,
}


class Routes(Protocol):
    """Where channels are. A server goes by a name; the names may change with refresh()."""

    sharded: bool

    def server(self, channel: bytes) -> str | None:
        """The server at which `channel` is heard; None while that is not known."""
        ...

    def connection(self, server: str) -> AbstractConnection:
        """A new connection to `server`, not yet connected and in no pool. Raises TROUBLE where it is gone."""
        ...

    def is_former(self, connection: AbstractConnection) -> bool:
        """Whether `connection`, which was connected, leads to a server that has been replaced."""
        ...

    def probe(self, server: str, names: Iterable[bytes]) -> bytes:
        """The first of the endless `names` that is heard at `server`. Raises TROUBLE where it is gone."""
        ...

    async def publish(self, channel: bytes, message: bytes) -> None:
        """Publish the way that reactions take. Raises TROUBLE."""
        ...

    async def evaluate(self, script: bytes, key: str, argument: int) -> None:
        """Run a script where `key` is. Raises TROUBLE."""
        ...

    async def refresh(self) -> None:
        """Ask again who has what. Raises TROUBLE."""
        ...

    async def close(self) -> None:
        """Close the connections that publish."""
        ...


class OneServer:
    """A single Redis, or the one that sentinels name now."""

    sharded = False

    def __init__(self, client: Redis) -> None:
        self._client = client

    def server(self, channel: bytes) -> str | None:
        return "redis"

    def connection(self, server: str) -> AbstractConnection:
        pool = self._client.connection_pool
        kwargs = {**pool.connection_kwargs, **OWN_LIFE, "retry": once()}
        connection: AbstractConnection = pool.connection_class(**kwargs)
        return connection

    def is_former(self, connection: AbstractConnection) -> bool:
        pool = self._client.connection_pool
        return isinstance(pool, MasterPool) and pool.is_former(connection)

    def probe(self, server: str, names: Iterable[bytes]) -> bytes:
        return next(iter(names))

    async def publish(self, channel: bytes, message: bytes) -> None:
        await self._client.publish(channel, message)

    async def evaluate(self, script: bytes, key: str, argument: int) -> None:
        await self._client.execute_command("EVAL", script, 1, key, argument)  # type: ignore[no-untyped-call]

    async def refresh(self) -> None:
        pass

    async def close(self) -> None:
        await self._client.aclose()
        await self._client.connection_pool.disconnect()


class Shards:
    """A cluster: a channel is heard at the master of its slot."""

    sharded = True

    def __init__(self, client: RedisCluster) -> None:
        self._client = client
        self._known = False

    def server(self, channel: bytes) -> str | None:
        slots = self._client.nodes_manager.slots_cache
        nodes = slots.get(self._client.keyslot(channel)) if self._known else None
        return nodes[0].name if nodes else None

    def connection(self, server: str) -> AbstractConnection:
        node = self._client.get_node(node_name=server)
        if node is None:
            raise RedisConnectionError(f"{server} is no longer in the cluster")
        kwargs = {**node.connection_kwargs, **OWN_LIFE, "retry": once()}
        connection: AbstractConnection = node.connection_class(**kwargs)
        return connection

    def is_former(self, connection: AbstractConnection) -> bool:
        return False  # a node that loses a slot ends its subscriptions itself

    def probe(self, server: str, names: Iterable[bytes]) -> bytes:
        if not any(nodes and nodes[0].name == server for nodes in self._client.nodes_manager.slots_cache.values()):
            raise RedisConnectionError(f"{server} has no slots")
        return next(name for name in names if self.server(name) == server)

    async def publish(self, channel: bytes, message: bytes) -> None:
        await self._client.execute_command("SPUBLISH", channel, message)

    async def evaluate(self, script: bytes, key: str, argument: int) -> None:
        await self._client.execute_command("EVAL", script, 1, key, argument)

    async def refresh(self) -> None:
        async with asyncio.timeout(FIND_S):
            if self._known:
                await self._client.nodes_manager.initialize()
            else:
                await self._client.initialize()
                self._known = True

    async def close(self) -> None:
        await self._client.aclose()


def routes_of(client: Redis | RedisCluster) -> Routes:
    """The routes of a client."""
    return Shards(client) if isinstance(client, RedisCluster) else OneServer(client)


def once() -> Retry:
    """redis-py's retry that does not retry."""
    return Retry(NoBackoff(), 0)
