"""What a PromQL expression asks for, and what a hub has: for tests of what is shipped for Prometheus and Grafana."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

from tallycast.errors import CODES
from tallycast.metrics import METRICS, Metrics

SCRAPE = frozenset({"job", "instance"})  # which Prometheus puts on
WORKER = "worker"  # which a hub puts on that shares its port
# What a label may say, where the words are few and known. `work` is what both stores tell of.
VALUES = {
    "result": {"accepted", *CODES},
    "reason": set(CODES),
    "transport": {"fast", "asgi", "events"},
    "work": {"reactions", "reads", "publications", "feed"},
}


class Asked(NamedTuple):
    """A series that an expression asks for, and the labels that it is chosen by."""

    name: str
    matchers: dict[str, tuple[str, str]]  # by label: what it must be like, as in `=~`, `a|b`


def series() -> dict[str, frozenset[str]]:
    """The labels of each series that Prometheus can have of a hub, by the series' name."""
    found = {"up": SCRAPE}
    for metric in METRICS:
        labels = SCRAPE | {WORKER} | set(metric.labels)
        if metric.type == "histogram":
            found |= {f"{metric.exported}_{part}": labels for part in ("sum", "count")}
            found[f"{metric.exported}_bucket"] = labels | {"le"}
        else:
            found[metric.exported] = labels
    for family in text_string_to_metric_families(Metrics().render().decode()):
        if family.name.startswith("process_"):
            found |= {sample.name: SCRAPE | {WORKER} for sample in family.samples}
    return found


def asked(expression: str) -> list[Asked]:
    """The series that the expression asks for. Raises ValueError where it is no PromQL."""
    return [
        Asked(node.name or "", {m.name: (OPERATORS[str(m.op)], m.value) for m in node.matchers.matchers})
        for node in nodes(expression)
        if isinstance(node, promql.VectorSelector)
    ]


OPERATORS = {
    str(op): sign
    for op, sign in (
        (promql.MatchOp.Equal, "="),
        (promql.MatchOp.NotEqual, "!="),
        (promql.MatchOp.Re, "=~"),
        (promql.MatchOp.NotRe, "!~"),
    )
}


def grouped(expression: str) -> set[str]:
    """The labels that the expression puts together by."""
    return {
        label
        for node in nodes(expression)
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None
        for label in node.modifier.labels
    }


def nodes(expression: str) -> Iterator[Any]:
    """All parts of the expression."""
    found: list[Any] = []
    promql.walk(promql.parse(expression), found.append)
    return iter(found)


def check(expression: str, known: dict[str, frozenset[str]]) -> None:
    """Fail where the expression asks for a series, label or value that no hub has, which Prometheus would not mind."""
    labels: set[str] = set()
    for name, matchers in asked(expression):
        assert name in known, f"{name} in {expression}"
        labels |= known[name]
        assert matchers.keys() <= known[name], f"{matchers} of {name}"
        for label, (sign, value) in matchers.items():
            said = value.split("|") if sign in ("=~", "!~") else [value]
            assert label not in VALUES or VALUES[label].issuperset(said), f"{label}{sign}{value} of {name}"
    assert grouped(expression) <= labels, expression
