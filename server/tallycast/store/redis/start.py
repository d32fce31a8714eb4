"""A look at a Redis before a hub uses it: what cannot work ends the start, what may pass is only logged."""

from __future__ import annotations

import logging
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, Protocol

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    InvalidResponse,
    MasterDownError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from tallycast.errors import ConfigError
from tallycast.store.redis.client import CONNECT_S
from tallycast.store.redis.trouble import UNTRUSTED, explain
from tallycast.store.redis.url import Address, RedisUrl

log = logging.getLogger("tallycast.redis")

LEAST_VERSION = (7, 0)
LEAST_VERSION_OF_WAITAOF = (7, 2)
PASSING = (BusyLoadingError, ClusterDownError, MasterDownError, RedisConnectionError, RedisTimeoutError, OSError)


class _AwayError(Exception):
    """Nobody answers there now."""


class _Ask(Protocol):
    """Gives the answer to a command. Raises _AwayError, ResponseError, and ConfigError for what cannot work."""

    def __call__(self, *command: str) -> Any: ...


def look(url: RedisUrl, *, ack: str, migration: str | None = None) -> None:
    """Blocks for some seconds at most. Raises ConfigError where a server answers and will not do.

    `migration` is the key that must not be there, where a part of a store will not do either.
    """
    try:
        address = _master(url) if url.form == "sentinel" else None
        for node in [address] if address else url.nodes:
            try:
                _look_at(url, node, ack)
                if migration is not None:
                    _look_for(url, node, migration)
                return
            except _AwayError as error:
                away = error
        raise away
    except _AwayError as error:
        log.error("Redis at %s does not answer (%s): the hub starts without it and goes on trying", url, error)
    except ResponseError as error:
        message, advice = explain(error)
        raise ConfigError(f"store {url}: {message}: {advice} ({error})") from None


def _look_at(url: RedisUrl, address: Address, ack: str) -> None:
    with _asking(url, address) as ask:
        info: dict[str, Any] = {}
        for section in ("server", "cluster", "replication", "persistence"):
            info |= ask("INFO", section)
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
            _check_disk(url, info, version, ask)
        if ack == "replica" and info.get("role") == "master" and not info.get("connected_slaves"):
            log.error("Redis at %s has no replica: with TALLYCAST_ACK=replica nothing is taken until it has one", url)


def _check_disk(url: RedisUrl, info: dict[str, Any], version: tuple[int, ...], ask: _Ask) -> None:
    if "valkey_version" in info:
        raise ConfigError(f"store {url}: TALLYCAST_ACK=disk does not work with Valkey, whose WAITAOF answers at once")
    if version < LEAST_VERSION_OF_WAITAOF:
        raise ConfigError(
            f"store {url}: TALLYCAST_ACK=disk needs Redis 7.2, this is {info['redis_version']}: upgrade it, or set"
            " appendfsync always there and TALLYCAST_ACK=memory"
        )
    if not info.get("aof_enabled"):
        raise ConfigError(f"store {url}: TALLYCAST_ACK=disk needs appendonly yes in Redis")
    with suppress(ResponseError):  # whoever may not see it has the table in docs/operations.md
        _, flushing = ask("CONFIG", "GET", "appendfsync")
        if flushing == "no":
            raise ConfigError(f"store {url}: TALLYCAST_ACK=disk needs appendfsync always in Redis, or everysec")
        if flushing == "everysec":
            log.warning("Redis at %s: with appendfsync everysec a reaction waits for up to 2 s; always is faster", url)


def _look_for(url: RedisUrl, address: Address, migration: str) -> None:
    """In a cluster the key may be at another node, which the first one names."""
    origin = None
    try:
        with _asking(url, address) as ask:
            origin = ask("GET", migration)
    except AskError as elsewhere:  # MovedError is one
        with suppress(AskError), _asking(url, (elsewhere.host or address[0], elsewhere.port)) as ask:
            origin = ask("GET", migration)
    if origin is not None:
        raise ConfigError(f"store {url}: is no whole copy of {origin} yet: finish that migration, or delete its keys")


def _master(url: RedisUrl) -> Address:
    """Where the sentinels say that the master is."""
    away: Exception = _AwayError("no sentinel")
    unknown = False
    for node in url.nodes:
        try:
            with _asking(url, node, sentinel=True) as ask:
                found = ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", url.service)
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


@contextmanager
def _asking(url: RedisUrl, address: Address, *, sentinel: bool = False) -> Iterator[_Ask]:
    """Asks the server at `address` on one connection."""

    def ask(*command: str) -> Any:
        try:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]
        except (AuthenticationError, NoPermissionError) as error:
            if isinstance(error, NoPermissionError) and command[0] == "CONFIG":
                raise ResponseError(str(error)) from None
            message, advice = explain(error)
            if sentinel:
                advice = "end the URL with ?sentinel_password=…, see docs/operations.md"
            raise ConfigError(f"store {url}: {message}{' at the sentinels' * sentinel}: {advice}") from None
        except PASSING as error:
            message, advice = explain(error)
            if message == UNTRUSTED:
                raise ConfigError(f"store {url}: {message}: {advice} ({error})") from None
            if not isinstance(error, (BusyLoadingError, ResponseError)):
                _check_scheme(url, address)
            raise _AwayError(str(error)) from None
        except InvalidResponse:
            raise ConfigError(f"store {url}: at {address[0]}:{address[1]} is no Redis") from None
        except ResponseError as error:
            if "DB index" in str(error):
                raise ConfigError(f"store {url}: has no such database: redis.conf says how many") from None
            raise
        except RedisError as error:
            raise _AwayError(str(error)) from None

    with closing(_client(url, address, sentinel=sentinel)) as client:
        yield ask


def _client(url: RedisUrl, address: Address, *, sentinel: bool) -> Redis:
    user, password = (url.sentinel_user, url.sentinel_password) if sentinel else (url.user, url.password)
    return Redis(
        host=address[0],
        port=address[1],
        db=0 if sentinel else url.database,
        username=user or None,
        password=password or None,
        socket_timeout=CONNECT_S,
        socket_connect_timeout=CONNECT_S,
        retry=Retry(NoBackoff(), 0),
        ssl=url.tls,
        protocol=2,
        decode_responses=True,
    )


def _check_scheme(url: RedisUrl, address: Address) -> None:
    """Raises ConfigError where TLS is what is spoken there and not expected, or the reverse."""
    scheme = str(url).partition("://")[0]
    with suppress(OSError), socket.create_connection(address, CONNECT_S) as plain:
        if url.tls:
            plain.sendall(b"PING\r\n")
            if plain.recv(1) in (b"+", b"-"):
                raise ConfigError(f"store {url}: speaks no TLS: use {scheme.replace('rediss', 'redis')}://")
        else:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain):  # nothing is said on it
                raise ConfigError(f"store {url}: speaks TLS: use {scheme.replace('redis', 'rediss')}://")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])
