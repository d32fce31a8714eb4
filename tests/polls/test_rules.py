"""What a poll may be made of and changed to, and which votes it takes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallycast.errors import Refused
from tallycast.polls.rules import NOTICE_S, PAST_S, VOTED_ON, Poll, change, check_vote, close, load, make
from tallycast.veils import Veil

NOW = 1_800_000_000.0
WISH = {"question": "Which?", "options": ["A", "B", "C"], "closes_at": NOW + 600}


def poll(now_s: float = NOW, **fields: Any) -> Poll:
    return make("abc", {**WISH, **fields}, now_s)


def refusal(act: Any, *given: Any, **more: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        act(*given, **more)
    return caught.value


def test_a_poll_opens_at_once_and_shows_its_results_unless_it_is_said_otherwise() -> None:
    made = poll()
    assert (made.choice, made.results, made.opens_at, made.answers) == ("single", "always", NOW, ())
    assert (made.item, made.kinds) == ("poll:abc", ("option-1", "option-2", "option-3"))
    assert poll(choice="multiple").kinds == ("choice-1", "choice-2", "choice-3")
    assert poll(question="  Which? ", options=["e\u0301", "b"]).options == ("é", "b")


WRONG: dict[str, dict[str, Any]] = {
    "no question": {"question": "  "},
    "a question of another type": {"question": ["Which?"]},
    "a question on two lines": {"question": "Which?\nThis?"},
    "a question without end": {"question": "?" * 301},
    "half a character": {"question": "\ud800"},
    "one option": {"options": ["A"]},
    "eleven options": {"options": [str(n) for n in range(11)]},
    "options of another type": {"options": "AB"},
    "a number for an option": {"options": ["A", 2]},
    "an empty option": {"options": ["A", ""]},
    "a long option": {"options": ["A", "B" * 121]},
    "the same option twice": {"options": ["Yes", "yes "]},
    "a choice that is none": {"choice": "any"},
    "results that are none": {"results": ["always"]},
    "no time": {"closes_at": "soon"},
    "true for a time": {"closes_at": True},
    "closed in the past": {"closes_at": NOW - 1},
    "closed this very moment": {"closes_at": NOW},
    "opened in the past": {"opens_at": NOW - PAST_S - 1},
    "closed before it opens": {"opens_at": NOW + 600},
    "an answer beyond the options": {"answers": [4]},
    "an answer from zero": {"answers": [0]},
    "an answer by its text": {"answers": ["A"]},
    "answers of another type": {"answers": 1},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_a_poll_is_refused_and_said(wrong: dict[str, Any]) -> None:
    refused = refusal(poll, **wrong)
    assert refused.code == "bad_request"
    assert len(refused.message) < 200


@pytest.mark.parametrize("id", ["", ".", "..", "-a", "a/b", "a b", "ä", "a" * 65, "a%2f"])
def test_an_id_can_stand_in_any_path(id: str) -> None:
    assert refusal(make, id, WISH, NOW).code == "bad_request"


@pytest.mark.parametrize("missing", ["question", "options", "closes_at"])
def test_a_poll_needs_a_question_options_and_an_end(missing: str) -> None:
    refused = refusal(make, "abc", {name: value for name, value in WISH.items() if name != missing}, NOW)
    assert (refused.code, missing in refused.message) == ("bad_request", True)


def test_votes_are_taken_from_the_first_moment_to_just_before_the_last() -> None:
    later = poll(opens_at=NOW + 60)
    early = refusal(check_vote, later, "option-1", NOW + 59)
    assert (early.code, early.retry_after_s) == ("closed", None), "clients must not keep it and vote hours later"
    check_vote(later, "option-1", NOW + 60)
    check_vote(later, "option-3", NOW + 599.999)
    assert refusal(check_vote, later, "option-1", NOW + 600).code == "closed"
    assert refusal(check_vote, later._replace(closed_at=NOW + 100), "option-1", NOW + 101).code == "closed"
    states = [later.state(at) for at in (NOW, NOW + 60, NOW + 600)]
    assert states == ["upcoming", "open", "closing"]
    assert later._replace(closed_at=NOW + 100).state(NOW + 100) == "closed"


@pytest.mark.parametrize(
    ("choice", "kind", "code"),
    [
        ("single", "option-4", "bad_value"),
        ("multiple", "choice-10", "bad_value"),
        ("single", "choice-1", "unknown_kind"),
        ("multiple", "option-1", "unknown_kind"),
    ],
)
def test_a_vote_is_for_one_of_the_options(choice: str, kind: str, code: str) -> None:
    assert refusal(check_vote, poll(choice=choice), kind, NOW).code == code


def test_options_lock_at_the_first_vote_and_times_do_not() -> None:
    changes: dict[str, Any] = {"question": "Why?", "options": ["X", "Y"], "choice": "multiple"}
    assert change(poll(), changes, NOW, voted=False).options == ("X", "Y")
    for name, value in changes.items():
        assert refusal(change, poll(), {name: value}, NOW, voted=True).code == "conflict"
    again = {name: list(value) if name == "options" else value for name, value in poll()._asdict().items()}
    same = {name: again[name] for name in VOTED_ON}
    assert change(poll(), same, NOW, voted=True) == poll(), "said again it is no change"
    longer = change(poll(), {"closes_at": NOW + 9000, "results": "closed", "answers": [2]}, NOW + 599, voted=True)
    assert (longer.closes_at, longer.results, longer.answers) == (NOW + 9000, "closed", (2,))


def test_a_poll_that_has_closed_stays_as_it_is() -> None:
    for late in (NOW + 600, NOW + 9000):
        assert refusal(change, poll(), {"closes_at": NOW + 10_000}, late, voted=False).code == "closed"
    closed = poll()._replace(closed_at=NOW + 5)
    assert refusal(change, closed, {"results": "always"}, NOW + 6, voted=False).code == "closed"
    assert close(closed, NOW + 6) == closed


def test_when_it_opens_can_change_until_it_has() -> None:
    later = poll(opens_at=NOW + 60)
    assert change(later, {"opens_at": NOW + 90}, NOW + 59, voted=False).opens_at == NOW + 90
    assert refusal(change, later, {"opens_at": NOW + 90}, NOW + 60, voted=False).code == "conflict"
    assert refusal(change, later, {"opens_at": NOW - 99}, NOW, voted=False).code == "bad_request"
    assert refusal(change, poll(answers=[3]), {"options": ["A", "B"]}, NOW, voted=False).code == "bad_request"


def test_an_end_that_comes_sooner_is_told_in_time_to_all_hubs() -> None:
    assert refusal(change, poll(), {"closes_at": NOW + 1}, NOW, voted=True).code == "bad_request"
    assert change(poll(), {"closes_at": NOW + 2}, NOW, voted=True).closes_at == NOW + 2
    ended = close(poll(), NOW + 10)
    assert (ended.closes_at, ended.state(NOW + 10)) == (NOW + 10 + NOTICE_S, "open")
    assert close(ended, NOW + 10.1) == ended, "asked for twice it is closed once"
    early = close(poll(opens_at=NOW + 60), NOW)
    assert early.state(early.closes_at) == "closing"


@pytest.mark.parametrize(
    ("results", "open", "voter"),
    [("always", Veil.LIFTED, True), ("voted", Veil.VOTERS, True), ("closed", Veil.HIDDEN, False)],
)
def test_who_sees_how_it_stands(results: str, open: Veil, voter: bool) -> None:
    made = poll(results=results)
    assert (made.veil, made.veil.shows({"option-1": 1}), made.veil.shows({})) == (open, voter, results == "always")
    assert made._replace(closed_at=NOW).veil is Veil.LIFTED


def test_a_poll_tells_counts_and_choices_by_its_options() -> None:
    assert poll().votes({"option-2": 5, "option-9": 1}) == [0, 5, 0]
    assert poll(choice="multiple").chosen({"choice-3": 1, "choice-1": 1, "choice-2": 0}) == [1, 3]


TIMES = st.floats(-200, 2000, allow_nan=False).map(lambda after: NOW + round(after, 1))
WISHES = st.fixed_dictionaries(
    {},
    optional={
        "question": st.text(max_size=5),
        "options": st.lists(st.text("ABC", max_size=2), max_size=12),
        "choice": st.sampled_from(["single", "multiple", "none"]),
        "results": st.sampled_from(["always", "voted", "closed"]),
        "opens_at": TIMES,
        "closes_at": TIMES,
        "answers": st.lists(st.integers(0, 4), max_size=3),
    },
)


@settings(max_examples=60)
@given(st.lists(st.tuples(TIMES, WISHES, st.booleans()), max_size=8))
def test_whatever_is_wished_for_a_poll_stays_one(steps: list[tuple[float, dict[str, Any], bool]]) -> None:
    now = poll()
    for at, wish, voted in steps:
        before = now
        try:
            now = change(now, wish, at, voted=voted) if wish else close(now, at)
        except Refused:
            continue
        assert now.opens_at < now.closes_at
        assert 2 <= len(now.options) <= 10
        assert all(1 <= number <= len(now.options) for number in now.answers)
        if before.state(at) in ("closing", "closed"):
            assert now == before
        if voted and wish:
            assert [getattr(now, name) for name in VOTED_ON] == [getattr(before, name) for name in VOTED_ON]
        assert load(now.dump()) == now


def test_what_a_later_release_has_written_can_be_read() -> None:
    document = orjson.dumps({**orjson.loads(poll().dump()), "colour": "red"})
    assert load(document) == poll()
