"""The lines of an export and an import, checked and made. Pure, and fast: a million lines are checked in seconds."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import orjson

from tallycast.errors import Refused
from tallycast.kinds import POLL, POLL_KINDS, RESERVED, Kinds
from tallycast.wire import ITEM

What = Literal["counts", "values"]
Format = Literal["ndjson", "csv"]
Row = tuple[str, str, str, int]  # item, actor, kind, value

MOST_LINE_BYTES = 16_384
COLUMNS: dict[What, tuple[str, ...]] = {
    "counts": ("item", "kind", "count"),
    "values": ("item", "actor", "kind", "value"),
}
MEDIA_TYPES: dict[Format, str] = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}

_ACTOR = re.compile(r"[\x20-\x7d][\x20-\x7e]{0,127}")
_RESERVED = re.compile("~.+")
_PASSER_BY = re.compile(r"~u:[\x21-\x7e]{1,64}")  # somebody without identity, in a `unique` kind
_NUMBER = re.compile(r"[0-9]{1,8}")


class Bad(NamedTuple):
    """A line, counted from 1, that cannot be taken, and why."""

    line: int
    code: str
    message: str


class Checker:
    """Makes rows of an import's lines. Items must begin with `prefix`."""

    def __init__(self, kinds: Kinds, what: What, format: Format, prefix: str) -> None:
        self.lines = 0
        self._kinds = kinds
        self._prefix = prefix
        self._decode = self._decoder(what, format)
        self._fields = ", ".join(("item", "counts") if (what, format) == ("counts", "ndjson") else COLUMNS[what])
        # What needs no second look: who may speak, and the largest value of each kind on items and on polls.
        self._plain, somebody = (_RESERVED, "~") if what == "counts" else (_ACTOR, "u")
        self._most = tuple(
            {kind: kinds.most(kind, somebody) or 0 for kind in kinds if (kind in POLL_KINDS) == of_poll}
            for of_poll in (False, True)
        )
        self._givers = {kind: kinds.given(POLL if kind in POLL_KINDS else "", kind, 0).actor for kind in kinds}
        self._item = ""  # the last one that was good, with what its kinds allow
        self._most_now: dict[str, int] = {}

    def check(self, lines: Sequence[bytes]) -> tuple[list[Row], list[Bad]]:
        """The rows of the next lines, and those of the lines that are wrong. Empty lines mean nothing."""
        rows: list[Row] = []
        bad: list[Bad] = []
        number = self.lines
        decode, plain = self._decode, self._plain.fullmatch
        for line in lines:
            number += 1
            before = len(rows)
            try:
                for row in decode(line):
                    item, actor, kind, value = row
                    if item != self._item:
                        self._check_item(item)
                    most = self._most_now.get(kind)
                    if most is None or type(value) is not int or not 0 <= value <= most or not plain(actor):
                        self._check_row(item, actor, kind, value)
                    rows.append(row)
            except Refused as refusal:
                del rows[before:]
                bad.append(Bad(number, refusal.code, refusal.message))
            except (TypeError, KeyError):
                del rows[before:]
                bad.append(Bad(number, "bad_request", f"a field is missing or of the wrong type: {self._fields}"))
        self.lines = number
        return rows, bad

    def _check_item(self, item: str) -> None:
        if type(item) is not str or not ITEM.fullmatch(item):
            raise Refused("bad_item", "an item id is 1–200 of A–Z a–z 0–9 . _ ~ : / @ % + = , -")
        if not item.startswith(self._prefix):
            raise Refused("forbidden", f"the key is good for items that begin with {self._prefix!r} alone")
        self._item, self._most_now = item, self._most[item.startswith(POLL)]

    def _check_row(self, item: str, actor: str, kind: str, value: object) -> None:
        """Where it is not what anybody may say: let a row of the hub's own pass, or say what is wrong."""
        if type(actor) is not str or type(kind) is not str:
            raise TypeError
        most = self._most_now.get(kind)
        if most is None:
            raise Refused("unknown_kind", f"kind must be one of {', '.join(self._most_now)}")
        if actor.startswith(RESERVED):
            if self._kinds[kind].rule == "unique" and _PASSER_BY.fullmatch(actor) and value == 1:
                return
            if type(value) is int and self._kinds.given(item, kind, value).actor == actor:
                return
            raise Refused("bad_value", f"{actor} is no name of the hub's own for {kind}")
        if not _ACTOR.fullmatch(actor):
            raise Refused("bad_value", "an actor's name is 1–128 printable ASCII characters")
        raise Refused("bad_value", f"{kind} takes an integer from 0 to {most}")

    # How a line is read: what it says, unchecked. A field that is no number is left for check() to refuse.

    def _decoder(self, what: What, format: Format) -> Callable[[bytes], Iterable[Any]]:
        if format == "csv":
            return _Csv(what, self._given).decode
        return self._counts_line if what == "counts" else _values_line

    def _counts_line(self, line: bytes) -> Iterable[Any]:
        fields = _object(line)
        if fields is None:
            return ()
        item, counts = fields["item"], fields["counts"]
        if type(counts) is not dict:
            raise Refused("bad_request", '`counts` must be an object such as {"like":120}')
        return [self._given(item, kind, n) for kind, n in counts.items()]

    def _given(self, item: Any, kind: Any, n: Any) -> Row:
        """What sets a starting count; Kinds.given() where it has to be looked at twice."""
        giver = self._givers.get(kind)
        return (item, giver, kind, n) if giver is not None else self._kinds.given(item, kind, n)[:4]


def _object(line: bytes) -> dict[str, Any] | None:
    """A line of NDJSON; None where it is blank or says how far an export is."""
    if len(line) > MOST_LINE_BYTES:
        raise Refused("too_big", f"a line may have {MOST_LINE_BYTES} bytes")
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if not line.strip():
            return None
        raise Refused("bad_json", f"not JSON: {error.msg}") from None
    if type(fields) is not dict:
        raise Refused("bad_json", "a line is one JSON object")
    return None if fields.keys() == {"cursor"} else fields


def _values_line(line: bytes) -> Iterable[Any]:
    try:
        fields = orjson.loads(line)
        return ((fields["item"], fields["actor"], fields["kind"], fields["value"]),)
    except (ValueError, TypeError, KeyError):
        if _object(line) is None:
            return ()
        raise


class _Csv:
    """Lines of CSV (RFC 4180), of which the first names the columns. No field holds a line's end: none may."""

    def __init__(self, what: What, given: Callable[[Any, Any, Any], Row]) -> None:
        self._what = what
        self._given = given
        self._columns: tuple[int, ...] = ()

    def decode(self, line: bytes) -> Iterable[Any]:
        if len(line) > MOST_LINE_BYTES:
            raise Refused("too_big", f"a line may have {MOST_LINE_BYTES} bytes")
        try:
            text = line.decode().rstrip("\r")
            # The ordinary line has no quotes, and is split in a third of the time.
            fields = text.split(",") if '"' not in text else next(csv.reader((text,), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise Refused("bad_request", f"not CSV in UTF-8: {error}") from None
        if not text:
            return ()
        if not self._columns:
            self._columns = self._head(fields)
            return ()
        try:
            picked = [fields[column] for column in self._columns]
        except IndexError:
            raise Refused("bad_request", f"{len(fields)} fields are fewer than the first line names") from None
        number: object = int(picked[-1]) if _NUMBER.fullmatch(picked[-1]) else picked[-1]
        if self._what == "counts":
            return (self._given(picked[0], picked[1], number),)
        return ((*picked[:-1], number),)

    def _head(self, fields: Sequence[str]) -> tuple[int, ...]:
        names = [field.strip().lower().removeprefix("\ufeff") for field in fields]
        wanted = COLUMNS[self._what]
        missing = [name for name in wanted if names.count(name) != 1]
        if missing:
            raise Refused("bad_request", f"the first line must name the columns {', '.join(wanted)}, each once")
        return tuple(names.index(name) for name in wanted)


def head(what: What, format: Format) -> bytes:
    """What an export begins with."""
    return b"" if format == "ndjson" else ",".join((*COLUMNS[what], "cursor")).encode() + b"\r\n"


def written(what: What, format: Format, rows: Iterable[tuple[Any, ...]], cursor: str | None) -> bytes:
    """A piece of an export: `rows` of COLUMNS, for NDJSON of counts (item, v, counts), and where to go on after them.

    `cursor` "" is the end; None where nobody is to be told. In CSV it stands in a column of its own, on the last row.
    """
    if format == "csv":
        text = io.StringIO(newline="")
        lines = [(*row, "") for row in rows]
        if lines and cursor:
            lines[-1] = (*lines[-1][:-1], cursor)
        csv.writer(text).writerows(lines)
        return text.getvalue().encode()
    names = ("item", "v", "counts") if what == "counts" else COLUMNS[what]
    parts = [orjson.dumps(dict(zip(names, row, strict=True))) for row in rows]
    if cursor is not None:
        parts.append(orjson.dumps({"cursor": cursor}))
    return b"".join(part + b"\n" for part in parts)
