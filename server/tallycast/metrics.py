"""What the hub counts about itself, in one table, and how Prometheus reads it.

A call of prometheus_client costs about a microsecond, so the fast paths add up in plain integers and hand the sum over
once a batch or tick. Every label has few values: kinds come from the kinds file, codes from errors.CODES, routes from
the app's own list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
NAMESPACE: Final = "tallycast"

# From the time of one small flush to disk on good hardware up to what a viewer would call an outage.
_STORE_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
# The loop's own turns: from a handful of writes up to ticks missed in a row.
_LOOP_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_SAMPLE: Final = re.compile(rb"^([a-zA-Z_:][a-zA-Z0-9_:]*)([{ ])", re.MULTILINE)  # a line's name, and what follows
_BATCH: Final = tuple(float(2**power) for power in range(13))


class Metric(NamedTuple):
    """One row of the table: the attribute `name` of Metrics, for Prometheus `tallycast_<name>` (counters: + `_total`).

    `meaning` is its help text; `buckets` are a histogram's upper bounds, in the unit that ends the name.
    """

    name: str
    type: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def exported(self) -> str:
        """The name that Prometheus shows."""
        return f"{NAMESPACE}_{self.name}" + ("_total" if self.type == "counter" else "")


METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        "viewers", "gauge", "Connections that may watch items now, by transport (fast, asgi, events)", ("transport",)
    ),
    Metric("items", "gauge", "Items held in memory now: watched or just used"),
    Metric(
        "reactions",
        "counter",
        'Reactions answered, by kind ("" where it is unknown) and result ("accepted" or the error code)',
        ("kind", "result"),
    ),
    Metric(
        "ack_seconds",
        "histogram",
        "Seconds from when a batch's first reaction came until all of the batch were acknowledged",
        buckets=_STORE_S,
    ),
    Metric("commit_reactions", "histogram", "Reactions in one commit of the store", buckets=_BATCH),
    Metric("commit_seconds", "histogram", "Seconds that one commit of the store took", buckets=_STORE_S),
    Metric(
        "store_up",
        "gauge",
        "1 while the store does this work, 0 since it failed: reactions, reads, publications, feed",
        ("work",),
    ),
    Metric("fanout_frames", "counter", "Counts frames written to viewers"),
    Metric("fanout_bytes", "counter", "Bytes of the counts frames written to viewers"),
    Metric(
        "fanout_seconds", "histogram", "Seconds that writing one tick's frames to all viewers took", buckets=_LOOP_S
    ),
    Metric("conflated", "counter", "Changes that a viewer was not sent by themselves: a newer one stood in for them"),
    Metric("slow_viewers", "counter", "Viewers closed because they read nothing for slow_viewer_s"),
    Metric("handshakes_refused", "counter", "Connections refused before they became viewers, by reason", ("reason",)),
    Metric("loop_lag_seconds", "histogram", "Seconds by which the event loop ran a timer late", buckets=_LOOP_S),
    Metric(
        "http_requests",
        "counter",
        'HTTP requests answered, by route ("" where there is none) and status',
        ("route", "status"),
    ),
    Metric("alerts_fired", "counter", "Alerts that fired, by rule (count, rate, ratio, silence)", ("rule",)),
    Metric(
        "webhook_attempts",
        "counter",
        "Attempts to deliver a webhook, by result (delivered, failed: it is tried again, dead: it is not)",
        ("result",),
    ),
    Metric(
        "info",
        "gauge",
        "Always 1, with the hub's version and the kind of its store (redis, sqlite)",
        ("version", "store"),
    ),
)


class Metrics:
    """One hub's metrics, in a registry of their own: several hubs in one process do not clash.

    The attributes are made from METRICS; a test holds the annotations here to that table. `worker` is not empty in a
    hub that shares its port with others: then every series has it as a label.
    """

    worker = ""

    viewers: Gauge
    items: Gauge
    reactions: Counter
    ack_seconds: Histogram
    commit_reactions: Histogram
    commit_seconds: Histogram
    store_up: Gauge
    fanout_frames: Counter
    fanout_bytes: Counter
    fanout_seconds: Histogram
    conflated: Counter
    slow_viewers: Counter
    handshakes_refused: Counter
    loop_lag_seconds: Histogram
    http_requests: Counter
    alerts_fired: Counter
    webhook_attempts: Counter
    info: Gauge

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        for metric in METRICS:
            setattr(self, metric.name, _collector(metric, self._registry))
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """All of it in Prometheus's text format (CONTENT_TYPE), the process's own CPU and memory included."""
        text = generate_latest(self._registry)
        return _SAMPLE.sub(_labelled(self.worker), text) if self.worker else text


def _labelled(worker: str) -> Callable[[re.Match[bytes]], bytes]:
    label = b'{worker="%s"' % worker.encode()
    return lambda sample: sample[1] + label + (b"," if sample[2] == b"{" else b"} ")


def _collector(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    name = f"{NAMESPACE}_{metric.name}"
    if metric.type == "histogram":
        return Histogram(name, metric.meaning, metric.labels, registry=registry, buckets=metric.buckets)
    make = Counter if metric.type == "counter" else Gauge
    return make(name, metric.meaning, metric.labels, registry=registry)
