"""The benchmark's plots: SVG on a light ground of their own, so that they read on dark pages as well."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from bench.figures import Line
from bench.report import Row, number
from bench.works import Work

INK, GROUND = "#1f2328", "#fbfbf9"
COLOURS = {"hub": "#c2410c", "floor": "#6b7280", "native": "#1d4ed8", "python": "#1d4ed8"}
SERIES = ("#c2410c", "#1d4ed8", "#047857", "#7c3aed")

STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "tallycast",  # the same figures give the same file
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": "#9ca3af",
    "axes.labelcolor": INK,
    "axes.facecolor": GROUND,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e2e2dd",
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": GROUND,
}


class Series(NamedTuple):
    """Points of one growth, each with its lowest and highest run, and the line through those up to `until`, if any."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]
    line: Line | None = None
    until: float = 0.0


def peers(works: Sequence[tuple[Work, Sequence[Row]]], path: Path) -> None:
    """A panel a work: each server's median as a dot, its lowest to highest run as a bar, on a logarithmic scale."""
    with mpl.rc_context(STYLE):
        across = 2
        down = -(-len(works) // across)
        figure = Figure(figsize=(11, 0.6 + 2.3 * down), layout="constrained")
        for n, (work, rows) in enumerate(works):
            axes = figure.add_subplot(down, across, n + 1)
            for at, row in enumerate(reversed(rows)):
                colour = COLOURS[row.contestant.kind]
                axes.plot([row.cost.low, row.cost.high], [at, at], color=colour, linewidth=4, alpha=0.35)
                axes.plot(row.cost.median, at, "o", color=colour)
                axes.annotate(
                    number(row.cost.median), (row.cost.high, at), xytext=(7, 0), textcoords="offset points",
                    va="center", fontsize=9,
                )  # fmt: skip
            names = [row.contestant.name for row in reversed(rows)]
            axes.set_yticks(range(len(names)), names)
            axes.set_xscale("log")
            axes.set_xlim(
                min(row.cost.low for row in rows if row.cost.low > 0) / 1.4, max(row.cost.high for row in rows) * 1.9
            )
            axes.set_ylim(-0.6, len(rows) - 0.4)
            axes.grid(visible=False, axis="y")
            axes.xaxis.set_major_formatter(FuncFormatter(_plain))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_title(work.title, loc="left", fontsize=10, fontweight="bold")
            axes.set_xlabel(work.unit, fontsize=9)
        _save(figure, path)


def growth(title: str, x_label: str, panels: Sequence[tuple[str, Sequence[Series]]], path: Path) -> None:
    """Cost against size, a panel a figure: points with the spread of their runs, dashed the fitted line."""
    with mpl.rc_context(STYLE):
        across = min(len(panels), 3)
        down = -(-len(panels) // across)
        figure = Figure(figsize=(4.2 * across, 0.4 + 3.2 * down), layout="constrained")
        figure.suptitle(title, fontweight="bold", fontsize=11, x=0.01, ha="left")
        for n, (y_label, several) in enumerate(panels):
            axes = figure.add_subplot(down, across, n + 1)
            for series, colour in zip(several, SERIES, strict=False):
                _draw(axes, series, colour)
            axes.set_xlabel(x_label)
            axes.set_title(y_label, loc="left", fontsize=10)
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.xaxis.set_major_formatter(FuncFormatter(_plain))
            axes.yaxis.set_major_formatter(FuncFormatter(_plain))
            if len(several) > 1:
                axes.legend(frameon=False, fontsize=9, loc="upper left")
        _save(figure, path)


def _plain(value: float, _: object) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:g}"


def _draw(axes: mpl.axes.Axes, series: Series, colour: str) -> None:
    axes.vlines(series.xs, series.lows, series.highs, color=colour, linewidth=4, alpha=0.35)
    axes.plot(series.xs, series.ys, "o", color=colour, label=series.name)
    if series.line is not None:
        ends = np.array([0.0, series.until])
        axes.plot(ends, series.line.start + series.line.slope * ends, "--", color=colour, linewidth=1)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})
