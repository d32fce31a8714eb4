"""Where what was said is kept. `open_store` makes the store that a URL names."""

from __future__ import annotations

from typing import cast

from tallycast.errors import ConfigError
from tallycast.kinds import Kinds
from tallycast.store.base import Store
from tallycast.store.schema import Durability, store_path
from tallycast.store.sqlite import SqliteStore


def open_store(url: str, kinds: Kinds, *, durability: str) -> Store:
    """The store at `url` (sqlite:///relative.db, sqlite:////absolute.db), made if it is not there yet.

    `durability` is "full" (what was acknowledged survives a loss of power) or "normal" (it survives the end of the
    process, kill -9 included). Raises ConfigError.
    """
    if durability not in ("full", "normal"):
        raise ConfigError("durability: expected full or normal")
    return SqliteStore(store_path(url), kinds, durability=cast(Durability, durability))
