"""`tallycast poll`: making, showing, watching and closing polls, over HTTP with an administrator's key."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from tallycast.options import duration_s
from tallycast.talking import lines_option, talk, url_option

TIMEOUT_S = 10.0
LOOK_S = 1.0  # between two looks at a poll that is watched
BAR = 24  # characters

Poll = Mapping[str, Any]  # as the hub tells it: docs/polls.md

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")


def _id(_context: click.Context, _parameter: click.Parameter, id: str | None) -> str | None:
    """A callback of click: a poll's id, also as its item; None where none is given."""
    if id is None:
        return None
    bare = id.removeprefix("poll:")
    if not _ID.fullmatch(bare):
        raise click.BadParameter(f"{id!r} is no poll's id: it is 1–64 of A–Z a–z 0–9 . _ ~ -")
    return bare


def _moment(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """A callback of click: a time as Unix seconds, of ISO 8601 or a duration from now."""
    if text is None:
        return None
    if re.fullmatch(r"[0-9]+[smhd]", text):
        return time.time() + (duration_s(context, parameter, text) or 0)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"expected 10m, 2h, 3d or 2026-11-22T18:00:00Z, not {text!r}") from None
    return (at if at.tzinfo else at.astimezone()).timestamp()


_key_option = click.option("--key", envvar="TALLYCAST_KEY", metavar="KEY", help="an API key [TALLYCAST_KEY]")
_needed_key_option = click.option(
    "--key", envvar="TALLYCAST_KEY", metavar="KEY", required=True, help="an API key [TALLYCAST_KEY]"
)
_id_argument = click.argument("id", callback=_id)


@click.group()
def poll() -> None:
    """Make, show, watch and close polls and quizzes."""


@poll.command()
@click.argument("question")
@click.argument("options", nargs=-1, required=True, metavar="OPTION OPTION…")
@click.option("--closes", "closes_at", required=True, metavar="WHEN", callback=_moment, help="10m, 2h, or ISO 8601")
@click.option("--opens", "opens_at", metavar="WHEN", callback=_moment, help="the same [default: now]")
@click.option("--multiple", is_flag=True, help="let people choose several options")
@click.option(
    "--results",
    type=click.Choice(("always", "voted", "closed")),
    default="always",
    show_default=True,
    help="when they are shown",
)
@click.option("--answer", "answers", type=int, multiple=True, metavar="N", help="the right option: then it is a quiz")
@click.option("--id", "id", callback=_id, help="its id [default: drawn]")
@url_option
@_needed_key_option
@lines_option
def create(
    question: str,
    options: tuple[str, ...],
    multiple: bool,
    id: str | None,
    url: str,
    key: str,
    as_json: bool,
    **more: Any,
) -> int:
    """Make a poll with its QUESTION and 2 to 10 options. Needs a key with the right write.

    Its element in a page: <tally-poll item="poll:ID">.
    """
    wish = {"question": question, "options": options, "choice": "multiple" if multiple else "single", "id": id, **more}
    wish = {name: value for name, value in wish.items() if value not in (None, ())}

    async def make() -> None:
        _show(await _ask(url, key, "POST", "/v1/admin/polls", wish), as_json=as_json)

    return talk(make())


@poll.command()
@_id_argument
@url_option
@_key_option
@lines_option
def show(id: str, url: str, key: str | None, as_json: bool) -> int:
    """Show a poll as it stands. Without a key, as everybody sees it."""

    async def look() -> None:
        _show(await _read(url, key, id), as_json=as_json)

    return talk(look())


@poll.command()
@_id_argument
@url_option
@_needed_key_option
@lines_option
def close(id: str, url: str, key: str, as_json: bool) -> int:
    """Close a poll now, and show how it ended. Needs a key with the right write."""
    import asyncio

    async def end() -> None:
        await _ask(url, key, "POST", f"/v1/admin/polls/{id}/close")
        while (now := await _read(url, key, id))["state"] != "closed":
            await asyncio.sleep(LOOK_S / 4)
        _show(now, as_json=as_json)

    return talk(end())


@poll.command()
@_id_argument
@url_option
@_key_option
@lines_option
def watch(id: str, url: str, key: str | None, as_json: bool) -> int:
    """Show a poll as it moves until it has closed, or Ctrl-C. Without a key, as everybody sees it."""
    try:
        return talk(_watch(id, url, key, as_json=as_json))
    except KeyboardInterrupt:
        return 0


async def _watch(id: str, url: str, key: str | None, *, as_json: bool) -> None:
    import asyncio

    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    if as_json or not sys.stdout.isatty():
        before: Poll = {}
        while True:
            now = await _read(url, key, id)
            if _essence(now) != _essence(before):
                click.echo(json.dumps(now, ensure_ascii=False, separators=(",", ":")) if as_json else _line(now))
            if now["state"] == "closed":
                return
            before = now
            await asyncio.sleep(LOOK_S)
    with Live(console=Console(), auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as screen:
        while True:
            now = await _read(url, key, id)
            screen.update(Text(board(now)), refresh=True)
            if now["state"] == "closed":
                return
            await asyncio.sleep(LOOK_S)


async def _read(url: str, key: str | None, id: str) -> Poll:
    return await _ask(url, key, "GET", f"/v1/admin/polls/{id}" if key else f"/v1/polls/{id}")


async def _ask(url: str, key: str | None, method: str, path: str, body: object = None) -> Poll:
    from tallycast_client.http import ask

    return await ask(url, path, TIMEOUT_S, method=method, token=key, body=body)


def _show(poll: Poll, *, as_json: bool) -> None:
    click.echo(json.dumps(poll, ensure_ascii=False, separators=(",", ":")) if as_json else board(poll))


def board(poll: Poll) -> str:
    """A poll in lines: its question, its options with their votes where those may be seen, and when it closes."""
    counts: Sequence[int] | None = poll["counts"]
    total = sum(counts or ())
    lines = [poll["question"], ""]
    width = max(len(option) for option in poll["options"])
    for number, option in enumerate(poll["options"], 1):
        right = " ✓" if number in poll.get("answers", ()) else ""
        if counts is None:
            lines.append(f"{number:>4}  {option}{right}")
            continue
        votes = counts[number - 1]
        part = votes / total if total else 0.0
        lines.append(
            f"{number:>4}  {option:<{width}}  {'█' * round(part * BAR):<{BAR}} {votes:>7,} {part:>5.0%}{right}"
        )
    told = "the votes are not shown yet" if counts is None else f"votes: {total:,}"
    return "\n".join([*lines, "", f"{poll['item']}  {poll['state']}, {_when(poll)}; {told}"])


def _line(poll: Poll) -> str:
    counts = poll["counts"]
    votes = "hidden" if counts is None else " ".join(f"{number}={votes}" for number, votes in enumerate(counts, 1))
    return f"{poll['item']} {poll['state']} {votes}"


def _essence(poll: Poll) -> dict[str, Any]:
    return {name: value for name, value in poll.items() if name != "now"}


def _when(poll: Poll) -> str:
    if poll["state"] == "upcoming":
        return f"opens {_day(poll['opens_at'])}"
    return f"{'closed' if poll['state'] == 'closed' else 'closes'} {_day(poll['closed_at'] or poll['closes_at'])}"


def _day(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
