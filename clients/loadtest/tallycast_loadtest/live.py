"""What a terminal shows while a run goes on, and the summary at its end. In a pipe: a plain line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tallycast_loadtest import figures
from tallycast_loadtest.figures import at, number, of_bytes, of_share, printable, written
from tallycast_loadtest.results import Result, Second

LINE_EVERY_S: Final = 5.0
WARN_SHARE: Final = 0.8  # of the bounds of saturation, from which on the view warns
STYLES: Final = {"ok": "bold green", "interrupted": "bold yellow", "generator saturated": "bold yellow"}


class View(Protocol):
    """Is told how a run goes."""

    def phase(self, name: str, total: float, unit: str) -> None:
        """A phase begins; its progress counts from 0 to `total` of `unit`."""

    def progress(self, done: float) -> None:
        """How far the phase has come."""

    def second(self, second: Second, errors: Mapping[str, int]) -> None:
        """One more second of the run, and all errors so far by code."""

    def note(self, text: str) -> None:
        """Something happened that is worth a line that stays."""


@contextmanager
def watching(title: str, console: Console, saturated_cpu: float, saturated_lag_ms: float) -> Iterator[View]:
    """Shows a run: live on a terminal, else in lines. Warns before the generator's CPU or lag reach these bounds."""
    if console.is_terminal and not console.is_dumb_terminal:
        screen = Screen(title, console, saturated_cpu, saturated_lag_ms)
        with Live(get_renderable=screen.drawn, console=console, transient=True, refresh_per_second=4):
            yield screen
    else:
        yield Lines(title, console)


class Screen:
    """The live view; `drawn` is how it looks now."""

    def __init__(self, title: str, console: Console, saturated_cpu: float, saturated_lag_ms: float) -> None:
        self._title, self._console = printable(title), console
        self._bounds = saturated_cpu, saturated_lag_ms
        self._phase, self._total, self._unit, self._done = "starting", 0.0, "", 0.0
        self._started_s = time.monotonic()
        self._second: Second | None = None
        self._errors: Mapping[str, int] = {}

    def phase(self, name: str, total: float, unit: str) -> None:
        self._phase, self._total, self._unit, self._done = name, total, unit, 0.0

    def progress(self, done: float) -> None:
        self._done = done

    def second(self, second: Second, errors: Mapping[str, int]) -> None:
        self._second, self._errors = second, errors

    def note(self, text: str) -> None:
        self._console.print(Text(f"• {printable(text)}"))

    def drawn(self) -> RenderableType:
        """The view at this moment, 80 columns wide at most."""
        bar = Table.grid(padding=(0, 1))
        done = f"{min(self._done, self._total):,.0f}/{self._total:,.0f} {self._unit}" if self._total else ""
        bar.add_row(
            Text(f"{self._phase:<10}", style="bold"),
            ProgressBar(total=max(self._total, 1e-9), completed=self._done, width=36),
            Text(done),
        )
        rows = [] if self._second is None else _figures(self._second)
        facts = Table.grid(padding=(0, 2))
        for name, text in rows:
            facts.add_row(Text(name, style="dim"), Text(text))
        errors = ", ".join(f"{printable(code, most=40)} {count:,}" for code, count in self._errors.items())
        facts.add_row(Text("errors", style="dim"), Text(errors or "none", style="red" if errors else "green"))
        elapsed = Text(f"  {timedelta(seconds=int(time.monotonic() - self._started_s))}", style="dim")
        parts: list[RenderableType] = [Text(self._title, style="bold cyan").append_text(elapsed), bar, facts]
        if self._nearly_saturated():
            parts.append(Text("The load generator is close to saturation: its figures will soon lie.", style="yellow"))
        return Group(*parts)

    def _nearly_saturated(self) -> bool:
        if self._second is None:
            return False
        cpu, lag_ms = self._bounds
        return (self._second.generator_cpu or 0) >= WARN_SHARE * cpu or (
            self._second.generator_lag_ms or 0
        ) >= WARN_SHARE * lag_ms


class Lines:
    """A line where a phase begins or something happened, and one every few seconds."""

    def __init__(self, title: str, console: Console) -> None:
        self._console = console
        self._due_s = 0.0
        self._say(title)

    def _say(self, text: str) -> None:
        self._console.print(Text(printable(text)), soft_wrap=True)

    def phase(self, name: str, total: float, unit: str) -> None:
        self._say(f"{name}: {number(total)} {unit}")

    def progress(self, done: float) -> None:
        """The seconds tell it."""

    def second(self, second: Second, errors: Mapping[str, int]) -> None:
        if time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + LINE_EVERY_S
            rows = ((name, text) for name, text in _figures(second) if not text.startswith(figures.NOTHING))
            facts = "; ".join(f"{name} {text}" for name, text in rows)
            self._say(f"{second.t_s} s: {facts}; errors {sum(errors.values()):,}")

    def note(self, text: str) -> None:
        self._say(text)


def summary(result: Result) -> RenderableType:
    """The verdict in words, then latencies, rates, what must be zero, and thresholds."""
    found = figures.finite(result.to_json())
    parts: list[RenderableType] = [Text(figures.headline(found), style=STYLES.get(result.verdict, "bold red"))]
    parts += [Padding(Text(line), (0, 0, 0, 2), expand=False) for line in figures.reasons(found)]
    latencies = Table(box=None, padding=(0, 1))
    latencies.add_column("ms")
    for name in figures.PERCENTILES.values():
        latencies.add_column(name, justify="right")
    for key in figures.LATENCIES:
        if at(found, f"latency.{key}.count"):
            cells = (written(at(found, f"latency.{key}.{figure}")) for figure in figures.PERCENTILES)
            latencies.add_row(key, *cells)
    if latencies.row_count:
        parts.append(latencies)
    for figures_of in (figures.SECTIONS["Rates"], figures.SECTIONS["What the hub spent"], figures.ORACLE):
        told = (f"{each.name.lower()} {written(at(found, each.path), each.write)}" for each in figures_of)
        parts.append(Text(", ".join(told)))
    for threshold in result.thresholds:
        mark, style = ("✓", "green") if threshold.met else ("✗", "red")
        parts.append(Text(f"{mark} {printable(threshold.text)}  (was {written(threshold.value)})", style=style))
    return Group(*parts)


def _figures(second: Second) -> list[tuple[str, str]]:
    """One second in words: name and text."""

    def spread(*values_ms: float | None) -> str:
        return " / ".join(written(value) for value in values_ms)

    connecting = "" if second.connect_p99_ms is None else f", connecting in {number(second.connect_p99_ms)} ms (p99)"
    cpu, memory = written(second.hub_cpu, of_share), written(second.hub_rss_bytes, of_bytes)
    return [
        ("viewers", f"{second.viewers:,}, {second.frames:,} frames/s{connecting}"),
        ("reactions", f"offered {second.offered:,}/s, sent {second.sent:,}/s, acked {second.acked:,}/s"),
        ("ack p50/p99/max", f"{spread(second.ack_p50_ms, second.ack_p99_ms, second.ack_max_ms)} ms"),
        ("viewer p50/p99/max", f"{spread(second.viewer_p50_ms, second.viewer_p99_ms, second.viewer_max_ms)} ms"),
        ("hub", f"cpu {cpu}, memory {memory}, lag {written(second.hub_lag_ms)} ms"),
        ("generator", f"cpu {written(second.generator_cpu, of_share)}, lag {written(second.generator_lag_ms)} ms"),
    ]
