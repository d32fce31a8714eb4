"""The result's figures in words: what each is called, what it means, how it is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NOTHING = "–"
MIB = 1024 * 1024


def number(value: float) -> str:
    """`12,345`, `123`, `12.3`, `1.23`: three digits or all those before the point."""
    size = abs(value)
    if float(value).is_integer() or size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def of_bytes(value: float) -> str:
    """`512 B`, `2.10 KiB`, `81.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{number(value)} {unit}"


def of_share(value: float) -> str:
    """A share of one core, 0.42, as `42 %`."""
    return f"{value * 100:,.0f} %"


def of(unit: str) -> Callable[[float], str]:
    """Writes numbers with this unit: `3.10 ms`, `500/s`."""
    between = "" if unit.startswith("/") else " "
    return lambda value: f"{number(value)}{between}{unit}"


@dataclass(frozen=True)
class Figure:
    """One number of the result: where in its JSON (`deliveries.frames`), its name, its meaning, how it is written."""

    path: str
    name: str
    meaning: str
    write: Callable[[float], str] = number


LATENCIES = {
    "viewer": "Click to other viewers",
    "ack": "Click to answer",
    "connect": "Connecting",
    "recovery": "Reconnecting",
}
PERCENTILES = {
    "mean_ms": "mean",
    "p50_ms": "p50",
    "p90_ms": "p90",
    "p99_ms": "p99",
    "p999_ms": "p99.9",
    "max_ms": "max",
    "count": "count",
}

SECTIONS: dict[str, tuple[Figure, ...]] = {
    "Rates": (
        Figure("rates.offered_per_s", "Offered", "Reactions a second that the schedule asked for.", of("/s")),
        Figure("rates.sent_per_s", "Sent", "Reactions a second that went out.", of("/s")),
        Figure("rates.acked_per_s", "Acknowledged", "Reactions a second that the hub said it holds.", of("/s")),
    ),
    "Deliveries": (
        Figure("deliveries.frames", "Frames", "Messages with counts that viewers received."),
        Figure("deliveries.bytes", "Bytes", "What all viewers received together.", of_bytes),
        Figure("deliveries.frames_per_viewer", "Frames a viewer", "Mean over all viewers and the whole run."),
        Figure(
            "deliveries.frames_per_viewer_s", "Frames a viewer and second", "How often a number moved on one screen."
        ),
        Figure("deliveries.acked", "Reactions", "Acknowledged reactions in the whole run."),
        Figure(
            "deliveries.conflation",
            "Conflation",
            "Reactions that one frame carried, on average: what the hub saves by sending only the newest number.",
            lambda value: f"{number(value)} ×",
        ),
    ),
    "What the hub spent": (
        Figure("hub_cost.cpu_s", "CPU time", "Of the hub's processes, from the first reaction on.", of("s")),
        Figure("hub_cost.cpu_us_per_frame", "CPU a frame", "That CPU time over all frames delivered.", of("µs")),
        Figure(
            "hub_cost.rss_bytes_per_viewer",
            "Memory a viewer",
            "Growth of resident memory for each connection.",
            of_bytes,
        ),
        Figure("hub_cost.lag_p99_ms", "Event loop's lag, p99", "How late the hub's own loop woke up.", of("ms")),
    ),
    "The load generator": (
        Figure("generator.processes", "Processes", "That played viewers and reactors."),
        Figure("generator.cpu_max", "Busiest process", "CPU in its busiest five seconds; 100 % is a core.", of_share),
        Figure(
            "generator.lag_p99_ms", "Own lag, p99", "How late its own loops woke up; adds to every latency.", of("ms")
        ),
    ),
}

ORACLE = (
    Figure("oracle.lost", "Lost", "Acknowledged reactions that the hub's final counts lack."),
    Figure("oracle.doubled", "Doubled", "What the final counts hold beyond all that was sent."),
    Figure("oracle.reordered", "Out of order", "Times that a viewer saw an older number after a newer one."),
    Figure("oracle.stale_at_end", "Stale at the end", "Viewers whose last number is not the hub's."),
)
UNANSWERED = Figure(
    "oracle.unanswered", "Unanswered", "Reactions whose fate is not known; the counts may hold them or not."
)

GLOSSARY = {
    "Click to answer (ack)": "From the moment a reaction was due until the hub said that it holds it, for good.",
    "Click to other viewers (viewer)": "From the moment a reaction was due until somebody else's screen has it. Every "
    "viewer counts, but of a frame that many got only some arrivals are timed, at most 64 in each process: viewers "
    "between two of them count with the later one, so that no time looks shorter than it was.",
    "Connecting": "From opening a connection until the first counts.",
    "Reconnecting": "From losing a connection until counts flow again, waiting times included.",
    "The moment it was due": "Reactions follow a schedule that waits for nobody, and their latency counts from it: "
    "a hub that stalls cannot hide the clicks that it kept waiting (coordinated omission).",
    "p50, p90, p99, p99.9, max": "Half, 90 %, 99 %, 99.9 % and all of the measured times were at most this.",
    "Frame": "One message with an item's newest counts, sent to one viewer.",
    "Saturated": "The load generator itself was too busy to measure honestly: use more cores, or less load.",
}


def finite(value: Any) -> Any:
    """JSON without infinities and what is not a number: None in their place."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(each) for each in value]
    return value


def at(result: Mapping[str, Any], path: str) -> Any:
    """What the result's JSON holds there (`latency.ack.p99_ms`, `thresholds.0.value`), None where it holds nothing."""
    found: Any = result
    for key in path.split("."):
        if isinstance(found, Mapping):
            found = found.get(key)
        elif isinstance(found, (list, tuple)):
            found = found[int(key)]
        else:
            return None
    return found


def written(value: Any, write: Callable[[float], str] = number) -> str:
    """A number by its writer; a dash for None."""
    return NOTHING if value is None else write(value)


def printable(text: object, most: int = 300) -> str:
    """Text of somebody else's on one line, without what could steer a terminal or turn the direction of writing."""
    line = "".join(each if each.isprintable() else "\ufffd" for each in str(text))
    return line if len(line) <= most else f"{line[: most - 1]}…"


def headline(result: Mapping[str, Any]) -> str:
    """The verdict in one sentence."""
    verdict = result.get("verdict")
    thresholds = result.get("thresholds") or ()
    if verdict == "ok":
        return f"Every count is right{', and all thresholds are met' if thresholds else ''}"
    if verdict == "wrong counts":
        wrong = [f"{number(at(result, each.path))} {each.name.lower()}" for each in ORACLE if at(result, each.path)]
        return f"Counts went wrong: {', '.join(wrong)}" if wrong else "Counts went wrong"
    if verdict == "thresholds missed":
        missed = sum(not each["met"] for each in thresholds)
        return f"{missed} of {len(thresholds)} thresholds missed"
    if verdict == "generator saturated":
        return "The load generator was too busy: its own delays are in these figures"
    if verdict == "interrupted":
        return "Stopped early: what was measured until then"
    return printable(verdict).capitalize()


def story(result: Mapping[str, Any]) -> Iterator[str]:
    """What happened, in a few plain sentences."""
    busiest = fullest(result)
    viewers = None if busiest is None else at(result, busiest)
    items = at(result, "oracle.items") or at(result, "scenario.items")
    offered = at(result, "rates.offered_per_s")
    if not viewers:
        yield "It ended before a viewer was connected."
        return
    scene = f"{several(viewers, 'viewer')} watched {several(items, 'item')} for {number(result['duration_s'])} s"
    yield f"{scene} while {number(offered)} reactions a second came in." if offered else f"{scene}."
    for name, told in (("viewer", "A click reached other viewers"), ("ack", "The hub answered a click")):
        p50_ms, p99_ms = at(result, f"latency.{name}.p50_ms"), at(result, f"latency.{name}.p99_ms")
        if p50_ms is not None and p99_ms is not None:
            yield f"{told} within {number(p50_ms)} ms in half of all cases and {number(p99_ms)} ms in 99 %."
    acked = at(result, "oracle.acked")
    if acked and not any(at(result, each.path) for each in ORACLE):
        yield f"Of {number(acked)} acknowledged reactions none was lost, doubled or out of order."


def reasons(result: Mapping[str, Any]) -> list[str]:
    """Why the verdict is as it is, without what the list of thresholds says by itself."""
    told = tuple(f"{threshold['text']}: " for threshold in result.get("thresholds") or ())
    return [printable(line) for line in result.get("why") or () if not str(line).startswith(told)]


def fullest(result: Mapping[str, Any]) -> str | None:
    """Where the JSON holds the largest number of viewers that there were at once."""
    seconds = result.get("seconds") or ()
    most = max(range(len(seconds)), key=lambda index: seconds[index]["viewers"], default=None)
    return None if most is None else f"seconds.{most}.viewers"


def several(count: float | None, noun: str) -> str:
    """`no items`, `1 item`, `2 items`."""
    if not count:
        return f"no {noun}s"
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"
