"""The two C programs: compiled at the run's beginning, and the client's runs with their figures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FLAGS = ("-O2", "-Wall", "-Wextra")
SECONDS = 300.0  # until a run of the client counts as hung; the longest takes half a minute on a quiet machine
SERVER_CORE, CLIENT_CORE = 0, 1


class RunError(Exception):
    """A run that gave no figures; its text is one line that says why."""


def build(directory: Path) -> tuple[Path, Path]:
    """The client and the floor, compiled into `directory`. Raises RunError."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise RunError("no C compiler: install gcc and run this again")
    made = []
    for name in ("client", "floor"):
        target = directory / name
        result = subprocess.run(
            [compiler, *FLAGS, "-o", target, HERE / f"{name}.c"], capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise RunError(f"{name}.c does not compile: {result.stderr.strip().splitlines()[0]}")
        made.append(target)
    return made[0], made[1]


def pin(pid: int, core: int) -> None:
    """Keep all threads that a process has by now on one core, where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {cores[core % len(cores)]})


class Client:
    """Runs the client, one at a time, on a core of its own."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def run(self, work: str, keys: Mapping[str, object]) -> Any:
        """The figures of one work: `watch` gives a list, one dictionary a stage. Raises RunError."""
        command: Sequence[str | Path] = [self._program, work, *(f"{key}={value}" for key, value in keys.items())]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            pin(process.pid, CLIENT_CORE)
            out, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise RunError(f"no figures within {SECONDS:g} s") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        if process.returncode:
            raise RunError(err.strip().splitlines()[-1] if err.strip() else f"the client ended: {process.returncode}")
        return json.loads(out)
