"""How far a long command has come: a bar on a terminal, now and then a line in a pipe. All on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tallycast.store.migrate import Copied
from tallycast.store.migrate import Progress as Told

LINE_EVERY_S = 5.0


@contextmanager
def migrating() -> Iterator[Told]:
    """Shows what a migration tells."""
    if sys.stderr.isatty():
        with _bar() as told:
            yield told
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[Told]:
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("items"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("0 values", total=None)
        yield lambda copied, items: bar.update(
            task, total=items, completed=copied.items, description=f"{copied.values:,} values"
        )


def _lines() -> Told:
    due_s = time.monotonic() + LINE_EVERY_S

    def told(copied: Copied, items: int) -> None:
        nonlocal due_s
        if time.monotonic() >= due_s:
            due_s = time.monotonic() + LINE_EVERY_S
            click.echo(f"copied {copied.items} of {items} items, {copied.values} values", err=True)

    return told
