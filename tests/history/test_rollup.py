"""Rolling up: whatever came in, every series of every name adds up to it."""

from __future__ import annotations

from collections import Counter

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallycast.history.rollup import (
    MOST_PREFIXES,
    PIECE_MOVES,
    Position,
    Roll,
    corrections,
    is_section,
    rises_of,
    sections_of,
)
from tallycast.store.history import DAY, HOUR, MINUTE, TOTAL, UNDATED, Rise
from tallycast.store.records import Entry

ITEMS = st.sampled_from(["a", "b:1", "b:2", "blog/2024/a:1", "blog/2024/b", "x:y/z:1:2:3", ":", "//a"])
KINDS = st.sampled_from(["like", "dislike", "clap"])
TIMES = st.integers(1_700_000_000_000, 1_700_000_000_000 + 3 * DAY * 1000)
BY_KIND = st.dictionaries(KINDS, st.integers(-50, 50).filter(bool), min_size=1)
BODIES = st.lists(st.tuples(ITEMS, st.just(1), BY_KIND), min_size=1, max_size=5)
ENTRIES = st.lists(st.tuples(TIMES, BODIES), max_size=5)
SOME = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def entries_of(drawn: list[tuple[int, list[tuple[str, int, dict[str, int]]]]]) -> list[Entry]:
    return [Entry(str(n), at_ms, orjson.dumps(body)) for n, (at_ms, body) in enumerate(drawn, 1)]


def roll_of(entries: list[Entry]) -> Roll:
    roll = Roll()
    for entry in entries:
        roll.add(entry)
    return roll


def added_up(rises: list[Rise], step: int) -> dict[tuple[str, str], int]:
    """By name and kind."""
    sums: Counter[tuple[str, str]] = Counter()
    for rise in rises:
        if rise.step == step:
            sums[rise.name, rise.kind] += rise.n
    return {place: n for place, n in sums.items() if n}


def test_the_sections_of_an_item_are_the_whole_site_and_what_stands_before_each_separator() -> None:
    assert sections_of("plain") == ("*",)
    assert sections_of("blog/2024/a:1") == ("*", "blog/*", "blog/2024/*", "blog/2024/a:*")
    assert sections_of("a::") == ("*", "a:*", "a::*")
    assert sections_of(":" * 200) == ("*", *(":" * n + "*" for n in range(1, MOST_PREFIXES + 1)))


@SOME
@given(st.text("ab:/", min_size=1, max_size=9))
def test_every_section_of_an_item_can_be_asked_for_and_nothing_else(item: str) -> None:
    sections = sections_of(item)
    assert len(set(sections)) == len(sections)
    for at in range(len(item) + 1):
        assert is_section(item[:at]) == (item[:at] + "*" in sections_of(item + "x"))


@SOME
@given(ENTRIES)
def test_each_series_of_a_name_adds_up_to_what_moved(
    drawn: list[tuple[int, list[tuple[str, int, dict[str, int]]]]],
) -> None:
    expected: Counter[tuple[str, str]] = Counter()
    for _, body in drawn:
        for item, _, by_kind in body:
            for kind, by in by_kind.items():
                for name in (item, *sections_of(item)):
                    expected[name, kind] += by
    rises = rises_of(roll_of(entries_of(drawn)).moves.items())
    for step in (TOTAL, MINUTE, HOUR, DAY):
        assert added_up(rises, step) == {place: n for place, n in expected.items() if n}
    places = [rise[:4] for rise in rises]
    assert len(set(places)) == len(places), "no bucket comes twice in a roll"
    assert all(rise.n for rise in rises)


@SOME
@given(ENTRIES)
def test_hours_and_days_are_made_of_their_minutes(
    drawn: list[tuple[int, list[tuple[str, int, dict[str, int]]]]],
) -> None:
    rises = rises_of(roll_of(entries_of(drawn)).moves.items())
    minutes = {rise[:4]: rise.n for rise in rises if rise.step == MINUTE}
    for step in (HOUR, DAY):
        of_minutes: Counter[tuple[str, int, int, str]] = Counter()
        for (name, _, bucket, kind), n in minutes.items():
            of_minutes[name, step, bucket * MINUTE // step, kind] += n
        assert {rise[:4]: rise.n for rise in rises if rise.step == step} == {
            place: n for place, n in of_minutes.items() if n
        }


@SOME
@given(ENTRIES)
def test_items_alone_are_ranked_in_all_of_their_sections(
    drawn: list[tuple[int, list[tuple[str, int, dict[str, int]]]]],
) -> None:
    for rise in rises_of(roll_of(entries_of(drawn)).moves.items()):
        ranked = rise.step != MINUTE and not rise.name.endswith("*")
        assert rise.sections == (sections_of(rise.name) if ranked else ())


def test_a_large_roll_goes_in_pieces_each_of_which_can_be_gone_on_from() -> None:
    size = 2 * PIECE_MOVES + 1
    body = orjson.dumps([(f"post:{n}", 1, {"like": 1}) for n in range(size)])
    entries = [Entry("7", 1_700_000_000_000, body), Entry("8", 1_700_000_000_000, body)]
    position, total = Position("5", turn=3), 0
    steps: list[Position] = []
    while not steps or position.upto:
        # As after a restart: the roll is made anew, and the position read from its checkpoint.
        position, rises = roll_of(entries).piece(Position.parse(str(position)))
        total += added_up(rises, TOTAL)["*", "like"]
        steps.append(position)
    assert steps == [
        Position("5", "8", PIECE_MOVES, 4),
        Position("5", "8", 2 * PIECE_MOVES, 5),
        Position("8", "", 0, 6),
    ]
    assert total == 2 * size


def test_a_checkpoint_says_its_position_and_no_two_are_alike() -> None:
    assert Position.parse("") == Position()
    assert str(Position()) == ""
    for position in (Position("17-0", turn=1), Position("17-0", "19-3", 150, 2), Position("", "", 0, 3)):
        assert Position.parse(str(position)) == position


@SOME
@given(st.dictionaries(ITEMS, BY_KIND))
def test_a_correction_is_in_the_totals_and_undated(short: dict[str, dict[str, int]]) -> None:
    rises = corrections(short)
    expected: Counter[tuple[str, str]] = Counter()
    for item, by_kind in short.items():
        for name in (item, *sections_of(item)):
            for kind, n in by_kind.items():
                expected[name, kind] += n
    for step in (TOTAL, DAY):
        assert added_up(rises, step) == {place: n for place, n in expected.items() if n}
    assert {rise.bucket for rise in rises} <= {UNDATED}
    assert all(
        rise.sections == (sections_of(rise.name) if rise.step == TOTAL else ())
        for rise in rises
        if not rise.name.endswith("*")
    )
