"""`tallycast load`: from its options to its outputs and exit code."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from tallycast_loadtest import live, report, scenario, thresholds
from tallycast_loadtest.hub import BadInput, Unreachable
from tallycast_loadtest.keys import ScenarioError
from tallycast_loadtest.machine import spoken
from tallycast_loadtest.prepare import Options, prepare
from tallycast_loadtest.processes import Died
from tallycast_loadtest.results import Result, Verdict
from tallycast_loadtest.run import run
from tallycast_loadtest.verdict import SATURATED_CPU, SATURATED_LAG_MS

BAD_INPUT, UNREACHABLE, UNABLE, INTERRUPTED = 2, 3, 4, 130
EXIT_CODES: Final[Mapping[Verdict, int]] = {
    "ok": 0,
    "thresholds missed": 1,
    "wrong counts": 1,
    "generator saturated": UNABLE,
    "interrupted": INTERRUPTED,
}
_MOST_PROCESSES: Final = 64


class Failed(Exception):
    """There is no result; the text is one line, `code` the exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The options as they were given. `words` are what has no option before it: the hub's URL, and more thresholds."""

    words: Sequence[str]
    scenario: str
    overrides: Sequence[str] = ()
    thresholds: Sequence[str] = ()
    processes: int | None = None
    secret_file: str | None = None
    origin: str | None = None
    restart: str | None = None
    public: bool = False
    json_path: str | None = None
    html_path: str | None = None


def main(arguments: Arguments) -> int:
    """Make the run and its outputs; the exit code. Raises Failed."""
    try:
        options = _options(arguments)
        for path in (arguments.json_path, arguments.html_path):
            _check_writable(path)
        prepared = prepare(options)
    except (ScenarioError, thresholds.ThresholdError, BadInput) as error:
        raise Failed(BAD_INPUT, str(error)) from None
    except Unreachable as error:
        raise Failed(UNREACHABLE, str(error)) from None
    screen = Console(stderr=True)
    try:
        with live.watching(f"{arguments.scenario} → {options.url}", screen, SATURATED_CPU, SATURATED_LAG_MS) as view:
            result = asyncio.run(run(prepared, view))
    except BadInput as error:
        raise Failed(BAD_INPUT, str(error)) from None
    except Unreachable as error:
        raise Failed(UNREACHABLE, str(error)) from None
    except Died as error:
        raise Failed(UNABLE, str(error)) from None
    _write(arguments, result)
    return EXIT_CODES[result.verdict]


def _options(arguments: Arguments) -> Options:
    limits = [word for word in arguments.words if set(word) & set("<>=") and "://" not in word]
    urls = [word for word in arguments.words if word not in limits]
    if len(urls) != 1:
        raise BadInput(f"expected the URL of one hub, such as http://127.0.0.1:8000, not {len(urls)} of them")
    return Options(
        url=urls[0],
        scenario=scenario.load(arguments.scenario, arguments.overrides),
        processes=_processes(arguments.processes),
        secret=_secret(arguments.secret_file),
        origin=arguments.origin,
        public=arguments.public,
        restart=arguments.restart,
        limits=[thresholds.parse(text) for text in (*arguments.thresholds, *limits)],
        command=spoken(["tallycast", *sys.argv[1:]]),
    )


def _processes(given: int | None) -> int:
    """How many: one core is left to the hub, where there is more than one."""
    if given is None:
        return max(1, (os.cpu_count() or 1) - 1)
    if not 1 <= given <= _MOST_PROCESSES:
        raise BadInput(f"--processes is {given}: expected a whole number from 1 to {_MOST_PROCESSES}")
    return given


def _secret(path: str | None) -> str | None:
    """The hub's secret, the first where there are several."""
    text = os.environ.get("TALLYCAST_SECRET", "")
    if path is not None:
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise BadInput(f"--secret-file {path!r} cannot be read: {reason}") from None
        if not text.strip():
            raise BadInput(f"--secret-file {path!r} is empty")
    return text.split(",")[0].strip() or None


def _check_writable(path: str | None) -> None:
    """Say now, and not after an hour, that a result could not be written."""
    if path is None or path == "-":
        return
    folder = Path(path).absolute().parent
    if Path(path).is_dir() or not os.access(folder, os.W_OK):
        raise BadInput(
            f"{path!r} cannot be written: {'it' if Path(path).is_dir() else 'its folder'} is no place for it"
        )


def _write(arguments: Arguments, result: Result) -> None:
    text = json.dumps(result.to_json(), ensure_ascii=False, indent=1)
    try:
        if arguments.html_path is not None:
            report.write(result, Path(arguments.html_path))
        if arguments.json_path == "-":
            click.echo(text)
        elif arguments.json_path is not None:
            Path(arguments.json_path).write_text(text + "\n", "utf-8")
    except OSError as error:
        raise Failed(BAD_INPUT, f"the result cannot be written to {error.filename!r}: {error.strerror}") from None
    Console(stderr=arguments.json_path == "-").print(live.summary(result))
