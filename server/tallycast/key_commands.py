"""`tallycast key`: making, listing and revoking API keys in a store, also while hubs run on it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import click

from tallycast.errors import ConfigError, Unavailable
from tallycast.options import duration_s, json_option, store_option
from tallycast.settings import Settings

if TYPE_CHECKING:
    from tallycast.access import Key
    from tallycast.audit import Audit
    from tallycast.store.records import Journal, Records

T = TypeVar("T")

WHO = "tallycast key"  # in the audit log
RIGHTS = ("read", "write", "moderate", "keys")


@click.group()
def key() -> None:
    """Make, list and revoke keys of the administrator's API and the dashboard."""


@key.command()
@click.argument("name")
@click.option("--right", "rights", multiple=True, required=True, type=click.Choice(RIGHTS), help="what it may do")
@click.option("--prefix", default="", metavar="TEXT", help="good for items that begin with it [default: all]")
@click.option("--ttl", "ttl_s", callback=duration_s, help="how long it is good, such as 90d [default: for ever]")
@store_option
@json_option
def make(name: str, rights: tuple[str, ...], prefix: str, ttl_s: int | None, store: str | None, as_json: bool) -> None:
    """Make a key and print its token, this once: the store keeps only a hash of it.

    Rights: read (lists, history, exports of counts), write (counts, imports, polls, alerts), moderate (freeze, ban,
    delete, forget, who says what), keys (share links, other keys).
    """
    from tallycast.access import SPACE, dump_key, new_key

    try:
        id, token, made = new_key(name, rights, prefix=prefix, ttl_s=ttl_s, now_s=time.time())
    except ValueError as error:
        raise ConfigError(str(error)) from None

    async def work(records: Records, audit: Audit) -> None:
        await audit.note(WHO, "key.make", {"key": id, **made.described()})
        await records.put(SPACE, id, dump_key(made), None)

    _do(store, work)
    if as_json:
        click.echo(json.dumps({**made.public(id), "token": token}, ensure_ascii=False))
    else:
        click.echo(f"key {id}: {_line(made)}. Its token is shown this once:", err=True)
        click.echo(token)


@key.command("list")
@store_option
@json_option
def list_keys(store: str | None, as_json: bool) -> None:
    """Show all keys, without their secrets."""
    from tallycast.access import SPACE, load_key

    async def work(records: Records, _audit: Audit) -> dict[str, Key]:
        return {id: load_key(body) for id, body in (await records.all(SPACE)).items()}

    keys = _do(store, work)
    if as_json:
        click.echo(json.dumps({"keys": [one.public(id) for id, one in keys.items()]}, ensure_ascii=False))
        return
    for id, one in keys.items():
        used = "never used" if one.last_used is None else f"last used {_day(one.last_used)}"
        click.echo(f"{id}  {_line(one)}, made {_day(one.made_at)}, {used}")
    if not keys:
        click.echo("there are no keys: `tallycast key make` makes one", err=True)


@key.command()
@click.argument("id")
@store_option
def revoke(id: str, store: str | None) -> int:
    """Take the key with that ID away: it is good no more, at any hub, within about a second."""
    from tallycast.access import SPACE, load_key
    from tallycast.store.records import ANY

    async def work(records: Records, audit: Audit) -> bool:
        body = await records.get(SPACE, id)
        if body is None:
            return False
        await audit.note(WHO, "key.revoke", {"key": id, "name": load_key(body).name})
        return await records.delete(SPACE, id, ANY)

    if not _do(store, work):
        raise ConfigError(f"there is no key {id}: `tallycast key list` shows them")
    return 0


def _do(store: str | None, work: Callable[[Records, Audit], Awaitable[T]]) -> T:
    """What `work` gives, done on the store beside whoever else uses it. Raises ConfigError.

    How names begin in Redis is TALLYCAST_PREFIX alone here: `--prefix` is that of items.
    """
    import asyncio

    from tallycast.audit import Audit

    settings = Settings.load(os.environ, {"store": store})

    async def run() -> T:
        async with _opened(settings) as (records, journal):
            return await work(records, Audit(journal))

    try:
        return asyncio.run(run())
    except Unavailable as error:
        raise ConfigError(f"{error.message}; --store or TALLYCAST_STORE says which store it is") from None


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Records, Journal]]:
    if settings.store.startswith("sqlite:"):
        from tallycast.store.schema import store_path
        from tallycast.store.sqlite_beside import open_records

        beside = open_records(store_path(settings.store))
        try:
            yield beside.records, beside.journal
        finally:
            await beside.close()
    else:
        from tallycast.settings import read_kinds
        from tallycast.store import open_store

        shared = open_store(settings.store, read_kinds(settings), prefix=settings.prefix)
        try:
            yield shared.records, shared.journal
        finally:
            await shared.close()


def _line(one: Key) -> str:
    where = f"items that begin with {one.prefix}" if one.prefix else "all items"
    until = "for ever"
    if one.expires_at is not None:
        until = f"{'expired' if one.expires_at <= time.time() else 'until'} {_day(one.expires_at)}"
    return f"{one.name!r} may {', '.join(one.rights)} {where}, {until}"


def _day(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
