"""`tallycast load` as people run it: a process with a hub, its outputs, its exit codes, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hubs import SECONDS, SECRET, OwnHub, running

SMALL = ("viewers=20", "reactors=10", "items=4", "rate_per_s=40", "think_s=0", "ramp_s=0.2", "settle_s=20")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    with running(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


def command(hub: OwnHub, *arguments: str, duration_s: float = 1) -> list[str]:
    keys = [f"--set={key}" for key in (*SMALL, f"duration_s={duration_s}")]
    return [sys.executable, "-m", "tallycast", "load", hub.http, *keys, *arguments]


def environ(**more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TALLYCAST_")}
    return {**clean, "TERM": "dumb", "COLUMNS": "120", **more}


def load(hub: OwnHub, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(hub, *arguments), env=environ(**more), capture_output=True, text=True, timeout=100, check=False
    )


def assert_right(result: dict[str, Any]) -> None:
    oracle = result["oracle"]
    assert [oracle[fault] for fault in ("lost", "doubled", "reordered", "stale_at_end")] == [0] * 4, oracle["examples"]
    assert oracle["acked"] > 0


def test_a_run_prints_its_result_writes_a_report_and_says_which_threshold_was_missed(
    hub: OwnHub, tmp_path: Path
) -> None:
    thresholds = ("--thresholds", "lost==0", "errors==0", "acked_per_s>100000")
    done = load(hub, "--json=-", f"--html={tmp_path / 'report.html'}", *thresholds, TALLYCAST_SECRET=SECRET)
    result = json.loads(done.stdout)
    assert_right(result)
    # A machine that others use at the same time may well make the generator late.
    assert done.returncode == {"thresholds missed": 1, "generator saturated": 4}[result["verdict"]], done.stderr
    assert [threshold["met"] for threshold in result["thresholds"]] == [True, True, False]
    assert any(line.startswith("acked_per_s>100000: was ") for line in result["why"])
    assert result["partial"] is False
    assert result["scenario"]["viewers"] == 20
    assert result["command"][:2] == ["tallycast", "load"]
    assert result["hub"]["url"] == hub.http
    report = (tmp_path / "report.html").read_text("utf-8")
    assert "<html" in report
    assert SECRET not in done.stdout + done.stderr + report


def test_ctrl_c_ends_a_run_early_with_a_result_that_holds(hub: OwnHub, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    # Whoever runs the tests in the background of a shell has Ctrl-C ignored, and children inherit that.
    heeding = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command(hub, f"--json={path}", "--processes=2", duration_s=600),
        env=environ(TALLYCAST_SECRET=SECRET),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeding,
        start_new_session=True,
    )
    try:
        before, end_s = hub.metric("reactions_total"), time.monotonic() + SECONDS
        while hub.metric("reactions_total") < before + 20:
            assert time.monotonic() < end_s, "no reactions come"
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all its processes
        _, error = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 130, error
    assert "Traceback" not in error
    result = json.loads(path.read_text("utf-8"))
    assert (result["partial"], result["verdict"]) == (True, "interrupted")
    assert_right(result)
    assert result["oracle"]["viewers"] == 20
    assert result["oracle"]["acked"] >= 20
    assert result["duration_s"] < 100
