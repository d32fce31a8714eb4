"""The command line against a hub, both processes of their own: pipes, exit codes, and the table on a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hubs import SECONDS, OwnHub, free_port, running

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    with running(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def environ(hub: OwnHub, tmp_path: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TALLYCAST_")}
    return {**clean, "TALLYCAST_URL": hub.http, "XDG_STATE_HOME": str(tmp_path), "TERM": "xterm", "COLUMNS": "120"}


@pytest.fixture
def tallycast(environ: dict[str, str]) -> Run:
    def run(*args: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*args), env={**environ, **more}, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def command(*args: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tallycast", *args)


@contextmanager
def started(*args: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    # Whoever runs the tests in the background of a shell has Ctrl-C ignored, and children inherit that.
    heeding = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command(*args), text=True, preexec_fn=heeding, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait(SECONDS)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def test_a_person_without_a_token_stays_one_vote(tallycast: Run, tmp_path: Path) -> None:
    for _ in range(2):
        assert tallycast("react", "vote:1", "like").stdout == "vote:1 like=1\n"
    assert tallycast("react", "vote:1", "like", "0").stdout == "vote:1\n"
    (kept,) = (tmp_path / "tallycast").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_kept_identity_that_the_hub_no_longer_takes_is_replaced(tallycast: Run, tmp_path: Path) -> None:
    tallycast("react", "again:1", "like")
    (kept,) = (tmp_path / "tallycast").iterdir()
    kept.write_text("no longer good\n", "ascii")
    done = tallycast("react", "again:1", "like")
    assert (done.returncode, done.stdout) == (0, "again:1 like=2\n")
    assert kept.read_text("ascii") != "no longer good\n"


def test_a_state_directory_that_cannot_be_written_is_told_and_no_reason_to_fail(tallycast: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = tallycast("react", "ro:1", "like", XDG_STATE_HOME=str(tmp_path / "file"))
    assert (done.returncode, done.stdout) == (0, "ro:1 like=1\n")
    assert done.stderr.startswith("tallycast: cannot keep who you are")


def test_an_amount_takes_a_value_and_an_event_counts_each_time(tallycast: Run) -> None:
    assert tallycast("react", "kinds:1", "clap", "7").stdout == "kinds:1 clap=7\n"
    tallycast("react", "kinds:1", "share")
    done = json.loads(tallycast("react", "kinds:1", "share", "--json").stdout)
    assert (done["counts"], done["mine"]) == ({"clap": 7, "share": 2}, {"clap": 7})
    told = tallycast("react", "kinds:1", "share", "3")
    assert told.returncode == 2
    assert "leave the value out" in told.stderr


def test_counts_are_lines_in_a_pipe_or_json(tallycast: Run) -> None:
    tallycast("react", "lines:1", "love")
    assert tallycast("counts", "lines:1", "lines:2").stdout == "lines:1 love=1\nlines:2\n"
    first, second = map(json.loads, tallycast("counts", "--json", "lines:1", "lines:2").stdout.splitlines())
    assert first["v"] > 0
    assert {**first, "v": 1} == {"item": "lines:1", "v": 1, "counts": {"love": 1}}
    assert second == {"item": "lines:2", "v": 0, "counts": {}}


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["react", "no:1", "wow"], "unknown_kind"),
        (["react", "no:1", "like", "2"], "bad_value"),
        (["react", "no:1", "like", "--token", "wrong"], "bad_token"),
        (["watch", "no:1", "--token", "wrong"], "bad_token"),
        (["counts", "no:1", "--token", "wrong"], "bad_token"),
    ],
)
def test_what_the_hub_refuses_is_exit_code_1_with_its_code(tallycast: Run, args: list[str], code: str) -> None:
    done = tallycast(*args)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"tallycast: the hub refused ({code}): ")
    assert done.stderr.count("\n") == 1


def test_a_token_of_the_environment_says_who_reacts(tallycast: Run, hub: OwnHub) -> None:
    done = tallycast("react", "token:1", "like", "--json", TALLYCAST_TOKEN=hub.token("u:9", items=["token:*"]))
    assert json.loads(done.stdout)["mine"] == {"like": 1}
    assert tallycast("react", "else:1", "like", TALLYCAST_TOKEN=hub.token("u:9", items=["token:*"])).returncode == 1


def test_watch_prints_each_change_as_a_line_and_ends_well_with_ctrl_c(tallycast: Run, environ: dict[str, str]) -> None:
    with started("watch", "--json", "piped:1", env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["counts"] == {}
        tallycast("react", "piped:1", "like")
        assert json.loads(watching.stdout.readline())["counts"] == {"like": 1}
        watching.send_signal(signal.SIGINT)
        rest, told = watching.communicate(timeout=SECONDS)
        assert (watching.returncode, rest, told) == (0, "", "")


def test_watch_tells_how_many_watch_when_it_is_asked_to(tallycast: Run, environ: dict[str, str]) -> None:
    watch = ("watch", "seen:1", "--viewers")
    with started(*watch, env=environ, stdout=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "seen:1 viewers=1\n"
        with started(*watch, "--json", env=environ, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert watching.stdout.readline() == "seen:1 viewers=2\n"
            while (told := json.loads(other.stdout.readline()))["viewers"] != 2:
                pass
            assert told == {"item": "seen:1", "v": 0, "counts": {}, "viewers": 2}
        assert watching.stdout.readline() == "seen:1 viewers=1\n"
        tallycast("react", "seen:1", "like")
        assert watching.stdout.readline() == "seen:1 viewers=1 like=1\n"


def test_watch_ends_quietly_when_nobody_reads_any_more(environ: dict[str, str]) -> None:
    with started("watch", "pipe:1", env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert watching.stdout.readline() == "pipe:1\n"
        watching.stdout.close()
        assert watching.wait(SECONDS) == 0
        assert watching.stderr.read() == ""


@pytest.mark.parametrize("viewers", [(), ("--viewers",)])
def test_watch_shows_a_live_table_on_a_terminal(
    tallycast: Run, environ: dict[str, str], viewers: tuple[str, ...]
) -> None:
    item = f"table:{len(viewers)}"
    ours, theirs = pty.openpty()
    with started("watch", item, *viewers, env=environ, stdin=theirs, stdout=theirs, stderr=theirs) as watching:
        os.close(theirs)
        shown = shows(ours, "never")
        for label in (item, "👍", "👏"):
            assert label in shown
        assert ("watching" in shown) == bool(viewers)
        tallycast("react", item, "clap", "37")
        assert "● live" in shows(ours, "37")
        watching.send_signal(signal.SIGINT)
        shows(ours, None)
        assert watching.wait(SECONDS) == 0
    os.close(ours)


def shows(terminal: int, text: str | None) -> str:
    """What a terminal shows until it has shown `text`; None: until it is closed."""
    shown, end = b"", time.monotonic() + SECONDS
    while text is None or text.encode() not in shown:
        assert select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0], shown.decode("utf-8", "replace")
        try:
            shown += os.read(terminal, 65_536)
        except OSError:  # EIO: whoever wrote there has ended
            assert text is None, shown.decode("utf-8", "replace")
            break
    return shown.decode("utf-8", "replace")


def test_serve_says_where_it_is_and_a_taken_port_is_one_line(hub: OwnHub, tmp_path: Path) -> None:
    assert f"http://127.0.0.1:{hub.port}" in hub.log()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TALLYCAST_")}
    done = subprocess.run(
        command("serve", "--port", str(hub.port), "--store", f"sqlite:///{tmp_path}/other.db"),
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("tallycast: ")
    assert done.stderr.count("\n") == 1


def test_watch_tells_of_a_lost_hub_and_goes_on_when_it_is_back(tmp_path: Path, environ: dict[str, str]) -> None:
    port = free_port()
    serve = ("serve", "--port", str(port), "--store", f"sqlite:///{tmp_path}/back.db")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    own = {name: value for name, value in environ.items() if name != "TALLYCAST_URL"}
    url = f"http://127.0.0.1:{port}"
    with started(*serve, env=own, **quiet) as first:
        wait_until_served(own, url)
        with started(
            "watch", "back:1", "--url", url, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as watching:
            assert watching.stdout is not None
            assert watching.stderr is not None
            assert watching.stdout.readline() == "back:1\n"
            first.terminate()
            assert "next attempt in" in watching.stderr.readline()
            assert first.wait(SECONDS) == 0
            with started(*serve, env=own, **quiet):
                wait_until_served(own, url)
                subprocess.run(command("react", "back:1", "like", "--url", url), env=own, check=True, timeout=60)
                assert watching.stdout.readline() == "back:1 like=1\n"


def wait_until_served(environ: dict[str, str], url: str) -> None:
    end = time.monotonic() + SECONDS
    while subprocess.run(
        command("counts", "a", "--url", url), env=environ, capture_output=True, check=False
    ).returncode:
        assert time.monotonic() < end
