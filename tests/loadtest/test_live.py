"""What a terminal or a pipe shows of a run."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from load_results import stopped, whole
from tallycast_loadtest import live


def recorded(width: int) -> Console:
    """A console without colours that writes into memory."""
    return Console(file=StringIO(), width=width, record=True)


@pytest.mark.parametrize("width", [80, 120])
def test_the_view_and_the_summary_fit_and_lack_no_word(width: int) -> None:
    console = recorded(width)
    screen = live.Screen("deploy → http://127.0.0.1:8080", console, saturated_cpu=0.5, saturated_lag_ms=20)
    screen.phase("steady", 60, "s")
    screen.progress(23)
    screen.second(whole().seconds[30], {"bad\x1b[2J": 3})
    console.print(screen.drawn())
    for result in (whole(), stopped()):
        console.print(live.summary(result))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text and "…" not in text
    for part in ("23/60 s", "offered 500/s", "close to saturation", "Every count is right", "Stopped early"):
        assert part in text


def test_a_pipe_gets_plain_lines() -> None:
    console = recorded(80)
    with live.watching("deploy", console, saturated_cpu=0.9, saturated_lag_ms=20) as view:
        view.phase("steady", 60, "s")
        view.second(whole().seconds[30], {})
        view.second(whole().seconds[31], {})
        view.note("the hub restarts")
    lines = console.export_text().splitlines()
    assert [line.split(":")[0] for line in lines] == ["deploy", "steady", "30 s", "the hub restarts"]
