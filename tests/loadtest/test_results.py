"""The result as JSON, and its table of figures."""

from __future__ import annotations

import dataclasses
import json

from loadtest.example import result
from tallycast_loadtest.results import METRICS


def test_json_has_every_field_and_null_where_there_is_nothing() -> None:
    written = json.loads(json.dumps(result().to_json(), allow_nan=False))
    assert list(written) == [field.name for field in dataclasses.fields(result())]
    assert written["latency"]["recovery"] is None
    assert written["latency"]["ack"]["curve"] == [[0.0, 0.5], [50.0, 3.0], [100.0, 15.0]]
    assert written["seconds"][1]["t_s"] == 1
    assert written["seconds"][1]["hub_lag_ms"] is None
    assert written["hub"]["kinds"] == ["like", "clap"]
    assert written["scenario"]["kinds"] == {"like": 0.7, "clap": 0.2, "share": 0.1}


def test_each_figure_of_the_table_is_read_from_its_place() -> None:
    found = {name: metric.read(result()) for name, metric in METRICS.items()}
    assert {name for name, value in found.items() if value is None} == {
        *(f"recovery_{figure}" for figure in ("mean", "p50", "p90", "p99", "p999", "max")),
        "hub_lag_p99",
    }
    assert found["connect_max"] == 10.0
    assert found["ack_mean"] == 4.0
    assert found["ack_p99"] == 9.0
    assert found["viewer_p50"] == 5.0
    assert found["achieved"] == 0.9
    assert found["errors"] == 3
    assert found["hub_cpu_us_per_frame"] == 12.5
    assert found["memory_per_viewer"] == 3_072.0
    assert found["generator_lag_p99"] == 1.5


def test_nothing_achieved_of_nothing_planned_is_no_figure() -> None:
    idle = dataclasses.replace(result().rates, offered_per_s=0.0)
    assert METRICS["achieved"].read(dataclasses.replace(result(), rates=idle)) is None


def test_each_oracle_fault_by_itself_makes_the_counts_wrong() -> None:
    right = result().oracle
    assert not right.wrong
    assert dataclasses.replace(right, lost=1).wrong
    assert dataclasses.replace(right, doubled=1).wrong
    assert dataclasses.replace(right, reordered=1).wrong
    assert dataclasses.replace(right, stale_at_end=1).wrong
    assert not dataclasses.replace(right, unanswered=1).wrong
