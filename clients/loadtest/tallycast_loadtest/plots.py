"""The report's plots: what each shows, of which columns of the result, and what it says in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

from tallycast_loadtest.figures import LATENCIES, at, number, of, of_bytes, of_share

Unit = Literal["ms", "/s", "", "bytes", "share"]
WRITERS = {"ms": of("ms"), "/s": of("/s"), "": number, "bytes": of_bytes, "share": of_share}
FAR_APART = 30  # times: beyond it a logarithmic scale shows more


@dataclass(frozen=True)
class Line:
    """One line of a plot: a column of the result's seconds, or a latency for its curve; a colour of the style sheet."""

    column: str
    name: str
    colour: Literal["teal", "red", "gray", "blue"]
    dashed: bool = False


@dataclass(frozen=True)
class Plot:
    """One plot. The first of its `lines` is the one that its words are about."""

    id: str
    title: str
    unit: Unit
    lines: tuple[Line, ...]
    over: Literal["time", "percentile"] = "time"
    wide: bool = False


def _latency(id: str, title: str) -> Plot:
    columns = (("p99", "red", False), ("p50", "teal", False), ("max", "gray", True))
    lines = tuple(Line(f"{id}_{name}_ms", name, colour, dashed) for name, colour, dashed in columns)  # type: ignore[arg-type]
    return Plot(id, title, "ms", lines)


LATENCY = (
    _latency("viewer", "Click to other viewers, each second"),
    _latency("ack", "Click to answer, each second"),
    Plot(
        "curve",
        "All of them by percentile",
        "ms",
        (
            Line("viewer", "other viewers", "red"),
            Line("ack", "answer", "teal"),
            Line("connect", "connecting", "blue", dashed=True),
            Line("recovery", "reconnecting", "gray", dashed=True),
        ),
        over="percentile",
        wide=True,
    ),
)
TRAFFIC = (
    Plot(
        "rates",
        "Reactions",
        "/s",
        (
            Line("acked", "acknowledged", "teal"),
            Line("sent", "sent", "blue"),
            Line("offered", "offered", "gray", dashed=True),
            Line("errors", "errors", "red"),
        ),
    ),
    Plot("frames", "Frames delivered to viewers", "/s", (Line("frames", "frames", "blue"),)),
    Plot("viewers", "Viewers connected", "", (Line("viewers", "viewers", "teal"),)),
    Plot("connect", "Connecting, each second", "ms", (Line("connect_p99_ms", "p99", "red"),)),
)
COST = (
    Plot("hub_cpu", "The hub's CPU (100 % is a core)", "share", (Line("hub_cpu", "CPU", "red"),)),
    Plot("memory", "The hub's memory", "bytes", (Line("hub_rss_bytes", "resident", "blue"),)),
    Plot(
        "lag",
        "How late event loops ran",
        "ms",
        (Line("hub_lag_ms", "the hub's", "red"), Line("generator_lag_ms", "the load generator's", "gray", dashed=True)),
    ),
    Plot(
        "generator_cpu",
        "The load generator's busiest process",
        "share",
        (Line("generator_cpu", "CPU", "gray"),),
    ),
)


def measured(plot: Plot, result: Mapping[str, Any]) -> list[Line]:
    """Those of its lines that have a point. Errors have one once there was an error."""
    return [line for line in plot.lines if any(line.column != "errors" or value for _, value in _points(line, result))]


def spec(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the page's script draws: plot's id → its unit, what it is over, and its lines that have points."""
    return {
        plot.id: {
            "title": plot.title,
            "unit": plot.unit,
            "over": plot.over,
            "lines": [asdict(line) for line in measured(plot, result)],
        }
        for plot in (*LATENCY, *TRAFFIC, *COST)
    }


def far_apart(result: Mapping[str, Any]) -> bool:
    """Whether latencies over time lie so far apart that a linear scale would hide the small ones."""
    lines = [line for plot in LATENCY for line in plot.lines if plot.over == "time"]
    values = [value for line in lines for _, value in _points(line, result) if value > 0]
    return bool(values) and max(values) > FAR_APART * median(values)


def words(plot: Plot, result: Mapping[str, Any]) -> str:
    """The plot in a sentence or two."""
    lines = measured(plot, result)
    write = WRITERS[plot.unit]
    if not lines:
        return "Not measured in this run."
    if plot.over == "percentile":
        each = (
            f"{LATENCIES[line.column].lower()} {write(at(result, f'latency.{line.column}.p50_ms'))} (p50), "
            f"{write(at(result, f'latency.{line.column}.p99_ms'))} (p99)"
            for line in lines
        )
        return f"{_sentence('; '.join(each))}. To the right, each step is ten times rarer."
    points = list(_points(lines[0], result))
    when_s, most = max(points, key=lambda point: (point[1], -point[0]))
    middle = write(median(value for _, value in points))
    name = _sentence(lines[0].name)
    return f"{name}: {middle} in the median second, at most {write(most)}, at {number(when_s)} s."


def _sentence(text: str) -> str:
    """Begins with a capital letter, but for `p99`."""
    return text if text[1:2].isdigit() else text[0].upper() + text[1:]


def marks(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """What happened when: `t_s` and `text` of phases, restarts and storms."""
    found: Sequence[Mapping[str, Any]] = result.get("marks") or ()
    return found


def _points(line: Line, result: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    if line.column in LATENCIES:
        yield from ((percentile, value) for percentile, value in at(result, f"latency.{line.column}.curve") or ())
        return
    for second in result.get("seconds") or ():
        value = second.get(line.column)
        if value is not None:
            yield second["t_s"], value
