"""The hub beside other push servers, the same work side by side in one run.

    PYTHONPATH=tests .venv/bin/python -m bench [--quick] [--rounds N]

Servers take turns in each round, each in a process of its own on one core, the client on another. What is found goes to
docs/benchmarks.md and docs/benchmarks/peers.svg; with --quick, about a minute at small sizes, to the terminal alone.
Everything is on loopback and bounded. Ctrl-C ends what was started.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import report
from bench.native import Client, RunError, build
from bench.servers import Contestant, contestants
from bench.works import FULL, QUICK, Sizes, measure, works

MOST_ROUNDS = 50


def main() -> int:
    """Run it. 0 when all was measured that is installed, 1 when something went wrong on the way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, 2 rounds, nothing written")
    parser.add_argument("--rounds", type=int, help="default: 5")
    options = parser.parse_args()
    rounds = min(max(options.rounds or (2 if options.quick else 5), 1), MOST_ROUNDS)
    sizes = QUICK if options.quick else FULL
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends what was started as well
    console = Console()
    if not options.quick and not report.can_draw(console):
        return 1
    load = report.load_now(console)
    try:
        with tempfile.TemporaryDirectory() as directory:
            client, floor = build(Path(directory))
            entered = contestants(floor)
            runs, absent, failed = run(console, entered, Client(client), sizes, rounds, Path(directory))
    except RunError as error:
        console.print(str(error), style="red")
        return 1
    except KeyboardInterrupt:
        console.print("stopped; nothing was written")
        return 130
    report.show(console, works(sizes), runs, entered, absent)
    if not options.quick:
        from bench import plots  # of an extra, and not needed before

        command = f"make bench BENCH='--rounds {rounds}'" if options.rounds else "make bench"
        report.write_section("peers", report.markdown(works(sizes), runs, entered, absent, command, load))
        shown = [(work, report.rows(work, runs, entered)) for work in works(sizes)]
        plots.peers(shown, report.PLOTS / "peers.svg")
    return int(failed)


def run(
    console: Console, entered: Sequence[Contestant], client: Client, sizes: Sizes, rounds: int, directory: Path
) -> tuple[dict[str, list[dict[str, float]]], dict[str, str], bool]:
    """The figures of each server, one dictionary a round; why servers have none; whether one failed."""
    absent = {c.name: f"{c.missing} is not installed: pip install {c.missing}" for c in entered if c.missing}
    runs: dict[str, list[dict[str, float]]] = {c.name: [] for c in entered if c.name not in absent}
    failed = False
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=rounds * len(runs))
        for turn in range(rounds):
            for contestant in entered:
                if contestant.name in absent:
                    continue
                progress.update(task, description=f"round {turn + 1} of {rounds}: {contestant.name}")
                with tempfile.TemporaryDirectory(dir=directory) as own:
                    try:
                        runs[contestant.name].append(measure(contestant, client, sizes, Path(own)))
                    except (RunError, RuntimeError, TimeoutError) as error:
                        absent[contestant.name] = " ".join(str(error).split())[:300]
                        del runs[contestant.name]
                        failed = True
                progress.advance(task)
    return runs, absent, failed


if __name__ == "__main__":
    sys.exit(main())
