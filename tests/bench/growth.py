"""How the hub's cost grows: with viewers, items a viewer, reactions a second and hubs on one Redis.

    PYTHONPATH=tests .venv/bin/python -m bench.growth [--rounds N] [--only viewers,items,reactions,hubs]

Prints the points with the line through them, and where they leave it; writes docs/benchmarks.md and a plot for each.
With --only nothing but those is measured, and the others stay as they are.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import report
from bench.figures import Line, Spread, bend, exponent, fit
from bench.growth_works import GROWTHS, Growth, Measure, Points
from bench.native import Client, RunError, build
from bench.servers import program

MOST_ROUNDS = 20


def main() -> int:
    """Run it. 0 when all was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--only", default=",".join(growth.name for growth in GROWTHS), help="default: %(default)s")
    options = parser.parse_args()
    rounds = min(max(options.rounds, 1), MOST_ROUNDS)
    chosen = options.only.split(",")
    unknown = set(chosen) - {growth.name for growth in GROWTHS}
    if unknown:
        parser.error(f"--only has {', '.join(sorted(unknown))}; there are {', '.join(g.name for g in GROWTHS)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends what was started as well
    console = Console()
    if not report.can_draw(console):
        return 1
    if "hubs" in chosen and shutil.which("redis-server") is None:
        console.print("several hubs need a Redis: apt-get install redis-server", style="red")
        return 1
    load = report.load_now(console)
    try:
        taken = run(console, [growth for growth in GROWTHS if growth.name in chosen], rounds)
    except (RunError, RuntimeError, TimeoutError) as error:
        console.print(f"nothing was written: {error}", style="red", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("stopped; nothing was written")
        return 130
    for growth, several in taken:
        merged = merge(several)
        show(console, growth, merged)
        report.write_section(f"growth {growth.name}", markdown(growth, merged, rounds, load))
        draw(growth, merged)
    return 0


def run(console: Console, growths: Sequence[Growth], rounds: int) -> list[tuple[Growth, list[Points]]]:
    """The points of each growth, one mapping a round. Raises what made a run fail."""
    taken: list[tuple[Growth, list[Points]]] = [(growth, []) for growth in growths]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory() as directory, Progress(*columns, console=console) as progress:
        client, floor = build(Path(directory))
        task = progress.add_task("", total=rounds * len(growths))
        for turn in range(rounds):
            for growth, several in taken:
                progress.update(task, description=f"round {turn + 1} of {rounds}: {growth.name}")
                with tempfile.TemporaryDirectory(dir=directory) as own:
                    several.append(growth.take(Client(client), program(floor), Path(own)))
                progress.advance(task)
    return taken


Merged = dict[str, dict[float, dict[str, Spread]]]


def merge(several: Sequence[Points]) -> Merged:
    """The rounds' points as one, each figure with its spread."""
    return {
        name: {
            x: {key: Spread.of([points[name][x][key] for points in several]) for key in figures}
            for x, figures in by_x.items()
        }
        for name, by_x in several[0].items()
    }


class Fitted(NamedTuple):
    """A measure of one series along x: its medians, and what they follow."""

    series: str
    measure: Measure
    xs: list[float]
    ys: list[float]
    line: Line | None
    until: float  # the last x that the line goes by
    exponent: float
    bend: float | None

    @property
    def sentence(self) -> str:
        """What the points follow, in words."""
        start = f"{self.series}, {self.measure.title}: grows as x^{self.exponent:.2f}"
        if self.line is not None:
            start += f"; {self.line.start:.4g} + {self.line.slope:.4g}·x (R² {self.line.r_squared:.3f})"
        if not self.measure.straight:
            return start
        return start + (f"; off that from {self.bend:,.0f}" if self.bend is not None else "; no bend")


def fitted(growth: Growth, merged: Merged) -> list[Fitted]:
    """All measures of all series. The line goes through the points that hold; a bend is looked for in all of them."""
    found = []
    for series, by_x in merged.items():
        medians = {x: {key: spread.median for key, spread in figures.items()} for x, figures in by_x.items()}
        for measure in growth.measures:
            xs, ys = list(medians), [figures[measure.key] for figures in medians.values()]
            good = [(x, y) for x, y in zip(xs, ys, strict=True) if growth.holds(x, medians[x])]
            enough = measure.straight and len(good) > 1
            line = fit([x for x, _ in good], [y for _, y in good]) if enough else None
            found.append(
                Fitted(
                    series,
                    measure,
                    xs,
                    ys,
                    line,
                    good[-1][0] if good else 0.0,
                    exponent(xs, [max(y, 1e-9) for y in ys]),
                    bend(xs, ys),
                )
            )
    return found


def show(console: Console, growth: Growth, merged: Merged) -> None:
    """A table on the terminal."""
    for series, by_x in merged.items():
        table = Table(title=f"{growth.title}: {series}", title_justify="left", title_style="bold")
        table.add_column(growth.x_label, justify="right")
        for measure in growth.measures:
            table.add_column(measure.title, justify="right")
        for x, figures in by_x.items():
            table.add_row(f"{x:,.0f}", *(report.number(figures[m.key].median) for m in growth.measures))
        console.print(table)
    for one in fitted(growth, merged):
        console.print("  " + one.sentence, soft_wrap=True)


def markdown(growth: Growth, merged: Merged, rounds: int, load: float) -> str:
    """The same for docs/benchmarks.md."""
    lines = [
        f"{report.circumstances(load)}; medians, rounds: {rounds}.",
        "",
        f"![{growth.title}](benchmarks/growth-{growth.name}.svg)",
        "",
    ]
    head = " | ".join(measure.title for measure in growth.measures)
    lines += [f"| | {growth.x_label} | {head} |", "|---|---:|" + "---:|" * len(growth.measures)]
    for series, by_x in merged.items():
        for n, (x, figures) in enumerate(by_x.items()):
            cells = " | ".join(report.number(figures[measure.key].median) for measure in growth.measures)
            lines.append(f"| {'' if n else series} | {x:,.0f} | {cells} |")
    lines += ["", *(f"- {one.sentence}" for one in fitted(growth, merged))]
    return "\n".join(lines)


def draw(growth: Growth, merged: Merged) -> None:
    """The plot of one growth."""
    from bench import plots  # of an extra, and not needed before

    lines = fitted(growth, merged)
    panels = []
    for measure in growth.measures:
        several = []
        for one in lines:
            if one.measure is measure:
                spreads = [figures[measure.key] for figures in merged[one.series].values()]
                lows, highs = [spread.low for spread in spreads], [spread.high for spread in spreads]
                several.append(plots.Series(one.series, one.xs, one.ys, lows, highs, one.line, one.until))
        panels.append((measure.title, several))
    plots.growth(growth.title, growth.x_label, panels, report.PLOTS / f"growth-{growth.name}.svg")


if __name__ == "__main__":
    sys.exit(main())
