from __future__ import annotations

from pathlib import Path

import prometheus_client
import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from asgi import inside
from hubs import eventually
from tallycast import __version__
from tallycast.metrics import METRICS, Metric, Metrics

TYPES = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of the rendered text by name and labels, as Prometheus would read it."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_the_table_and_the_attributes_are_the_same() -> None:
    assert list(Metrics.__annotations__) and set(Metrics.__annotations__) == {metric.name for metric in METRICS}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_of_the_declared_type_and_is_rendered(metric: Metric) -> None:
    metrics = Metrics()
    collector = getattr(metrics, metric.name)
    assert type(collector) is TYPES[metric.type]
    assert Metrics.__annotations__[metric.name] == type(collector).__name__
    text = metrics.render().decode()
    assert f"# HELP {metric.exported} {metric.meaning}" in text.replace('\\"', '"')
    assert f"# TYPE {metric.exported} {metric.type}" in text


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_operators_page_has_every_metric(metric: Metric) -> None:
    page = (Path(__file__).parents[1] / "docs" / "operations.md").read_text("utf-8")
    assert f"| `{metric.exported}` | {metric.type} | {metric.meaning} |" in page


def test_what_is_counted_is_what_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.reactions.labels("like", "accepted").inc(3)
    metrics.reactions.labels("", "unknown_kind").inc()
    metrics.viewers.labels("fast").set(7)
    metrics.commit_seconds.observe(0.003)
    read = samples(metrics)
    assert read["tallycast_reactions_total", (("kind", "like"), ("result", "accepted"))] == 3
    assert read["tallycast_reactions_total", (("kind", ""), ("result", "unknown_kind"))] == 1
    assert read["tallycast_viewers", (("transport", "fast"),)] == 7
    assert read["tallycast_commit_seconds_bucket", (("le", "0.0025"),)] == 0
    assert read["tallycast_commit_seconds_bucket", (("le", "0.005"),)] == 1


async def test_a_hub_tells_its_version_its_store_how_that_does_and_how_long_reactions_wait(tmp_path: Path) -> None:
    async with inside(tmp_path) as hub:
        await hub.react("a")
        await hub.react("b")
        await eventually(lambda: ("tallycast_store_up", (("work", "reactions"),)) in samples(hub.service.metrics))
        read = samples(hub.service.metrics)
        assert read["tallycast_info", (("store", "sqlite"), ("version", __version__))] == 1
        assert read["tallycast_store_up", (("work", "reactions"),)] == 1
        assert read["tallycast_ack_seconds_count", ()] == 2
        assert read["tallycast_ack_seconds_sum", ()] >= read["tallycast_commit_seconds_sum", ()] > 0
        (tmp_path / "hub.db").rename(tmp_path / "away.db")
        assert (await hub.web.get("/readyz")).status_code == 503
        await eventually(lambda: samples(hub.service.metrics)["tallycast_store_up", (("work", "reactions"),)] == 0)


def test_two_hubs_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.conflated.inc()
    assert samples(one)["tallycast_conflated_total", ()] == 1
    assert samples(other)["tallycast_conflated_total", ()] == 0


def test_the_process_wide_registry_is_left_alone() -> None:
    before = prometheus_client.generate_latest()
    Metrics().conflated.inc()
    assert b"tallycast" not in before + prometheus_client.generate_latest()


def test_the_process_shows_its_memory_and_cpu() -> None:
    read = samples(Metrics())
    assert read["process_resident_memory_bytes", ()] > 0
    assert ("process_cpu_seconds_total", ()) in read
