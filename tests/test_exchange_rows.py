"""The lines of exports and imports: each is taken as it was written, or refused by its number."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallycast.exchange.rows import COLUMNS, MOST_LINE_BYTES, Checker, Format, Row, What, head, written
from tallycast.kinds import MOST_GIVEN, parse

KINDS = parse(
    """
[like]
rule = "toggle"
[clap]
rule = "amount"
max = 50
[share]
rule = "event"
[comments]
rule = "external"
[view]
rule = "unique"
""",
    "kinds of these tests",
)


def checked(what: What, format: Format, *lines: bytes, prefix: str = "") -> tuple[list[Row], list[tuple[int, str]]]:
    rows, bad = Checker(KINDS, what, format, prefix).check(lines)
    return rows, [(one.line, one.code) for one in bad]


def test_counts_are_what_the_hub_s_own_actors_say() -> None:
    line = b'{"item":"a","v":17,"counts":{"like":120,"comments":7}}'
    rows, bad = checked("counts", "ndjson", line, b"", b"  ", b'{"cursor":"x"}', b'{"item":"b","counts":{}}')
    assert rows == [("a", "~start:like", "like", 120), ("a", "~site:comments", "comments", 7)]
    assert bad == []


def test_columns_of_csv_come_in_any_order_with_others_between() -> None:
    head_line = b"\xef\xbb\xbfKind,note, Count ,item\r"
    rows, bad = checked("counts", "csv", head_line, b'like,"a, ""note""",3,"a,b"\r', b"\r", b"clap,,16777215,b")
    assert rows == [("a,b", "~start:like", "like", 3), ("b", "~start:clap", "clap", MOST_GIVEN)]
    assert bad == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"nonsense", "bad_json"),
        (b"[1]", "bad_json"),
        (b"{}", "bad_request"),
        (b'{"item":"a","actor":"u:1","kind":"like"}', "bad_request"),
        (b'{"item":1,"actor":"u:1","kind":"like","value":1}', "bad_item"),
        (b'{"item":"a b","actor":"u:1","kind":"like","value":1}', "bad_item"),
        (b'{"item":"shop/1","actor":"u:1","kind":"like","value":1}', "forbidden"),
        (b'{"item":"blog/1","actor":"u:1","kind":"love","value":1}', "unknown_kind"),
        (b'{"item":"blog/1","actor":"u:1","kind":"option-1","value":1}', "unknown_kind"),
        (b'{"item":"blog/1","actor":"u:1","kind":["like"],"value":1}', "bad_request"),
        (b'{"item":"blog/1","actor":7,"kind":"like","value":1}', "bad_request"),
        (b'{"item":"blog/1","actor":"","kind":"like","value":1}', "bad_value"),
        (b'{"item":"blog/1","actor":"\\n","kind":"like","value":1}', "bad_value"),
        (b'{"item":"blog/1","actor":"u:1","kind":"like","value":2}', "bad_value"),
        (b'{"item":"blog/1","actor":"u:1","kind":"like","value":true}', "bad_value"),
        (b'{"item":"blog/1","actor":"u:1","kind":"like","value":"1"}', "bad_value"),
        (b'{"item":"blog/1","actor":"u:1","kind":"clap","value":51}', "bad_value"),
        (b'{"item":"blog/1","actor":"u:1","kind":"clap","value":-1}', "bad_value"),
        (b'{"item":"blog/1","actor":"u:1","kind":"comments","value":1}', "bad_value"),
        (b'{"item":"blog/1","actor":"~start:like","kind":"clap","value":1}', "bad_value"),
        (b'{"item":"blog/1","actor":"~other","kind":"like","value":1}', "bad_value"),
        (b'{"item":"blog/1","actor":"~u:abc","kind":"like","value":1}', "bad_value"),
        (b'{"item":"blog/1","actor":"u:1","kind":"like","value":1,"x":"' + b"x" * MOST_LINE_BYTES, "too_big"),
    ],
)
def test_a_value_that_nobody_can_say_is_named_by_its_line(line: bytes, code: str) -> None:
    good = b'{"item":"blog/1","actor":"u:1","kind":"like","value":1}'
    rows, bad = checked("values", "ndjson", good, line, good, prefix="blog/")
    assert rows == [("blog/1", "u:1", "like", 1)] * 2
    assert bad == [(2, code)]


def test_what_the_hub_says_itself_can_be_said_again() -> None:
    rows = [("a", "~start:like", "like", 120), ("a", "~site:comments", "comments", 7), ("a", "~u:Yw", "view", 1)]
    rows += [("poll:1", "u:1", "option-1", 1), ("a", "u:1", "share", 3000)]
    assert checked("values", "ndjson", *written("values", "ndjson", rows, None).splitlines()) == (rows, [])


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ((b"item,kind",), "bad_request"),
        ((b"item,kind,count,count",), "bad_request"),
        ((b"item,kind,count", b"a,like"), "bad_request"),
        ((b"item,kind,count", b"a,like,x"), "bad_value"),
        ((b"item,kind,count", b"a,like,16777216"), "bad_value"),
        ((b"item,kind,count", b"a,like,-1"), "bad_value"),
        ((b"item,kind,count", b'"a,like,1'), "bad_request"),
        ((b"item,kind,count", b'a,"like"x,1'), "bad_request"),
        ((b"item,kind,count", b"a,love,1"), "unknown_kind"),
        ((b"item,kind,count", b"a\xff,like,1"), "bad_request"),
        ((b"item,kind,count", b"a," * MOST_LINE_BYTES), "too_big"),
    ],
)
def test_a_line_of_csv_that_is_none_is_named(lines: tuple[bytes, ...], code: str) -> None:
    assert checked("counts", "csv", *lines) == ([], [(len(lines), code)])


def test_lines_are_counted_through_all_calls() -> None:
    checker = Checker(KINDS, "values", "csv", "")
    checker.check([b"item,actor,kind,value", b"a,u:1,like,1"])
    _, bad = checker.check([b"a,u:1,like,1", b"x"])
    assert [one.line for one in bad] == [4]


ITEMS = st.text("ab:/,.%", min_size=1, max_size=8)
ACTORS = st.text("ab,\"' \\~", min_size=1, max_size=8).filter(lambda name: name[0] != "~")
VALUES = st.lists(st.tuples(ITEMS, ACTORS, st.just("clap"), st.integers(0, 50)), max_size=8)


@pytest.mark.parametrize("format", ["ndjson", "csv"])
@given(rows=VALUES)
def test_what_is_exported_can_be_imported(format: Format, rows: list[Row]) -> None:
    text = head("values", format) + written("values", format, rows, "more") + written("values", format, rows, "")
    assert checked("values", format, *text.split(b"\n")) == (rows * 2, [])


def test_an_export_s_pieces_say_where_to_go_on() -> None:
    row = ("a", "u:1", "like", 1)
    assert orjson.loads(written("values", "ndjson", [row], "next").splitlines()[-1]) == {"cursor": "next"}
    assert written("values", "csv", [row, row], "next") == b"a,u:1,like,1,\r\na,u:1,like,1,next\r\n"
    assert head("values", "csv") == ",".join((*COLUMNS["values"], "cursor")).encode() + b"\r\n"
    assert written("counts", "ndjson", [("a", 17, {"like": 3})], "").splitlines() == [
        b'{"item":"a","v":17,"counts":{"like":3}}',
        b'{"cursor":""}',
    ]
