"""kinds.py: what a kinds file may say, what a reaction may say, and what it does to what its actor said before."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallycast.errors import ConfigError, Refused
from tallycast.kinds import MAX_AMOUNT, MAX_SEQ, MOST_GIVEN, POLL_KINDS, Kind, Kinds, Reaction, Said, parse
from tallycast.settings import Settings, read_kinds

KINDS = parse(
    """
    [like]
    rule = "toggle"
    group = "opinion"
    [dislike]
    rule = "toggle"
    group = "opinion"
    [meh]
    rule = "toggle"
    group = "opinion"
    [love]
    rule = "toggle"
    [clap]
    rule = "amount"
    max = 50
    [share]
    rule = "event"
    [view]
    rule = "unique"
    [stars]
    rule = "rating"
    [comments]
    rule = "external"
    """,
    "test.toml",
)
ID = "6f1c09d2-0001"
STARS = ("stars-1", "stars-2", "stars-3", "stars-4", "stars-5")


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "own.toml")
    message = str(caught.value)
    assert message.startswith("own.toml: ") and message.isprintable()
    return message.removeprefix("own.toml: ")


# The file


def test_a_kind_has_what_its_table_says() -> None:
    kinds = parse('[clap]\nrule = "amount"\nmax = 50\nlabel = "Claps"\nemoji = "👏"\n', "own.toml")
    assert kinds.shown == {"clap": Kind("clap", "amount", None, 50, "Claps", "👏")}
    assert kinds["clap"].public() == {"rule": "amount", "max": 50, "label": "Claps", "emoji": "👏"}


def test_a_kind_without_a_label_is_called_by_its_name() -> None:
    assert parse('[wow]\nrule = "toggle"\n', "own.toml")["wow"].public() == {
        "rule": "toggle",
        "label": "Wow",
        "emoji": "",
    }


def test_kinds_stand_in_the_order_of_the_file() -> None:
    assert list(KINDS)[:6] == list(KINDS.shown)[:6] == ["like", "dislike", "meh", "love", "clap", "share"]


def test_the_packaged_kinds_are_those_that_the_documents_name() -> None:
    kinds = read_kinds(Settings())
    assert {name: (kind.rule, kind.group, kind.max) for name, kind in kinds.shown.items()} == {
        "like": ("toggle", "opinion", None),
        "dislike": ("toggle", "opinion", None),
        "love": ("toggle", None, None),
        "clap": ("amount", None, 50),
        "share": ("event", None, None),
        "download": ("event", None, None),
    }
    assert all(kind.label and kind.emoji for kind in kinds.shown.values())


def test_rivals_are_the_others_of_the_group() -> None:
    assert set(KINDS.rivals("like")) == {"dislike", "meh"}
    assert KINDS.rivals("love") == KINDS.rivals("clap") == KINDS.rivals("share") == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no kinds: declare at least one"),
        ("# nothing yet\n", "no kinds: declare at least one"),
        ("[like\n", "not TOML: .*line 1"),
        ('[like]\nrule = "toggle"\nrule = "event"\n', "not TOML: .*line 3"),
        ('[like]\nrule = "toggle"\n[like]\nrule = "event"\n', "not TOML: .*line 3"),
        ("x = " + "[" * 5000, "not TOML"),
        ("[clap]\nrule = 'amount'\nmax = " + "9" * 5000, "not TOML"),
        ('like = "toggle"\n', r"like: expected a table, e\.g\. \[like\]"),
        ('[[like]]\nrule = "toggle"\n', "like: expected a table"),
        ('[Like]\nrule = "toggle"\n', r"\['Like'\]: a kind's name is 1–32 of"),
        ('["like it"]\nrule = "toggle"\n', r"\['like it'\]: a kind's name"),
        ('[1st]\nrule = "toggle"\n', ".*a kind's name"),
        ('[""]\nrule = "toggle"\n', ".*a kind's name"),
        (f'[{"x" * 33}]\nrule = "toggle"\n', ".*a kind's name"),
        ('["a\\nb"]\nrule = "toggle"\n', r"\['a\\nb'\]: a kind's name"),
        ('[like]\n"a\\u001bb" = 1\n', r"\[like\] 'a\\x1bb': .*no such key"),
        ("[like]\n", r"\[like\] rule: expected one of toggle, amount, event, unique, rating, external"),
        ('[like]\nrule = "count"\n', r"\[like\] rule: expected one of toggle, amount, event, unique, rating, external"),
        ("[like]\nrule = []\n", r"\[like\] rule: expected one of toggle, amount, event, unique, rating, external"),
        ("[like]\nrule = true\n", r"\[like\] rule: expected one of"),
        ('[like]\nrule = "toggle"\ncolour = "red"\n', r"\[like\] 'colour': .*no such key"),
        ('[like]\nrule = "toggle"\ngroup = 1\n', r"\[like\] group: expected a name"),
        ('[like]\nrule = "toggle"\ngroup = ""\n', r"\[like\] group: expected a name"),
        ('[like]\nrule = "toggle"\ngroup = "A b"\n', r"\[like\] group: expected a name"),
        ('[share]\nrule = "event"\ngroup = "opinion"\n', r"\[share\] group: .*only with rule"),
        ('[clap]\nrule = "amount"\nmax = 5\ngroup = "opinion"\n', r"\[clap\] group: .*only with rule"),
        ('[clap]\nrule = "amount"\n', r"\[clap\] max: expected an integer from 1 to"),
        ('[clap]\nrule = "amount"\nmax = 0\n', r"\[clap\] max: expected an integer from 1 to"),
        ('[clap]\nrule = "amount"\nmax = -5\n', r"\[clap\] max: expected an integer"),
        ('[clap]\nrule = "amount"\nmax = 5.0\n', r"\[clap\] max: expected an integer"),
        ('[clap]\nrule = "amount"\nmax = true\n', r"\[clap\] max: expected an integer"),
        ('[clap]\nrule = "amount"\nmax = "5"\n', r"\[clap\] max: expected an integer"),
        (f'[clap]\nrule = "amount"\nmax = {MAX_AMOUNT + 1}\n', r"\[clap\] max: expected an integer"),
        ('[like]\nrule = "toggle"\nmax = 1\n', r"\[like\] max: expected no max"),
        ('[share]\nrule = "event"\nmax = 1\n', r"\[share\] max: expected no max"),
        ('[like]\nrule = "toggle"\nlabel = 1\n', r"\[like\] label: expected a text"),
        (f'[like]\nrule = "toggle"\nlabel = "{"x" * 65}"\n', r"\[like\] label: expected a text"),
        ('[like]\nrule = "toggle"\nemoji = ["x"]\n', r"\[like\] emoji: expected a text"),
        ('[love]\nrule = "toggle"\n[like]\nrule = "x"\n', r"\[like\] rule"),
        ('[option-1]\nrule = "toggle"\n', r"\[option-1\]: the kinds option-1…10 and choice-1…10 are those of polls"),
        ('[choice-10]\nrule = "event"\n', r"\[choice-10\]: .* are those of polls"),
        ('[stars]\nrule = "rating"\nmax = 5\n', r"\[stars\] max: expected no max"),
        ('[stars]\nrule = "rating"\ngroup = "a"\n', r"\[stars\] group: .*only with rule"),
        ('[view]\nrule = "unique"\nmax = 5\n', r"\[view\] max: expected no max"),
        ('[a]\nrule = "rating"\n[a-5]\nrule = "toggle"\n', r"\[a-5\]: the rating a has a part of that name"),
        ('[a]\nrule = "rating"\n[b]\nrule = "toggle"\ngroup = "a"\n', r"\[b\] group: a is a rating"),
        (f'[{"x" * 31}]\nrule = "rating"\n', ".*at most 30 characters"),
        ("".join(f'[k{n}]\nrule = "rating"\n' for n in range(48)), "too many kinds: at most 235"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line_or_key_and_what_was_expected(text: str, expected: str) -> None:
    assert re.match(expected, refusal(text))


@given(st.text(max_size=40) | st.from_regex(r"(\[[a-z]{1,3}\]\n(rule|max|group) = [^\n]{0,12}\n){1,2}", fullmatch=True))
def test_no_file_makes_the_reading_fail_otherwise(text: str) -> None:
    try:
        assert len(parse(text, "own.toml").shown) >= 1
    except ConfigError as error:
        assert str(error).startswith("own.toml: ")


# What a reaction may say


def react(kind: object, value: object = None, event: object = None, seq: object = None) -> Reaction:
    return KINDS.reaction("post:1", "u:1", kind, value, event, seq)


@pytest.mark.parametrize(
    ("kind", "value", "counted"),
    [
        ("like", 1, 1),
        ("like", 0, 0),
        ("like", True, 1),
        ("like", False, 0),
        ("love", 1, 1),
        ("clap", 0, 0),
        ("clap", 7, 7),
        ("clap", 50, 50),
    ],
)
def test_a_value_that_fits_the_rule_is_taken(kind: str, value: object, counted: int) -> None:
    reaction = react(kind, value)
    assert reaction == Reaction("post:1", "u:1", kind, counted, 0, None)
    assert type(reaction.value) is int


@pytest.mark.parametrize("event", ["12345678", "x" * 64, ID, "!~!~!~!~"])
def test_an_event_is_taken_by_its_id(event: str) -> None:
    assert react("share", event=event) == Reaction("post:1", "u:1", "share", 1, 0, event)


@pytest.mark.parametrize(
    ("kind", "value", "event", "code"),
    [
        ("like", None, None, "bad_value"),
        ("like", 2, None, "bad_value"),
        ("like", -1, None, "bad_value"),
        ("like", 1.0, None, "bad_value"),
        ("like", "1", None, "bad_value"),
        ("like", [1], None, "bad_value"),
        ("like", 2**70, None, "bad_value"),
        ("like", float("nan"), None, "bad_value"),
        ("like", 1, ID, "bad_value"),
        ("clap", None, None, "bad_value"),
        ("clap", 51, None, "bad_value"),
        ("clap", -1, None, "bad_value"),
        ("clap", True, None, "bad_value"),
        ("clap", 7.0, None, "bad_value"),
        ("clap", 7, ID, "bad_value"),
        ("share", 1, None, "bad_value"),
        ("share", 1, ID, "bad_value"),
        ("share", None, None, "bad_value"),
        ("share", None, "x" * 7, "bad_value"),
        ("share", None, "x" * 65, "bad_value"),
        ("share", None, "id with spaces", "bad_value"),
        ("share", None, "newline-\n", "bad_value"),
        ("share", None, "identität", "bad_value"),
        ("share", None, 12345678, "bad_value"),
        ("wow", 1, None, "unknown_kind"),
        ("Like", 1, None, "unknown_kind"),
        ("", 1, None, "unknown_kind"),
        (None, 1, None, "unknown_kind"),
        (1, 1, None, "unknown_kind"),
        (["like"], 1, None, "unknown_kind"),
        ({"like": 1}, 1, None, "unknown_kind"),
    ],
)
def test_what_does_not_fit_the_rule_is_refused(kind: object, value: object, event: object, code: str) -> None:
    with pytest.raises(Refused) as caught:
        react(kind, value, event)
    assert caught.value.code == code


def test_a_refusal_says_what_would_have_been_right() -> None:
    for kind, value, event, expected in [
        ("wow", 1, None, "like, dislike, meh, love, clap, share, view, stars, comments"),
        ("like", 2, None, "1 or 0"),
        ("clap", 51, None, "from 0 to 50"),
        ("share", 1, None, "send id, not value"),
        ("like", 1, ID, "value, not an id"),
    ]:
        with pytest.raises(Refused, match=re.escape(expected)):
            react(kind, value, event)


@pytest.mark.parametrize("seq", [1, 1_763_750_000_000_000, MAX_SEQ])
def test_a_seq_is_taken_as_it_is(seq: int) -> None:
    assert react("like", 1, seq=seq).seq == seq


@pytest.mark.parametrize("seq", [0, -1, MAX_SEQ + 1, 1.0, "1", True, [1]])
def test_a_seq_of_another_shape_is_refused(seq: object) -> None:
    with pytest.raises(Refused) as caught:
        react("like", 1, seq=seq)
    assert caught.value.code == "bad_request"


# What a reaction does


def say(*reactions: Reaction) -> dict[str, Said]:
    said: dict[str, Said] = {}
    for reaction in reactions:
        KINDS.apply(said, reaction)
    return said


def values(said: dict[str, Said]) -> dict[str, int]:
    return {kind: one.value for kind, one in said.items() if one.value}


def test_saying_the_same_twice_changes_nothing() -> None:
    assert values(say(react("like", 1), react("like", 1))) == {"like": 1}
    assert values(say(react("clap", 7), react("clap", 7))) == {"clap": 7}


def test_a_value_of_zero_is_the_undo() -> None:
    assert values(say(react("like", 1), react("clap", 9), react("like", 0), react("clap", 0))) == {}


def test_an_amount_is_the_total_and_may_shrink() -> None:
    assert values(say(react("clap", 9), react("clap", 4))) == {"clap": 4}


def test_one_of_a_group_puts_the_others_back() -> None:
    assert values(say(react("like", 1), react("love", 1), react("dislike", 1))) == {"dislike": 1, "love": 1}


def test_undoing_one_of_a_group_leaves_the_others() -> None:
    assert values(say(react("like", 1), react("dislike", 0))) == {"like": 1}


def test_events_add_up() -> None:
    assert say(react("share", event=ID), react("share", event=ID + "x"))["share"].value == 2


def test_a_late_retry_does_not_undo_a_newer_wish() -> None:
    assert values(say(react("like", 0, seq=2), react("like", 1, seq=1))) == {}
    assert values(say(react("clap", 9, seq=2), react("clap", 4, seq=1))) == {"clap": 9}


def test_a_late_retry_does_not_undo_a_newer_wish_in_its_group() -> None:
    assert values(say(react("dislike", 1, seq=2), react("like", 1, seq=1))) == {"dislike": 1}
    assert values(say(react("dislike", 1, seq=2), react("dislike", 0, seq=3), react("like", 1, seq=1))) == {}


def test_the_same_seq_again_stands() -> None:
    assert values(say(react("like", 1, seq=5), react("like", 0, seq=5))) == {}


def test_without_a_seq_it_always_stands_and_the_order_is_kept() -> None:
    said = say(react("like", 1, seq=5), react("like", 0), react("like", 1, seq=4))
    assert values(said) == {}


def test_kinds_of_no_common_group_have_orders_of_their_own() -> None:
    assert values(say(react("love", 1, seq=9), react("like", 1, seq=1), react("clap", 2, seq=2))) == {
        "love": 1,
        "like": 1,
        "clap": 2,
    }


def test_undoing_one_kind_of_a_group_says_nothing_of_another() -> None:
    assert values(say(react("like", 0, seq=2), react("dislike", 1, seq=1))) == {"dislike": 1}


@dataclass
class Person:
    """The oracle of one actor on one item: of each kind what was last said, and with which seq."""

    said: dict[str, int] = field(default_factory=dict)
    seqs: dict[str, int] = field(default_factory=dict)
    events: int = 0

    def hear(self, reaction: Reaction) -> None:
        if reaction.id is not None:
            self.events += 1
            return
        if reaction.seq and reaction.seq < self.seqs.get(reaction.kind, 0):
            return
        opinions = ("like", "dislike", "meh")
        self.say(reaction.kind, reaction.value, reaction.seq)
        if reaction.value and reaction.kind in opinions:
            for other in set(opinions) - {reaction.kind}:
                self.say(other, 0, reaction.seq)

    def say(self, kind: str, value: int, seq: int) -> None:
        self.said[kind] = value
        self.seqs[kind] = max(seq, self.seqs.get(kind, 0))

    def values(self) -> dict[str, int]:
        return {kind: n for kind, n in (*self.said.items(), ("share", self.events)) if n}


seqs = st.none() | st.integers(1, 12)
reactions = st.one_of(
    st.builds(react, st.sampled_from(["like", "dislike", "meh", "love"]), st.integers(0, 1), seq=seqs),
    st.builds(react, st.just("clap"), st.integers(0, 50), seq=seqs),
    st.builds(react, st.just("share"), event=st.just(ID), seq=seqs),
)


@given(st.lists(reactions, max_size=40))
def test_whatever_is_said_the_values_are_those_of_the_oracle(spoken: list[Reaction]) -> None:
    said: dict[str, Said] = {}
    person = Person()
    for reaction in spoken:
        KINDS.apply(said, reaction)
        person.hear(reaction)
        assert values(said) == person.values()


@given(st.lists(reactions, max_size=20), reactions)
def test_a_reaction_heard_again_changes_nothing(spoken: list[Reaction], last: Reaction) -> None:
    once = say(*spoken, last)
    twice = copy.copy(once)
    if last.id is None:
        KINDS.apply(twice, last)
    assert twice == once


@given(st.permutations([(seq, seq * 7 % 11 % 2) for seq in range(1, 9)]), st.sampled_from(["like", "love", "clap"]))
def test_in_whatever_order_they_come_the_newest_stands(arrivals: list[tuple[int, int]], kind: str) -> None:
    said = say(*(react(kind, value, seq=seq) for seq, value in arrivals))
    assert said[kind] == Said(max(arrivals)[1], 8)


@given(st.lists(reactions, max_size=30))
def test_what_another_kind_says_is_left_alone(spoken: list[Reaction]) -> None:
    said: dict[str, Said] = {}
    for reaction in spoken:
        before: dict[str, Any] = dict(said)
        KINDS.apply(said, reaction)
        moved = {kind for kind in said if said[kind] != before.get(kind)}
        assert moved <= {reaction.kind, *KINDS.rivals(reaction.kind)}


def test_kinds_are_a_mapping_that_is_not_changed_through_its_source() -> None:
    source = {"like": Kind("like", "toggle")}
    kinds = Kinds(source)
    source.clear()
    assert list(kinds) == ["like", *POLL_KINDS] and len(kinds) == 21 and "love" not in kinds
    assert list(kinds.shown) == ["like"]


# Kinds that are not counted as they are sent


def test_a_hub_has_a_rating_as_its_parts_and_the_kinds_of_polls() -> None:
    assert list(KINDS) == [
        *("like", "dislike", "meh", "love", "clap", "share", "view", *STARS, "comments"),
        *POLL_KINDS,
    ]
    assert {name for name in KINDS if KINDS.rated(name)} == set(STARS)
    assert KINDS.personal == {*KINDS} - {"share", "view", "comments"}


def test_clients_are_told_of_a_rating_with_its_parts_and_of_no_part() -> None:
    assert list(KINDS.shown) == ["like", "dislike", "meh", "love", "clap", "share", "view", "stars", "comments"]
    assert KINDS.shown["stars"].public() == {
        "rule": "rating",
        "max": 5,
        "label": "Stars",
        "emoji": "",
        "parts": STARS,
    }
    assert KINDS.shown["view"].public() == {"rule": "unique", "label": "View", "emoji": ""}


def test_a_file_of_before_there_were_polls_may_have_a_group_called_option() -> None:
    kinds = parse('[like]\nrule = "toggle"\ngroup = "option"\n', "own.toml")
    assert kinds.rivals("like") == ()
    assert len(kinds.rivals("option-1")) == 9 and kinds.rivals("choice-1") == ()


@pytest.mark.parametrize("value", [1, 2, 3, 4, 5])
def test_so_many_stars_are_the_part_of_that_number(value: int) -> None:
    assert react("stars", value, seq=7) == Reaction("post:1", "u:1", f"stars-{value}", 1, 7)


@pytest.mark.parametrize(
    ("kind", "value", "event", "code"),
    [
        ("stars", 6, None, "bad_value"),
        ("stars", -1, None, "bad_value"),
        ("stars", 4.0, None, "bad_value"),
        ("stars", True, None, "bad_value"),
        ("stars", None, None, "bad_value"),
        ("stars", 4, ID, "bad_value"),
        ("stars-4", 1, None, "unknown_kind"),
        ("view", 0, None, "bad_value"),
        ("view", False, None, "bad_value"),
        ("view", 2, None, "bad_value"),
        ("view", 1.0, None, "bad_value"),
        ("view", None, None, "bad_value"),
        ("view", None, ID, "bad_value"),
        ("comments", 1, None, "forbidden"),
        ("comments", None, None, "forbidden"),
        ("comments", 1, ID, "bad_value"),
        ("option-1", 1, None, "unknown_kind"),
    ],
)
def test_what_does_not_fit_such_a_kind_is_refused(kind: str, value: object, event: object, code: str) -> None:
    with pytest.raises(Refused) as caught:
        react(kind, value, event)
    assert caught.value.code == code


def test_another_rating_takes_the_place_of_the_one_before() -> None:
    assert values(say(react("stars", 4), react("stars", 2))) == {"stars-2": 1}


def test_no_stars_take_back_whichever_they_were() -> None:
    assert values(say(react("stars", 4), react("stars", 0))) == {}
    assert values(say(react("stars", 4, seq=5), react("stars", 0, seq=6))) == {}


def test_a_late_retry_brings_no_rating_back() -> None:
    for late in (1, 4, 5):
        assert values(say(react("stars", 4, seq=5), react("stars", 0, seq=6), react("stars", late, seq=5))) == {}
    assert values(say(react("stars", 4, seq=5), react("stars", 0, seq=4))) == {"stars-4": 1}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=12))
def test_the_rating_with_the_greatest_seq_stands_whatever_came_when(said: list[tuple[int, int]]) -> None:
    newest = max(seq for _, seq in said)
    last = [value for value, seq in said if seq == newest][-1]
    assert values(say(*(react("stars", value, seq=seq) for value, seq in said))) == (
        {f"stars-{last}": 1} if last else {}
    )


def test_who_was_here_counts_once_and_needs_no_seq() -> None:
    assert react("view", True, seq=9) == Reaction("post:1", "u:1", "view", 1)
    assert say(react("view", 1), react("view", 1, seq=3)) == {"view": Said(1, 0)}
    assert [kind for kind in KINDS if KINDS.nameless(kind)] == ["view"]
    assert not KINDS.nameless(None) and not KINDS.nameless(["view"])


def test_polls_take_votes_and_nothing_else() -> None:
    for kind in POLL_KINDS:
        assert KINDS.reaction("poll:1", "u:1", kind, 1, None, None) == Reaction("poll:1", "u:1", kind, 1)
    with pytest.raises(Refused, match=r"option-1, .* on a poll") as caught:
        KINDS.reaction("poll:1", "u:1", "like", 1, None, None)
    assert caught.value.code == "unknown_kind"


def test_one_option_is_chosen_at_a_time_and_any_number_of_choices() -> None:
    votes = [
        KINDS.reaction("poll:1", "u:1", kind, 1, None, None)
        for kind in ("option-1", "option-10", "choice-1", "choice-2")
    ]
    assert values(say(*votes)) == {"option-10": 1, "choice-1": 1, "choice-2": 1}


@pytest.mark.parametrize(
    ("item", "kind", "actor"),
    [
        ("post:1", "like", "~start:like"),
        ("post:1", "share", "~start:share"),
        ("post:1", "view", "~start:view"),
        ("post:1", "stars-4", "~start:stars-4"),
        ("post:1", "comments", "~site:comments"),
        ("poll:1", "option-2", "~start:option-2"),
    ],
)
def test_what_is_given_stands_whatever_the_rule(item: str, kind: str, actor: str) -> None:
    said: dict[str, Said] = {}
    for n in (7, MOST_GIVEN, 3):
        reaction = KINDS.given(item, kind, n)
        assert reaction == Reaction(item, actor, kind, n)
        KINDS.apply(said, reaction)
        assert said == {kind: Said(n, 0)}


@pytest.mark.parametrize(
    ("item", "kind", "n", "code"),
    [
        ("post:1", "like", -1, "bad_value"),
        ("post:1", "like", MOST_GIVEN + 1, "bad_value"),
        ("post:1", "like", True, "bad_value"),
        ("post:1", "stars", 5, "bad_value"),
        ("post:1", "wow", 5, "unknown_kind"),
        ("post:1", "option-1", 5, "unknown_kind"),
        ("poll:1", "like", 5, "unknown_kind"),
    ],
)
def test_what_cannot_be_given_is_refused(item: str, kind: str, n: int, code: str) -> None:
    with pytest.raises(Refused) as caught:
        KINDS.given(item, kind, n)
    assert caught.value.code == code


def test_what_is_given_takes_nothing_back() -> None:
    said = {"like": Said(5, 0), "stars-4": Said(2, 0)}
    KINDS.apply(said, Reaction("post:1", "~start:dislike", "dislike", 3, 9))
    KINDS.apply(said, Reaction("post:1", "~start:stars-1", "stars-1", 0, 9))
    assert values(said) == {"like": 5, "stars-4": 2, "dislike": 3}


def test_an_actor_has_as_much_as_its_rule_allows_and_the_hub_itself_more() -> None:
    most = {kind: KINDS.most(kind, "u:1") for kind in ("like", "clap", "share", "view", "stars-4", "comments", "wow")}
    assert most == {
        "like": 1, "clap": 50, "share": MOST_GIVEN, "view": 1, "stars-4": 1, "comments": 0, "wow": None
    }  # fmt: skip
    assert KINDS.most("comments", "~site:comments") == KINDS.most("like", "~start:like") == MOST_GIVEN
