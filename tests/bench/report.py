"""What the benchmark found, on the terminal and in docs/benchmarks.md."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.figures import Spread, ratios
from bench.servers import Contestant
from bench.works import Work

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PLOTS = DOCUMENT.parent / "benchmarks"
NATIVE_WITHIN = 1.1  # how many times socketify's cost the hub's may be
QUIET_LOAD = 0.5  # of a machine that does nothing else
PYTHON_AHEAD = 3.0  # how many times the hub's cost a peer's in Python is to be

Runs = Mapping[str, Sequence[Mapping[str, float]]]  # of each server by its name, one mapping of figures a round


class Row(NamedTuple):
    """One server in one work. `to_hub` is its cost in the hub's, `to_floor` in the floor's, round by round."""

    contestant: Contestant
    cost: Spread
    to_hub: Spread | None
    to_floor: Spread | None


def rows(work: Work, runs: Runs, contestants: Sequence[Contestant]) -> list[Row]:
    """The servers with figures, in their order; ratios where the hub and the floor have theirs."""
    base: dict[str, list[float]] = {
        c.kind: [figures[work.key] for figures in runs[c.name]]
        for c in contestants
        if (c.kind == "hub" or (c.kind == "floor" and work.on_floor)) and runs.get(c.name)
    }
    found = []
    for contestant in contestants:
        values = [figures[work.key] for figures in runs.get(contestant.name, ())]
        if values:
            to = {
                kind: ratios(values, base[kind]) if kind in base and min(base[kind]) > 0 else None
                for kind in ("hub", "floor")
            }
            found.append(Row(contestant, Spread.of(values), to["hub"], to["floor"]))
    return found


def verdicts(works: Sequence[Work], runs: Runs, contestants: Sequence[Contestant]) -> list[tuple[bool, str]]:
    """What was demanded of the hub in each row, and whether it held."""
    found = []
    for work in works:
        for contestant, _, to_hub, _ in rows(work, runs, contestants) if work.demanded else ():
            if to_hub is None or contestant.kind in ("hub", "floor"):
                continue
            native = contestant.kind == "native"
            held = to_hub.median >= (1 / NATIVE_WITHIN if native else PYTHON_AHEAD)
            demand = "within 10 % or ahead" if native else f"≥ {PYTHON_AHEAD:g} × ahead"
            found.append(
                (held, f"{work.title}: {contestant.name} costs {to_hub.median:.2f} × the hub's, asked: {demand}")
            )
    return found


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _spread(spread: Spread | None, times: str = "") -> str:
    return "–" if spread is None else f"{number(spread.low)}–{number(spread.high)}{times}"


def _ratio(spread: Spread | None) -> str:
    return "–" if spread is None else f"{spread.median:.2f} × ({spread.low:.2f}–{spread.high:.2f})"


def show(
    console: Console, works: Sequence[Work], runs: Runs, contestants: Sequence[Contestant], absent: Mapping[str, str]
) -> None:
    """Tables on the terminal."""
    for work in works:
        table = Table(title=f"{work.title}, {work.unit}", title_justify="left", title_style="bold", min_width=90)
        table.add_column("server")
        for column in ("median", "lowest–highest", "× the hub", "× the floor"):
            table.add_column(column, justify="right")
        for row in rows(work, runs, contestants):
            style = "bold green" if row.contestant.kind == "hub" else ""
            table.add_row(
                row.contestant.name, number(row.cost.median), _spread(row.cost), _ratio(row.to_hub),
                _ratio(row.to_floor), style=style,
            )  # fmt: skip
        console.print(table)
    for held, sentence in verdicts(works, runs, contestants):
        console.print(f"[green]held[/]    {sentence}" if held else f"[red]missed[/]  {sentence}")
    for name, reason in absent.items():
        console.print(f"[yellow]absent[/]  {name}: {reason}", soft_wrap=True)


def markdown(
    works: Sequence[Work],
    runs: Runs,
    contestants: Sequence[Contestant],
    absent: Mapping[str, str],
    command: str,
    load: float,
) -> str:
    """The same for docs/benchmarks.md."""
    rounds = max((len(figures) for figures in runs.values()), default=0)
    lines = [
        f"{circumstances(load)};",
        f"rounds: {rounds}; `{command}`.",
        "Medians with the lowest and the highest run; ratios are of each round's own figures.",
        "",
        "![Cost of each server in each work](benchmarks/peers.svg)",
        "",
        "| work | server | median | lowest–highest | × the hub | × the floor |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for work in works:
        for n, row in enumerate(rows(work, runs, contestants)):
            title = "" if n else f"{work.title}, {work.unit}"
            mark = "**" if row.contestant.kind == "hub" else ""
            lines.append(
                f"| {title} | {mark}{row.contestant.name}{mark} | {mark}{number(row.cost.median)}{mark} |"
                f" {_spread(row.cost)} | {_ratio(row.to_hub)} | {_ratio(row.to_floor)} |"
            )
    lines += ["", "Asked of the hub, by the medians of the ratios:", ""]
    lines += [f"- {'held' if held else '**missed**'}: {text}" for held, text in verdicts(works, runs, contestants)]
    lines += ["", "| server | versions | does besides |", "|---|---|---|"]
    for contestant in contestants:
        if contestant.name in absent:
            lines.append(f"| {contestant.name} | **absent** | {absent[contestant.name]} |")
        else:
            lines.append(f"| {contestant.name} | {contestant.versions or '–'} | {contestant.does} |")
    return "\n".join(lines)


def circumstances(load: float) -> str:
    """The machine, its software and the day, in a line; and what else kept it busy when the run began."""
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text("utf-8", "replace"))
    return (
        f"{model[1].strip() if model else platform.machine()}, {len(os.sched_getaffinity(0))} cores, Linux"
        f" {platform.release().partition('-')[0]}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d},"
        f" load {load:.1f} at the start"
    )


def can_draw(console: Console) -> bool:
    """Whether plots can be drawn; where not, a line that says what to install."""
    found = importlib.util.find_spec("matplotlib") is not None
    if not found:
        console.print("matplotlib is not installed, and the plots need it: pip install matplotlib", style="red")
    return found


def load_now(console: Console) -> float:
    """The machine's load; a line of warning where others use it."""
    load = os.getloadavg()[0]
    if load > QUIET_LOAD:
        console.print(f"[yellow]this machine is busy (load {load:.1f}): figures will be too high and far apart[/]")
    return load


def write_section(name: str, text: str, document: Path = DOCUMENT) -> None:
    """Put `text` between the document's marks `<!-- name -->` and `<!-- /name -->`. ValueError where they are not."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = document.read_text("utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{document.name} has no {begin} … {end}")
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}", "utf-8")
