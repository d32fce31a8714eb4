"""The benchmark works: its arithmetic, its client, which takes no figure from wrong work, and each server in small."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import os
import statistics
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console
from websockets.asyncio.server import ServerConnection, serve

from bench import __main__ as comparison
from bench import figures, growth, native, report, works
from bench.growth_works import GROWTHS, Growth, Measure
from bench.native import Client, RunError
from bench.peers import PUBLISH, SNAPSHOT, SUBSCRIBE
from bench.peers.counting import Counts
from bench.servers import PLAIN, Contestant, Running, contestants, program

ENOUGH = 2 * works.TALKERS * works.WINDOW
SMALL = works.Sizes(3, ((6, 2), (12, 2)), echoes=ENOUGH, reactions=ENOUGH, pace_ms=60, settle_ms=20)
NAMES = [contestant.name for contestant in contestants(Path("floor"))]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The client and the floor."""
    return native.build(tmp_path_factory.mktemp("native"))


def contestant(name: str, kind: str = "python") -> Contestant:
    return Contestant(name, kind, program("false"), PLAIN, (), "")


# The arithmetic


def test_a_spread_is_the_median_with_the_lowest_and_the_highest_run() -> None:
    assert figures.Spread.of([3.0, 1.0, 10.0, 2.0]) == (2.5, 1.0, 10.0)
    with pytest.raises(statistics.StatisticsError):
        figures.Spread.of([])


def test_ratios_are_taken_round_by_round_so_that_a_slow_round_falls_out() -> None:
    assert figures.ratios([2.0, 20.0, 4.0], to=[1.0, 10.0, 2.0]) == (2.0, 2.0, 2.0)


def test_a_line_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(7)
    xs = rng.uniform(1, 1000, 40)
    ys = 5 + 0.25 * xs + rng.normal(0, 3, 40)
    line = figures.fit(list(xs), list(ys))
    slope, start = np.polyfit(xs, ys, 1)
    assert [line.start, line.slope] == pytest.approx([start, slope])
    assert line.r_squared == pytest.approx(np.corrcoef(xs, ys)[0, 1] ** 2)
    assert line.at(100) == pytest.approx(start + 100 * slope)


def test_one_point_makes_no_line() -> None:
    with pytest.raises(ValueError, match="two points"):
        figures.fit([3.0, 3.0], [1.0, 2.0])


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_tells_how_cost_follows_size(power: float) -> None:
    xs = [1.0, 3.0, 10.0, 50.0]
    assert figures.exponent(xs, [7 * x**power for x in xs]) == pytest.approx(power)


def test_a_bend_is_where_points_leave_the_line_before_them() -> None:
    xs = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
    straight = [3 + 2 * x for x in xs]
    assert figures.bend(xs, straight) is None
    assert figures.bend(xs, [*straight[:4], 60.0, 150.0]) == 20.0  # 43 was foretold
    assert figures.bend(xs, [*straight[:5], 70.0]) == 50.0  # below the line is a bend too


def test_rounds_of_a_growth_become_medians_with_a_line_and_its_bend() -> None:
    measure = Measure("ms", "ms")
    one = Growth("n", "N", "n", (measure,), lambda client, floor, directory: {}, holds=lambda x, point: x < 8)
    several = [{"hub": {x: {"ms": 1 + 2 * x * noise} for x in (1.0, 2.0, 4.0, 8.0)}} for noise in (0.9, 1.0, 1.5)]
    several[1]["hub"][8.0]["ms"] = several[2]["hub"][8.0]["ms"] = 40.0
    merged = growth.merge(several)
    assert merged["hub"][4.0]["ms"] == (9.0, 8.2, 13.0)
    [found] = growth.fitted(one, merged)
    assert found.line is not None
    assert [found.line.start, found.line.slope] == pytest.approx([1.0, 2.0])  # 8, which does not hold, is left out
    assert found.bend == 8.0
    assert "1 + 2·x (R² 1.000); off that from 8" in growth.markdown(one, merged, 3, load=0.0)


def test_what_is_demanded_is_judged_by_the_medians_of_the_ratios() -> None:
    work = works.Work("echo 1", "echo", "µs", demanded=True)
    entered = [contestant("hub", "hub"), contestant("fast", "native"), contestant("slow"), contestant("near")]
    costs = {
        "hub": [10.0, 20.0, 10.0],
        "fast": [9.2, 18.4, 30.0],
        "slow": [30.0, 60.0, 29.0],
        "near": [29.9, 59.0, 40.0],
    }
    runs = {name: [{"echo 1": cost} for cost in several] for name, several in costs.items()}
    assert [held for held, _ in report.verdicts([work], runs, entered)] == [True, True, False]
    runs["fast"] = [{"echo 1": 9.0}, {"echo 1": 18.0}, {"echo 1": 30.0}]  # the hub costs 11 % more
    assert [held for held, _ in report.verdicts([work], runs, entered)][0] is False


def test_ratios_to_a_server_without_figures_are_left_open() -> None:
    work = works.Work("memory", "memory", "KiB")
    row = report.rows(work, {"peer": [{"memory": 3.0}]}, [contestant("hub", "hub"), contestant("peer")])[0]
    assert (row.cost.median, row.to_hub, row.to_floor) == (3.0, None, None)


def test_only_what_stands_between_the_marks_is_written_anew(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("before\n<!-- peers -->\nold\n<!-- /peers -->\nafter\n", "utf-8")
    report.write_section("peers", "new", document)
    report.write_section("peers", "newer", document)
    assert document.read_text("utf-8") == "before\n<!-- peers -->\nnewer\n<!-- /peers -->\nafter\n"
    with pytest.raises(ValueError, match=r"page\.md has no <!-- growth -->"):
        report.write_section("growth", "new", document)


def test_the_document_has_a_place_for_every_section() -> None:
    text = report.DOCUMENT.read_text("utf-8")
    for name in ("peers", *(f"growth {one.name}" for one in GROWTHS)):
        assert text.count(f"<!-- {name} -->") == text.count(f"<!-- /{name} -->") == 1


def test_peers_count_what_everybody_says_now() -> None:
    counts = Counts()
    counts.react("a", {"ref": 1, "item": "i", "kind": "clap", "value": 5})
    counts.react("b", {"ref": 2, "item": "i", "kind": "clap", "value": 2})
    ack = counts.react("a", {"ref": 3, "item": "i", "kind": "clap", "value": 1})
    assert (ack["ref"], ack["counts"], ack["mine"]) == (3, {"clap": 3}, {"clap": 1})


# The client


@asynccontextmanager
async def faulty(whom: Callable[[list[ServerConnection]], Sequence[ServerConnection]]) -> AsyncIterator[int]:
    """A server on which `whom` decides who of the viewers gets a message; its port."""
    viewers: list[ServerConnection] = []

    async def live(socket: ServerConnection) -> None:
        async for text in socket:
            assert isinstance(text, str)
            if text.startswith(SUBSCRIBE):
                viewers.append(socket)
                await socket.send(SNAPSHOT)
            elif text.startswith(PUBLISH):
                for viewer in whom(viewers):
                    await viewer.send(text)
            else:
                await socket.send(text)

    async with serve(live, "127.0.0.1", 0, compression=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


async def watch(client: Client, port: int, patience_s: int = 20) -> Sequence[dict[str, float]]:
    keys = {"script": PLAIN.viewer, "speaker": "", "message": PLAIN.publish, "marker": PLAIN.published, "path": "/"}
    numbers = {"ports": port, "pids": os.getpid(), "pace_ms": 1, "settle_ms": 1, "patience_s": patience_s}
    told: Sequence[dict[str, float]] = await asyncio.to_thread(
        client.run, "watch", {**keys, **numbers, "stages": "2:0,4:3"}
    )
    return told


async def test_the_client_tells_how_many_messages_reached_how_many_viewers(programs: tuple[Path, Path]) -> None:
    async with faulty(lambda viewers: viewers) as port:
        _, stage = await watch(Client(programs[0]), port)
    assert (stage["viewers"], stage["opened"], stage["rounds"]) == (4, 2, 3)
    assert stage["frame_us"] > 0 and stage["connect_us"] > 0 and math.isfinite(stage["kib"])


async def test_no_figure_is_taken_where_a_message_comes_twice(programs: tuple[Path, Path]) -> None:
    async with faulty(lambda viewers: [*viewers, viewers[0]]) as port:
        with pytest.raises(RunError, match="messages arrived where 12 were sent"):
            await watch(Client(programs[0]), port)


async def test_no_figure_is_taken_where_a_message_is_lost(programs: tuple[Path, Path]) -> None:
    async with faulty(lambda viewers: viewers[1:]) as port:
        with pytest.raises(RunError, match=r"no message for 1 s, and [1-4] are missing"):
            await watch(Client(programs[0]), port, patience_s=1)


# The servers


@pytest.mark.parametrize("name", NAMES)
def test_every_server_does_the_whole_work(name: str, programs: tuple[Path, Path], tmp_path: Path) -> None:
    client, floor = programs
    [one] = [one for one in contestants(floor) if one.name == name]
    if one.missing:
        pytest.skip(f"{name.upper()} NOT TESTED: pip install {one.missing}")
    found = works.measure(one, Client(client), SMALL, tmp_path)
    assert set(found) == {work.key for work in works.works(SMALL)}
    assert all(found[work.key] > 0 for work in works.works(SMALL) if work.key != "memory"), found


def test_a_server_that_is_not_there_is_named_and_the_others_go_on(
    programs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(one: Contestant, client: Client, sizes: works.Sizes, directory: Path) -> dict[str, float]:
        with one.start(directory) as server:
            assert isinstance(server, Running)
        return {"echo 1": 1.0}

    monkeypatch.setattr(comparison, "measure", measure)
    fine = Contestant("floor", "floor", program(programs[1]), PLAIN, (), "")
    lacking = Contestant("lacking", "python", program("true"), PLAIN, ("no-such-distribution",), "")
    broken = Contestant("broken", "python", program(sys.executable, "-c", "raise SystemExit('no luck')"), PLAIN, (), "")
    console = Console(quiet=True)
    entered = [lacking, broken, fine]
    runs, absent, failed = comparison.run(console, entered, Client(programs[0]), SMALL, 2, tmp_path)
    assert runs == {"floor": [{"echo 1": 1.0}] * 2}
    assert absent["lacking"] == "no-such-distribution is not installed: pip install no-such-distribution"
    assert absent["broken"] == "did not start: no luck"
    assert failed
    page = report.markdown([works.Work("echo 1", "echo", "µs")], runs, entered, absent, "make bench", load=0.1)
    assert "| lacking | **absent** | no-such-distribution is not installed" in page


def test_a_plot_is_an_svg_that_names_every_server(tmp_path: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        pytest.skip("PLOTS NOT TESTED: pip install matplotlib")
    from bench import plots

    work = works.Work("echo 1", "echo", "µs")
    entered = [contestant("ours", "hub"), contestant("theirs")]
    runs = {"ours": [{"echo 1": 1.0}, {"echo 1": 2.0}], "theirs": [{"echo 1": 7.0}, {"echo 1": 9.0}]}
    path = tmp_path / "plots" / "peers.svg"
    plots.peers([(work, report.rows(work, runs, entered))], path)
    words = {element.text for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")}
    assert {"ours", "theirs", "1.50", "8.00"} <= words
