"""`tallycast load` in this process: what it refuses, in one line each, before it touches a hub. And its document."""

from __future__ import annotations

import re
import resource
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from hubs import OwnHub, running
from tallycast import cli
from tallycast_loadtest import room, scenario
from tallycast_loadtest.command import EXIT_CODES
from tallycast_loadtest.hub import BadInput
from tallycast_loadtest.line import Target
from tallycast_loadtest.results import Generator, Oracle, Threshold
from tallycast_loadtest.verdict import SATURATED_CPU, SATURATED_LAG_MS, saturated, verdict, why

DOCUMENT = (Path(__file__).parents[2] / "docs" / "loadtest.md").read_text("utf-8")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    with running(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing argument 'URL'"),
        (("http://127.0.0.1:1", "http://127.0.0.1:2"), "expected the URL of one hub, such as http://127.0.0.1:8000"),
        (("--thresholds", "lost==0", "errors==0"), "expected the URL of one hub"),
        (("nonsense",), "a hub's URL looks like http://127.0.0.1:8000, not 'nonsense'"),
        (("http://u:pw@127.0.0.1",), "a hub's URL has no user, query or fragment"),
        (("http://127.0.0.1:1", "--scenario", "articel"), "did you mean article"),
        (("http://127.0.0.1:1", "--set", "viewrs=5"), "did you mean viewers"),
        (("http://127.0.0.1:1", "--set", "viewers=-5"), "viewers is '-5': expected a whole number from 0"),
        (("http://127.0.0.1:1", "--thresholds", "ack_p98<5"), "there is no figure 'ack_p98', did you mean"),
        (("http://127.0.0.1:1", "--thresholds", "ack_p99<5ms", "lost=0"), "threshold 'lost=0': expected a figure"),
        (("http://127.0.0.1:1", "--processes", "0"), "--processes is 0: expected a whole number from 1 to 64"),
        (("http://127.0.0.1:1", "--secret-file", "/no/such/file"), "--secret-file '/no/such/file' cannot be read"),
        (("http://127.0.0.1:1", "--json", "/no/such/folder/x.json"), "'/no/such/folder/x.json' cannot be written"),
        (("http://8.8.8.8",), "8.8.8.8 is a public address (8.8.8.8)"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TALLYCAST_SECRET", raising=False)
    assert cli.run(["load", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("tallycast: ")
    assert said in output.err
    assert output.err.count("\n") == 1


def test_a_scenario_with_a_wrong_key_is_named_with_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("veiwers = 5\n")
    assert cli.run(["load", "http://127.0.0.1:1", "--scenario", str(path)]) == 2
    error = capsys.readouterr().err
    assert "mine.toml: there is no key 'veiwers'; did you mean viewers" in error


def test_nobody_at_the_url_is_exit_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["load", "http://127.0.0.1:9"]) == 3
    assert "no hub can be reached at http://127.0.0.1:9: Connection refused" in capsys.readouterr().err


def test_a_demand_for_tokens_without_a_secret_is_one_line(hub: OwnHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["load", hub.http, "--set", "identity=tokens"]) == 2
    assert "identity is tokens: give the hub's secret with --secret-file" in capsys.readouterr().err


def test_a_secret_is_not_shown_when_it_is_wrong(
    hub: OwnHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "not-the-hubs-secret-but-long-enough-0123456789"
    (tmp_path / "secret").write_text(secret)
    assert cli.run(["load", hub.http, "--secret-file", str(tmp_path / "secret")]) == 2
    error = capsys.readouterr().err
    assert "the hub refuses tokens under this secret" in error
    assert secret not in error


def test_without_its_extra_the_command_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tallycast_loadtest", "hdrh")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hdrh", None)
    assert cli.run(["load", "http://127.0.0.1:1"]) == 2
    assert capsys.readouterr().err == (
        "tallycast: `tallycast load` needs what is not installed: pip install 'tallycast[load]'\n"
    )


# Room


def test_too_few_open_files_are_raised_or_said_with_the_command() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        room.open_files(400)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 400
        with pytest.raises(BadInput, match=r"need 20\d{8} open files, and this shell allows \d+: `ulimit -n 20\d{8}`"):
            room.open_files(2_000_000_000)  # more than any kernel has
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_connections_to_loopback_come_from_many_addresses() -> None:
    there = Target(socket.AF_INET, ("127.0.0.1", 8000), "", "")
    assert len(room.sources(there, 20_000)) == 40
    assert room.sources(there, 1) == ("127.0.1.1",)


def test_too_few_ports_are_said_with_the_command() -> None:
    there = Target(socket.AF_INET, ("10.0.0.1", 8000), "", "")
    assert room.sources(there, 1000) == ()
    with pytest.raises(
        BadInput, match=r"100000 connections .* there are \d+: `sysctl -w net.ipv4.ip_local_port_range="
    ):
        room.sources(there, 100_000)


# Verdicts


def an_oracle(**faults: int) -> Oracle:
    none = dict.fromkeys(("unanswered", "lost", "doubled", "reordered", "stale_at_end"), 0)
    return Oracle(items=1, viewers=1, acked=1, examples=(), **{**none, **faults})


IDLE = Generator(processes=1, cpu_max=0.1, lag_p99_ms=1.0, saturated=False)
BUSY = Generator(processes=1, cpu_max=0.97, lag_p99_ms=80.0, saturated=True)
MISSED = Threshold(text="ack_p99<5ms", value=7.5, met=False)


def test_the_worst_that_can_be_said_is_the_verdict() -> None:
    assert verdict(an_oracle(), IDLE, (), interrupted=False) == "ok"
    assert verdict(an_oracle(unanswered=3), IDLE, (), interrupted=False) == "ok"
    assert verdict(an_oracle(), IDLE, (MISSED,), interrupted=False) == "thresholds missed"
    assert verdict(an_oracle(), BUSY, (MISSED,), interrupted=False) == "generator saturated"
    assert verdict(an_oracle(), BUSY, (MISSED,), interrupted=True) == "interrupted"
    for fault in ("lost", "doubled", "reordered", "stale_at_end"):
        assert verdict(an_oracle(**{fault: 1}), BUSY, (MISSED,), interrupted=True) == "wrong counts"


def test_a_busy_generator_is_saturated_by_cpu_or_lag() -> None:
    assert not saturated(SATURATED_CPU - 0.01, SATURATED_LAG_MS - 1)
    assert saturated(SATURATED_CPU, 0)
    assert saturated(0, SATURATED_LAG_MS)


def test_each_reason_is_a_line() -> None:
    lines = why(an_oracle(lost=2), BUSY, (MISSED,), {"rate_limited": 5}, {"rate_limited": "too much at once"})
    assert lines[0] == "lost: 2"
    assert "97% of a core" in lines[1]
    assert "80 ms late" in lines[2]
    assert lines[3] == "ack_p99<5ms: was 7.5"
    assert lines[4].startswith("a limit of the hub was met 5 times (too much at once): raise TALLYCAST_REACTIONS_PER_")
    assert why(an_oracle(), IDLE, (), {}, {}) == ()


# The document


def test_the_document_has_every_option_and_exit_code() -> None:
    options = [option for each in cli.load.params if isinstance(each, click.Option) for option in each.opts]
    documented = set(re.findall(r"^\| `(--[a-z-]+)", DOCUMENT, re.MULTILINE))
    assert documented == set(options)
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", DOCUMENT, re.MULTILINE)}
    assert codes == {2, 3, *EXIT_CODES.values()}


def test_the_document_has_every_scenario_with_what_it_is() -> None:
    documented = dict(re.findall(r"^\| `([a-z]+)` \| (.+) \|$", DOCUMENT.split("## Scenarios")[1], re.MULTILINE))
    for name in scenario.shipped():
        assert documented[name] == scenario.load(name).about
