"""docs/grafana/tallycast.json shows what hubs really tell, and can be imported as it is."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import promql
from tallycast.metrics import METRICS

DASHBOARD = json.loads((Path(__file__).parents[1] / "docs" / "grafana" / "tallycast.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
QUERIES = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]


def filled(expression: str) -> str:
    """The expression as Grafana sends it, its variables filled in."""
    return expression.replace("$window", "5m").replace("$job", "tallycast").replace("$instance", "hub:8000")


@pytest.mark.parametrize(("title", "target"), QUERIES, ids=[f"{title} {target['refId']}" for title, target in QUERIES])
def test_a_query_asks_for_what_hubs_have(title: str, target: dict[str, Any]) -> None:
    expression = target["expr"]
    promql.check(filled(expression), promql.series())
    assert "$" not in filled(expression)
    for asked in promql.asked(expression.replace("$window", "5m")):
        assert asked.matchers["job"] == ("=~", "$job") and asked.matchers["instance"] == ("=~", "$instance")
    assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= promql.grouped(filled(expression))


def test_a_series_or_label_that_no_hub_has_is_found() -> None:
    for wrong in (
        "tallycast_nothing",
        'tallycast_viewers{kind="like"}',
        'tallycast_reactions_total{result="refused"}',
        "sum by (reason) (tallycast_viewers)",
    ):
        with pytest.raises(AssertionError):
            promql.check(wrong, promql.series())
    with pytest.raises(ValueError):
        promql.check("sum(", promql.series())


def test_every_metric_of_the_hub_is_shown() -> None:
    shown = {asked.name for _, target in QUERIES for asked in promql.asked(filled(target["expr"]))}
    for metric in METRICS:
        assert shown & {metric.exported, f"{metric.exported}_bucket"}, metric.name
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"} <= shown


def test_it_is_of_no_particular_grafana() -> None:
    assert DASHBOARD.get("id") is None and "__inputs" not in DASHBOARD
    assert VARIABLES["datasource"]["type"] == "datasource" and VARIABLES["datasource"]["query"] == "prometheus"
    of = {"type": "prometheus", "uid": "${datasource}"}
    for holder in [*PANELS, *(target for _, target in QUERIES), VARIABLES["job"], VARIABLES["instance"]]:
        assert holder["datasource"] == of


def test_hubs_are_found_by_a_metric_that_each_has() -> None:
    for name in ("job", "instance"):
        match = re.fullmatch(rf"label_values\((tallycast_info.*), {name}\)", VARIABLES[name]["query"]["query"])
        assert match is not None
        promql.check(filled(match[1]), promql.series())


def test_panels_have_names_and_places_of_their_own() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert all(panel["title"] and panel["description"].endswith(".") for panel in PANELS)
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
