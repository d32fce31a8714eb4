"""A look at a Redis before a hub uses it: what cannot work ends the start, what may pass is only logged."""

from __future__ import annotations

import logging
import re
from contextlib import closing
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from tallycast.errors import ConfigError
from tallycast.store.redis.client import CONNECT_S
from tallycast.store.redis.trouble import explain
from tallycast.store.redis.url import Address, RedisUrl

log = logging.getLogger("tallycast.redis")

LEAST_VERSION = (7, 0)
LEAST_VERSION_OF_WAITAOF = (7, 2)


class _AwayError(Exception):
    """Nobody answers there now."""


def look(url: RedisUrl, *, ack: str) -> None:
    """Blocks for some seconds at most. Raises ConfigError where a server answers and will not do."""
    try:
        address = _master(url) if url.form == "sentinel" else None
        for node in [address] if address else url.nodes:
            try:
                _look_at(url, node, ack)
                return
            except _AwayError as error:
                away = error
        raise away
    except _AwayError as error:
        log.error("Redis at %s does not answer (%s): the hub starts without it and goes on trying", url, error)


def _look_at(url: RedisUrl, address: Address, ack: str) -> None:
    with closing(_client(url, address)) as client:
        info: dict[str, Any] = {}
        for section in ("server", "cluster", "replication", "persistence"):
            info |= _ask(url, client, "INFO", section)
    if info.get("redis_mode") == "sentinel":
        raise ConfigError(f"store {url}: is a sentinel: use redis+sentinel://…/name-of-the-service")
    version = _version(info["redis_version"])
    if version < LEAST_VERSION:
        raise ConfigError(
            f"store {url}: is Redis {info['redis_version']}, which is too old: use 7.0 or later, or Valkey"
        )
    clustered = info.get("cluster_enabled") == 1
    if clustered and url.form != "cluster":
        raise ConfigError(f"store {url}: is part of a cluster: use redis+cluster://")
    if not clustered and url.form == "cluster":
        raise ConfigError(f"store {url}: is a single server and no cluster: use redis://")
    if url.form == "single" and info.get("role") == "slave":
        raise ConfigError(f"store {url}: is a read-only replica: name its primary, or use redis+sentinel://")
    if ack == "disk":
        _check_disk(url, info, version)
    if ack == "replica" and info.get("role") == "master" and not info.get("connected_slaves"):
        log.error("Redis at %s has no replica: with TALLYCAST_ACK=replica nothing is taken until it has one", url)


def _check_disk(url: RedisUrl, info: dict[str, Any], version: tuple[int, ...]) -> None:
    if "valkey_version" in info:
        raise ConfigError(f"store {url}: TALLYCAST_ACK=disk does not work with Valkey, whose WAITAOF answers at once")
    if version < LEAST_VERSION_OF_WAITAOF:
        raise ConfigError(
            f"store {url}: TALLYCAST_ACK=disk needs Redis 7.2, this is {info['redis_version']}: upgrade it, or set"
            " appendfsync always there and TALLYCAST_ACK=memory"
        )
    if not info.get("aof_enabled"):
        raise ConfigError(f"store {url}: TALLYCAST_ACK=disk needs appendonly yes in Redis")


def _master(url: RedisUrl) -> Address:
    """Where the sentinels say that the master is."""
    away: Exception = _AwayError("no sentinel")
    unknown = False
    for node in url.nodes:
        with closing(_client(url, node, sentinel=True)) as client:
            try:
                found = _ask(url, client, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", url.service)
            except _AwayError as error:
                away = error
                continue
            except ResponseError:
                raise ConfigError(f"store {url}: at {node[0]}:{node[1]} is no sentinel") from None
        if found:
            return str(found[0]), int(found[1])
        unknown = True
    if unknown:
        raise ConfigError(f"store {url}: the sentinels know no service {url.service}: correct the end of the URL")
    raise away


def _ask(url: RedisUrl, client: Redis, *command: str) -> Any:
    try:
        return client.execute_command(*command)  # type: ignore[no-untyped-call]
    except (AuthenticationError, NoPermissionError) as error:
        message, advice = explain(error)
        raise ConfigError(f"store {url}: {message}: {advice}") from None
    except (BusyLoadingError, RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise _AwayError(str(error)) from None
    except ResponseError:
        raise
    except RedisError as error:
        raise _AwayError(str(error)) from None


def _client(url: RedisUrl, address: Address, *, sentinel: bool = False) -> Redis:
    options: dict[str, Any] = {} if sentinel else {"username": url.user or None, "password": url.password or None}
    return Redis(
        host=address[0],
        port=address[1],
        socket_timeout=CONNECT_S,
        socket_connect_timeout=CONNECT_S,
        retry=Retry(NoBackoff(), 0),
        ssl=url.tls,
        protocol=2,
        decode_responses=True,
        **options,
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])
