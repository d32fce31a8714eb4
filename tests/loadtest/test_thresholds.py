"""Thresholds: read with their units, checked against a result, refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.example import result
from tallycast_loadtest.results import METRICS
from tallycast_loadtest.thresholds import ThresholdError, parse


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("ack_p99<50ms", True),
        ("ack_p99<9ms", False),
        ("ack_p99<=9ms", True),
        ("ack_p99 <= 9000us", True),
        ("ack_p99 < 9000µs", False),
        ("ack_p99<0.0091s", True),
        ("ack_p99<9.1", True),
        ("connect_max>=10", True),
        ("connect_max>10", False),
        ("lost==0", True),
        ("lost==1", False),
        ("errors<4", True),
        ("errors==3", True),
        ("acked_per_s>=9/s", True),
        ("acked_per_s>9/s", False),
        ("achieved>=90%", True),
        ("achieved>=0.91", False),
        ("hub_cpu_us_per_frame<13us", True),
        ("hub_cpu_us_per_frame<0.012ms", False),
        ("hub_cpu<1s", True),
        ("hub_cpu<500ms", False),
        ("memory_per_viewer<=3KiB", True),
        ("memory_per_viewer<3KiB", False),
        ("memory_per_viewer<0.01MiB", True),
        ("memory_per_viewer<3000B", False),
    ],
)
def test_a_threshold_holds_or_not(text: str, met: bool) -> None:
    checked = parse(text).check(result())
    assert checked.met is met
    assert checked.text == text
    assert checked.value == METRICS[parse(text).metric.name].read(result())


@pytest.mark.parametrize("text", ["recovery_p99<10s", "recovery_max>=0", "hub_lag_p99<1s"])
def test_what_was_not_measured_meets_nothing(text: str) -> None:
    checked = parse(text).check(result())
    assert checked.value is None
    assert not checked.met


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ack_p9<50ms", "there is no figure 'ack_p9', did you mean ack_p99? Known are connect_mean, connect_p50, "),
        ("zzz==0", "there is no figure 'zzz'. Known are connect_mean, "),
        ("ack_p99", "expected a figure, one of < <= == >= > and a number: ack_p99<50ms"),
        ("ack_p99=50ms", "expected a figure, one of < <= == >= > and a number"),
        ("ack_p99<", "expected a figure, one of < <= == >= > and a number"),
        ("ack_p99<-1ms", "expected a figure, one of < <= == >= > and a number"),
        ("<50ms", "expected a figure, one of < <= == >= > and a number"),
        ("", "expected a figure, one of < <= == >= > and a number"),
        ("ack_p99<50min", "ack_p99 cannot be in 'min'; expected us, µs, ms, s"),
        ("memory_per_viewer<3kb", "memory_per_viewer cannot be in 'kb'; expected B, KiB, MiB, GiB"),
        ("lost==0%", "lost cannot be in '%'; it has no unit"),
    ],
)
def test_a_wrong_threshold_is_refused_with_what_is_known(text: str, said: str) -> None:
    with pytest.raises(ThresholdError) as refused:
        parse(text)
    assert str(refused.value).startswith(f"threshold {text!r}: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_figure_can_be_named_and_is_in_the_document_as_it_is() -> None:
    document = Path(__file__).parents[2] / "docs" / "loadtest.md"
    lines = document.read_text("utf-8").splitlines()
    for name, metric in METRICS.items():
        assert parse(f"{name}>=0").metric is metric
        assert f"| `{name}` | {metric.unit} | {metric.help} |" in lines
