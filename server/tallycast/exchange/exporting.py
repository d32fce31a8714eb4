"""An export: the whole of a store a piece at a time, each of which says where to go on after it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import orjson

from tallycast.errors import Refused
from tallycast.exchange.rows import Format
from tallycast.moderator import Moderator

ITEMS = 500  # of one look into the store
ROWS = 1_000  # about as many in a piece


class Piece(NamedTuple):
    """Some rows as exchange.rows.written() takes them, and where to go on; "" at the end."""

    rows: list[tuple[Any, ...]]
    cursor: str


async def counts(moderator: Moderator, format: Format, prefix: str, cursor: str) -> AsyncIterator[Piece]:
    """The counts of all items whose ids begin with `prefix`: (item, v, counts), for CSV (item, kind, count).

    Raises Refused (`bad_request` for a cursor that is none, Unavailable).
    """
    while True:
        page = await moderator.items(prefix, cursor, ITEMS)
        if format == "csv":
            yield Piece([(s.item, kind, n) for s in page.items for kind, n in s.counts.items()], page.cursor)
        else:
            yield Piece([tuple(snapshot) for snapshot in page.items], page.cursor)
        cursor = page.cursor
        if not cursor:
            return


async def values(moderator: Moderator, prefix: str, cursor: str) -> AsyncIterator[Piece]:
    """What everybody says of these items: (item, actor, kind, value).

    A cursor names the page of items, the item in it, and the page of its values. Raises as counts() does.
    """
    page_cursor, item, within = _read(cursor)
    while True:
        page = await moderator.items(prefix, page_cursor, ITEMS)
        names = [snapshot.item for snapshot in page.items]
        if item in names:  # else it has gone meanwhile, and the page begins again: rows may come twice
            del names[: names.index(item)]
        else:
            within = ""
        rows: list[tuple[Any, ...]] = []
        for name in names:
            while True:
                if len(rows) >= ROWS:
                    yield Piece(rows, _written(page_cursor, name, within))
                    rows = []
                said, within = await moderator.values(name, within, ROWS)
                for actor, kinds in said.items():
                    rows += [(name, actor, kind, value) for kind, (value, _) in kinds.items()]
                if not within:
                    break
        page_cursor, item = page.cursor, ""
        yield Piece(rows, _written(page_cursor, "", "") if page_cursor else "")
        if not page_cursor:
            return


def _written(page: str, item: str, within: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([page, item, within])).decode().rstrip("=")


def _read(cursor: str) -> tuple[str, str, str]:
    if not cursor:
        return "", "", ""
    try:
        page, item, within = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
        if not all(isinstance(part, str) for part in (page, item, within)):
            raise ValueError
    except (ValueError, TypeError, binascii.Error):
        raise Refused("bad_request", "this cursor is none of this export's: begin without one") from None
    return page, item, within
