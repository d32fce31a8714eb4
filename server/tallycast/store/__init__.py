"""Where what was said is kept. `open_store` makes the store that a URL names."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tallycast.errors import ConfigError
from tallycast.kinds import Kinds
from tallycast.store.base import OpenStore
from tallycast.store.redis.url import is_redis, parse_redis_url
from tallycast.store.schema import Durability, store_path
from tallycast.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from tallycast.store.redis.line import Ack


def open_store(
    url: str, kinds: Kinds, *, durability: str = "full", prefix: str = "tallycast:", ack: str = "memory"
) -> OpenStore:
    """The store at `url`: an SQLite file, made if it is not there yet, or a Redis, which need not be there yet.

    `durability` is for SQLite: "full" (what was acknowledged survives a loss of power) or "normal" (it survives the end
    of the process, kill -9 included). For Redis `prefix` begins all keys, and `ack` says what an acknowledged reaction
    has reached: the "memory" of the server, a "replica", or its "disk". Raises ConfigError, also for a Redis that an
    unfinished migration has filled in part.
    """
    if is_redis(url):
        if ack not in ("memory", "replica", "disk"):
            raise ConfigError("ack: expected memory, replica or disk")
        # Imported here: without them a hub on a file starts a quarter sooner and is 8 MiB smaller.
        from tallycast.store.redis.keys import Keys
        from tallycast.store.redis.start import look
        from tallycast.store.redis.store import RedisStore

        parsed = parse_redis_url(url)
        keys = Keys(prefix, database=parsed.database)
        look(parsed, ack=ack, migration=keys.migration)
        return RedisStore(parsed, keys, kinds, ack=cast("Ack", ack))
    if durability not in ("full", "normal"):
        raise ConfigError("durability: expected full or normal")
    return SqliteStore(store_path(url), kinds, durability=cast(Durability, durability))
