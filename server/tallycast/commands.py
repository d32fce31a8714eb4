"""What the hub's client commands do: watch, counts, react."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
import sys
import tempfile
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

import tallycast_client as client
from tallycast_client import AuthRefused, Client, Counts, LinkState
from tallycast_client.dial import addresses

TIMEOUT_S = 10.0
TABLE_S = 0.125  # between two drawings of the live table


async def watch(url: str, token: str | None, items: Sequence[str], *, as_json: bool, viewers: bool) -> None:
    """Show counts, and how many watch where `viewers` is set, as they change, until cancelled."""
    live = sys.stdout.isatty() and not as_json
    hub = Client(url, token=token, open_timeout_s=0, timeout_s=TIMEOUT_S, on_link=None if live else _tell)
    async with hub:
        await hub.subscribe(*items, viewers=viewers)
        if live:
            await _show_live(hub, url, items, viewers=viewers)
        else:
            await _until_nobody_reads(_print_lines(hub, as_json=as_json))


async def _print_lines(hub: Client, *, as_json: bool) -> None:
    async for counts in hub.updates():
        click.echo(_line(counts, as_json=as_json))


async def _until_nobody_reads(printing: Coroutine[Any, Any, None]) -> None:
    """Await `printing`, or the end of who reads our output from a pipe, which writing would show only at a next line.

    Raises BrokenPipeError then.
    """
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    task, waiting = asyncio.create_task(printing), asyncio.create_task(gone.wait())
    output = sys.stdout.fileno()
    is_pipe = stat.S_ISFIFO(os.fstat(output).st_mode)
    if is_pipe:
        loop.add_reader(output, gone.set)  # there is nothing to read: it only ever tells of the end
    try:
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise BrokenPipeError
        await task
    finally:
        if is_pipe:
            loop.remove_reader(output)
        task.cancel()
        waiting.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)


async def _show_live(hub: Client, url: str, items: Sequence[str], *, viewers: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    from tallycast.screen import Board

    config = await client.config(url, timeout_s=TIMEOUT_S)
    board = Board(items, config["kinds"], viewers=viewers)

    async def read() -> None:
        async for counts in hub.updates():
            board.note(counts, time.time())

    reading = asyncio.create_task(read())
    try:
        with Live(console=Console(), auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as screen:
            while not reading.done():
                screen.update(board.table(hub.link, time.time()), refresh=True)
                await asyncio.wait((reading,), timeout=TABLE_S)
        await reading
    finally:
        reading.cancel()


def _tell(link: LinkState) -> None:
    """Tell of a lost connection, and of its return, beside the lines."""
    if link.name == "waiting":
        click.echo(f"tallycast: {link.why}; next attempt in {link.retry_in_s:.1f} s", err=True)


async def counts(url: str, token: str | None, items: Sequence[str], *, as_json: bool) -> None:
    """Show the counts of items as they are now."""
    found = await client.counts(url, *dict.fromkeys(items), token=token, timeout_s=TIMEOUT_S)
    if as_json or not sys.stdout.isatty():
        for each in found:
            click.echo(_line(each, as_json=as_json))
        return
    from rich.console import Console

    from tallycast.screen import Board

    config = await client.config(url, timeout_s=TIMEOUT_S)
    board = Board(items, config["kinds"])
    for each in found:
        board.note(each, 0.0)
    Console().print(board.table(None, 0.0))


async def react(url: str, token: str | None, item: str, kind: str, value: int | None, *, as_json: bool) -> None:
    """Say what the hub's rule of `kind` takes: a value, 1 if None, or that an event happened."""
    rule = (await client.config(url, timeout_s=TIMEOUT_S))["kinds"].get(kind, {}).get("rule")
    if rule == "event" and value is not None:
        raise click.UsageError(f"{kind} counts events: leave the value out")
    if rule == "rating" and value is None:
        raise click.UsageError(f"{kind} is a rating: say how many, or 0 to take it back")
    if rule == "unique" and token is None:
        click.echo(_line(await _react(url, None, item, kind, value, rule), as_json=as_json))
        return
    kept = Path() if token is not None else _visitor_path(url)
    known = token or _kept_token(kept)
    try:
        stands = await _react(url, known or await _new_visitor(url, kept), item, kind, value, rule)
    except AuthRefused:
        if token is not None or known is None:
            raise
        # The visitor that was kept has expired, or the hub has another secret now.
        stands = await _react(url, await _new_visitor(url, kept), item, kind, value, rule)
    click.echo(_line(stands, as_json=as_json))


async def _react(url: str, token: str | None, item: str, kind: str, value: int | None, rule: str | None) -> Counts:
    async with Client(url, token=token, open_timeout_s=0, timeout_s=TIMEOUT_S) as hub:
        if rule == "event":
            return await hub.event(item, kind)
        return await hub.react(item, kind, 1 if value is None else value)


def _visitor_path(url: str) -> Path:
    """Where the visitor's token of a hub is kept."""
    state = os.environ.get("XDG_STATE_HOME", "")
    home = Path(state) if Path(state).is_absolute() else Path("~/.local/state").expanduser()
    return home / "tallycast" / f"visitor-{hashlib.sha256(addresses(url).http.encode()).hexdigest()[:16]}"


def _kept_token(path: Path) -> str | None:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text("ascii").strip() or None
    return None


async def _new_visitor(url: str, path: Path) -> str:
    """A new anonymous identity, kept at `path`."""
    visitor = await client.visitor(url, timeout_s=TIMEOUT_S)
    _keep(path, visitor.token)
    return visitor.token


def _keep(path: Path, token: str) -> None:
    """Write a token for the user alone, whole or not at all."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=path.parent)  # 0600
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
        Path(draft).replace(path)
    except OSError as error:
        click.echo(
            f"tallycast: cannot keep who you are in {path.parent} ({error.strerror}): next time you are somebody else",
            err=True,
        )


def _line(counts: Counts, *, as_json: bool) -> str:
    if as_json:
        shown: dict[str, Any] = {name: value for name, value in counts._asdict().items() if value is not None}
        return json.dumps(shown, separators=(",", ":"))
    # In front of the counts: a kind may be called viewers too.
    viewers = [] if counts.viewers is None else [f"viewers={counts.viewers}"]
    return " ".join([counts.item, *viewers, *(f"{kind}={count}" for kind, count in counts.counts.items())])
