"""Moving all of a store to another store: what `tallycast migrate` does.

What actors say, counts, versions, event ids, documents and journals are copied in batches of bounded size. Every write
says how things are and not by how much they changed, so that a migration which was interrupted is run again from its
beginning, over what it left, and ends the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from tallycast.errors import ConfigError
from tallycast.kinds import Kinds
from tallycast.store.check import Report
from tallycast.store.pieces import PIECE_ROWS, Piece, Source, Target
from tallycast.store.redis.pieces import RedisSource, RedisTarget
from tallycast.store.redis.scan import heed_interrupt, place_of
from tallycast.store.schema import store_path
from tallycast.store.shared import Shared
from tallycast.store.sqlite_pieces import SqliteSource, SqliteTarget


class Copied(NamedTuple):
    """How much was copied so far."""

    items: int = 0
    values: int = 0
    events: int = 0


Progress = Callable[[Copied, int], None]  # what was copied so far, and about how many items there are


def migrate(source_url: str, target_url: str, kinds: Kinds, *, prefix: str, progress: Progress) -> Report:
    """Copy the store at `source_url` to the one at `target_url`, then look through the copy as check() does.

    Both are for this process alone meanwhile: it does not start while hubs run on one of them. The target holds nothing
    yet, or what an interrupted migration from the same source left. `prefix` begins the keys of a Redis store. Findings
    in the report are of the source as well, unless they say that the copy is not whole. Raises ConfigError.
    """
    places = [_place(url) for url in (source_url, target_url)]
    if places[0] == places[1]:
        raise ConfigError("migrate: --from and --to name the same store")
    return asyncio.run(_migrate(source_url, target_url, places[0], kinds, prefix, progress))


async def _migrate(
    source_url: str, target_url: str, origin: str, kinds: Kinds, prefix: str, progress: Progress
) -> Report:
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(_source(source_url, prefix))
        target = await stack.enter_async_context(_target(target_url, prefix, origin, kinds))
        copied = await copy(source, target, progress)
        await copy_shared(source, target)
        report = await target.check(kinds)
        if (report.items, report.values) != (copied.items, copied.values):
            report.add(
                f"copied {copied.items} items and {copied.values} values, but there are {report.items} and"
                f" {report.values}: empty the target and migrate again"
            )
        else:
            await target.finish()
        return report


async def copy(source: Source, target: Target, progress: Progress) -> Copied:
    """Copy all of `source` to `target`."""
    total = await source.items()
    copied = Copied()
    batch: list[Piece] = []
    rows = 0
    last: str | None = None
    async for piece in source.pieces():
        if piece.empty:
            continue
        items, events = copied.items + (piece.item != last), copied.events + len(piece.events)
        copied = copied._replace(items=items, events=events)
        last = piece.item
        batch.append(piece)
        rows += piece.rows
        if rows >= PIECE_ROWS:
            copied = copied._replace(values=copied.values + await target.write(batch))
            progress(copied, total)
            batch, rows = [], 0
            await asyncio.sleep(0)  # where Ctrl-C comes through
            heed_interrupt()
    if batch:
        copied = copied._replace(values=copied.values + await target.write(batch))
    progress(copied, copied.items)
    return copied


async def copy_shared(source: Source, target: Target) -> None:
    """Copy the documents and journals of `source` to `target`."""
    batch: list[Shared] = []
    async for one in source.shared():
        batch.append(one)
        if len(batch) >= PIECE_ROWS:
            await target.write_shared(batch)
            batch = []
            await asyncio.sleep(0)
            heed_interrupt()
    if batch:
        await target.write_shared(batch)


def _is_sqlite(url: str) -> bool:
    return url.partition("://")[0].lower() == "sqlite"


def _place(url: str) -> str:
    """What tells a store from others, without passwords. Raises ConfigError for what is no store's URL."""
    return f"sqlite:///{store_path(url).resolve()}" if _is_sqlite(url) else str(place_of(url))


@asynccontextmanager
async def _source(url: str, prefix: str) -> AsyncIterator[Source]:
    if _is_sqlite(url):
        with SqliteSource.open(url) as file:
            yield file
    else:
        async with RedisSource.open(url, prefix) as server:
            yield server


@asynccontextmanager
async def _target(url: str, prefix: str, origin: str, kinds: Kinds) -> AsyncIterator[Target]:
    if _is_sqlite(url):
        with SqliteTarget.open(url) as file:
            yield file
    else:
        async with RedisTarget.open(url, prefix, origin, kinds) as server:
            yield server
