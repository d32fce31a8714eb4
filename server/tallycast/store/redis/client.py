"""redis-py's clients as used here: bounded, with time-outs, and never repeating a command by themselves."""

from __future__ import annotations

from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster, SSLConnection
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from tallycast.store.redis.masters import MasterPool
from tallycast.store.redis.url import RedisUrl

CONNECT_S = 1.0
ANSWER_S = 1.0  # until an answer counts as lost; scripts take milliseconds
HEALTH_CHECK_S = 15  # a connection that was idle that long is pinged before it is used
MOST_CONNECTIONS = 8

Client = Redis | RedisCluster


def connect(url: RedisUrl, *, name: str, answer_s: float | None = ANSWER_S, most: int = MOST_CONNECTIONS) -> Client:
    """A client of the Redis at `url`, not connected yet: its master where sentinels watch over it.

    `name` is shown by CLIENT LIST. `answer_s` is how long an answer may take, None for however long (a subscriber).
    At most `most` connections to a server; who wants one more waits for up to CONNECT_S, behind sentinels it is
    refused. redis-py would repeat a command whose answer was lost up to ten times: here it raises at once.
    """
    options: dict[str, Any] = {
        "username": url.user or None,
        "password": url.password or None,
        "socket_timeout": answer_s,
        "socket_connect_timeout": CONNECT_S,
        "socket_keepalive": True,
        "health_check_interval": HEALTH_CHECK_S,
        "client_name": name,
        "protocol": 2,  # its parser needs no push messages, and maintenance notifications stay off
    }
    if url.form == "cluster":
        # Behind this name is a copy for each node, whose connections redis-py itself makes without retries.
        return RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in url.nodes],
            retry=_no_retry(),
            max_connections=most,
            ssl=url.tls,
            require_full_coverage=False,  # a shard that is away must not take the others along
            **options,
        )
    options |= {"db": url.database, "retry": _no_retry()}
    if url.form == "sentinel":
        asking = {
            "username": url.sentinel_user or None,
            "password": url.sentinel_password or None,
            "socket_timeout": CONNECT_S,
            "socket_connect_timeout": CONNECT_S,
            "retry": _no_retry(),
            "ssl": url.tls,
        }
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            url.nodes, sentinel_kwargs=asking, ssl=url.tls, max_connections=most, **options
        )
        master: Redis = sentinel.master_for(url.service, connection_pool_class=MasterPool)
        return master
    host, port = url.nodes[0]
    if url.tls:
        options["connection_class"] = SSLConnection
    pool = BlockingConnectionPool(max_connections=most, timeout=CONNECT_S, host=host, port=port, **options)
    return Redis.from_pool(pool)


def _no_retry() -> Retry:
    return Retry(NoBackoff(), 0)
