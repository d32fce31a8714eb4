"""What a rule asks for, and when it holds."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallycast.alerts.alert import Index, changed, dump_alert, load_alert, new_alert
from tallycast.alerts.rules import Count, Rate, Ratio, Silence, Target, parse_rule, wilson_upper
from tallycast.errors import Refused
from tallycast.history.rollup import is_section

KINDS = ("like", "dislike", "share")
POST = Target("post:1", False)

GOOD: list[dict[str, Any]] = [
    {"rule": "count", "target": "post:*", "kind": "like", "marks": [100, 10, 100]},
    {"rule": "rate", "target": "post:1", "kind": "like"},
    {"rule": "rate", "target": "*", "kind": "share", "factor": 3, "minimum": 5, "minutes": 60, "quiet_s": 0},
    {"rule": "ratio", "target": "post:*"},
    {"rule": "ratio", "target": "post:1", "up": "share", "down": "like", "below": 0.25, "minimum": 1},
    {"rule": "silence", "target": "*", "for_s": 3600},
]


def make(body: dict[str, Any]) -> Any:
    return new_alert({"name": "An alert", **body}, KINDS, ["wh_1"], now_s=1e9)


@pytest.mark.parametrize("body", GOOD)
def test_an_alert_is_the_same_after_it_was_kept(body: dict[str, Any]) -> None:
    alert = make({**body, "webhooks": ["wh_1", "wh_1"]})
    assert load_alert(dump_alert(alert)) == alert
    assert alert.public()["target"] == body["target"]
    assert alert.webhooks == ("wh_1",)


def test_what_is_left_out_has_a_value_that_is_shown() -> None:
    shown = make({"rule": "rate", "target": "post:1", "kind": "like"}).public()
    shown.pop("id")
    assert shown == {
        "name": "An alert",
        "rule": "rate",
        "target": "post:1",
        "kind": "like",
        "factor": 5.0,
        "minimum": 20,
        "minutes": 10,
        "quiet_s": 3600,
        "webhooks": (),
        "enabled": True,
        "made_at": 1_000_000_000,
    }


def test_marks_are_kept_once_and_in_order() -> None:
    assert make(GOOD[0]).rule == Count("like", (10, 100))


@pytest.mark.parametrize(
    ("wrong", "code", "word"),
    [
        ({"rule": "counts"}, "bad_request", "rule must be one of count, rate, ratio, silence"),
        ({"rule": None}, "bad_request", "rule"),
        ({"target": "po st"}, "bad_item", "target"),
        ({"target": "a*b"}, "bad_item", "target"),
        ({"target": ""}, "bad_item", "target"),
        ({"target": 7}, "bad_item", "target"),
        ({"target": "x" * 201}, "bad_item", "target"),
        ({"kind": "likes"}, "unknown_kind", "like, dislike, share"),
        ({"kind": None}, "unknown_kind", "kind"),
        ({"marks": []}, "bad_request", "marks"),
        ({"marks": [0]}, "bad_request", "marks"),
        ({"marks": [1.5]}, "bad_request", "marks"),
        ({"marks": [True]}, "bad_request", "marks"),
        ({"marks": list(range(1, 22))}, "bad_request", "marks"),
        ({"marks": 10}, "bad_request", "marks"),
        ({"name": ""}, "bad_request", "name"),
        ({"name": "a\nb"}, "bad_request", "name"),
        ({"webhooks": ["wh_2"]}, "bad_request", "wh_2"),
        ({"webhooks": "wh_1"}, "bad_request", "webhooks"),
        ({"webhooks": [{}]}, "bad_request", "webhook"),
        ({"fctor": 5}, "bad_request", "fctor"),
        ({"rule": "rate", "target": "pos*"}, "bad_request", "post:*"),
        ({"rule": "rate", "factor": 1}, "bad_request", "factor"),
        ({"rule": "rate", "factor": math.nan}, "bad_request", "factor"),
        ({"rule": "rate", "factor": True}, "bad_request", "factor"),
        ({"rule": "rate", "minutes": 0}, "bad_request", "minutes"),
        ({"rule": "rate", "minutes": 1441}, "bad_request", "minutes"),
        ({"rule": "rate", "quiet_s": -1}, "bad_request", "quiet_s"),
        ({"rule": "ratio", "below": 1}, "bad_request", "below"),
        ({"rule": "ratio", "minimum": 0}, "bad_request", "minimum"),
        ({"rule": "ratio", "up": "like", "down": "like"}, "bad_request", "down"),
        ({"rule": "silence"}, "bad_request", "for_s"),
        ({"rule": "silence", "for_s": 1}, "bad_request", "for_s"),
    ],
)
def test_what_is_wrong_with_an_alert_is_said(wrong: dict[str, Any], code: str, word: str) -> None:
    body: dict[str, Any] = {"name": "An alert", "rule": "count", "target": "post:*", "kind": "like", "marks": [10]}
    if wrong.get("rule", "count") != "count":
        del body["marks"]
    if wrong.get("rule") in ("ratio", "silence"):
        del body["kind"]
    with pytest.raises(Refused) as refused:
        make(body | wrong)
    assert refused.value.code == code
    assert word in refused.value.message


def test_an_alert_is_renamed_turned_off_and_given_other_webhooks() -> None:
    alert = make(GOOD[0])
    after = changed(alert, {"name": "Else", "enabled": False, "webhooks": ["wh_1"]}, ["wh_1"])
    assert (after.name, after.enabled, after.webhooks, after.rule) == ("Else", False, ("wh_1",), alert.rule)
    with pytest.raises(Refused, match="enabled must be true or false"):
        changed(alert, {"enabled": 1}, [])


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet="ab:/.", max_size=12))
def test_a_rate_is_judged_of_what_history_has_sums_of(prefix: str) -> None:
    try:
        parse_rule({"rule": "rate", "kind": "like"}, Target(prefix, True), KINDS)
    except Refused:
        assert not is_section(prefix)
    else:
        assert is_section(prefix)


TARGETS = st.one_of(
    st.text(alphabet="ab:", min_size=1, max_size=4), st.text(alphabet="ab:", max_size=4).map("{}*".format)
)


@settings(max_examples=40, deadline=None)
@given(st.sets(TARGETS, max_size=8), st.text(alphabet="ab:", min_size=1, max_size=5))
def test_a_target_is_one_item_or_all_that_begin_so(targets: set[str], item: str) -> None:
    alerts = [make({"rule": "silence", "target": target, "for_s": 60}) for target in targets]
    assert {alert.target.text for alert in alerts} == targets
    found = [alert.target.text for alert in Index(alerts).covering(item)]
    assert sorted(found) == sorted(
        text for text in targets if (item.startswith(text[:-1]) if text.endswith("*") else item == text)
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=2, max_size=30), st.sets(st.integers(1, 60), min_size=1, max_size=5))
def test_a_mark_is_reached_where_the_count_comes_up_to_it(counts: list[int], marks: set[int]) -> None:
    reached = Count("like", tuple(sorted(marks))).reached(counts)
    assert reached == sorted(mark for mark in marks if any(a < mark <= b for a, b in pairwise(counts)))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 500), st.integers(1, 500), st.floats(1.1, 1.9))
def test_a_rate_that_trembles_around_its_bound_neither_fires_nor_ceases_twice(
    usual: int, minimum: int, factor: float
) -> None:
    rule = Rate("like", factor, minimum, 10, 0)
    bound = max(factor * usual, minimum)
    assert rule.judge(math.ceil(bound), usual) == "holds"
    assert rule.judge(math.ceil(bound * 0.75), usual) != "ceases"
    assert rule.judge(math.ceil(bound * 0.75) - 1, usual) == "ceases"


def test_a_rate_below_the_minimum_is_no_news_however_unusual_it_is() -> None:
    rule = Rate("like", 5.0, 20, 10, 0)
    assert rule.judge(19, 0.0) == "stays"
    assert rule.judge(20, 0.0) == "holds"
    assert rule.judge(20, 4.1) == "stays"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.floats(0.05, 0.95))
def test_a_ratio_holds_only_where_chance_does_not_explain_it(up: int, down: int, below: float) -> None:
    rule = Ratio("like", "dislike", below, 20, 0)
    verdict = rule.judge(up, down)
    if verdict == "holds":
        assert up + down >= 20
        assert up / (up + down) < below
        assert wilson_upper(up, up + down) < below
    if verdict == "ceases":
        assert not up + down or up / (up + down) >= below


def test_wilsons_bound_is_that_of_the_books() -> None:
    assert wilson_upper(10, 100) == pytest.approx(0.1744, abs=1e-4)  # Newcombe 1998, 0.0552–0.1744
    assert wilson_upper(0, 10) == pytest.approx(0.2775, abs=1e-4)
    assert wilson_upper(10, 10) == pytest.approx(1)
    for part, whole in ((1, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="no share"):
            wilson_upper(part, whole)


def test_a_silence_is_measured_in_seconds() -> None:
    assert parse_rule({"rule": "silence", "for_s": 60}, POST, KINDS) == Silence(60)
